"""The mask decoder of a SAM, tuned on painted slices with points and boxes as prompts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import DEFAULT_SAM, IntensityConfig, RegionConfig, SegmenterConfig, TuneConfig
from ..errors import InputError
from ..templates import Template
from ..templates.known import KnownSlice
from ..templates.training_set import TrainingSet
from ..types import Array, Progress, no_progress
from .cells import coverage
from .checkpoint import write_sam
from .decoder_training import CELLS_AT_ONCE, choose_held_out
from .model import SamModel, load_sam
from .predictor import SamPredictor
from .prompts import box_prompts, point_prompts, training_prompts
from .regions import draw

if TYPE_CHECKING:
    import torch

__all__ = ["TunedSam", "mask_loss", "prompt_loss", "tune_sam"]

_FOCAL_ALPHA, _FOCAL_GAMMA = 0.25, 2.0
_MAX_PARTS = 16


@dataclass(frozen=True, eq=False)
class TunedSam:
    """A SAM whose mask decoder was tuned; made by :func:`tune_sam`."""

    sam: SamModel
    """It, for :func:`~napari_fewshot.sam_boxes` and all that takes a SAM."""
    slices: int
    """Painted slices that were learned from."""
    held_out: int
    """Painted slices that were kept out, and that ``before`` and ``after`` are of."""
    before: Mapping[str, float]
    """Mean Dice of the labels with ``"boxes"`` and ``"points"`` of the truth, before tuning."""
    after: Mapping[str, float]
    """The same after it. Both are empty where nothing was held out."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint in the format of the official files.

        Image encoder and prompt encoder are as they were. ``.pth`` and ``.pt`` are read by
        ``segment_anything`` too, ``.safetensors`` is not. :class:`InputError` for other names.
        """
        write_sam(self.sam.checkpoint, Path(path))


def tune_sam(
    templates: Template | Sequence[Template],
    *,
    sam: str | SamModel = DEFAULT_SAM,
    config: TuneConfig | dict[str, Any] | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    progress: Progress = no_progress,
) -> TunedSam:
    """Tune the mask decoder of a SAM or MedSAM on painted slices.

    In each step the connected parts of the labels of one slice are prompted for, by boxes that are
    a little off or by random points. Of the masks for an ambiguous prompt only the one of least
    loss is learned from, beside the single mask, with focal and Dice loss, and the squared error of
    the predicted IoU (Kirillov et al. 2023, arXiv:2304.02643). Image encoder and prompt encoder
    stay as they are, and each slice is encoded once.

    Parameters
    ----------
    templates : Template or sequence of Template
        Dense, with labels. What is painted on a slice is taken to be painted whole.
    sam : str or SamModel
        A name, or what :func:`~napari_fewshot.load_sam` gave; it stays as it is.
    config : TuneConfig or dict, optional
        Prompts, steps, losses, seed.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1.
    progress : callable
        Called after every slice that is encoded, and every step; it may raise ``Cancelled``.

    Raises
    ------
    InputError
        If templates are scribbles or have no paint, or a setting does not exist.
    WeightsError
        If the weights cannot be had.

    Examples
    --------
    >>> tuned = tune_sam(Template(image, painted), sam="sam-vit-b")
    >>> tuned.save("knee.pth")
    >>> found = sam_boxes(other, boxes, sam=tuned.sam)
    """
    settings = TuneConfig.of(config, "config")
    scale = IntensityConfig.of(intensity, "intensity")
    given = [templates] if isinstance(templates, Template) else list(templates)
    if any(one.kind == "scribble" or one.labels is None for one in given):
        raise InputError("templates", "be label maps with whole regions", "scribbles or points")
    model = load_sam(sam)
    samples = list(_samples(given, model, settings, scale, progress))
    slices = [sample.known for sample in samples]
    numbers = choose_held_out(slices) if settings.hold_out else []
    held = [samples[k] for k in numbers]
    learned = [sample for k, sample in enumerate(samples) if k not in numbers]
    weights = model.predictor.decoder.state_dict()
    copied = {name: tensor.cpu().clone() for name, tensor in weights.items()}
    trained = SamPredictor(model.checkpoint.with_decoder(copied), model.device)
    before = _dice(model.predictor, held, settings)
    _train(trained, learned, settings, progress)
    after = _dice(trained, held, settings)
    result = {name: tensor.cpu() for name, tensor in trained.decoder.state_dict().items()}
    tuned = replace(model, checkpoint=model.checkpoint.with_decoder(result))
    return TunedSam(tuned, len(learned), len(held), before, after)


@dataclass(frozen=True, eq=False)
class _Sample:
    """A painted slice, its embedding, and its parts by number."""

    known: KnownSlice
    embedding: torch.Tensor  # (C, g, g), padding included
    parts: Array  # connected parts of labels from 1, (H, W)
    numbers: Array  # those that are large enough, not empty

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.parts.shape[0], self.parts.shape[1]


def _samples(
    templates: Sequence[Template],
    model: SamModel,
    config: TuneConfig,
    intensity: IntensityConfig,
    progress: Progress,
) -> Iterator[_Sample]:
    """Encode the painted slices."""
    from skimage.measure import label

    plain = [replace(one, points=()) for one in templates]
    learned = TrainingSet.of(plain, SegmenterConfig(intensity=intensity))
    stacks = [model.embeddings(stack) for stack in learned.stacks]
    found = 0
    for done, known in enumerate(learned.examples):
        parts = label(np.maximum(known.labels, 0), connectivity=2)
        numbers = 1 + np.flatnonzero(np.bincount(parts.ravel())[1:] >= config.min_area)
        if len(numbers):
            stack, index = learned.sources[done]
            yield _Sample(known, stacks[stack][index], parts, numbers)
            found += 1
        progress(done + 1, len(learned.examples), "templates")
    if not found:
        raise InputError("min_area", "be at most the size of some painted part", config.min_area)


def _train(
    predictor: SamPredictor, samples: Sequence[_Sample], config: TuneConfig, progress: Progress
) -> None:
    """Train the decoder of a predictor, which goes over the slices in ever another order."""
    import torch

    rng = np.random.default_rng(config.seed)
    decoder = predictor.decoder.requires_grad_(True)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=config.learning_rate)
    order: list[int] = []
    for step in range(1, config.steps + 1):
        order = order or rng.permutation(len(samples)).tolist()
        optimiser.zero_grad()
        _learn_from(predictor, samples[order.pop()], config, rng)
        optimiser.step()
        progress(step, config.steps, "tuning")
    decoder.requires_grad_(False)


def _learn_from(
    predictor: SamPredictor, sample: _Sample, config: TuneConfig, rng: np.random.Generator
) -> None:
    """Add the gradients of the mean loss of the parts of a slice, or of some of many."""
    import torch

    few = rng.permutation(sample.numbers)[:_MAX_PARTS]
    regions = [sample.parts == number for number in few]
    prompts = training_prompts(regions, config, rng)
    cells, extent = (4 * predictor.grid, 4 * predictor.grid), predictor.extent(sample.shape)
    seen = coverage(np.ones(sample.shape, bool), cells, extent)
    size = max(1, CELLS_AT_ONCE // predictor.grid**2)
    for start in range(0, len(few), size):
        part = slice(start, start + size)
        inside = np.stack([coverage(one, cells, extent) for one in regions[part]])
        fractions = inside / np.maximum(seen, 1e-6)
        target, known = (torch.from_numpy(a).to(predictor.device) for a in (fractions, seen))
        low, iou = predictor.learn_by(sample.embedding, sample.shape, prompts.part(part))
        loss = prompt_loss(low, iou, target, known, config.focal_loss).sum() / len(few)
        loss.backward()


def prompt_loss(
    logits: torch.Tensor,
    predicted: torch.Tensor,
    fractions: torch.Tensor,
    known: torch.Tensor,
    focal: float,
) -> torch.Tensor:
    """Loss of B prompts, shape (B,), from logits, (B, M, h, w), and predicted IoU, (B, M).

    That of the first mask, that of the best of the others where there are some, and the mean
    squared error of the predicted IoU. ``fractions``, (B, h, w), say how much of each cell the
    region has, ``known``, (h, w), how much each cell counts.
    """
    weight = known.flatten()
    losses = mask_loss(logits.flatten(2), fractions.flatten(1)[:, None], weight, focal)
    found, wanted = logits.detach().flatten(2) > 0, fractions.flatten(1)[:, None] > 0.5
    both, either = (((m * weight).sum(-1)) for m in (found & wanted, found | wanted))
    error = (predicted - both / either.clamp(min=1e-6)).square().mean(1)
    others = losses[:, 1:].amin(1) if losses.shape[1] > 1 else 0.0
    return losses[:, 0] + others + error


def mask_loss(
    logits: torch.Tensor,
    mask: torch.Tensor,
    weight: torch.Tensor | None = None,
    focal: float = 1.0,
) -> torch.Tensor:
    """Dice loss and focal loss (Lin et al. 2017, arXiv:1708.02002) over the last axis.

    ``mask`` is 0..1, ``weight`` says how much each place counts, all equally by default; ``focal``
    is the weight of the focal loss.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    mask = mask.expand_as(logits)
    weight = torch.ones_like(logits) if weight is None else weight
    found = logits.sigmoid()
    both, sizes = (found * mask * weight).sum(-1), ((found + mask) * weight).sum(-1)
    wrong = (found - mask).abs()
    balance = 1 - _FOCAL_ALPHA + (2 * _FOCAL_ALPHA - 1) * mask
    each = balance * wrong**_FOCAL_GAMMA * cross_entropy(logits, mask, reduction="none")
    loss = 1 - (2 * both + 1) / (sizes + 1) + focal * (each * weight).sum(-1) / weight.sum(-1)
    return loss


def _dice(
    predictor: SamPredictor, samples: Sequence[_Sample], config: TuneConfig
) -> dict[str, float]:
    """Mean Dice over slices and labels, with the prompts of the truth that are trained."""
    wanted = ("boxes", "points") if config.prompts == "both" else (config.prompts,)
    found: dict[str, float] = {}
    for kind in wanted if samples else ():
        make = box_prompts if kind == "boxes" else point_prompts
        values = []
        for sample in samples:
            truth = sample.known.labels
            prompts = make(truth, RegionConfig(min_area=config.min_area))
            canvas = draw(predictor, sample.embedding, sample.shape, prompts, kind == "points")
            for value in np.unique(truth[truth > 0]):
                one, other = canvas.labels == value, truth == value
                values.append(2 * (one & other).sum() / (one.sum() + other.sum()))
        found[kind] = float(np.mean(values))
    return found
