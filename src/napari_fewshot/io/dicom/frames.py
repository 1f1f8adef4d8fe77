"""Where the frames of a DICOM segmentation lie, by their functional groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...types import Array

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["FrameGrid", "grid_of_frames", "segments_of_frames"]

# Fraction of the distance of slices by which a frame may lie off its place.
_TOLERANCE = 0.1
_COSINE = 1e-3
# Frames that are no more mm apart are of one slice.
_SMALLEST_GAP = 1e-3


@dataclass(frozen=True, eq=False)
class FrameGrid:
    """The grid that frames lie on: the slice of each, how many there are, and where.

    ``affine`` is the RAS one of the array index; None where frames have no position, which then
    are one slice. ``is_loose``: the file does not say how far slices are apart, so that there may
    be more between them.
    """

    slices: tuple[int, ...]
    count: int
    affine: Array | None
    spacing: tuple[float, float, float]
    is_loose: bool = False


def segments_of_frames(dataset: Dataset) -> list[int]:
    """Segment number of each frame."""
    frames = dataset.PerFrameFunctionalGroupsSequence
    return [
        int(_group(dataset, frame, "SegmentIdentification").ReferencedSegmentNumber)
        for frame in frames
    ]


def grid_of_frames(path: Path, dataset: Dataset) -> FrameGrid:
    """Put frames on a grid; slices without a frame, between others, are there too.

    Raises
    ------
    InputError
        If frames are turned to each other, or lie on no grid.
    """
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    places = [_group(dataset, frame, "PlanePosition") for frame in frames]
    turns = [_group(dataset, frame, "PlaneOrientation") for frame in frames]
    measures = _group(dataset, frames[0], "PixelMeasures")
    rows, columns = map(float, getattr(measures, "PixelSpacing", None) or (1.0, 1.0))
    if any(one is None for one in (*places, *turns)):
        if len(frames) > len(dataset.SegmentSequence):
            given = f"{len(frames)} frames without a position"
            raise InputError(str(path), "say where its frames lie", given)
        return FrameGrid((0,) * len(frames), 1, None, (1.0, rows, columns))
    positions = np.array([place.ImagePositionPatient for place in places], np.float64)
    orientations = np.array([turn.ImageOrientationPatient for turn in turns], np.float64)
    if np.abs(orientations - orientations[0]).max() > _COSINE:
        given = "frames that are turned to each other"
        raise InputError(str(path), "hold frames of one orientation", given)
    along_row, along_column = orientations[0, :3], orientations[0, 3:]
    normal = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)
    distances = positions @ normal
    first = positions[distances.argmin()]
    step, is_said = _step(path, distances - distances.min(), measures)
    slices = np.rint((distances - distances.min()) / step).astype(int)
    last = int(slices.max())
    across = (positions[slices.argmax()] - first) / last if last else normal * step
    off = np.linalg.norm(positions - first - slices[:, None] * across, axis=1)
    if off.max() > _TOLERANCE * step:
        given = f"frames up to {off.max():.3g} mm off their places"
        raise InputError(str(path), "hold evenly spaced frames", given)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([across, along_column * rows, along_row * columns], axis=1)
    affine[:3, 3] = first
    affine[:2] *= -1  # LPS to RAS
    affine[affine == 0] = 0.0
    size = float(np.linalg.norm(across))
    return FrameGrid(tuple(map(int, slices)), last + 1, affine, (size, rows, columns), not is_said)


def _step(path: Path, distances: Array, measures: Any) -> tuple[float, bool]:
    """Distance of slices along their normal, and whether the file says it.

    Else it is that of the nearest ones, or their thickness where that alone fits.
    """
    said, thickness = (
        abs(float(getattr(measures, name, None) or 0))
        for name in ("SpacingBetweenSlices", "SliceThickness")
    )
    gaps = np.diff(np.unique(distances))
    apart = gaps[gaps > _SMALLEST_GAP]
    known = [said, float(apart.min())] if len(apart) else [said]
    for step in (*known, thickness):
        whole = np.rint(distances / step) if step > 0 else distances
        if step > 0 and np.abs(distances - whole * step).max() <= _TOLERANCE * step:
            return step, step == said
    if not len(apart):
        return 1.0, False
    given = f"frames {apart.min():.4g} to {apart.max():.4g} mm apart"
    raise InputError(str(path), "hold evenly spaced frames", given)


def _group(dataset: Dataset, frame: Dataset, name: str) -> Any:
    """Functional group of a frame, or that which all frames share; None if there is none."""
    shared: Sequence[Any] = getattr(dataset, "SharedFunctionalGroupsSequence", None) or ()
    for one in (frame, *shared):
        found = getattr(one, f"{name}Sequence", None)
        if found:
            return found[0]
    return None
