"""What the named axes of a file become: an image of Z, Y, X and channels, at one time point."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..types import Array
from .checks import frame_index

__all__ = ["Transposed", "plan_axes"]


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
    # An axis of one may bear the name of another: some programs call all that they add alike.
    kept = [size > 1 or letter in "YX" for letter, size in zip(axes, shape, strict=True)]
    named = [(axes[k], shape[k]) for k in range(len(axes)) if kept[k]]
    sizes = dict(named) if len({letter for letter, _ in named}) == len(named) else {}
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
        slice(None) if keep and letter in wanted else time if letter == "T" else 0
        for letter, keep in zip(axes, kept, strict=True)
    )
    left = [letter for letter, keep in zip(axes, kept, strict=True) if keep and letter in wanted]
    return tuple(left.index(letter) for letter in wanted), index, bool(channels)


class Transposed:
    """An array of a file as :func:`plan_axes` has it, read as it is indexed.

    ``source`` is what is indexed in the order of the file, with ``shape`` and ``dtype``. Values are
    in native byte order.
    """

    def __init__(self, source: Any, order: tuple[int, ...], index: tuple[slice | int, ...]) -> None:
        self._source, self._index = source, index
        left = [axis for axis, one in enumerate(index) if isinstance(one, slice)]
        self._axes = [left[number] for number in order]
        self.shape = self.reordered(source.shape)
        self.dtype = source.dtype.newbyteorder("=")

    def reordered(self, values: Sequence[int]) -> tuple[int, ...]:
        """Of a value for each axis of the file, those of the axes here, such as sides of chunks."""
        return tuple(int(values[axis]) for axis in self._axes)

    def __getitem__(self, asked: tuple[slice | int, ...]) -> Array:
        index = list(self._index)
        for axis, one in zip(self._axes, asked, strict=False):
            index[axis] = one
        found = np.asarray(self._source[tuple(index)])
        left = [axis for axis, one in enumerate(index) if isinstance(one, slice)]
        order = [left.index(axis) for axis in self._axes if axis in left]
        return found.transpose(order).astype(self.dtype, copy=False)
