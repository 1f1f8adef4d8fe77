"""Values that lie in a file one after the other, read as they are indexed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..types import Array
from .reading import damaged

__all__ = ["MappedFile"]


class MappedFile:
    """An array in C order within a file, which is mapped for each index only.

    So no memory is held, the file may be replaced, and a process may hand this to another.
    """

    def __init__(
        self, path: Path, title: str, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int
    ) -> None:
        self.path, self.title = path, title
        self.dtype, self.shape, self.offset = dtype, shape, offset

    def __getitem__(self, index: Any) -> Array:
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:  # it was cut or moved since
            raise damaged(self.path, self.title, str(error)) from error
        return np.array(mapped[index])
