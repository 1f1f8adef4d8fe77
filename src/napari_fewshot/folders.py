"""Folders of the person who runs the program, which are not there in every container."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError

__all__ = ["cache_folder", "with_home"]


def with_home(path: str | Path, parameter: str) -> Path:
    """Path with ``~`` replaced by the home folder.

    Raises
    ------
    InputError
        If that folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        remedy = "Give the whole path."
        raise InputError(
            parameter, "begin with a home folder that is known", path, remedy
        ) from None


def cache_folder(parameter: str, remedy: str) -> Path:
    """Our folder in the user's cache.

    Raises
    ------
    InputError
        If no home folder is known: of the ``parameter``, with the ``remedy``.
    """
    import platformdirs

    try:
        found = platformdirs.user_cache_path("napari-fewshot")
        if found.is_absolute():
            return found
    except RuntimeError:
        pass  # told below
    constraint = "be given where no home folder is known"
    raise InputError(parameter, constraint, "none", f"Set HOME, or {remedy}.")
