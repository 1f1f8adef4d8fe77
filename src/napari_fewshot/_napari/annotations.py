"""What somebody put on an image: points as landmarks, with names or without, and drawn boxes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..types import Array, Landmark
from .layers import columns_of, is_missing, placed_in, shape_of

if TYPE_CHECKING:
    from ..sam import PromptBox

__all__ = ["boxes_in", "check_order", "landmarks_in", "marks_of", "named", "number_of"]

_NUMBERED = "point {}"
_NUMBER = re.compile(_NUMBERED.format(r"(\d+)"))


def landmarks_in(
    layer: Any, image: Any, lead: tuple[int, ...] = (), level: int = 0
) -> list[Landmark]:
    """Landmarks of a points layer in voxels of an image layer (z is 0 in 2D).

    Names and labels are as in :func:`marks_of`. Points are taken where the viewer shows them,
    whatever the scale of their layer; ``lead`` and ``level`` are as in :func:`.image_volume`.
    """
    placed, here = placed_in(layer, layer.data, image, lead, level)
    ndim = placed.shape[1]
    positions = np.zeros((int(here.sum()), 3))
    positions[:, 3 - ndim :] = placed[here]
    features = {str(name): np.asarray(layer.features[name])[here] for name in layer.features}
    return marks_of(positions, features, layer.name)


def marks_of(positions: Array, features: Any, layer_name: str) -> list[Landmark]:
    """Points of a layer: positions (N, 3) in voxels, and what its features tell of them.

    A name and a label that are not told are ``""`` and 0 until :func:`named` has filled them in.
    """
    columns = columns_of(features)
    marks = []
    for row, position in enumerate(positions):
        name, score = (_value(columns, key, row) for key in ("name", "score"))
        marks.append(
            Landmark(
                "" if name is None else str(name),
                _label(columns, row, layer_name) or 0,
                (float(position[0]), float(position[1]), float(position[2])),
                None if score is None else float(score),
            )
        )
    return marks


def named(
    images: Sequence[Sequence[Landmark]], taken: Collection[str] = ()
) -> list[list[Landmark]]:
    """Fill in names and labels, so that equal names are one landmark in all images.

    A point without a name is called as its label, without both *point 1*, *point 2* and so on in
    the order within its image, but by no name that is there, or ``taken``. A name without a label
    takes the one that it has elsewhere, else the lowest that is free.
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
    for mark in every:
        if not mark.label and _folded(mark.name) not in labels:
            labels[_folded(mark.name)] = next(lowest)
    return [
        [mark if mark.label else replace(mark, label=labels[_folded(mark.name)]) for mark in marks]
        for marks in filled
    ]


def number_of(name: str) -> str:
    """Number of a point that :func:`named` has numbered; empty for a name that somebody gave."""
    found = _NUMBER.fullmatch(name)
    return found[1] if found else ""


def check_order(
    titles: Sequence[str],
    images: Sequence[Sequence[Landmark]],
    filled: Sequence[Sequence[Landmark]],
) -> None:
    """Refuse images in which the order of points without names tells not which is which.

    ``images`` was given to :func:`named`, which gave ``filled``.
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
        "Add those that are missing, or name the points: in Feature extraction, below the layer, "
        "or by its feature “name”. Equal names are one landmark.",
    )


def boxes_in(
    layer: Any,
    image: Any,
    *,
    axis: int,
    here: int,
    label: int | None = None,
    lead: tuple[int, ...] = (),
    level: int = 0,
) -> list[PromptBox]:
    """Boxes of a shapes layer in voxels of an image layer that is sliced along ``axis``.

    They are those round the shapes, cut at the edges of the image; shapes beside it, or of other
    time points, are left out. Shapes without the sliced axis lie on slice ``here``. Labels are of
    the feature ``label``, else ``label``, else each has its own, from 1 on.
    """
    from ..sam import PromptBox

    shape = shape_of(image, level)[-min(3, len(shape_of(image))) :]
    size = np.array(shape)
    columns = columns_of(layer.features)
    boxes = []
    for number, vertices in enumerate(layer.data):
        corners, inside = placed_in(layer, vertices, image, lead, level)
        if not inside.all():
            continue
        if len(shape) == 3 and layer.ndim < 3:
            corners[:, 0] = here
        low, high = corners.min(axis=0), corners.max(axis=0)
        across = np.arange(len(shape)) != (axis if len(shape) == 3 else -1)
        low[~across], high[~across] = np.round(low[~across]), np.round(high[~across])
        # Pixels reach half a pixel round their middle; a box names those at its edges.
        low[across] += 0.5
        high[across] = np.maximum(high[across] - 0.5, low[across])
        if (low > size - 0.5).any() or (high < -0.5).any():
            continue
        low, high = (np.clip(corner, 0, size - 1) for corner in (low, high))
        own = _label(columns, number, layer.name)
        value = own or (number + 1 if label is None else label)
        boxes.append(PromptBox(value, tuple(low.tolist()), tuple(high.tolist())))
    return boxes


def _value(columns: Mapping[str, list[Any]], key: str, row: int) -> Any:
    value = columns[key][row] if key in columns else None
    return None if is_missing(value) else value


def _label(columns: Mapping[str, list[Any]], row: int, layer_name: str) -> int | None:
    given = _value(columns, "label", row)
    if given is None:
        return None
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not value.is_integer() or value < 1:
        raise InputError(f"{layer_name}, feature label", "hold whole numbers of at least 1", given)
    return int(value)


def _number(name: str) -> int:
    return int(name.rsplit(maxsplit=1)[-1])


def _folded(name: str) -> str:
    return name.strip().casefold()
