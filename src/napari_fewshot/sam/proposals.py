"""Masks of everything in a slice, from grids of points: without names, and they may overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import AutomaticConfig
from ..device import avoid_llvm_clash
from ..slices.stack import SliceSource
from ..types import Array, Progress, no_progress
from .model import ChangedSlices, SamModel
from .predictor import Prompts, SamPredictor

if TYPE_CHECKING:
    import torch

__all__ = ["Box", "Proposal", "clean_mask", "crops_of", "cut", "distinct", "propose_masks"]

Box = tuple[int, int, int, int]
"""First row, first column, last row, last column."""

_AT_ONCE = 2**25
"""Pixels of logits that are held at once: 128 MB."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask, of which only the bits inside of its box are kept."""

    box: Box  # of the mask in the slice
    bits: Array  # the mask within its box, packed
    area: int  # in pixels
    iou: float  # predicted by SAM; of MedSAM its stability
    stability: float  # IoU between the masks of a higher and a lower cut-off
    crop: Box  # of the part of the slice that was looked at

    @classmethod
    def of(
        cls, mask: Array, origin: tuple[int, int], iou: float, stability: float, crop: Box
    ) -> Proposal:
        """Pack a mask, (h, w), not empty, that begins at ``origin`` (row, column) of the slice."""
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
        inner = mask[top : bottom + 1, left : right + 1]
        box = (top + origin[0], left + origin[1], bottom + origin[0], right + origin[1])
        return cls(box, np.packbits(inner), int(inner.sum()), iou, stability, crop)

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns of the box."""
        top, left, bottom, right = self.box
        return slice(top, bottom + 1), slice(left, right + 1)

    def mask(self) -> Array:
        """Unpack the mask within its box: bool, of the shape of the box."""
        shape = _shape(self.box)
        return np.unpackbits(self.bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)


def propose_masks(
    sam: SamModel,
    source: SliceSource,
    index: int,
    config: AutomaticConfig,
    progress: Progress = no_progress,
) -> list[Proposal]:
    """Masks of slice ``index`` of a source (Kirillov et al. 2023, arXiv:2304.02643).

    A grid of points is prompted; of the three masks of each point those stay that SAM predicts to
    be good, that are stable, of a size within the limits, and no duplicates of better ones.
    Memory holds the bits of the masks within their boxes, and the logits of one batch. Progress is
    told after every batch of points. Of MedSAM, which predicts no IoU, the one mask is taken that
    it was trained for, and the stability stands in for the IoU.
    """
    shape = source.shape
    crops = crops_of(shape, config.crop_layers, config.crop_overlap)
    sides = [max(1, config.points_per_side // config.crop_points**layer) for layer, _ in crops]
    batches = [-(-side * side // config.batch) for side in sides]
    found: list[Proposal] = []
    done = 0
    for (_, crop), side in zip(crops, sides, strict=True):
        part = cut(source, crop)
        embedding = sam.embeddings(part)[index]
        points = _amg().build_point_grid(side)[:, ::-1] * part.shape  # (row, column)
        here: list[Proposal] = []
        for start in range(0, len(points), config.batch):
            prompted = points[start : start + config.batch]
            here += _masks_at(sam.predictor, embedding, prompted, crop, shape, config)
            done += 1
            progress(done, sum(batches), "automatic")
        found += distinct(here, [one.iou for one in here], config.overlap)
    if len(crops) > 1:  # masks of smaller crops are finer
        found = distinct(found, [1 / np.prod(_shape(one.crop)) for one in found], config.overlap)
    return _cleaned(found, shape, config) if config.clean_area else found


def _masks_at(
    predictor: SamPredictor,
    embedding: torch.Tensor,
    points: Array,
    crop: Box,
    shape: tuple[int, int],
    config: AutomaticConfig,
) -> Iterator[Proposal]:
    """Masks of a batch of points that pass the filters."""
    amg, size = _amg(), _shape(crop)
    prompts = Prompts(points=points[:, None], point_labels=np.ones((len(points), 1)))
    low, iou = predictor.decode(embedding, size, prompts)
    low, iou = low.flatten(0, 1), iou.flatten()
    trusts = not predictor.one_mask
    good = iou > (config.iou if config.iou and trusts else -np.inf)
    low, ious = low[good], iou[good].tolist()
    min_area, max_area = config.areas(shape[0] * shape[1])
    at_once = max(1, _AT_ONCE // (size[0] * size[1]))
    for start in range(0, len(ious), at_once):
        logits = predictor.to_slice(low[start : start + at_once, None], size)[:, 0]
        masks = logits > 0
        areas = masks.sum((1, 2))
        stability = amg.calculate_stability_score(logits, 0.0, config.stability_offset)
        boxes = amg.batched_mask_to_box(masks)[:, [1, 0, 3, 2]]
        ends = [crop[0], crop[1], crop[2] + 1, crop[3] + 1]
        # Near an edge of its crop that is none of the slice a mask is likely cut off.
        cut_off = amg.is_box_near_crop_edge(boxes, ends, [0, 0, *shape])
        kept = (stability >= config.stability) & (areas > 0) & (areas <= max_area) & ~cut_off
        if not config.clean_area:
            kept &= areas >= min_area
        for k in kept.nonzero().flatten().tolist():
            mask, stable = masks[k].cpu().numpy(), float(stability[k])
            yield Proposal.of(mask, crop[:2], ious[start + k] if trusts else stable, stable, crop)


def _cleaned(
    proposals: list[Proposal], shape: tuple[int, int], config: AutomaticConfig
) -> list[Proposal]:
    """Clean the masks; duplicates that come of it give way to masks that were clean."""
    min_area, max_area = config.areas(shape[0] * shape[1])
    clean, unchanged = [], []
    for one in proposals:
        before = one.mask()
        mask = clean_mask(before, config.clean_area)
        if not min_area <= mask.sum() <= max_area:
            continue
        same = bool((mask == before).all())
        clean.append(
            one if same else Proposal.of(mask, one.box[:2], one.iou, one.stability, one.crop)
        )
        unchanged.append(float(same))
    return distinct(clean, unchanged, config.overlap)


def clean_mask(mask: Array, min_area: int) -> Array:
    """Fill small enclosed holes of a mask, bool, (h, w), and remove its small islands.

    Holes and islands of fewer than ``min_area`` pixels are small; pixels that touch at a corner
    belong together. Where all islands are small the largest stays. The official code does it with
    OpenCV, which is not needed for anything else here.
    """
    from scipy.ndimage import label

    corners = np.ones((3, 3), int)
    outside, _ = label(np.pad(~mask, 1, constant_values=True), corners)
    small = np.bincount(outside.ravel()) < min_area
    small[[0, outside[0, 0]]] = False
    filled = mask | small[outside[1:-1, 1:-1]]
    islands, count = label(filled, corners)
    sizes = np.bincount(islands.ravel(), minlength=count + 1)
    kept = sizes >= min_area
    kept[0] = False
    if count and not kept.any():
        kept[1 + int(sizes[1:].argmax())] = True
    return np.asarray(kept[islands])


def distinct(
    proposals: Sequence[Proposal], scores: Sequence[float], overlap: float
) -> list[Proposal]:
    """Keep of masks whose boxes overlap by more than an IoU the one of the highest score.

    The highest score comes first.
    """
    if not proposals:
        return []
    import torch

    avoid_llvm_clash()
    from torchvision.ops import nms

    boxes = torch.tensor([p.box for p in proposals], dtype=torch.float32)
    kept = nms(boxes, torch.tensor(scores, dtype=torch.float32), overlap)
    return [proposals[k] for k in kept.tolist()]


def crops_of(shape: tuple[int, int], layers: int, overlap: float) -> list[tuple[int, Box]]:
    """Layer and box of the whole slice and of the crops that lie in it; layer n has 4ⁿ."""
    boxes, numbers = _amg().generate_crop_boxes(shape, layers, overlap)
    return sorted(
        (layer, (top, left, bottom - 1, right - 1))
        for layer, (left, top, right, bottom) in zip(numbers, boxes, strict=True)
        if bottom > top and right > left  # tiny slices have crops of nothing
    )


def cut(source: SliceSource, crop: Box) -> SliceSource:
    """Return the same part of all slices of a source; the source itself for the whole."""
    if crop == (0, 0, source.shape[0] - 1, source.shape[1] - 1):
        return source
    top, left, bottom, right = crop
    part = (slice(None), slice(top, bottom + 1), slice(left, right + 1))
    return ChangedSlices(source, lambda plane: plane[part], f"crop {crop}", _shape(crop))


def _shape(box: Box) -> tuple[int, int]:
    return box[2] - box[0] + 1, box[3] - box[1] + 1


def _amg() -> Any:
    """Import the tools of the official automatic mode."""
    avoid_llvm_clash()  # it imports torchvision
    from segment_anything.utils import amg

    return amg
