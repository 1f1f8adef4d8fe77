"""Masks of everything in a slice, from a grid of points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..config import AutomaticConfig
from ..slices.stack import SliceSource
from ..types import Array, Progress, no_progress
from .crops import Crop, crop_boxes, cut, near_crop_edge, point_grid
from .loaded import SamModel
from .predictor import Prompts, SamPredictor
from .proposals import Proposal, clean_mask, distinct, pack_mask

if TYPE_CHECKING:
    import torch

__all__ = ["propose_masks"]

_AT_ONCE = 2**25
"""Pixels of logits that are held at once: 128 MB."""


def propose_masks(
    sam: SamModel,
    source: SliceSource,
    index: int,
    config: AutomaticConfig,
    progress: Progress = no_progress,
) -> list[Proposal]:
    """Masks of one slice, which may overlap (Kirillov et al. 2023, arXiv:2304.02643).

    A grid of points is prompted; of the three masks of each point those stay that SAM predicts to
    be good, that are stable, of a size within the limits, and no duplicates of better ones.
    Memory holds the bits of the masks within their boxes, and the logits of one batch.

    Parameters
    ----------
    sam : SamModel
        A SAM that was trained with points.
    source : SliceSource
        Slices.
    index : int
        Slice of the source.
    config : AutomaticConfig
        Points, filters, sizes, crops.
    progress : callable
        Called after every batch of points.

    Returns
    -------
    list of Proposal
    """
    shape = source.shape
    crops = list(crop_boxes(shape, config.crop_layers, config.crop_overlap))
    sides = [max(1, config.points_per_side // config.crop_points**layer) for layer, _ in crops]
    batches = [-(-side * side // config.batch) for side in sides]
    found: list[Proposal] = []
    done = 0
    for (_, crop), side in zip(crops, sides, strict=True):
        part = cut(source, crop)
        embedding = sam.embeddings(part)[index]
        points = point_grid(side, part.shape)
        here: list[Proposal] = []
        for start in range(0, len(points), config.batch):
            prompted = points[start : start + config.batch]
            here += _masks_at(sam.predictor, embedding, prompted, crop, shape, config)
            done += 1
            progress(done, sum(batches), "automatic")
        found += distinct(here, [one.iou for one in here], config.overlap)
    if len(crops) > 1:  # masks of smaller crops are finer
        found = distinct(found, [1 / _size(one.crop) for one in found], config.overlap)
    return _cleaned(found, shape, config) if config.clean_area else found


def _masks_at(
    predictor: SamPredictor,
    embedding: torch.Tensor,
    points: Array,
    crop: Crop,
    shape: tuple[int, int],
    config: AutomaticConfig,
) -> Iterator[Proposal]:
    """Masks of a batch of points that pass the filters."""
    prompts = Prompts(points=points[:, None], point_labels=np.ones((len(points), 1)))
    size = (crop[2] - crop[0] + 1, crop[3] - crop[1] + 1)
    low, iou = predictor.decode(embedding, size, prompts)
    low, iou = low.flatten(0, 1), iou.flatten()
    good = iou > config.iou if config.iou else iou > -np.inf
    low, ious = low[good], iou[good].tolist()
    least, most = config.areas(shape[0] * shape[1])
    at_once = max(1, _AT_ONCE // (size[0] * size[1]))
    for start in range(0, len(ious), at_once):
        logits = predictor.to_slice(low[start : start + at_once, None], size)[:, 0]
        offset = config.stability_offset
        inner, outer = ((logits > cut_off).sum((1, 2)) for cut_off in (offset, -offset))
        areas = (logits > 0).sum((1, 2))
        stability = inner / outer.clamp(min=1)
        kept = (stability >= config.stability) & (areas > 0) & (areas <= most)
        if not config.clean_area:
            kept &= areas >= least
        for k in kept.nonzero().flatten().tolist():
            mask = (logits[k] > 0).cpu().numpy()
            one = pack_mask(mask, (crop[0], crop[1]), ious[start + k], float(stability[k]), crop)
            if not near_crop_edge(one.box, crop, shape):
                yield one


def _cleaned(
    proposals: list[Proposal], shape: tuple[int, int], config: AutomaticConfig
) -> list[Proposal]:
    """Clean the masks; duplicates that come of it give way to masks that were clean."""
    least, most = config.areas(shape[0] * shape[1])
    clean, unchanged = [], []
    for one in proposals:
        before = one.mask()
        mask = clean_mask(before, config.clean_area)
        if not least <= mask.sum() <= most:
            continue
        same = bool((mask == before).all())
        origin = (one.box[0], one.box[1])
        clean.append(one if same else pack_mask(mask, origin, one.iou, one.stability, one.crop))
        unchanged.append(float(same))
    return distinct(clean, unchanged, config.overlap)


def _size(crop: Crop) -> int:
    return (crop[2] - crop[0] + 1) * (crop[3] - crop[1] + 1)
