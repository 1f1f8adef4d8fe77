"""Slices to features: prepare, cut, run the network in batches, stitch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..backbones.base import Backbone
from ..config import ExtractionConfig
from ..errors import FewShotError, InputError
from ..slices.stack import SliceSource
from ..slices.tiles import stitch
from ..types import Array
from .batching import BatchEncoder, choose_precision
from .layout import Layout, plan_layout
from .prepare import input_groups, prepare

if TYPE_CHECKING:
    import torch

__all__ = ["SliceEncoder", "context_slices"]

PIXEL_GRID_BUDGET = 2**20
"""Pixels of pixel-grid slices encoded at once: their features take some 100 bytes a pixel."""


def context_slices(k: int, count: int, reach: int) -> list[int]:
    """Slice ``k`` with ``reach`` neighbours on each side; end slices stand in beyond the ends."""
    return [min(max(near, 0), count - 1) for near in range(k - reach, k + reach + 1)]


class SliceEncoder:
    """Encode slices with a backbone; knows nothing of stores.

    Parameters
    ----------
    backbone : Backbone
        Already on ``device``.
    config : ExtractionConfig
    device : str

    Attributes
    ----------
    precision : {"float32", "bfloat16", "float16"}
        In use.
    features : int or None
        Features of one input: as the spec says, or as measured with the first batch.
    seconds_per_slice : float or None
        Measured so far.
    """

    def __init__(self, backbone: Backbone, config: ExtractionConfig, device: str) -> None:
        self.backbone = backbone
        self.config = config
        tokens = backbone.spec.stride > 1
        self.precision = choose_precision(config.precision, device, tokens=tokens)
        self.features = backbone.spec.channels
        self._batches = BatchEncoder(backbone, device, self.precision, config.batch)
        self._slices = 0
        self._seconds = 0.0

    @property
    def seconds_per_slice(self) -> float | None:
        """Mean time for a slice; None before the first is finished."""
        return self._seconds / self._slices if self._slices else None

    def layout(self, source: SliceSource) -> Layout:
        """How the slices of a source are laid out."""
        return plan_layout(source.shape, self.backbone.spec, self.config)

    def groups(self, source: SliceSource) -> int:
        """Count the inputs that each slice makes, channel by channel, not counting tiles."""
        return input_groups(source.channels, self.backbone.spec.preprocessing)

    def window(self, source: SliceSource) -> int:
        """Slices to encode together: those that fill a batch, and at least one."""
        inputs = len(self.layout(source).origins) * self.groups(source)
        size = max(1, self.config.batch // inputs)
        if self.backbone.spec.stride == 1:
            size = min(size, max(1, PIXEL_GRID_BUDGET // (source.shape[0] * source.shape[1])))
        return size

    def encode(
        self, source: SliceSource, wanted: Sequence[int]
    ) -> Iterator[list[tuple[int, Array]]]:
        """Encode distinct slices.

        Yields
        ------
        list of (int, array of shape (C, h, w), float32)
            After every batch, the slices that it finished; empty in the midst of many tiles.

        Raises
        ------
        FewShotError
            If memory does not suffice for one input, or features are not finite.
        """
        layout, groups = self.layout(source), self.groups(source)
        read = _Reader(source, layout, self.backbone)
        todo = [(k, g, at) for k in wanted for g in range(groups) for at in layout.origins]
        parts: dict[int, list[Array]] = {k: [] for k in wanted}
        while todo:
            start = time.perf_counter()
            inputs = [read(*item) for item in todo[: self._batches.size]]
            output = self._batches.encode(inputs).numpy()
            for (k, _, _), data in zip(todo, output, strict=False):
                parts[k].append(data)
            del todo[: len(output)]
            self.features = output.shape[1]
            pending = {k for k, _, _ in todo}
            finished = [k for k in parts if k not in pending]
            results = [(k, self._assemble(k, parts.pop(k), layout)) for k in finished]
            self._slices += len(finished)
            self._seconds += time.perf_counter() - start
            yield results

    def _assemble(self, k: int, parts: list[Array], layout: Layout) -> Array:
        """Join the tiles of each group, then the groups."""
        height, width = layout.grid
        tiles = len(layout.origins)
        cells = [(row // layout.stride, column // layout.stride) for row, column in layout.origins]
        joined = [
            parts[at][:, :height, :width]
            if tiles == 1
            else stitch(zip(cells, parts[at : at + tiles], strict=True), layout.grid)
            for at in range(0, len(parts), tiles)
        ]
        data = joined[0] if len(joined) == 1 else np.concatenate(joined)
        if not np.isfinite(data).all():
            remedy = "Check the weights."
            if self.precision != "float32":
                remedy = f"They overflow in {self.precision}: use precision float32."
            raise FewShotError(
                f"Backbone {self.backbone.spec.name} gave features of slice {k} that are not "
                f"finite. {remedy}"
            )
        return data


class _Reader:
    """Inputs of a network out of the slices of a source."""

    def __init__(self, source: SliceSource, layout: Layout, backbone: Backbone) -> None:
        self.source = source
        self.layout = layout
        self.prep = backbone.spec.preprocessing
        self.reach = backbone.spec.context
        # Tiles and groups come from one slice; neighbours are context of one another.
        self._prepared = lru_cache(maxsize=2 * self.reach + 1)(self._prepare)

    def __call__(self, k: int, group: int, origin: tuple[int, int]) -> torch.Tensor:
        """One input, shape (S, C, h, w): tile and group of slice ``k`` and its neighbours."""
        import torch

        (row, column), (height, width) = origin, self.layout.tile
        near = context_slices(k, len(self.source), self.reach)
        return torch.stack(
            [self._prepared(n)[group, :, row : row + height, column : column + width] for n in near]
        )

    def _prepare(self, k: int) -> torch.Tensor:
        try:
            return prepare(self.source.slice(k), self.prep, self.layout)
        except InputError as error:
            raise InputError(f"slice {k}", error.constraint, error.given, error.remedy) from None
