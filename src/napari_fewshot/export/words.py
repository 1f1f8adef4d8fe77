"""What an exported model says of itself to people."""

from __future__ import annotations

from collections.abc import Iterator

from .. import __version__
from ..geometry import PLANES
from ..predict.learned import LearnedModel
from .onnx_file import Agreement

__all__ = ["documentation", "left_out"]


def documentation(model: LearnedModel, agreement: Agreement) -> str:
    """Text of the README of a package."""
    return "\n".join(_lines(model, agreement)) + "\n"


def left_out(model: LearnedModel) -> list[str]:
    """What ``napari-fewshot predict`` does with the model, and its export does not."""
    config = model.config.propagation
    found = []
    if model.flow is not None:
        found.append("in an image that was painted, labels carried from the painted slices")
    if model.volumes:
        found.append("labels of whole volumes brought to others by registration")
    if config.smoothing:
        found.append("smoothing of probabilities across slices (within slices it is there)")
    if config.cleanup.changes_labels:
        found.append("removal of small connected parts")
    if model.point_labels:
        found.append("places of landmarks (their probabilities are there)")
    if config.refinement.method is not None:
        found.append(f"refinement ({config.refinement.method})")
    found.append("tiles: slices above 512 pixels a side are encoded whole")
    return found


def _lines(model: LearnedModel, agreement: Agreement) -> Iterator[str]:
    card, intensity = model.card, model.config.intensity
    yield "# A model of napari-fewshot"
    yield ""
    if card.note:
        yield from (card.note, "")
    yield "There is a channel of probabilities for each label, in this order. The label of a pixel"
    yield "is that of the highest one."
    yield ""
    yield "- 0 background"
    yield from (f"- {v} {model.names.get(v, '')}".rstrip() for v in model.label_values)
    yield ""
    if card.images:
        yield f"Trained on {card.slices} slice(s) of {card.images} image(s)."
    if card.score is not None:
        yield f"Held-out Dice {card.score.mean:.3f}, which tends to be optimistic."
    yield ""
    yield "## What goes in"
    yield ""
    planes = {axis: name for name, axis in PLANES.items()}
    axis = model.axes[0]
    yield f"Whole slices, at least 128 pixels a side, cut along axis {axis} ({planes[axis]} in a"
    yield "patient). Images that say how they lie in the patient are turned to superior, anterior,"
    yield "right (each growing along its axis); others are taken as they are stored."
    if intensity.mode == "window":
        yield f"Grey values {intensity.low:g} to {intensity.high:g} become 0 to 1."
    else:
        yield f"Percentiles {intensity.low:g} and {intensity.high:g} of the whole image become 0"
        yield "and 1."
    yield ""
    yield "## What is left out"
    yield ""
    yield "`napari-fewshot predict` does more with this model than this package:"
    yield ""
    yield from (f"- {words}" for words in left_out(model))
    yield ""
    yield "## Validation"
    yield ""
    yield f"On a computed image, beside napari-fewshot {__version__} without what is left out:"
    yield f"{agreement}."
    yield "Measure it on images of your own that are labelled by hand: `napari-fewshot evaluate`"
    yield "gives the Dice of each label."
