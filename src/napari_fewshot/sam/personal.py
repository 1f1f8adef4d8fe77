"""PerSAM and PerSAM-F: a template with a mask makes SAM find the same structure elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..config import DEFAULT_SAM, IntensityConfig, PerSamConfig
from ..errors import InputError
from ..slices.stack import SliceStack
from ..templates import Template
from ..templates.known import KnownSlice, known_slices, labels_of
from ..templates.template import check_names
from ..types import Array, FeatureMap, Progress, Volume, no_progress
from .cells import TargetEmbeddings, guided_attention, similarity
from .model import SamModel, VolumeSlices, load_sam
from .predictor import Masks, Prompts, SamPredictor
from .prompts import box_of
from .regions import LabelCanvas, SamLabels, labels_of_volume
from .tuning import mask_loss

if TYPE_CHECKING:
    import torch

__all__ = ["PersonalSam", "Target", "find_targets", "fit_mask_weights", "learn_targets", "persam"]

_AT_ONCE = 16
_REPORT_EVERY = 50


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
    score: its probability there times the IoU that SAM predicts.

    Parameters
    ----------
    templates : Template or sequence of Template
        With labels. Published with one slice; of several the mean target is taken.
    volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
        The image to segment.
    config : PerSamConfig or dict, optional
        Which of its parts are used; PerSAM-F.
    axis : int or str, optional
        Axis of the slices. None: that of the first template.
    sam, intensity, slices, progress
        As for :func:`~napari_fewshot.sam_automatic`; intensity is that of templates and volume,
        progress is told after every slice.

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
class Target:
    """What is looked for."""

    label: int
    embedding: torch.Tensor
    """Mean embedding of the label, (C,): over each slice that has it, then over slices."""
    weights: Array | None = None
    """How SAM's three masks are mixed, (3,), with PerSAM-F."""


@dataclass(frozen=True, eq=False)
class PersonalSam:
    """A SAM that was shown a template, for any number of volumes; see :func:`persam`.

    Examples
    --------
    >>> learned = PersonalSam.learn(Template(image, labels, slices=[12]), sam="sam-vit-b")
    >>> found = [learned.segment(volume) for volume in volumes]
    """

    targets: Sequence[Target]
    """What is looked for, by label."""
    sam: SamModel
    config: PerSamConfig
    intensity: IntensityConfig
    templates: Sequence[Template]
    """What it was shown: says the axis of slices and the names of labels."""

    @classmethod
    def learn(
        cls,
        templates: Template | Sequence[Template],
        *,
        sam: str | SamModel = DEFAULT_SAM,
        config: PerSamConfig | dict[str, Any] | None = None,
        intensity: IntensityConfig | dict[str, Any] | None = None,
        point_radius: float | None = None,
        progress: Progress = no_progress,
    ) -> PersonalSam:
        """Take the targets from templates; arguments and errors as for :func:`persam`.

        With ``point_radius``, in pixels, points of templates are shown as disks; else they are
        not used.
        """
        settings = PerSamConfig.of(config, "config")
        scale = IntensityConfig.of(intensity, "intensity")
        given = [templates] if isinstance(templates, Template) else list(templates)
        check_names(given)
        model = load_sam(sam)
        model.require_several()
        targets = learn_targets(given, model, settings, scale, point_radius, progress)
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
            work = VolumeSlices(SliceStack(image, first.working_axis(), self.intensity), slices)
        else:
            work = VolumeSlices.of(image, axis, self.intensity, slices)
        names = {value: name for one in self.templates for value, name in one.names.items()}
        return labels_of_volume(work, self.canvases(work, progress), names)

    def canvases(
        self, work: VolumeSlices, progress: Progress = no_progress
    ) -> Iterator[tuple[int, LabelCanvas]]:
        """Slices of the stack of ``work``, in its order, with what is found on them."""
        embeddings, shape = self.sam.embeddings(work.stack), work.stack.shape
        limit = -np.inf if self.config.min_similarity is None else self.config.min_similarity
        for done, number in enumerate(work.numbers, start=1):
            canvas = LabelCanvas(shape)
            for start in range(0, len(self.targets), _AT_ONCE):
                part = list(self.targets[start : start + _AT_ONCE])
                masks, highest = find_targets(
                    part, embeddings[number], shape, self.sam.predictor, self.config
                )
                for k, target in enumerate(part):
                    if highest[k] >= limit:
                        canvas.put(target.label, masks.logits[k, 0], float(masks.iou[k, 0]))
            yield number, canvas
            progress(done, len(work.numbers), "persam")


def learn_targets(
    templates: Sequence[Template],
    sam: SamModel,
    config: PerSamConfig,
    intensity: IntensityConfig | None = None,
    point_radius: float | None = None,
    progress: Progress = no_progress,
) -> list[Target]:
    """Learn the targets of all labels of templates, and with PerSAM-F how their masks are mixed."""
    if config.fine_tune and any(one.kind == "scribble" for one in templates):
        raise InputError("fine_tune", "be off for scribbles: it needs whole masks", True)
    scale = intensity or IntensityConfig()
    painted = list(_painted_slices(templates, sam, scale, point_radius, progress))
    slices, maps = [known for known, _ in painted], [features for _, features in painted]
    values = sorted(labels_of(slices))
    embeddings = TargetEmbeddings.of(slices, maps, values)
    targets = []
    for number, value in enumerate(values):
        target = Target(value, _tensor(embeddings.of_label(number).mean(axis=0)))
        if config.fine_tune:
            logits, masks = _masks_on_templates(target, painted, sam.predictor)
            weights, _ = fit_mask_weights(logits, masks, config, progress)
            target = replace(target, weights=weights)
        targets.append(target)
    return targets


def _painted_slices(
    templates: Sequence[Template],
    sam: SamModel,
    intensity: IntensityConfig,
    point_radius: float | None,
    progress: Progress,
) -> Iterator[tuple[KnownSlice, FeatureMap]]:
    """Encode the painted slices of templates; without a radius points of templates are not used."""
    if not templates:
        raise InputError("templates", "be at least one", "none")
    work = []
    for template in templates:
        if point_radius is None and template.labels is None:
            raise InputError("templates", "have labels", "points alone")
        stack = SliceStack(template.volume, template.working_axis(), intensity)
        shown = template if point_radius is not None else replace(template, points=())
        slices = known_slices(shown, stack, point_radius or 1.0)
        painted = [known for known in slices if (known.labels > 0).any()]
        if not painted:
            raise InputError("templates", "have at least one painted slice", "no paint")
        work += [(stack, known) for known in painted]
    for done, (stack, known) in enumerate(work, start=1):
        yield known, sam.embeddings(stack).map(known.index)
        progress(done, len(work), "templates")


def _masks_on_templates(
    target: Target, painted: Sequence[tuple[KnownSlice, FeatureMap]], predictor: SamPredictor
) -> tuple[list[Array], list[Array]]:
    """SAM's three masks, (3, H, W), on each slice that has the target, and what they should be."""
    logits, masks = [], []
    for known, features in painted:
        region = known.labels == target.label
        if region.any():
            embedding = _tensor(features.data)
            _, maps = similar_pixels(target.embedding[None], embedding, features.shape, predictor)
            points, kinds = location_prior(maps, negative=False)
            found = predictor.predict(embedding, features.shape, Prompts(points, kinds))
            logits.append(found.logits[0])
            masks.append(region)
    return logits, masks


def _tensor(array: Array) -> torch.Tensor:
    import torch

    return torch.from_numpy(array.astype(np.float32))


def similar_pixels(
    targets: torch.Tensor, embedding: torch.Tensor, shape: tuple[int, int], predictor: SamPredictor
) -> tuple[torch.Tensor, Array]:
    """Cosine similarity to targets, (L, C): of cells, (L, g, g), and of pixels, (L, H, W)."""
    cells = similarity(targets.to(predictor.device), embedding.to(predictor.device))
    return cells, predictor.to_slice(cells[:, None], shape)[:, 0].cpu().numpy()


def location_prior(maps: Array, negative: bool) -> tuple[Array, Array]:
    """Most, and with ``negative`` also least, similar pixel of each map, (L, H, W).

    Returns points, (L, N, 2), as (row, column), and 1 for the most, 0 for the least, (L, N).
    """
    flat = maps.reshape(len(maps), -1)
    places = [flat.argmax(axis=1), flat.argmin(axis=1)][: 1 + negative]
    points = np.stack([np.stack(np.divmod(p, maps.shape[2]), axis=1) for p in places], axis=1)
    return points.astype(np.float64), np.tile([1, 0][: 1 + negative], (len(maps), 1))


def find_targets(
    targets: Sequence[Target],
    embedding: torch.Tensor,
    shape: tuple[int, int],
    predictor: SamPredictor,
    config: PerSamConfig,
) -> tuple[Masks, Array]:
    """Segment few targets, which are decoded together, on one slice of (H, W).

    Returns one mask for each, and the similarity of the pixel that is most like it, (L,).
    """
    import torch

    predict = partial(predictor.predict, embedding, shape)
    with torch.inference_mode():
        wanted = torch.stack([one.embedding for one in targets]).to(predictor.device)
        cells, maps = similar_pixels(wanted, embedding, shape, predictor)
        points, kinds = location_prior(maps, config.negative and not config.fine_tune)
        if config.fine_tune:
            masks = _mixed(predict(Prompts(points, kinds)), targets)
        else:
            attention = guided_attention(cells, shape, predictor.extent(shape))
            guided = predictor.guided(
                attention if config.attention else None, wanted if config.semantic else None
            )
            masks = guided.predict(embedding, shape, Prompts(points, kinds), several=False)
        for step in range(config.refinements):
            filled = np.flatnonzero((masks.logits > 0).any(axis=(1, 2, 3)))
            if not len(filled):  # masks that are empty stay so
                break
            boxes = None
            if step or config.fine_tune:
                boxes = np.stack([box_of(masks.logits[k, 0] > 0) for k in filled])
            prompts = Prompts(points[filled], kinds[filled], boxes, masks.low[filled, 0])
            _take_best(masks, filled, predict(prompts))
    return masks, maps.max(axis=(1, 2))


def _mixed(masks: Masks, targets: Sequence[Target]) -> Masks:
    """One mask for each target by the weights that it learned."""
    weights = np.stack([np.full(3, 1 / 3) if t.weights is None else t.weights for t in targets])
    return Masks(
        np.einsum("lm,lmhw->lhw", weights, masks.logits).astype(np.float32)[:, None],
        (weights * masks.iou).sum(axis=1, keepdims=True),
        np.einsum("lm,lmhw->lhw", weights, masks.low).astype(np.float32)[:, None],
    )


def _take_best(masks: Masks, filled: Array, found: Masks) -> None:
    """Replace masks by the one of several that SAM predicts to be best."""
    rows, best = np.arange(len(filled)), found.iou.argmax(axis=1)
    masks.logits[filled, 0] = found.logits[rows, best]
    masks.iou[filled, 0] = found.iou[rows, best]
    masks.low[filled, 0] = found.low[rows, best]


def fit_mask_weights(
    logits: Sequence[Array],
    masks: Sequence[Array],
    config: PerSamConfig,
    progress: Progress = no_progress,
) -> tuple[Array, list[float]]:
    """Learn how much of each of SAM's three masks to take (PerSAM-F).

    SAM stays as it is, so its masks, (3, H, W), on each template slice are computed once and only
    their mixture is learned, by Adam from a third each. ``masks``, bool, (H, W), are what they
    should be. Returns the weights, float32, (3,): (1 - w1 - w2, w1, w2), and the loss of each step.
    """
    import torch

    pairs = [
        (torch.from_numpy(np.ascontiguousarray(one)).flatten(1), torch.from_numpy(mask).flatten())
        for one, mask in zip(logits, masks, strict=True)
    ]
    free = torch.full((2,), 1 / 3, requires_grad=True)
    optimiser = torch.optim.Adam([free], lr=config.learning_rate)
    losses = []
    for step in range(1, config.steps + 1):
        weights = torch.cat([1 - free.sum(dim=0, keepdim=True), free])
        loss = torch.stack([mask_loss(weights @ one, mask.float()) for one, mask in pairs]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if step % _REPORT_EVERY == 0 or step == config.steps:
            progress(step, config.steps, "mask weights")
    learned = free.detach()
    return torch.cat([1 - learned.sum(dim=0, keepdim=True), learned]).numpy(), losses
