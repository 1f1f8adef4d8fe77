"""Along which axis slices are cut: as a caller says, or as a person painted."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry import PLANES, Frame
from ..types import Array, Volume

__all__ = [
    "check_painted_axis",
    "file_axis",
    "likely_axis",
    "painted_axis",
    "painted_slices",
    "resolve_axis",
    "working_axis",
]

_NEARLY_ALL = 0.75  # of the slices between the first and the last
_FEW = 1 / 3  # of all slices
_LONGEST_RUN = 4  # neighbouring slices that a person paints before leaving a gap


def working_axis(volume: Volume, axis: int | str | None, default: int = 0) -> int:
    """Canonical axis along which a caller wants the slices of a volume; 0 for a 2D image.

    A number counts in file order, ``"axial"``, ``"coronal"`` and ``"sagittal"`` are meant in the
    patient; None is ``default``, which is canonical. :class:`InputError` if the axis is none of the
    volume's.
    """
    if volume.ndim == 2:
        return 0
    if axis is None:
        return default
    return resolve_axis(axis, Frame.of(volume.affine, volume.ndim), volume.ndim)


def file_axis(volume: Volume, axis: int | str | None) -> int:
    """Axis of the slices in file order, as :func:`working_axis`.

    None: axial where the file says how it lies, else the first.
    """
    return Frame.of(volume.affine, volume.ndim).file_axis(working_axis(volume, axis))


def resolve_axis(axis: int | str, frame: Frame, ndim: int) -> int:
    """Find the canonical axis that a caller means.

    A number (also as a string of digits) counts in the file order (Z, Y, X); ``"axial"``,
    ``"coronal"`` and ``"sagittal"`` are meant in the patient. :class:`InputError` if the number is
    out of range, the name is unknown, or a name is given for a file without orientation.
    """
    numbers = f"0..{ndim - 1}"
    if isinstance(axis, str) and len(axis) < 9 and axis.strip().lstrip("+-").isdecimal():
        axis = int(axis)
    if isinstance(axis, str):
        return _named_axis(axis, frame, numbers)
    if type(axis) is bool or not hasattr(axis, "__index__") or not 0 <= axis < ndim:
        remedy = "It counts from 0 in the order of the file (Z, Y, X)."
        raise InputError(
            "axis", f"be a number {numbers} or one of {', '.join(PLANES)}", axis, remedy
        )
    return frame.canonical_axis(int(axis))


def _named_axis(name: str, frame: Frame, numbers: str) -> int:
    if name not in PLANES:
        raise InputError("axis", f"be a number {numbers} or one of {', '.join(PLANES)}", name)
    if not frame.oriented:
        raise InputError(
            "axis",
            f"be a number {numbers} for a file without orientation",
            name,
            "Count the axes from 0 in the order of the file (Z, Y, X); slices of a stack lie "
            "along axis 0.",
        )
    return PLANES[name]


def check_painted_axis(painted: Array, said: int | str, axis: int, frame: Frame) -> None:
    """Refuse a file axis, which a caller ``said``, across the slices that were painted.

    ``painted`` is an array (Z, Y, X), 0 where nothing is. Every slice along such an axis would be
    cut by paint, and what nobody looked at be background.
    """
    slices = painted_slices(painted)
    likely = likely_axis(slices, axis)
    if likely == axis:
        return
    here, there = (np.flatnonzero(slices[one]) for one in (axis, likely))
    few = len(there) <= _FEW * painted.shape[likely] or not _are_nearly_all(there)
    if few and _are_nearly_all(here):
        cut, chosen = (
            f"{len(found)} of {painted.shape[one]} slices along "
            + frame.plane_name(frame.canonical_axis(one))
            for one, found in ((axis, here), (likely, there))
        )
        raise InputError(
            "axis",
            "be the one along which slices are painted",
            f"{said}, where the paint is on {cut}, but on {chosen}",
            f"It is probably {likely}: axes count from 0 in file order (Z, Y, X). Where each "
            "of these slices is complete, give the known slices too: painted, or numbers.",
        )


def painted_axis(labels: Array, default: int) -> int:
    """Guess along which array axis slices were painted.

    A person who paints slices leaves gaps between them, or paints few: the axis with gaps
    between short runs of painted slices, else the one with far fewer painted slices than the
    others (a third, or a single one), else ``default`` (a label map of the whole volume).
    """
    return likely_axis(painted_slices(labels), default)


def painted_slices(labels: Array) -> tuple[Array, ...]:
    """Whether each slice along each axis of labels (Z, Y, X) has paint: three bool arrays.

    Memory is read once, in its order, and slices without paint but once.
    """
    found = tuple(np.zeros(n, dtype=bool) for n in labels.shape)
    for k, plane in enumerate(labels):
        if not np.count_nonzero(plane):
            continue
        painted = plane != 0
        found[0][k] = True
        found[1][:] |= painted.any(axis=1)
        found[2][:] |= painted.any(axis=0)
    return found


def likely_axis(painted: tuple[Array, ...], default: int) -> int:
    """As :func:`painted_axis`, out of what :func:`painted_slices` gave."""
    if not painted[0].any():
        return default
    counts, gaps = [], []
    for along in painted:
        indices = np.flatnonzero(along)
        counts.append(len(indices))
        runs = 1 + int((np.diff(indices) > 1).sum())
        is_organ = len(indices) > _LONGEST_RUN * runs  # a gap between two kidneys, say
        gaps.append(0.0 if is_organ else 1 - len(indices) / (indices[-1] - indices[0] + 1))
    order = np.argsort(gaps)[::-1]
    if gaps[order[0]] > 0.3 and gaps[order[0]] > 1.5 * gaps[order[1]]:
        return int(order[0])
    by_count = np.argsort(counts)
    fewest, next_fewest = counts[by_count[0]], counts[by_count[1]]
    if fewest * 3 <= next_fewest or fewest == 1 < next_fewest:
        return int(by_count[0])
    return default


def _are_nearly_all(indices: Array) -> bool:
    """Whether sorted indices leave few gaps."""
    return bool(len(indices) >= _NEARLY_ALL * (indices[-1] - indices[0] + 1))
