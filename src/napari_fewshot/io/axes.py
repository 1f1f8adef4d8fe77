"""What the named axes of a file become: an image of Z, Y, X and channels, at one time point."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .checks import frame_index

__all__ = ["plan_axes"]


def plan_axes(
    path: Path, axes: str, shape: tuple[int, ...], frame: int | None, hint: str = ""
) -> tuple[tuple[int, ...], tuple[slice | int, ...], bool]:
    """Decide what each axis becomes.

    Parameters
    ----------
    path : Path
        Whose axes they are, for messages.
    axes : str
        A letter for each axis: Z, I or Q depth, Y, X, C or S channels, T time.
    shape : tuple of int
        Length of each.
    frame : int, optional
        The time point; needed where there are several.
    hint : str, optional
        What may help where a time point is missing.

    Returns
    -------
    order : tuple of int
        The order in which to transpose the axes that are left, to (Z, Y, X, C) or some of them:
        those of one are dropped, but Y and X.
    index : tuple of slice or int
        What to take along each axis of the file, before.
    has_channels : bool

    Raises
    ------
    InputError
        If they are not those of one image.
    """
    sizes = dict(zip(axes, shape, strict=True)) if len(set(axes)) == len(axes) else {}
    long = [letter for letter, size in zip(axes, shape, strict=True) if size > 1]
    stacks = [letter for letter in long if letter in "ZIQ"]
    channels = [letter for letter in long if letter in "CS"]
    unknown = [letter for letter in long if letter not in "ZIQCSTYX"]
    if not {"Y", "X"} <= set(sizes) or len(stacks) > 1 or len(channels) > 1 or unknown:
        raise InputError(
            str(path),
            "have the axes of one image: Y, X, and at most one of depth and of channels",
            f"axes {axes} of shape {shape}",
            "Save one position, angle or channel set as a file of its own, with its axes named.",
        )
    if 0 in shape:
        raise InputError(str(path), "have no empty axis", f"shape {shape}")
    given = f"axes {axes} of shape {shape}"
    time = frame_index(path, frame, sizes.get("T", 1), given, what="time point", hint=hint)
    wanted = [*stacks, "Y", "X", *channels]
    index = tuple(
        slice(None) if letter in wanted else time if letter == "T" else 0 for letter in axes
    )
    left = [letter for letter in axes if letter in wanted]
    return tuple(left.index(letter) for letter in wanted), index, bool(channels)
