"""The errors that this package raises on purpose.

::

    FewShotError
    ├── InputError (ValueError)         a value that the caller gave
    │   ├── UnknownNameError            a name that no registry knows; lists near matches
    │   └── UnreadableFileError         a file that is damaged or of a kind we do not read
    ├── NotFittedError (RuntimeError)   predict, save or score before fit
    ├── DownloadError (OSError)         a file that did not come whole from where it should
    ├── WeightsError (OSError)          a checkpoint that is missing, damaged or of another network
    ├── ModelFileError (OSError)        a model file that is damaged or too new
    ├── SchedulerError (RuntimeError)   a cluster that cannot do the work, or is lost
    └── Cancelled                       the progress callback asked to stop

Messages say the parameter, the constraint, the value given and the remedy.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import PurePath

__all__ = [
    "Cancelled",
    "DownloadError",
    "FewShotError",
    "InputError",
    "ModelFileError",
    "NotFittedError",
    "SchedulerError",
    "UnknownNameError",
    "UnreadableFileError",
    "WeightsError",
    "concerns_all",
]


class FewShotError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(FewShotError, ValueError):
    """A value given by the caller does not meet a constraint.

    Parameters
    ----------
    parameter : str
        Name of the argument, option or file at fault.
    constraint : str
        What it must be, worded to follow "must", e.g. ``"be at least 1"``.
    given : object
        The value that was given (shortened in the message when long).
    remedy : str, optional
        One sentence that tells how to go on.
    """

    def __init__(self, parameter: str, constraint: str, given: object, remedy: str = "") -> None:
        try:
            text = str(given) if isinstance(given, (str, PurePath)) else repr(given)
            text = text or "nothing"
        except (ValueError, RecursionError):  # a number of thousands of digits, deep nesting
            text = f"a {type(given).__name__} that is too long to show"
        if len(text) > 200:
            text = text[:197] + "..."
        message = f"{parameter} must {constraint}; got {text}."
        super().__init__(f"{message} {remedy}" if remedy else message)
        self.parameter = parameter
        self.constraint = constraint
        self.given = given
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.parameter, self.constraint, self.given, self.remedy)


class UnknownNameError(InputError):
    """A name is not among those registered; the message lists near matches."""

    def __init__(self, parameter: str, given: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(given, names, n=3, cutoff=0.4)
        remedy = f"Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(parameter, f"be one of {', '.join(names)}", given, remedy)
        self.known = tuple(names)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.parameter, self.given, self.known)


class UnreadableFileError(InputError):
    """A file is damaged, truncated, or of a format that is not read here."""


class NotFittedError(FewShotError, RuntimeError):
    """A model or adapter was used before it was fitted."""


class DownloadError(FewShotError, OSError):
    """A file could not be fetched, or what came is not what it should be."""


class WeightsError(FewShotError, OSError):
    """A checkpoint is missing, damaged, or belongs to another network."""


class ModelFileError(FewShotError, OSError):
    """A model file is damaged, foreign, or of a newer format."""


class SchedulerError(FewShotError, RuntimeError):
    """A cluster does not answer, or its workers cannot do the work."""


class Cancelled(FewShotError):  # noqa: N818 - a request, not a fault
    """Raised by a progress callback to end a long stage within one batch."""


_OF_ALL = (
    BrokenPipeError,
    Cancelled,
    DownloadError,
    ModelFileError,
    NotFittedError,
    SchedulerError,
    WeightsError,
)
_OF_THE_DISK = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


def concerns_all(error: BaseException) -> bool:
    """Whether an error with one image would come with every other one: no sense in going on."""
    if isinstance(error, _OF_ALL):
        return True
    found: BaseException | None = error
    while found is not None:  # messages about files stand for what the system said
        if isinstance(found, OSError) and found.errno in _OF_THE_DISK:
            return True
        found = found.__cause__ or found.__context__
    return False
