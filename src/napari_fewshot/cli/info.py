"""Show what a model file holds: its card, labels, backbone, experts and settings.

Nothing else is read, neither the backbone nor a graphics card is needed. What lies in the file of
the images that it was trained on is said too: look at it before you share one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import SegmenterConfig, hand_made_of
from ..types import plain_name
from . import shared

if TYPE_CHECKING:
    from ..predict.learned import LearnedModel

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]

NAME = "info"
HELP = "show what a model file holds"
EXAMPLE = "napari-fewshot info model.fewshot"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model file of the train command")
    parser.add_argument("--json", action="store_true", help="print JSON, with all settings")


def run(options: argparse.Namespace) -> int:
    """Print what is in the file."""
    from ..segmenter.model_file import read_model
    from ..types import plain_name

    path = shared.existing_file("MODEL", options.model)
    model, size_mb = read_model(path), path.stat().st_size / 1e6
    if options.json:
        print(json.dumps(_as_dict(model, size_mb), indent=2))
    else:
        print(f"{path}: {size_mb:.1f} MB")
        for line in _lines(model):  # with words of whoever made the file
            print(plain_name(line))
    return 0


def _as_dict(model: LearnedModel, size_mb: float) -> dict[str, Any]:
    return {
        "size_mb": round(size_mb, 3),
        "labels": {value: model.names.get(value, str(value)) for value in model.label_values},
        "landmarks": sorted(model.point_labels),
        "channels": model.channels,
        "card": model.card.model_dump(mode="json"),
        "backbone": model.config.backbone,
        "weights_hash": model.weights_hash,
        "weights_name": model.weights_name,
        "adapter": model.config.adapter,
        "experts": _experts(model),
        "expert_weights": asdict(model.weights),
        "holds": _held(model),
        "settings": model.config.model_dump(mode="json"),
    }


def _lines(model: LearnedModel) -> Iterator[str]:
    card = model.card
    for name in ("author", "licence", "note"):
        if text := getattr(card, name):
            yield f"{name:<12}{text}"
    if card.made_with:
        yield f"{'made with':<12}napari-fewshot {card.made_with}"
        yield f"{'trained on':<12}{card.images} image(s), {card.slices} known slice(s)"
    yield from _label_lines(model)
    backbone, adapter = (plain_name(n) for n in (model.config.backbone, model.config.adapter))
    parts = filter(None, (model.weights_name, model.weights_hash[:12]))
    weights = ", ".join(plain_name(part) for part in parts)
    yield f"{'backbone':<12}{backbone}, weights {weights}"
    yield f"{'adapter':<12}{adapter}"
    yield f"{'experts':<12}{', '.join(_experts(model)) or 'none beside the adapter'}"
    yield f"{'holds':<12}{_held_in_words(model)}"
    changed = _changed_settings(model)
    shown = (f"{key}={json.dumps(value)}" for key, value in changed.items())
    yield f"{'settings':<12}{' '.join(shown) or 'the defaults'}"


def _label_lines(model: LearnedModel) -> Iterator[str]:
    """A table of the labels, with slices and held-out Dice where the card has them."""
    card, score = model.card, model.card.score
    names = {v: plain_name(model.names.get(v, str(v))) for v in model.label_values}
    width = max(20, *(len(f"{value} {name}") for value, name in names.items()))
    yield f"{'labels':<{width + 2}}{'slices':>8}{'held-out Dice':>16}"
    for value, name in names.items():
        slices = str(card.painted.get(value, "-"))
        dice = None if score is None else score.dice.get(value)
        kind = "  landmark" if value in model.point_labels else ""
        shown = "-" if dice is None else f"{dice:.3f}"
        yield f"  {f'{value} {name}':<{width}}{slices:>8}{shown:>16}{kind}"
    if score is not None:
        how = f"({score.folds} folds by {score.grouped_by}; tends to be optimistic)"
        yield f"  {'mean':<{width}}{'':>8}{score.mean:>16.3f}  {how}"


def _experts(model: LearnedModel) -> list[str]:
    """Experts that the model has beside its adapter, with their weights."""
    weights = model.weights
    found = {
        f"hand-made features {weights.hand_made:.2f} (in other images {weights.elsewhere:.2f})": (
            hand_made_of(model.beside) is not None
        ),
        f"colour images in grey {weights.grey:.2f}": "grey" in model.beside,
        f"carried labels {weights.carried:.2f}": model.flow is not None,
        f"registered volumes {weights.registered:.2f}": len(model.volumes) > 0,
        f"polished network {weights.polished:.2f}": model.polished is not None,
    }
    return [words for words, is_there in found.items() if is_there]


def _held(model: LearnedModel) -> dict[str, int]:
    """What of the training images lies in the file."""
    from ..adapters.memory import remembered_count
    from ..templates.known import UNKNOWN

    slices = [one for image in model.painted for one in image.slices]
    painted = sum(bool((one.labels != UNKNOWN).any()) for one in slices)
    shown = 0 if model.landmarks is None else len(model.landmarks.images)
    return {
        "painted_slices": painted,
        "coarse_volumes": len(model.volumes),
        "landmark_images": shown,
        "remembered_pixels": remembered_count(model.adapter),
    }


def _held_in_words(model: LearnedModel) -> str:
    held = _held(model)
    volumes, shown = held["coarse_volumes"], held["landmark_images"]
    pixels = held["remembered_pixels"]
    grey = [f"{volumes} of the images, coarsely"] if volumes else []
    if shown:
        grey.append(f"{shown} of the images, coarsely and round their landmarks")
    held_grey = ", ".join(grey) or "no image"
    features = f", features of {pixels} pixels to learn on from" if pixels else ""
    return f"the paint of {held['painted_slices']} slice(s), {held_grey}{features}"


def _changed_settings(model: LearnedModel) -> dict[str, Any]:
    """Settings that are not the defaults of today, by their dotted names."""
    own, usual = (_flat(one.model_dump(mode="json")) for one in (model.config, SegmenterConfig()))
    beside = ("backbone", "adapter")
    return {k: v for k, v in own.items() if v != usual.get(k) and k not in beside}


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[above + key] = value
    return found
