"""Bring slices to a fixed spacing before extraction, and results back to their own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import ResamplingConfig
from ..errors import InputError
from ..types import Array

__all__ = ["Grid", "resize_plane"]

_LONGEST_SIDE, _MOST_SLICES = 2**14, 2**16


@dataclass(frozen=True)
class Grid:
    """The working grid of a stack of slices, beside the grid it came from.

    Both grids cover the same region. Axis 0 counts slices.

    Parameters
    ----------
    shape : tuple of int
        (N, H, W) of the original slices.
    working : tuple of int
        (N', H', W') of the slices that features are taken from.
    """

    shape: tuple[int, int, int]
    working: tuple[int, int, int]

    @classmethod
    def of(
        cls,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        config: ResamplingConfig,
    ) -> Grid:
        """Choose the working grid; ``spacing`` is (across slices, rows, columns) in mm.

        ``inplane`` resamples rows and columns to ``config.spacing``, ``isotropic`` the slices
        too; ``off`` keeps the grid. An axis of one slice is never resampled.

        Raises
        ------
        InputError
            If the spacing asks for more pixels than a machine holds.
        """
        if config.mode == "off":
            return cls(shape, shape)
        wanted = [n * s / config.spacing for n, s in zip(shape, spacing, strict=True)]
        if config.mode == "inplane" or shape[0] == 1:
            wanted[0] = shape[0]
        if wanted[0] > max(shape[0], _MOST_SLICES) or any(
            side > max(n, _LONGEST_SIDE) for side, n in zip(wanted[1:], shape[1:], strict=True)
        ):
            raise InputError(
                "resampling.spacing",
                f"give slices of at most {_LONGEST_SIDE} pixels along a side, and at most "
                f"{_MOST_SLICES} of them",
                f"{config.spacing:g} mm for slices of {shape[1]} × {shape[2]} pixels of "
                f"{spacing[1]:g} × {spacing[2]:g} mm",
                "Give a larger one, in mm.",
            )
        working = [max(1, round(count)) for count in wanted]
        return cls(shape, (working[0], working[1], working[2]))

    @property
    def changes_slices(self) -> bool:
        """Whether working slices differ in number from the original ones."""
        return self.working[0] != self.shape[0]

    @property
    def changes_plane(self) -> bool:
        """Whether rows or columns are resampled."""
        return self.working[1:] != self.shape[1:]

    def to_working(self, index: int) -> int:
        """Return the working slice nearest to an original slice."""
        place = (index + 0.5) * self.working[0] / self.shape[0] - 0.5
        return int(np.clip(np.floor(place + 0.5), 0, self.working[0] - 1))

    def sources(self, working_index: int) -> list[tuple[int, float]]:
        """Original slices, with weights, that make up a working slice (linear, or box mean)."""
        return _weights(working_index, self.working[0], self.shape[0])

    def targets(self, index: int) -> list[tuple[int, float]]:
        """Working slices, with weights, whose results make up an original slice."""
        return _weights(index, self.shape[0], self.working[0])


def _weights(index: int, here: int, there: int) -> list[tuple[int, float]]:
    """Linear interpolation, widened to a triangle over all covered cells when shrinking."""
    ratio = there / here
    centre = (index + 0.5) * ratio - 0.5
    reach = max(1.0, ratio)
    candidates = np.arange(int(np.floor(centre - reach)), int(np.ceil(centre + reach)) + 1)
    weight = np.maximum(0.0, 1.0 - np.abs(candidates - centre) / reach)
    merged: dict[int, float] = {}
    for candidate, w in zip(np.clip(candidates, 0, there - 1), weight, strict=True):
        if w > 1e-9:
            merged[int(candidate)] = merged.get(int(candidate), 0.0) + float(w)
    total = sum(merged.values())
    return [(k, w / total) for k, w in sorted(merged.items())]


def resize_plane(plane: Array, shape: tuple[int, int], *, nearest: bool = False) -> Array:
    """Resize the last two axes of (..., H, W) to another (H', W'); the dtype stays.

    Linear and antialiased when shrinking, of floats; or, for labels, the ``nearest`` value.
    """
    if tuple(plane.shape[-2:]) == tuple(shape):
        return plane
    if nearest:
        rows = ((np.arange(shape[0]) + 0.5) * plane.shape[-2] / shape[0]).astype(int)
        columns = ((np.arange(shape[1]) + 0.5) * plane.shape[-1] / shape[1]).astype(int)
        return plane[..., rows[:, None], columns[None, :]]
    import torch

    flat = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))
    flat = flat.reshape(1, -1, *plane.shape[-2:])
    resized = torch.nn.functional.interpolate(
        flat, size=tuple(shape), mode="bilinear", align_corners=False, antialias=True
    )
    return resized.reshape(*plane.shape[:-2], *shape).numpy().astype(plane.dtype, copy=False)
