"""Templates out of layers: what is known, taken on the GUI thread, merged image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ...errors import InputError
from ...templates import Template
from ...types import Array, Landmark, Volume
from ..layers import image_volume
from .landmarks import named_points
from .slicing import Key, Slicing
from .teaching import Teaches
from .templates import BACKGROUND, TemplateEntry

__all__ = ["snapshot"]

VolumeOf = Callable[[Any, Key, int], Volume]


@dataclass
class _Known:
    """What is known of one image along one axis."""

    volume: Volume
    slicing: Slicing
    dense: dict[int, Array] = field(default_factory=dict)
    scribbles: dict[int, Array] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def snapshot(
    entries: Sequence[TemplateEntry], volume: VolumeOf = image_volume
) -> tuple[list[Template], dict[int, int]]:
    """Take templates of all that is known now; layers may change afterwards.

    ``volume`` gives that of an image layer, at a place of its leading axes and on a level. Where
    two layers know a slice of an image, the later counts. Returned too: labels of landmarks that
    gave way to painted ones, value here to value in the layer. InputError if nothing is known.
    """
    volume_of = cache(volume)  # the same object each time: templates of one are joined
    known: dict[tuple[int, Key, int, int], _Known] = {}
    for entry in entries:
        for place, slices in entry.taught().items() if entry.kind != "points" else ():
            key = (id(entry.image), place, entry.level, entry.slicing.axis)
            known_of = known.setdefault(
                key, _Known(volume_of(entry.image, place, entry.level), entry.slicing)
            )
            _gather(known_of, entry, slices)
    templates = [template for one in known.values() for template in _templates(one)]
    names: dict[int, str] = {}
    for one in known.values():
        painted = (np.unique(plane) for plane in (*one.dense.values(), *one.scribbles.values()))
        values = {int(v) for found in painted for v in found} - {0, BACKGROUND}
        names |= {v: one.names.get(v, str(v)) for v in (*values, *one.names)}
    points, renumbered = _point_templates(entries, volume_of, names)
    if not templates and not points:
        raise InputError(
            "templates",
            "have a painted or reviewed slice, or a point",
            "nothing painted",
            "Paint a slice of a Labels layer, or mark an empty one as reviewed.",
        )
    return [*templates, *points], renumbered


def _gather(known: _Known, entry: TemplateEntry, slices: dict[Key, Teaches]) -> None:
    provenance = entry.provenance
    known.names.update(entry.names())
    if provenance is None:
        return
    if not provenance.fits:
        raise InputError(
            f"layer {entry.labels.name}",
            f"keep its shape {entry.slicing.shape}",
            np.shape(provenance.data),
            "Remove the template and add it again.",
        )
    for key, what in slices.items():
        k = key[-1]
        if what == "whole":
            known.dense[k] = entry.values(key)
            known.scribbles.pop(k, None)
            continue
        part = entry.scribbles(key)
        if part is None:
            continue
        if k in known.dense:
            known.dense[k] = np.where(part != 0, np.maximum(part, 0), known.dense[k])
        else:
            known.scribbles[k] = np.where(part != 0, part, known.scribbles.get(k, 0))


def _templates(known: _Known) -> Iterator[Template]:
    volume = known.volume
    for planes, dense in ((known.dense, True), (known.scribbles, False)):
        if not planes:
            continue
        yield Template(
            volume,
            planes,
            slices=sorted(planes) if dense else None,
            axis=None if volume.ndim == 2 else known.slicing.axis,
            names=known.names,
            kind="dense" if dense else "scribble",
            background=BACKGROUND,
        )


def _point_templates(
    entries: Sequence[TemplateEntry],
    volume_of: VolumeOf,
    taken: dict[int, str],
) -> tuple[list[Template], dict[int, int]]:
    found: list[Template] = []
    renumbered: dict[int, int] = {}
    values: dict[tuple[int, str], int] = {}
    gathered = named_points(entries, taken.values())
    free = max([*taken, *(mark.label for _, _, marks in gathered for mark in marks)], default=0) + 1
    for entry, place, own in gathered:
        volume = volume_of(entry.image, place, entry.level)
        marks = []
        for mark in own:
            key = (mark.label, mark.name.strip().casefold())
            value = values.get(key)
            if value is None:
                value = mark.label
                if taken.get(value, mark.name) != mark.name:
                    value, free = free, free + 1
                    renumbered[value] = mark.label
                values[key] = value
            marks.append(Landmark(mark.name, value, mark.position))
        axis = None if volume.ndim == 2 else entry.slicing.axis
        found.append(Template(volume, points=marks, axis=axis))
    return found, renumbered
