"""SAM and MedSAM prompted with boxes or points, label by label, regrouped to one label map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt

from ..config import DEFAULT_SAM, IntensityConfig, RegionConfig
from ..errors import InputError
from ..types import Array, Progress, Volume, no_progress
from .model import SamModel, VolumeSlices, load_sam
from .predictor import SamPredictor
from .prompts import LabelPrompts, PromptBox, box_prompts, boxes_by_slice, point_prompts

if TYPE_CHECKING:
    import torch

__all__ = [
    "LabelCanvas",
    "SamLabels",
    "draw",
    "in_boxes",
    "labels_of_volume",
    "sam_boxes",
    "sam_points",
]

_AT_ONCE = 16
_MIN_SCORE = 1e-6


@dataclass(frozen=True, eq=False)
class SamLabels:
    """What prompts to SAM gave for a volume."""

    labels: Array
    """int32, shape of the volume in file order; 0 is background."""
    confidence: Array
    """float32, of that shape: probability of the value that ``labels`` has there; 1 on slices
    without a prompt."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of label values, where they are known."""


class LabelCanvas:
    """Masks on one slice, (H, W), regrouped so that each pixel has one label.

    A pixel that several masks cover goes to the one of the highest score: its probability there
    times the score of the mask. The order of masks does not matter. ``labels`` is the result.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.int32) -> None:
        self.labels: Array = np.zeros(shape, dtype)
        self._score = np.zeros(shape, np.float32)
        self._own = np.zeros(shape, np.float32)
        self._highest = np.zeros(shape, np.float32)

    def put(self, label: int, logits: Array, score: float = 1.0) -> None:
        """Add a mask of logits, (H, W), above 0 inside; ``score`` is cut to 0..1."""
        from scipy.special import expit

        probability = expit(np.asarray(logits, dtype=np.float32))
        bounded = max(_MIN_SCORE, min(float(score), 1.0))
        self._add(label, logits > 0, probability, probability * bounded)

    def keep(self, label: int, part: Array, confidence: Array) -> None:
        """Add a part of a region as it is, however small its confidence."""
        probability = np.where(part, np.maximum(confidence, _MIN_SCORE), 0)
        self._add(label, part, probability, probability)

    def _add(self, label: int, inside: Array, probability: Array, score: Array) -> None:
        won = inside & (score > self._score)
        self.labels[won] = label
        self._score[won] = score[won]
        self._own[won] = probability[won]
        np.maximum(self._highest, probability, out=self._highest)

    @property
    def confidence(self) -> Array:
        """Probability of the value that ``labels`` has there, float32, shape (H, W)."""
        confidence: Array = np.where(self.labels != 0, self._own, 1 - self._highest)
        return confidence


def labels_of_volume(
    work: VolumeSlices, canvases: Iterable[tuple[int, LabelCanvas]], names: Mapping[int, str]
) -> SamLabels:
    """Put slices of the stack together on the grid of the volume."""
    labels, confidence = work.empty(np.int32), work.empty(np.float32, 1)
    for number, canvas in canvases:
        labels[number], confidence[number] = canvas.labels, canvas.confidence
    return SamLabels(work.in_file_order(labels), work.in_file_order(confidence), names)


def sam_boxes(
    volume: Volume | npt.ArrayLike,
    regions: Volume | npt.ArrayLike | Sequence[PromptBox],
    *,
    sam: str | SamModel = DEFAULT_SAM,
    config: RegionConfig | dict[str, Any] | None = None,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    slices: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> SamLabels:
    """Segment what is in boxes (Ma et al. 2024, MedSAM; Kirillov et al. 2023).

    Slices without a box are not looked at. A pixel that the masks of several boxes cover goes to
    the one of the highest score: its probability there times the IoU that SAM predicts.

    Parameters
    ----------
    volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image.
    regions : Volume or int array of the shape of the image, or sequence of PromptBox
        A label map to draw boxes round: the truth (an oracle), or where labels were localised.
        Or boxes.
    sam : str or SamModel
        A name (``"medsam"`` was trained for this), or what :func:`~napari_fewshot.load_sam` gave.
    config : RegionConfig or dict, optional
        A box for each component or for each label; margin.
    axis, intensity, slices, progress
        As for :func:`~napari_fewshot.sam_automatic`; progress is told after every slice.

    Raises
    ------
    InputError
        If shapes differ, a box does not lie in the image, or a setting does not exist.
    WeightsError
        If the weights cannot be had.
    """
    settings = RegionConfig.of(config, "config")
    work = VolumeSlices.of(Volume.of(volume), axis, intensity, slices)
    if _are_boxes(regions):
        prompts = boxes_by_slice(regions, work.stack, settings)
        canvases = _canvases(work, prompts, sam, settings.several or False, progress)
        return labels_of_volume(work, canvases, {})
    return _from_regions(work, regions, box_prompts, sam, settings, progress)


def in_boxes(
    work: VolumeSlices,
    boxes: Sequence[PromptBox],
    model: SamModel,
    settings: RegionConfig,
    progress: Progress = no_progress,
) -> Iterator[tuple[int, Array]]:
    """Segment what is in boxes slice by slice, as :func:`sam_boxes` does.

    Yields slices of the stack of ``work``, in its order, and their labels, int32, shape (H, W);
    those without a box are passed over.
    """
    prompts = boxes_by_slice(boxes, work.stack, settings)
    for number, canvas in _canvases(work, prompts, model, settings.several or False, progress):
        yield number, canvas.labels


def sam_points(
    volume: Volume | npt.ArrayLike,
    regions: Volume | npt.ArrayLike,
    *,
    sam: str | SamModel = DEFAULT_SAM,
    config: RegionConfig | dict[str, Any] | None = None,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    slices: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> SamLabels:
    """Segment what lies at points: one for each component, where it is deepest.

    With the truth as ``regions`` this is how SAM is commonly compared with others: a click on
    each structure by somebody who knows where it is.

    Parameters
    ----------
    volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image.
    regions : Volume or int array of the shape of the image
        A label map: the truth, or where labels were localised.
    sam, config, axis, intensity, slices, progress
        As for :func:`sam_boxes`; MedSAM was trained with boxes alone, unless it was tuned.

    Raises
    ------
    InputError, WeightsError
        As for :func:`sam_boxes`.
    """
    settings = RegionConfig.of(config, "config")
    work = VolumeSlices.of(Volume.of(volume), axis, intensity, slices)
    return _from_regions(work, regions, point_prompts, sam, settings, progress)


def _from_regions(
    work: VolumeSlices,
    regions: Any,
    make: Callable[[Array, RegionConfig], LabelPrompts],
    sam: str | SamModel,
    settings: RegionConfig,
    progress: Progress,
) -> SamLabels:
    given = regions if isinstance(regions, Volume) else Volume.of(regions, channels=False)
    if given.data.dtype.kind not in "iub":
        raise InputError("regions", "be integers", f"dtype {given.data.dtype}")
    image = work.stack.volume
    if given.shape != image.shape:
        raise InputError("regions", f"have the shape {image.shape} of the image", given.shape)
    planes = work.stack.from_file(given.data)
    prompts = {n: make(planes[n], settings) for n in work.numbers if planes[n].any()}
    several = make is point_prompts if settings.several is None else settings.several
    canvases = _canvases(work, prompts, sam, several, progress)
    return labels_of_volume(work, canvases, dict(given.names))


def _canvases(
    work: VolumeSlices,
    prompts: dict[int, LabelPrompts],
    sam: str | SamModel,
    several: bool,
    progress: Progress,
) -> Iterator[tuple[int, LabelCanvas]]:
    """Slices of the stack that have prompts, with what these give."""
    wanted = [number for number in work.numbers if number in prompts and prompts[number][0]]
    if not wanted:
        return
    model = load_sam(sam)
    embeddings, shape = model.embeddings(work.stack), work.stack.shape
    for done, number in enumerate(wanted, start=1):
        yield number, draw(model.predictor, embeddings[number], shape, prompts[number], several)
        progress(done, len(wanted), "prompting")


def draw(
    predictor: SamPredictor,
    embedding: torch.Tensor,
    shape: tuple[int, int],
    prompts: LabelPrompts,
    several: bool,
) -> LabelCanvas:
    """Prompt for all labels of a slice of (H, W), and regroup their masks.

    ``several``: of three masks the one of highest predicted IoU, else SAM's single one.
    """
    labels, every = prompts
    canvas = LabelCanvas(shape)
    for start in range(0, len(labels), _AT_ONCE):
        part = every.part(slice(start, start + _AT_ONCE))
        masks = predictor.predict(embedding, shape, part, several=several)
        iou = predictor.trusted(masks.iou)
        for row, best in enumerate(iou.argmax(axis=1)):
            canvas.put(labels[start + row], masks.logits[row, best], float(iou[row, best]))
    return canvas


def _are_boxes(regions: Any) -> TypeGuard[Sequence[PromptBox]]:
    listed = isinstance(regions, Sequence)
    return listed and (not regions or all(isinstance(one, PromptBox) for one in regions))
