"""Dense optical flow between slices: where what is seen at a pixel lies in the neighbouring slice.

Two methods: dense inverse search (Kroeger et al. 2016, arXiv:1603.03590) of OpenCV, an optional
package, and iterative Lucas-Kanade (Le Besnerais and Champagnat 2005) of scikit-image.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Array
from .flow_cache import FlowCache

__all__ = ["FLOW_METHODS", "OpticalFlow", "flow_method", "moved"]

_LOGGER = logging.getLogger(__name__)

FLOW_METHODS = ("dis", "lucas-kanade")
_INSTALL = "pip install 'napari-fewshot[flow]'"
_RADIUS = 4
_WARPS = 3
_FLOOR = 16
"""OpenCV's patches of 8 pixels, on a pyramid of two levels at least, need so many."""
_LOCK = threading.Lock()
_USERS: list[int] = []
"""For each call that OpenCV is in, how many threads it had before the first."""


def flow_method(wanted: str) -> str:
    """Return the method that ``wanted``, a method or ``auto``, means here.

    Raises
    ------
    InputError
        If it needs OpenCV, which is not installed.
    """
    if wanted == "auto":
        return "dis" if _opencv() is not None else "lucas-kanade"
    if wanted == "dis" and _opencv() is None:
        raise InputError(
            "experts.flow",
            "be lucas-kanade or auto where OpenCV is not installed",
            wanted,
            f"Or install it: {_INSTALL}",
        )
    return wanted


@cache
def _opencv() -> Any:
    """OpenCV; None where it is not installed, or is there but cannot be loaded."""
    try:
        import cv2
    except (ImportError, AttributeError, OSError) as error:  # it lacks libraries, or numpy's is old
        if not isinstance(error, ModuleNotFoundError):
            _LOGGER.warning("OpenCV is installed, but cannot be loaded: %s", error)
        return None
    return cv2 if hasattr(cv2, "DISOpticalFlow_create") else None


class OpticalFlow:
    """Flow between two grey slices, by one of ``FLOW_METHODS``.

    The same slices give the same flow whatever the number of threads, rounded to float16 also
    where it is not kept in a ``cache``. Lucas-Kanade takes the place of a method that is not
    installed, which is warned of.
    """

    def __init__(self, method: str, cache: FlowCache | None = None) -> None:
        self._cache = cache
        self.method = method
        if method == "dis" and _opencv() is None:
            self.method = "lucas-kanade"
            _LOGGER.warning(
                "OpenCV is not installed, with which the model was trained to find the motion "
                "between slices; Lucas-Kanade does it, which is slower. Install it: %s",
                _INSTALL,
            )

    def __call__(self, here: Array, there: Array) -> Array:
        """Displacement (2, H, W), float32, in rows and columns of pixels.

        ``here`` and ``there``, shape (H, W), float32 in 0..1: what ``here`` has at a pixel lies in
        ``there`` at that pixel plus the displacement.
        """
        if min(here.shape) < _FLOOR:
            return np.zeros((2, *here.shape), dtype=np.float32)
        key = None if self._cache is None else self._cache.key(self.method, here, there)
        kept = None if self._cache is None or key is None else self._cache.get(key)
        if kept is None:
            find = self._dis if self.method == "dis" else _lucas_kanade
            kept = find(here, there).astype(np.float16)
            if self._cache is not None and key is not None:
                self._cache.put(key, kept)
        return kept.astype(np.float32)

    def _dis(self, here: Array, there: Array) -> Array:
        cv2 = _opencv()
        search: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        search.setFinestScale(0)  # at half the size, thin structures are lost
        with _one_thread(cv2):
            found = search.calc(_bytes(here), _bytes(there), None)
        return np.ascontiguousarray(np.moveaxis(found, -1, 0)[::-1], dtype=np.float32)


@contextmanager
def _one_thread(opencv: Any) -> Iterator[None]:
    """Hold OpenCV to one thread: several share a search out in stripes, which changes it."""
    with _LOCK:
        _USERS.append(_USERS[0] if _USERS else opencv.getNumThreads())
        opencv.setNumThreads(1)
    try:
        yield
    finally:
        with _LOCK:
            threads = _USERS.pop()
            if not _USERS:
                opencv.setNumThreads(threads)


def _bytes(plane: Array) -> Array:
    return (np.clip(plane, 0, 1) * 255).astype(np.uint8)


def _lucas_kanade(here: Array, there: Array) -> Array:
    from skimage.registration import optical_flow_ilk

    found = optical_flow_ilk(here, there, radius=_RADIUS, num_warp=_WARPS, dtype=np.float32)
    return np.asarray(found, dtype=np.float32)


def moved(
    planes: Array, displacement: Array, origin: tuple[int, int] = (0, 0), top: int = 0
) -> Array:
    """What planes (K, H, W) have at displaced pixels, shape (K, h, w), float32, bilinear.

    ``displacement`` (2, h, w) is of the pixels from ``origin`` on, in rows and columns; outside of
    the planes lies what is at their edge. Planes of which rows before ``top`` are left out give
    the same, to the bit, as whole ones.
    """
    (height, width), (_, rows, columns) = planes.shape[1:], displacement.shape
    y = np.arange(origin[0], origin[0] + rows, dtype=np.float32)[:, None] + displacement[0]
    x = np.arange(origin[1], origin[1] + columns, dtype=np.float32)[None] + displacement[1]
    upper, dy = _cells(y, top, top + height)
    left, dx = _cells(x, 0, width)
    flat = np.ascontiguousarray(planes, dtype=np.float32).reshape(len(planes), -1)
    first = upper * width + left
    down = np.where(upper < height - 1, width, 0)
    right = np.where(left < width - 1, 1, 0)
    found: Array = flat.take(first, axis=1) * ((1 - dy) * (1 - dx))
    found += flat.take(first + right, axis=1) * ((1 - dy) * dx)
    found += flat.take(first + down, axis=1) * (dy * (1 - dx))
    found += flat.take(first + down + right, axis=1) * (dy * dx)
    return found


def _cells(places: Array, start: int, stop: int) -> tuple[Array, Array]:
    """Pixels at or before places, counted from ``start``, and how far beyond them, 0..1."""
    clipped = np.clip(places, start, stop - 1)
    before = np.floor(clipped)
    return before.astype(np.intp) - start, clipped - before
