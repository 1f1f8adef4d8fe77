"""PerSAM on one slice: where the target is, and its mask, refined twice."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..config import PerSamConfig
from ..types import Array
from .predictor import Masks, Prompts, SamPredictor
from .regions import box_of
from .targets import similarity

if TYPE_CHECKING:
    import torch

__all__ = ["Found", "Target", "attention_of", "find_targets", "location_prior", "similar_pixels"]


@dataclass(frozen=True, eq=False)
class Target:
    """What is looked for.

    Parameters
    ----------
    label : int
    embedding : tensor, shape (C,)
    weights : float array, shape (3,), optional
        How SAM's three masks are mixed (PerSAM-F).
    """

    label: int
    embedding: torch.Tensor
    weights: Array | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """A mask of a target.

    Parameters
    ----------
    logits : float32 array, shape (H, W)
        Above 0 inside.
    iou : float
        Predicted.
    """

    logits: Array
    iou: float


def similar_pixels(
    targets: torch.Tensor, embedding: torch.Tensor, shape: tuple[int, int], predictor: SamPredictor
) -> tuple[torch.Tensor, Array]:
    """Similarity to targets, shape (L, C): of cells, (L, g, g), and of pixels, (L, H, W)."""
    cells = similarity(targets, embedding.to(targets.device))
    return cells, predictor.to_slice(cells[:, None], shape)[:, 0].cpu().numpy()


def location_prior(maps: Array, negative: bool) -> tuple[Array, Array]:
    """Most and least similar pixel of each map.

    Parameters
    ----------
    maps : float array, shape (L, H, W)
        Similarity.
    negative : bool
        Whether the least similar pixel is wanted too.

    Returns
    -------
    points : array, shape (L, N, 2)
        (row, column).
    kinds : array, shape (L, N)
        1 for the most, 0 for the least similar.
    """
    flat = maps.reshape(len(maps), -1)
    places = [flat.argmax(axis=1), flat.argmin(axis=1)][: 1 + negative]
    points = np.stack([np.stack(np.divmod(p, maps.shape[2]), axis=1) for p in places], axis=1)
    return points.astype(np.float64), np.tile([1, 0][: 1 + negative], (len(maps), 1))


def attention_of(
    cells: torch.Tensor, shape: tuple[int, int], predictor: SamPredictor
) -> torch.Tensor:
    """Guidance of attention, shape (L, g * g): standardised similarity through a sigmoid.

    Mean and spread are those of the cells that see the slice; cells of padding count as the least
    similar of them.
    """
    height, width = (
        ceil(predictor.grid * n / covered - 1e-6)
        for n, covered in zip(shape, predictor.extent(shape), strict=True)
    )
    seen = cells[:, :height, :width].flatten(1)
    mean = seen.mean(1)[:, None, None]
    spread = seen.std(1, correction=0).clamp(min=1e-6)[:, None, None]
    guidance = seen.amin(1)[:, None, None].expand_as(cells).clone()
    guidance[:, :height, :width] = cells[:, :height, :width]
    return ((guidance - mean) / spread).sigmoid().flatten(1)


def find_targets(
    targets: list[Target],
    embedding: torch.Tensor,
    shape: tuple[int, int],
    predictor: SamPredictor,
    config: PerSamConfig,
) -> list[Found | None]:
    """Segment targets on one slice (Zhang et al. 2023, arXiv:2305.03048).

    Parameters
    ----------
    targets : list of Target
        Few: they are decoded together.
    embedding : tensor, shape (C, g, g)
        Of the slice, padding included.
    shape : tuple of int
        (H, W) of the slice.
    predictor : SamPredictor
        Of the same SAM.
    config : PerSamConfig
        Which parts of the method are used.

    Returns
    -------
    list of Found or None
        None for targets that are not similar enough to anything in the slice.
    """
    import torch

    with torch.inference_mode():
        wanted = torch.stack([one.embedding for one in targets]).to(predictor.device)
        cells, maps = similar_pixels(wanted, embedding, shape, predictor)
        points, kinds = location_prior(maps, config.negative and not config.fine_tune)
        state = _first(targets, cells, embedding, shape, predictor, config, (points, kinds))
        for step in range(config.refinements):
            _refine(state, embedding, shape, predictor, (points, kinds), step or config.fine_tune)
    least = -np.inf if config.min_similarity is None else config.min_similarity
    return [
        Found(state.logits[k], float(state.iou[k])) if maps[k].max() >= least else None
        for k in range(len(targets))
    ]


@dataclass
class _State:
    """The best mask so far of each target: (L, H, W), (L,), (L, 4g, 4g)."""

    logits: Array
    iou: Array
    low: Array


def _first(
    targets: list[Target],
    cells: torch.Tensor,
    embedding: torch.Tensor,
    shape: tuple[int, int],
    predictor: SamPredictor,
    config: PerSamConfig,
    prior: tuple[Array, Array],
) -> _State:
    import torch

    from .guided import Guidance

    prompts = Prompts(points=prior[0], point_labels=prior[1])
    if config.fine_tune:
        masks = predictor.predict(embedding, shape, prompts)
        mix = np.stack([np.ones(1) if t.weights is None else t.weights for t in targets])
        return _State(
            np.einsum("lm,lmhw->lhw", mix, masks.logits).astype(np.float32),
            (mix * masks.iou).sum(axis=1),
            np.einsum("lm,lmhw->lhw", mix, masks.low).astype(np.float32),
        )
    wanted = torch.stack([one.embedding for one in targets]).to(predictor.device)
    guidance = Guidance(
        attention_of(cells, shape, predictor) if config.attention else None,
        wanted if config.semantic else None,
    )
    masks = predictor.guided(guidance).predict(embedding, shape, prompts, several=False)
    return _State(masks.logits[:, 0], masks.iou[:, 0], masks.low[:, 0])


def _refine(
    state: _State,
    embedding: torch.Tensor,
    shape: tuple[int, int],
    predictor: SamPredictor,
    prior: tuple[Array, Array],
    boxed: int,
) -> None:
    """Prompt again with the masks, and with their boxes; masks that are empty stay so."""
    filled = np.flatnonzero((state.logits > 0).any(axis=(1, 2)))
    if not len(filled):
        return
    boxes = np.stack([box_of(state.logits[k] > 0) for k in filled]) if boxed else None
    prompts = Prompts(prior[0][filled], prior[1][filled], boxes, state.low[filled])
    masks: Masks = predictor.predict(embedding, shape, prompts)
    rows, best = np.arange(len(filled)), masks.iou.argmax(axis=1)
    state.logits[filled] = masks.logits[rows, best]
    state.iou[filled] = masks.iou[rows, best]
    state.low[filled] = masks.low[rows, best]
