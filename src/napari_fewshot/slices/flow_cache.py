"""Motion between slices in memory: what was found once is at hand for the next prediction."""

from __future__ import annotations

import random
from threading import Lock

import numpy as np

from ..types import Array
from .stack import digest_plane

__all__ = ["FlowCache"]

_LIMIT_MB = 256.0


class FlowCache:
    """Displacements in float16, by the content of both slices; safe between threads.

    When it is full, one drawn by chance goes: of a stack that is larger, a part is still found.

    Parameters
    ----------
    limit_mb : float
        Most memory of all displacements together, in MB (10⁶ bytes).
    """

    def __init__(self, limit_mb: float = _LIMIT_MB) -> None:
        self._limit = round(limit_mb * 1e6)
        self._fields: dict[tuple[str, str, str], Array] = {}
        self._bytes = 0
        self._random = random.Random(0)
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of displacements."""
        return len(self._fields)

    @staticmethod
    def key(method: str, here: Array, there: Array) -> tuple[str, str, str]:
        """Name of the displacement between two slices, by a method."""
        return method, digest_plane(here), digest_plane(there)

    def get(self, key: tuple[str, str, str]) -> Array | None:
        """A displacement (2, H, W), float16, or None."""
        with self._lock:
            return self._fields.get(key)

    def put(self, key: tuple[str, str, str], field: Array) -> None:
        """Keep a displacement; one larger than the limit is not kept."""
        kept = np.asarray(field, dtype=np.float16)
        with self._lock:
            if key in self._fields or kept.nbytes > self._limit:
                return
            while self._bytes + kept.nbytes > self._limit:
                drawn = self._random.choice(list(self._fields))
                self._bytes -= self._fields.pop(drawn).nbytes
            self._fields[key] = kept
            self._bytes += kept.nbytes
