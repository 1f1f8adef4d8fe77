"""Points of layers as landmarks: which point is which, with names or without."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from ..errors import InputError
from ..types import Array, Landmark

__all__ = ["check_order", "columns_of", "is_missing", "marks_of", "named"]

_NUMBERED = "point {}"
_NUMBER = re.compile(_NUMBERED.format(r"(\d+)"))


def marks_of(positions: Array, features: Any, layer_name: str) -> list[Landmark]:
    """Points of a layer: positions (N, 3) in voxels, and what its features tell of them.

    Name, label and score are those of the features of these names. What is not told is ``""``
    and 0 until :func:`named` has filled it in.

    Raises
    ------
    InputError
        If a label is no whole number of at least 1.
    """
    columns = columns_of(features)
    marks = []
    for row, position in enumerate(positions):
        name, label, score = (_value(columns, key, row) for key in ("name", "label", "score"))
        if label is not None and (not float(label).is_integer() or float(label) < 1):
            raise InputError(
                f"{layer_name}, feature label", "hold whole numbers of at least 1", label
            )
        marks.append(
            Landmark(
                "" if name is None else str(name),
                0 if label is None else int(label),
                (float(position[0]), float(position[1]), float(position[2])),
                None if score is None else float(score),
            )
        )
    return marks


def named(
    images: Sequence[Sequence[Landmark]], taken: Collection[str] = ()
) -> list[list[Landmark]]:
    """Fill in names and labels, so that equal names are one landmark in all images.

    A point with a label and no name is called as its label. One with neither is a landmark of
    its own: *point 1*, *point 2* and so on, in the order within its image, without the names
    that the image has already. A name without a label takes the label that it has elsewhere,
    else the lowest that is free.

    Parameters
    ----------
    images : sequence of sequences of Landmark
        What :func:`marks_of` gave, for each image.
    taken : collection of str, optional
        Names that mean something else.
    """
    filled = []
    for marks in images:
        used = {_folded(name) for name in taken} | {_folded(mark.name) for mark in marks}
        free = (text for k in count(1) if (text := _NUMBERED.format(k)) not in used)
        filled.append(
            [
                replace(mark, name=mark.name or (str(mark.label) if mark.label else next(free)))
                for mark in marks
            ]
        )
    every = [mark for marks in filled for mark in marks]
    labels = {_folded(mark.name): mark.label for mark in reversed(every) if mark.label}
    given = {mark.label for mark in every}
    lowest = (k for k in count(1) if k not in given)
    found = []
    for marks in filled:
        for k, mark in enumerate(marks):
            if not mark.label:
                name = _folded(mark.name)
                if name not in labels:
                    labels[name] = next(lowest)
                marks[k] = replace(mark, label=labels[name])
        found.append(marks)
    return found


def check_order(
    titles: Sequence[str],
    images: Sequence[Sequence[Landmark]],
    filled: Sequence[Sequence[Landmark]],
) -> None:
    """Refuse images in which the order of points without names tells not which is which.

    Parameters
    ----------
    titles : sequence of str
        Names of the images.
    images, filled : sequence of sequences of Landmark
        What was given to :func:`named`, and what it gave.

    Raises
    ------
    InputError
        If points without names are not as many in each image that has numbered ones.
    """
    unnamed = any(not mark.name and not mark.label for marks in images for mark in marks)
    found = {
        title: sorted({mark.name for mark in marks if _NUMBER.fullmatch(mark.name)}, key=_number)
        for title, marks in zip(titles, filled, strict=True)
    }
    found = {title: names for title, names in found.items() if names}
    if not unnamed or all(names == next(iter(found.values())) for names in found.values()):
        return
    differ = len({len(names) for names in found.values()}) > 1
    raise InputError(
        "points without names",
        "be as many in each image, since the first of one is taken for the first of the other",
        ", ".join(
            f"{len(names) if differ else ' and '.join(names)} in {title}"
            for title, names in found.items()
        ),
        "Add those that are missing, or give all points names (feature name): "
        "equal names are one landmark.",
    )


def columns_of(features: Any) -> dict[str, list[Any]]:
    """Columns of a table of features (a DataFrame or a mapping)."""
    if features is None:
        return {}
    return {str(key): list(features[key]) for key in features}


def is_missing(value: Any) -> bool:
    """None, NaN, or an empty text."""
    return value is None or value == "" or bool(value != value)


def _value(columns: Mapping[str, list[Any]], key: str, row: int) -> Any:
    value = columns[key][row] if key in columns else None
    return None if is_missing(value) else value


def _number(name: str) -> int:
    return int(name.rsplit(maxsplit=1)[-1])


def _folded(name: str) -> str:
    return name.strip().casefold()
