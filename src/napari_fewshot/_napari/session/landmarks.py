"""Points of all templates together: which of them are one landmark, and how they are called."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ...errors import InputError
from ...types import Landmark
from ..annotations import check_order, named, number_of
from ..layers import columns_of, is_missing, placed_in
from .slicing import Key
from .templates import TemplateEntry

__all__ = ["drawn_names", "give_name", "given_names", "named_points", "problem_of_points"]

_Points = list[tuple[TemplateEntry, Key, list[Landmark]]]


def named_points(entries: Sequence[TemplateEntry], taken: Collection[str]) -> _Points:
    """Points of each layer and place, with names: those of all layers of an image count on.

    InputError where other numbers of points without names are on other images.
    """
    given, filled, groups = _filled(entries, taken)
    # Points that were found have names: some of them may be corrected.
    whole = [k for k, group in enumerate(groups) if not all(e.placed_only for e, *_ in group)]
    titles = [f"{e.image.name}{f' at {place}' * bool(place)}" for (e, place, _), *_ in groups]
    parts = [titles[k] for k in whole], [given[k] for k in whole], [filled[k] for k in whole]
    check_order(*parts)
    return _split(groups, filled)


def problem_of_points(entries: Sequence[TemplateEntry]) -> str:
    """What is wrong with the points of all images together, for people; empty if nothing is."""
    try:
        named_points(entries, ())
    except InputError as error:
        return str(error)
    return ""


def drawn_names(entries: Sequence[TemplateEntry], layer: Any) -> list[str]:
    """What is drawn beside each point of a layer: its name, else its number in its image.

    ``entries`` are the templates, that of the layer among them.
    """
    texts = [""] * len(layer.data)
    taken = [name for entry in entries for name in entry.names().values()]
    _, filled, groups = _filled(entries, taken)
    for entry, place, marks in _split(groups, filled):
        if entry.labels is layer:
            _, here = placed_in(layer, layer.data, entry.image, place, entry.level)
            for row, mark in zip(np.flatnonzero(here), marks, strict=True):
                texts[row] = number_of(mark.name) or mark.name
    return texts


def given_names(layer: Any) -> list[str]:
    """Names that the points of a layer have; empty for those without."""
    names = columns_of(layer.features).get("name", [""] * len(layer.data))
    return ["" if is_missing(name) else str(name) for name in names]


def give_name(layer: Any, row: int, name: str) -> None:
    """Name a point of a points layer; an empty name takes it back."""
    table, before = layer.features.copy(), layer.feature_defaults
    names = given_names(layer)
    names[row] = name.strip()
    table["name"] = names
    layer.features = table
    # Else the next point would have the name of the last one.
    layer.feature_defaults = {**{c: before[c].iloc[0] for c in before}, "name": ""}


def _filled(
    entries: Sequence[TemplateEntry], taken: Collection[str]
) -> tuple[list[list[Landmark]], list[list[Landmark]], list[_Points]]:
    """Landmarks of each image as they are and with names, and the layers that they are of.

    Where a person marked points of an image, what was found in it teaches nothing.
    """
    images: dict[tuple[int, Key], _Points] = {}
    for entry in sorted(entries, key=lambda one: one.placed_only):
        for place in entry.taught() if entry.kind == "points" else ():
            group = images.setdefault((id(entry.image), place), [])
            if not entry.placed_only or not group:
                group.append((entry, place, entry.points(place)))
    groups = list(images.values())
    given = [[mark for _, _, own in group for mark in own] for group in groups]
    return given, named(given, taken), groups


def _split(groups: Sequence[_Points], filled: Sequence[Sequence[Landmark]]) -> _Points:
    """Landmarks of each image shared out to the layers that they are of."""
    found = []
    for group, marks in zip(groups, filled, strict=True):
        rest = iter(marks)
        found += [(entry, place, list(islice(rest, len(own)))) for entry, place, own in group]
    return found
