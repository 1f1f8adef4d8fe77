"""PerSAM and PerSAM-F: a template with a mask makes SAM find the same structure elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..config import DEFAULT_SAM, IntensityConfig, PerSamConfig
from ..errors import InputError
from ..templates import Template
from ..templates.template import check_names
from ..types import Progress, Volume, no_progress
from .canvas import LabelCanvas
from .loaded import SamLabels, SamModel, load_sam, open_volume
from .mask_weights import fit_mask_weights
from .personal import Target, find_targets, location_prior, similar_pixels
from .predictor import Prompts
from .targets import LabelledSlice, labelled_slices, target_of

if TYPE_CHECKING:
    import torch

__all__ = ["PersonalSam", "learn_targets", "persam"]

_AT_ONCE = 16


def persam(
    templates: Template | Sequence[Template],
    volume: Volume | npt.ArrayLike,
    *,
    sam: str | SamModel = DEFAULT_SAM,
    config: PerSamConfig | dict[str, Any] | None = None,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    slices: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> SamLabels:
    """Segment what a template shows (Zhang et al. 2023, arXiv:2305.03048).

    For several volumes :meth:`PersonalSam.learn` learns once.

    The mean embedding of a label on the template is its target. On each slice the most and the
    least similar pixel become points, the similarity guides the decoder's attention, the target is
    added to its tokens, and the mask is refined twice. PerSAM-F (``fine_tune``) prompts with the
    most similar pixel, and mixes SAM's three masks by weights that it learns on the template.
    Labels are segmented one by one; a pixel that several cover goes to the one of the highest
    score, see :class:`~napari_fewshot.sam.canvas.LabelCanvas`.

    Parameters
    ----------
    templates : Template or sequence of Template
        With labels. Published with one slice; of several the mean target is taken.
    volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image to segment.
    sam : str or SamModel
        A name, or what :func:`~napari_fewshot.load_sam` gave.
    config : PerSamConfig or dict, optional
        Which of its parts are used; PerSAM-F.
    axis : int or str, optional
        Axis of the slices, as for :func:`~napari_fewshot.sam_automatic`. None: that of the first
        template.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1, in templates and volume.
    slices : sequence of int, optional
        Slices along the axis in file order; None: all.
    progress : callable
        Called after every slice; it may raise ``Cancelled``.

    Returns
    -------
    SamLabels

    Raises
    ------
    InputError
        If templates have no paint, or a setting does not exist or does not suit the SAM.
    WeightsError
        If the weights cannot be had.

    Examples
    --------
    >>> found = persam(Template(image, labels, slices=[12]), image, sam="sam-vit-b")
    """
    learned = PersonalSam.learn(
        templates, sam=sam, config=config, intensity=intensity, progress=progress
    )
    return learned.segment(volume, axis=axis, slices=slices, progress=progress)


@dataclass(frozen=True, eq=False)
class PersonalSam:
    """A SAM that was shown a template, for any number of volumes; see :func:`persam`.

    Parameters
    ----------
    targets : sequence of Target
        What is looked for, by label.
    sam : SamModel
    config : PerSamConfig
    intensity : IntensityConfig
    templates : sequence of Template
        What it was shown: says the axis of slices and the names of labels.

    Examples
    --------
    >>> learned = PersonalSam.learn(Template(image, labels, slices=[12]), sam="sam-vit-b")
    >>> found = [learned.segment(volume) for volume in volumes]
    """

    targets: Sequence[Target]
    sam: SamModel
    config: PerSamConfig
    intensity: IntensityConfig
    templates: Sequence[Template]

    @classmethod
    def learn(
        cls,
        templates: Template | Sequence[Template],
        *,
        sam: str | SamModel = DEFAULT_SAM,
        config: PerSamConfig | dict[str, Any] | None = None,
        intensity: IntensityConfig | dict[str, Any] | None = None,
        progress: Progress = no_progress,
    ) -> PersonalSam:
        """Take the targets from templates; arguments and errors as for :func:`persam`."""
        settings = PerSamConfig.of(config, "config")
        scale = IntensityConfig.of(intensity, "intensity")
        given = [templates] if isinstance(templates, Template) else list(templates)
        check_names(given)
        model = load_sam(sam)
        model.require_points()
        targets = learn_targets(given, model, settings, scale, progress)
        return cls(targets, model, settings, scale, given)

    def segment(
        self,
        volume: Volume | npt.ArrayLike,
        *,
        axis: int | str | None = None,
        slices: Sequence[int] | None = None,
        progress: Progress = no_progress,
    ) -> SamLabels:
        """Segment a volume; arguments and errors as for :func:`persam`."""
        image = Volume.of(volume)
        first = self.templates[0]
        if axis is None and image.ndim == first.volume.ndim == 3:
            axis = _axis_for(first, image)
        work = open_volume(image, axis, self.intensity, slices)
        labels, confidence = work.empty(np.int32), work.empty(np.float32, 1)
        embeddings = self.sam.embeddings(work.stack)
        for done, number in enumerate(work.numbers, start=1):
            canvas = self._slice(embeddings[number], work.stack.shape)
            labels[number], confidence[number] = canvas.labels, canvas.confidence
            progress(done, len(work.numbers), "persam")
        names = {value: name for one in self.templates for value, name in one.names.items()}
        return SamLabels(work.in_file_order(labels), work.in_file_order(confidence), names)

    def _slice(self, embedding: torch.Tensor, shape: tuple[int, int]) -> LabelCanvas:
        canvas = LabelCanvas(shape)
        for start in range(0, len(self.targets), _AT_ONCE):
            part = list(self.targets[start : start + _AT_ONCE])
            found = find_targets(part, embedding, shape, self.sam.predictor, self.config)
            for target, one in zip(part, found, strict=True):
                if one is not None:
                    canvas.put(target.label, one.logits, one.iou)
        return canvas


def learn_targets(
    templates: Sequence[Template],
    sam: SamModel,
    config: PerSamConfig,
    intensity: IntensityConfig | None = None,
    progress: Progress = no_progress,
) -> list[Target]:
    """Learn the targets of all labels of templates, and how their masks are mixed.

    Parameters
    ----------
    templates : sequence of Template
        With labels.
    sam : SamModel
        What the targets are for.
    config : PerSamConfig
        Whether masks are mixed, and how that is learned.
    intensity : IntensityConfig, optional
        How grey values become 0..1.
    progress : callable
        Called after every slice and, with ``fine_tune``, every 50 steps.

    Raises
    ------
    InputError
        If a template has no painted slice, or is of scribbles and masks are to be mixed.
    """
    if config.fine_tune and any(one.kind == "scribble" for one in templates):
        raise InputError("fine_tune", "be off for scribbles: it needs whole masks", True)
    slices = labelled_slices(templates, sam, intensity or IntensityConfig(), progress)
    values = sorted({int(v) for one in slices for v in np.unique(one.labels) if v > 0})
    targets = [Target(value, target_of(slices, value, sam.predictor)) for value in values]
    if not config.fine_tune:
        return targets
    return [_mixed(target, slices, sam, config, progress) for target in targets]


def _mixed(
    target: Target,
    slices: Sequence[LabelledSlice],
    sam: SamModel,
    config: PerSamConfig,
    progress: Progress,
) -> Target:
    """Learn the weights of a target's masks on the slices that have it."""
    logits, masks = [], []
    predictor = sam.predictor
    for one in slices:
        region = one.labels == target.label
        if region.any():
            shape = (region.shape[0], region.shape[1])
            wanted = target.embedding[None].to(predictor.device)
            _, maps = similar_pixels(wanted, one.embedding, shape, predictor)
            points, kinds = location_prior(maps, negative=False)
            found = predictor.predict(one.embedding, shape, Prompts(points, kinds))
            logits.append(found.logits[0])
            masks.append(region)
    weights, _ = fit_mask_weights(logits, masks, config, progress)
    return Target(target.label, target.embedding, weights)


def _axis_for(template: Template, image: Volume) -> int | str:
    """Axis of the template's slices, as the image calls it."""
    from ..geometry import PLANES, Frame

    canonical = template.working_axis()
    frame = Frame.of(image.affine, image.ndim)
    if frame.oriented and template.frame.oriented:
        return next(name for name, number in PLANES.items() if number == canonical)
    return frame.file_axis(canonical)
