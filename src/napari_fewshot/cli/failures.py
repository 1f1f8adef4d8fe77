"""How an error is told, and whether one image has it or all of them."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import (
    Cancelled,
    DownloadError,
    FewShotError,
    ModelFileError,
    NotFittedError,
    WeightsError,
)
from .arguments import one_line

__all__ = ["BAD_INPUT", "CRASHED", "Failures", "in_one_line"]

BAD_INPUT = 2
CRASHED = 1

_OF_ALL = (Cancelled, DownloadError, ModelFileError, NotFittedError, WeightsError, BrokenPipeError)
_OF_THE_DISK = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Failures:
    """Images that failed, while the others are done."""

    def __init__(self) -> None:
        self.status = 0

    @contextmanager
    def of(self, image: Path) -> Iterator[None]:
        """Report what goes wrong with an image; what would with every other one, is raised."""
        try:
            yield
        except Exception as error:
            if _concerns_all(error):
                raise
            message = in_one_line(error)
            if message is None:  # a fault of ours: whoever mends it needs to know where
                traceback.print_exc()
                message = f"{type(error).__name__}: {error}"
                self.status = CRASHED
            self.status = self.status or BAD_INPUT
            about = message if str(image) in message else f"{image}: {message}"
            print(f"napari-fewshot: {about}", file=sys.stderr)


def in_one_line(error: Exception) -> str | None:
    """Word an error for a person; None of one that nobody has foreseen."""
    from ..device import is_out_of_memory

    if isinstance(error, FewShotError):
        return one_line(error)
    if isinstance(error, OSError):  # a full disk, a folder without permission
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{place}"
    if is_out_of_memory(error):
        what = ". ".join(str(error).split("\n")[0].split(". ")[:2])  # torch says much more
        about = f" ({what})" if what else ""
        return f"Out of memory{about}. Take a smaller image, or end what else uses memory."
    return None


def _concerns_all(error: BaseException) -> bool:
    """Whether other images would fail likewise."""
    if isinstance(error, _OF_ALL):
        return True
    found: BaseException | None = error
    while found is not None:  # messages about files stand for what the system said
        if isinstance(found, OSError) and found.errno in _OF_THE_DISK:
            return True
        found = found.__cause__ or found.__context__
    return False
