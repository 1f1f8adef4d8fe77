"""Arrays that may be larger than memory."""

from __future__ import annotations

import tempfile

import numpy as np
import numpy.typing as npt

from ..types import Array

__all__ = ["scratch_array"]


def scratch_array(shape: tuple[int, ...], dtype: npt.DTypeLike, in_memory: int) -> Array:
    """Make an array of zeros: in memory up to so many bytes, else in a temporary file.

    The file has no name, or is marked for deletion; it goes when the array goes, also when the
    process is killed.
    """
    kind = np.dtype(dtype)
    if kind.itemsize * int(np.prod(shape, dtype=np.int64)) <= in_memory:
        return np.zeros(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="napari-fewshot-") as file:  # the map keeps it open
        mapped: Array = np.memmap(file, dtype=kind, mode="w+", shape=shape)
    return mapped
