"""Memory for copies of large arrays that is used again: fresh memory takes longer than a copy."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....arrays import is_lazy

__all__ = ["Spares"]


class Spares:
    """Arrays to copy into, by shape and type."""

    def __init__(self) -> None:
        self._arrays: list[Any] = []
        self._thread: threading.Thread | None = None

    def copied(self, data: Any) -> Any:
        """Copy an array; one of dask as a graph of its own."""
        if is_lazy(data):  # what is painted there goes to a graph of its own
            return data.copy()
        for k, spare in enumerate(self._arrays):
            if (spare.shape, spare.dtype) == (np.shape(data), data.dtype):
                del self._arrays[k]
                spare[...] = data
                return spare
        return np.array(data)

    def keep(self, arrays: Sequence[Any]) -> None:
        """Copies that are done with are the memory of the next ones."""
        self._arrays = [array for array in arrays if isinstance(array, np.ndarray)]

    def reserve(self, arrays: Sequence[Any]) -> None:
        """Fetch memory for copies of arrays, on a thread."""
        wanted = [(np.shape(a), a.dtype) for a in arrays if isinstance(a, np.ndarray)]
        for spare in list(self._arrays):
            if (spare.shape, spare.dtype) in wanted:
                wanted.remove((spare.shape, spare.dtype))
        if wanted and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._fetch, args=(wanted,), daemon=True)
            self._thread.start()

    def _fetch(self, wanted: Sequence[tuple[tuple[int, ...], Any]]) -> None:
        for shape, dtype in wanted:
            self._arrays.append(np.full(shape, 0, dtype))  # written to, so that it is there
