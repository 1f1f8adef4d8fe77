"""SAM's prompt encoder and mask decoder: prompts and the embedding of a slice in, masks out."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import ExtractionConfig
from ..device import choose_device
from ..errors import InputError
from ..features.layout import plan_layout
from ..types import Array
from .cells import cells_to_pixels
from .checkpoint import SamCheckpoint

if TYPE_CHECKING:
    import torch

__all__ = ["Masks", "Prompts", "SamPredictor"]

_AT_ONCE = 64
"""Prompts that are decoded together; the official code takes as many."""
_MASK_LOGIT = 8.0
"""Of a mask prompt, inside."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts for B masks of one slice.

    Coordinates are pixels of the slice, (row, column), where a pixel has whole coordinates.
    """

    points: Array | None = None
    """(B, N, 2)."""
    point_labels: Array | None = None
    """(B, N): 1 in the structure, 0 outside, -1 for no point (where some have fewer)."""
    boxes: Array | None = None
    """(B, 4): first row, first column, last row, last column."""
    masks: Array | None = None
    """(B, 4g, 4g), float32: logits on the grid of low-resolution masks, see :attr:`Masks.low`."""

    def __len__(self) -> int:
        """Return B."""
        given = (part for part in (self.points, self.boxes, self.masks) if part is not None)
        return len(next(given, ()))

    def alike(self, at_once: int) -> Iterator[Array]:
        """Give numbers of prompts with equally many points, at most ``at_once`` together.

        A point that only fills a row up is a token of its own to SAM, so that masks would depend
        on what else is prompted.
        """
        counts = np.zeros(len(self), int)
        if self.point_labels is not None:
            counts = (np.asarray(self.point_labels) != -1).sum(axis=1)
        for count in np.unique(counts):
            rows = np.flatnonzero(counts == count)
            yield from (rows[k : k + at_once] for k in range(0, len(rows), at_once))

    def part(self, kept: slice | Array) -> Prompts:
        """Return some of the prompts; points that none of them has are left out."""
        points, kinds = self.points, self.point_labels
        if points is not None and kinds is not None:
            points, kinds = np.asarray(points)[kept], np.asarray(kinds)[kept]
            used = (kinds != -1).any(axis=0)
            points, kinds = points[:, used], kinds[:, used]
        boxes, masks = (
            None if given is None else given[kept] for given in (self.boxes, self.masks)
        )
        return Prompts(points, kinds, boxes, masks)


@dataclass(frozen=True, eq=False)
class Masks:
    """What SAM makes of B prompts: M masks each, float32."""

    logits: Array
    """(B, M, H, W), above 0 inside."""
    iou: Array
    """(B, M): predicted IoU with the structure."""
    low: Array
    """(B, M, 4g, 4g): logits before they are brought to the slice; mask prompts of a next pass."""


class SamPredictor:
    """The part of SAM after its image encoder (Kirillov et al. 2023, arXiv:2304.02643).

    An embedding has ``channels`` C and ``grid`` g cells along each side. ``one_mask`` says whether
    only the first mask was trained (MedSAM); it is then the only one returned.
    """

    def __init__(self, checkpoint: SamCheckpoint, device: str = "cpu") -> None:
        from .networks import build_heads

        self.device = choose_device(device)
        self.spec = checkpoint.sam.spec
        self.grid = checkpoint.architecture.grid
        self.channels = checkpoint.architecture.channels
        self.one_mask = checkpoint.sam.one_mask
        self._side = checkpoint.architecture.side
        self._prompts, self.decoder = (head.to(self.device) for head in build_heads(checkpoint))
        self._position: torch.Tensor = self._prompts.get_dense_pe()

    def predict(
        self,
        embedding: torch.Tensor,
        shape: tuple[int, int],
        prompts: Prompts,
        *,
        several: bool = True,
    ) -> Masks:
        """Decode masks of a slice of (H, W), for prompts of one kind or several together.

        The embedding, (C, g, g), float32, has its padding and is on any device. ``several``: three
        masks for each prompt (an ambiguous prompt), or one.

        Raises
        ------
        InputError
            If there is no prompt, or the embedding is of another SAM.
        """
        if tuple(embedding.shape) != (self.channels, self.grid, self.grid):
            raise InputError(
                "embedding",
                f"have shape ({self.channels}, {self.grid}, {self.grid}) for {self.spec.name}",
                f"shape {tuple(embedding.shape)}",
            )
        if not len(prompts):
            raise InputError("prompts", "have points, boxes or masks", "none")
        embedding = embedding.to(self.device)
        found, rows = [], list(prompts.alike(_AT_ONCE))
        for own in rows:
            low, iou = self.decode(embedding, shape, prompts.part(own), several=several)
            logits = self.to_slice(low, shape)
            found.append([tensor.cpu().numpy() for tensor in (logits, iou, low)])
        order = np.argsort(np.concatenate(rows))
        return Masks(*(np.concatenate(parts)[order] for parts in zip(*found, strict=True)))

    def decode(
        self,
        embedding: torch.Tensor,
        shape: tuple[int, int],
        prompts: Prompts,
        *,
        several: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode masks of few prompts, as :meth:`predict`, and leave them small.

        Returns logits, shape (B, M, 4g, 4g), which :meth:`to_slice` brings to the slice, and
        predicted IoU, shape (B, M).
        """
        import torch

        with torch.inference_mode():
            sparse, dense = self._encode(shape, prompts)
            low, iou = self.decoder(
                image_embeddings=embedding.to(self.device)[None],
                image_pe=self._position,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=several and not self.one_mask,
            )
        return low, iou

    def learn_by(
        self, embedding: torch.Tensor, shape: tuple[int, int], prompts: Prompts
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode all masks of few prompts, with gradients to the weights of the decoder.

        Returns logits, shape (B, M, 4g, 4g), and predicted IoU, shape (B, M): the single mask, and
        unless it alone was trained those for an ambiguous prompt.
        """
        sparse, dense = self._encode(shape, prompts)
        low, iou = self.decoder.predict_masks(
            image_embeddings=embedding.to(self.device)[None],
            image_pe=self._position,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
        )
        kept = slice(1 if self.one_mask else None)
        return low[:, kept], iou[:, kept]

    def trusted(self, iou: Array) -> Array:
        """Predicted IoU as a score; 1 where the head that predicts it was not trained (MedSAM)."""
        return np.ones_like(iou) if self.one_mask else iou

    def guided(
        self, attention: torch.Tensor | None = None, target: torch.Tensor | None = None
    ) -> SamPredictor:
        """Return this predictor with guidance in its decoder; weights are shared.

        See :func:`~.networks.guide_decoder`. There must be as many prompts as rows of guidance,
        none more than are decoded together.
        """
        from .networks import guide_decoder

        other = copy(self)
        other.decoder = guide_decoder(self.decoder, attention, target)
        return other

    def _encode(
        self, shape: tuple[int, int], prompts: Prompts
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed prompts: sparse, shape (B, T, C), and dense, shape (B, C, g, g)."""
        import torch

        def tensor(values: Any) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=self.device)

        scale = np.array(self._resized(shape)) / np.array(shape)  # input pixels for each pixel
        points = boxes = masks = None
        if prompts.points is not None and prompts.point_labels is not None:
            at = tensor(np.asarray(prompts.points) * scale).flip(-1)  # SAM counts (x, y)
            points = (at, tensor(prompts.point_labels))
        if prompts.boxes is not None:
            corners = np.asarray(prompts.boxes, dtype=np.float64).reshape(-1, 2, 2) * scale
            boxes = tensor(corners).flip(-1).reshape(-1, 4)
        if prompts.masks is not None:
            masks = tensor(prompts.masks)[:, None]
        sparse, dense = self._prompts(points=points, boxes=boxes, masks=masks)
        return sparse, dense

    def to_slice(self, low: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Bring low-resolution logits, shape (B, M, h, w), to the pixels of a slice."""
        return cells_to_pixels(low, shape, self.extent(shape))

    def to_low(self, mask: Array) -> Array:
        """Make a mask prompt, shape (4g, 4g), of a boolean mask, shape (H, W), of a slice.

        Logits are ±8 and lie between at the edge; padding is outside.
        """
        import torch
        from torch.nn.functional import interpolate

        side = 4 * self.grid
        covered = [max(1, round(side * n / self._side)) for n in self._resized(mask.shape)]
        inside = torch.from_numpy(np.asarray(mask, dtype=np.float32))[None, None]
        small = interpolate(inside, covered, mode="bilinear", antialias=True)[0, 0]
        low = np.full((side, side), -_MASK_LOGIT, dtype=np.float32)
        low[: covered[0], : covered[1]] = (2 * small.numpy() - 1) * _MASK_LOGIT
        return low

    def extent(self, shape: tuple[int, int]) -> tuple[float, float]:
        """Height and width, in pixels of a slice, that its embedding covers with the padding."""
        height, width = (
            n * self._side / size for n, size in zip(shape, self._resized(shape), strict=True)
        )
        return height, width

    def _resized(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return plan_layout((shape[0], shape[1]), self.spec, ExtractionConfig()).resized
