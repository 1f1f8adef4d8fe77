"""Masks to choose from: what a person clicked, or drew a box round, on one slice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..config import DEFAULT_SAM, IntensityConfig
from ..errors import InputError
from ..slices.stack import SliceStack
from ..types import Array, Volume
from .model import SamModel, VolumeSlices, load_sam
from .predictor import Prompts, SamPredictor

if TYPE_CHECKING:
    import torch

__all__ = ["Clicks", "MaskChoice", "clicked_masks", "on_one_slice", "sam_prompt"]

MAX_MASKS = 3
"""Masks to choose from."""
_OFFSET = 1.0
"""Logits by which the two cut-offs of the stability lie off the edge, as in automatic mode."""
_SAME = 0.98
"""IoU from which two masks are one choice."""


@dataclass(frozen=True, eq=False)
class Clicks:
    """What a person said of one slice.

    Parameters
    ----------
    points : float array, shape (N, 2)
        (row, column) in pixels, where a pixel has whole coordinates.
    inside : bool array, shape (N,)
        Whether each lies in the structure; else it is to stay out of it.
    boxes : float array, shape (M, 4)
        First row, first column, last row, last column round the structure, or its parts.
    """

    points: Array
    inside: Array
    boxes: Array

    def __post_init__(self) -> None:
        """Refuse what nothing can be made of."""
        if not len(self.boxes) and not self.inside.any():
            raise InputError(
                "points",
                "have one inside the structure, or a box be given",
                f"{len(self.points)} outside of it" if len(self.points) else "none",
            )


@dataclass(frozen=True, eq=False)
class MaskChoice:
    """A mask that may be what was meant.

    Parameters
    ----------
    mask : bool array
        Shape of the slice, or from :func:`sam_prompt` of the image.
    iou : float
        IoU with the structure, as SAM predicts it; of MedSAM, which does not, the stability.
    stability : float
        IoU between the masks of a higher and a lower cut-off: near 1 where the edge is clear.
    """

    mask: Array
    iou: float
    stability: float


def sam_prompt(
    image: Volume | npt.ArrayLike,
    *,
    points: Sequence[Sequence[float]] | npt.ArrayLike = (),
    inside: Sequence[bool] | npt.ArrayLike | None = None,
    boxes: Sequence[Sequence[Sequence[float]]] | npt.ArrayLike = (),
    sam: str | SamModel = DEFAULT_SAM,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
) -> list[MaskChoice]:
    """Segment what is clicked on a slice, or lies in boxes: up to three masks to choose from.

    Parameters
    ----------
    image : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image.
    points : array, shape (N, D)
        (z, y, x), or (y, x) in 2D, in voxels of the file order; all on one slice.
    inside : sequence of bool, optional
        Whether each point lies in the structure; None: all do.
    boxes : array, shape (M, 2, D)
        Two opposite corners each, on that slice too. Several are parts of one structure.
    sam : str or SamModel
        A name, or what :func:`~napari_fewshot.load_sam` gave: with it, a slice is encoded once.
    axis, intensity
        As for :func:`~napari_fewshot.sam_automatic`.

    Returns
    -------
    list of MaskChoice
        The best first. After a click alone that are three, since it may mean a part or the whole;
        masks that are nearly equal count once. MedSAM, trained with boxes, makes one.

    Raises
    ------
    InputError
        If no point is inside and there is no box, they lie on several slices or beside the image.
    WeightsError
        If the weights cannot be had.

    Examples
    --------
    >>> best, *others = sam_prompt(image, points=[(40, 52), (70, 52)], inside=[True, False])
    """
    volume = Volume.of(image)
    work = VolumeSlices.of(volume, axis, intensity)
    number, clicks = on_one_slice(work.stack, points, inside, boxes)
    model = load_sam(sam)
    found = clicked_masks(model.predictor, model.embeddings(work.stack)[number], clicks, work.stack)
    choices = []
    for one in found:
        whole = np.zeros(work.stack.grid.shape, bool)  # what is not written takes no memory yet
        whole[number] = one.mask
        choices.append(MaskChoice(work.in_file_order(whole), one.iou, one.stability))
    return choices


def clicked_masks(
    predictor: SamPredictor, embedding: torch.Tensor, clicks: Clicks, stack: SliceStack
) -> list[MaskChoice]:
    """Masks of a slice of a stack, shape (H, W), the best first; see :func:`sam_prompt`.

    Points go to the box that they lie in, those outside of the structure to all.
    """
    ranked = [_ranked(predictor, embedding, stack.shape, prompts) for prompts in _prompts(clicks)]
    found = []
    for rank in range(min(map(len, ranked))):
        parts = [one[rank] for one in ranked]
        mask = np.any([part.mask for part in parts], axis=0)
        means = (float(np.mean([getattr(p, name) for p in parts])) for name in ("iou", "stability"))
        found.append(MaskChoice(mask, *means))
    return _different(found)[:MAX_MASKS]


def _prompts(clicks: Clicks) -> Iterator[Prompts]:
    """A prompt for each box with its points, and one for the points inside that are in none."""
    inside, boxes = clicks.points[clicks.inside], clicks.boxes
    outside = clicks.points[~clicks.inside]
    owner = np.full(len(inside), -1)
    for number, box in reversed(list(enumerate(boxes))):
        owner[((inside >= box[:2]) & (inside <= box[2:])).all(axis=1)] = number
    for number in range(-1, len(boxes)):
        own = inside[owner == number]
        if number < 0 and not len(own):
            continue
        points = np.concatenate([own, outside])
        kinds = np.repeat([1, 0], [len(own), len(outside)])
        box = None if number < 0 else boxes[number][None]
        if len(points):
            yield Prompts(points[None], kinds[None], boxes=box)
        else:
            yield Prompts(boxes=box)


def _ranked(
    predictor: SamPredictor, embedding: torch.Tensor, shape: tuple[int, int], prompts: Prompts
) -> list[MaskChoice]:
    """Masks of a prompt that are not empty, by predicted IoU; one that is clear begins with it."""
    count = 0 if prompts.points is None else prompts.points.shape[1]
    is_clear = prompts.boxes is not None or count > 1
    kinds = [False, True] if is_clear and not predictor.one_mask else [True]
    found = []
    for several in kinds:
        masks = predictor.predict(embedding, shape, prompts, several=several)
        order = np.argsort(-masks.iou[0], kind="stable")
        found += [_choice(predictor, masks.logits[0, k], masks.iou[0, k]) for k in order]
    # One that is empty is no choice, but of several boxes each has its part.
    return [one for one in found if one.mask.any()] or found[:1]


def _choice(predictor: SamPredictor, logits: Array, iou: float) -> MaskChoice:
    wide = np.count_nonzero(logits > -_OFFSET)
    stability = np.count_nonzero(logits > _OFFSET) / wide if wide else 0.0
    return MaskChoice(
        logits > 0,
        stability if predictor.one_mask else float(np.clip(iou, 0, 1)),
        float(stability),
    )


def _different(choices: Sequence[MaskChoice]) -> list[MaskChoice]:
    """Those that are not nearly as one before."""
    kept: list[MaskChoice] = []
    for one in choices:
        if one.mask.any() and all(_iou(one.mask, other.mask) < _SAME for other in kept):
            kept.append(one)
    return kept


def _iou(one: Array, other: Array) -> float:
    return float((one & other).sum() / max(1, int((one | other).sum())))


def on_one_slice(stack: SliceStack, points: Any, inside: Any, boxes: Any) -> tuple[int, Clicks]:
    """Number of the slice of the stack, and what was clicked there, in its pixels.

    Arguments and errors are those of :func:`sam_prompt`.
    """
    shape = stack.volume.shape
    size = len(shape)
    places = _numbers("points", points, (-1, size))
    corners = _numbers("boxes", boxes, (-1, 2, size))
    kinds = np.ones(len(places), bool) if inside is None else np.asarray(inside, bool).reshape(-1)
    if len(kinds) != len(places):
        raise InputError("inside", f"have one value for each of {len(places)} points", len(kinds))
    every = np.concatenate([places, corners.reshape(-1, size)])
    if not ((every > -1).all() and (every < np.array(shape)).all()):
        raise InputError("points and boxes", f"lie inside the image of shape {shape}", "others")
    number = 0
    if size == 3:
        every = stack.frame.points_to_canonical(every, shape)
        numbers = np.floor(every[:, stack.axis] + 0.5).astype(int)
        if len(set(numbers.tolist())) > 1:
            raise InputError(
                "points and boxes", "lie on one slice", f"{len(set(numbers.tolist()))} slices"
            )
        number = int(numbers[0]) if len(numbers) else 0
        every = np.delete(every, stack.axis, axis=1)
    drawn = every[len(places) :].reshape(-1, 2, 2)
    boxes = np.concatenate([drawn.min(axis=1), drawn.max(axis=1)], axis=1)
    return number, Clicks(every[: len(places)], kinds, boxes)


def _numbers(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    """Finite numbers in rows of this shape."""
    try:
        found = np.asarray(given, dtype=np.float64)
        found = found.reshape(shape) if found.size else np.zeros((0, *shape[1:]))
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if not np.isfinite(found).all():
        size = shape[-1]
        what = f"{size} numbers each" if len(shape) == 2 else f"two corners of {size} numbers each"
        raise InputError(name, f"have {what}", given)
    return found
