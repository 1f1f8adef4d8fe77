"""Probabilities over the slices of a volume, smoothed, and brought back to its own grid."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from ..adapters.base import Adapter, Place
from ..features.extract import FeatureExtractor
from ..features.planes import SliceStack
from ..features.resampling import resize_plane
from ..types import Array, Progress, no_progress

__all__ = ["slice_probabilities"]


def slice_probabilities(
    stack: SliceStack,
    extractor: FeatureExtractor,
    adapter: Adapter,
    smoothing: float,
    progress: Progress = no_progress,
) -> Iterator[tuple[int, Array]]:
    """Class probabilities of every slice, in order, on the original grid of the stack.

    Memory holds the probabilities of a few neighbouring slices, whatever their number.

    Parameters
    ----------
    stack : SliceStack
        The slices.
    extractor : FeatureExtractor
        Gives their feature maps.
    adapter : Adapter
        Fitted.
    smoothing : float
        Standard deviation of a Gaussian over the probabilities, in pixels of the working
        slices; across slices the same distance in mm. 0: none.
    progress : callable
        Called after every slice.

    Yields
    ------
    index : int
        Slice of the stack before resampling.
    probabilities : array, shape (L + 1, H, W), float32
        They sum to 1 at every pixel.
    """
    working = _predicted(stack, extractor, adapter, progress)
    if smoothing > 0:
        working = _smoothed(working, len(stack), smoothing, _depth_sigma(stack, smoothing))
    for index, planes in _regridded(working, stack):
        yield index, resize_plane(planes, (stack.grid.shape[1], stack.grid.shape[2]))


def _predicted(
    stack: SliceStack, extractor: FeatureExtractor, adapter: Adapter, progress: Progress
) -> Iterator[tuple[int, Array]]:
    flat = stack.volume.ndim == 2
    total = len(stack)
    for done, (index, features) in enumerate(extractor.maps(stack, range(total))):
        place = Place(index, stack.grid.working, stack.axis, flat)
        yield index, adapter.predict(features, place)
        progress(done + 1, total, "slices")


def _depth_sigma(stack: SliceStack, smoothing: float) -> float:
    """Width across slices, in slices, that is as many mm as ``smoothing`` in the plane."""
    grid = stack.grid
    size = [
        s * old / new for s, old, new in zip(stack.spacing, grid.shape, grid.working, strict=True)
    ]
    return smoothing * min(size[1:]) / size[0]


def _smoothed(
    planes: Iterator[tuple[int, Array]], total: int, sigma: float, depth_sigma: float
) -> Iterator[tuple[int, Array]]:
    """Gaussian within each slice, and over a sliding window of neighbouring slices."""
    from scipy.ndimage import gaussian_filter

    reach = min(int(np.ceil(2.5 * depth_sigma)), 8) if depth_sigma > 0.2 else 0
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(depth_sigma, 1e-6)) ** 2)
    window: deque[tuple[int, Array]] = deque()
    ahead = 0

    def mixed(centre: int) -> Array:
        total_weight = 0.0
        result = np.zeros_like(window[0][1])
        for index, plane in window:
            weight = float(weights[index - centre + reach])
            result += weight * plane
            total_weight += weight
        return result / total_weight

    for index, plane in planes:
        blurred = gaussian_filter(plane, (0.0, sigma, sigma), mode="nearest", truncate=3.0)
        window.append((index, blurred))
        if index >= reach:
            yield ahead, mixed(ahead)
            ahead += 1
            if ahead > reach:
                window.popleft()
    while ahead < total:
        yield ahead, mixed(ahead)
        ahead += 1
        if ahead > reach:
            window.popleft()


def _regridded(
    planes: Iterator[tuple[int, Array]], stack: SliceStack
) -> Iterator[tuple[int, Array]]:
    """Interpolate across slices where the working grid has other slices than the original."""
    if not stack.grid.changes_slices:
        yield from planes
        return
    kept: dict[int, Array] = {}
    for index in range(stack.grid.shape[0]):
        parts = stack.grid.targets(index)
        while not kept or max(kept) < parts[-1][0]:
            number, plane = next(planes)
            kept[number] = plane
        for number in [n for n in kept if n < parts[0][0]]:
            del kept[number]
        yield index, sum(w * kept[n] for n, w in parts)  # type: ignore[misc]
