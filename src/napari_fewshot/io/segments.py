"""Segmentations of 3D Slicer: segments of several layers become one label map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..types import Array
from .checks import fitting_dtype

__all__ = ["Segment", "merged", "overlapping", "segments_in"]

_MAX_DIGITS = 9


@dataclass(frozen=True)
class Segment:
    """A segment: its value within its layer, which is a channel of the file."""

    name: str
    value: int
    layer: int


def segments_in(metadata: Mapping[str, str], layers: int) -> list[Segment]:
    """Segments that the fields of a file name, in its order; older versions give each a layer."""
    numbers = {
        int(key[len("Segment") : -len("_ID")])
        for key in metadata
        if key.startswith("Segment") and key.endswith("_ID") and _is_number(key[7:-3])
    }
    numbers |= {
        int(key[len("Segment") : -len("_Name")])
        for key in metadata
        if key.startswith("Segment") and key.endswith("_Name") and _is_number(key[7:-5])
    }
    found = []
    for order, number in enumerate(sorted(numbers)):
        field = f"Segment{number}_"
        own = order if layers > 1 else 0
        value = metadata.get(f"{field}LabelValue", "1" if layers > 1 else str(order + 1)).strip()
        layer = metadata.get(f"{field}Layer", str(own)).strip()
        if _is_number(value) and _is_number(layer) and int(value) > 0:
            name = metadata.get(f"{field}Name") or metadata.get(f"{field}ID", value)
            found.append(Segment(name, int(value), int(layer)))
    return found


def overlapping(path: Path, first: str, second: str, voxels: int) -> InputError:
    """Make the error for two segments that share voxels."""
    return InputError(
        str(path),
        "hold segments that do not overlap",
        f"{first} and {second}, which share {voxels} voxels",
        "A voxel has one label: remove the overlap, or export segments as files of their own.",
    )


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MAX_DIGITS


def merged(path: Path, data: Array, segments: Sequence[Segment]) -> tuple[Array, dict[int, str]]:
    """Put layers (the last axis) into one label map, with the names of its values.

    Values are those of the segments, or count from 1 in their order where two have the same.

    Raises
    ------
    InputError
        If segments overlap, or a layer has values that belong to none.
    """
    values = [segment.value for segment in segments]
    if len(set(values)) < len(values):
        values = list(range(1, len(segments) + 1))
    labels = np.zeros(data.shape[:-1], np.int32)
    left = [np.count_nonzero(data[..., layer]) for layer in range(data.shape[-1])]
    for value, segment in zip(values, segments, strict=True):
        if segment.layer >= data.shape[-1]:
            given = f"segment {segment.name} in layer {segment.layer} of {data.shape[-1]}"
            raise InputError(str(path), "hold the layers of its segments", given)
        inside = data[..., segment.layer] == segment.value
        shared = labels[inside]
        if shared.any():
            other = segments[values.index(int(shared[shared > 0][0]))]
            first, second = (f"{one.name} (layer {one.layer})" for one in (other, segment))
            raise overlapping(path, first, second, int(np.count_nonzero(shared)))
        labels[inside] = value
        left[segment.layer] -= int(np.count_nonzero(inside))
    if any(left):
        layer = next(k for k, count in enumerate(left) if count)
        given = f"{left[layer]} voxels of layer {layer} that belong to none"
        raise InputError(str(path), "name a segment for every value", given)
    names = {value: segment.name for value, segment in zip(values, segments, strict=True)}
    return labels.astype(fitting_dtype(labels)), names
