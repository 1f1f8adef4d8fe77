"""Scores of a predicted label map against the truth: overlap, surfaces, empty slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..types import Array, Volume
from .contingency import PairCounts, compact_labels, count_pairs, present_labels, rand_indices
from .scores import LabelScore, LabelScores, MeanScores

__all__ = ["Exclusion", "evaluate_labels"]

Exclusion = Array | tuple[int, Sequence[int]]
"""A mask of voxels to leave out, or ``(axis, indices)`` of slices to leave out."""


def evaluate_labels(
    pred: Volume | npt.ArrayLike,
    truth: Volume | npt.ArrayLike,
    spacing: Sequence[float] | None = None,
    *,
    labels: Iterable[int] | None = None,
    names: Mapping[int, str] | None = None,
    exclude: Exclusion | None = None,
    axis: int = 0,
) -> LabelScores:
    """Compare a predicted label map with the truth.

    Parameters
    ----------
    pred, truth : Volume or array, shape (Z, Y, X) or (Y, X), integers of at least 0 or bool
        0 is background. A 2D image counts as one slice, number 0 of axis 0.
    spacing : sequence of float, optional
        mm, one for each axis, in array order. None: that of a Volume, of ``truth`` first.
    labels : iterable of int, optional
        Labels to score; by default all that the truth or the prediction has (in the whole
        arrays, excluded voxels too).
    names : mapping of int to str, optional
        Names of label values, for the rows. None: those of a Volume.
    exclude : bool array of the shape of ``truth``, or tuple of (axis, indices), optional
        Voxels or slices that do not count, such as those of the templates. For ASSD the
        surfaces are those of the whole masks; surface voxels that are excluded are there to
        be near to, but their own distances do not count.
    axis : int
        Axis whose slices are looked at for emptiness. A slice counts when it has a compared
        voxel, and is empty when its compared voxels are.

    Returns
    -------
    LabelScores

    Raises
    ------
    InputError
        If shapes differ or have not two or three axes, values are no integers or are below
        0, or another argument does not fit them.

    Notes
    -----
    Undefined cases. *Neither has the label*: there is nothing to overlap, so IoU, Dice,
    precision, recall and ASSD are nan, and the label does not enter the means; that it was
    rightly left out shows in the share of empty slices. *Only the prediction has it*: IoU,
    Dice and precision are 0, recall and ASSD nan. *Only the truth has it*: IoU, Dice and
    recall are 0, precision and ASSD nan. Means are over the labels for which a score is
    defined; the ASSD of a label that was missed is not there to be averaged, so read it
    beside ``mean.with_surface`` and ``mean.scored``. Nothing compared: every score is nan.

    Surface voxels are those with a face neighbour that does not have their label; the ASSD is
    the sum of the distances in both directions over their number. The Rand indices are over
    all compared voxels with all values, whichever ``labels`` are scored, and take background
    as one more cluster.
    """
    for volume in (one for one in (truth, pred) if isinstance(one, Volume)):
        spacing = volume.spacing if spacing is None else spacing
        names = volume.names if names is None else names
    pred, truth, spacing = _checked(pred, truth, spacing, axis)
    keep = _kept(truth.shape, exclude)
    if truth.ndim == 2:
        pred, truth, spacing = pred[None], truth[None], (1.0, *spacing)
        keep = None if keep is None else keep.reshape(truth.shape)
    present = np.union1d(present_labels(pred), present_labels(truth))
    scored = present if labels is None else _scored(labels)
    values = np.union1d(present, scored)
    pred, truth = compact_labels(pred, values), compact_labels(truth, values)
    pairs = count_pairs(pred, truth, len(values) + 1, axis, keep)
    distances = _surface_distances(pred, truth, spacing, len(values) + 1, keep)
    slices = _compared_slices(truth.shape, axis, keep)
    columns = np.searchsorted(values, scored) + 1
    rows = tuple(
        _score(int(label), (names or {}).get(int(label), ""), column, pairs, distances, slices)
        for label, column in zip(scored, columns, strict=True)
    )
    empty = _empty_slices(
        pairs.truth_by_slice[:, columns].sum(1), pairs.pred_by_slice[:, columns].sum(1), slices
    )
    rand, adjusted = rand_indices(pairs.table)
    return LabelScores(
        labels=rows,
        mean=_means(rows),
        rand_index=rand,
        adjusted_rand_index=adjusted,
        compared_voxels=int(pairs.table.sum()),
        **empty,
    )


def _score(
    label: int,
    name: str,
    column: int,
    pairs: PairCounts,
    distances: Array,
    slices: Array,
) -> LabelScore:
    in_truth, in_pred = pairs.truth_by_slice[:, column], pairs.pred_by_slice[:, column]
    hits = int(pairs.table[column, column])
    true, found = int(in_truth.sum()), int(in_pred.sum())
    return LabelScore(
        label=label,
        name=name,
        truth_voxels=true,
        pred_voxels=found,
        iou=_ratio(hits, true + found - hits),
        dice=_ratio(2 * hits, true + found),
        precision=_ratio(hits, found),
        recall=_ratio(hits, true),
        assd_mm=float(distances[column]) if true and found else math.nan,
        **_empty_slices(in_truth, in_pred, slices),
    )


def _empty_slices(in_truth: Array, in_pred: Array, slices: Array) -> dict[str, Any]:
    """Scores of the compared ``slices`` in which the truth has no voxel."""
    false = in_pred[slices & (in_truth == 0)]
    kept = int((false == 0).sum())
    return {
        "empty_slices": false.size,
        "empty_slices_kept": kept,
        "false_voxels": int(false.sum()),
        "empty_kept": _ratio(kept, false.size),
    }


def _means(rows: Sequence[LabelScore]) -> MeanScores:
    def mean(values: Iterable[float]) -> float:
        defined = [value for value in values if not math.isnan(value)]
        return math.fsum(defined) / len(defined) if defined else math.nan

    return MeanScores(
        iou=mean(row.iou for row in rows),
        dice=mean(row.dice for row in rows),
        precision=mean(row.precision for row in rows),
        recall=mean(row.recall for row in rows),
        assd_mm=mean(row.assd_mm for row in rows),
        empty_kept=mean(row.empty_kept for row in rows),
        scored=sum(not math.isnan(row.dice) for row in rows),
        with_surface=sum(not math.isnan(row.assd_mm) for row in rows),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _checked(
    pred: Volume | npt.ArrayLike,
    truth: Volume | npt.ArrayLike,
    spacing: Sequence[float] | None,
    axis: int,
) -> tuple[Array, Array, tuple[float, ...]]:
    arrays = []
    for parameter, given in (("pred", pred), ("truth", truth)):
        array = np.asarray(given.data if isinstance(given, Volume) else given)
        if array.ndim not in (2, 3) or array.size == 0:
            raise InputError(parameter, "have two or three axes, none empty", str(array.shape))
        if array.dtype == bool:
            array = array.view(np.uint8)
        if array.dtype.kind not in "iu":
            raise InputError(parameter, "be an array of integers", f"dtype {array.dtype}")
        if array.dtype.kind == "i" and int(array.min()) < 0:
            raise InputError(
                parameter,
                "have values of at least 0",
                str(int(array.min())),
                "Voxels without a known label belong into exclude.",
            )
        arrays.append(array)
    shape = arrays[1].shape
    if arrays[0].shape != shape:
        raise InputError(
            "pred",
            f"have the shape of truth, {shape}",
            str(arrays[0].shape),
            "Compare label maps on the same grid.",
        )
    if spacing is None:
        raise InputError("spacing", "be given where neither label map is a Volume", "none")
    sizes = tuple(float(size) for size in spacing)
    if len(sizes) != len(shape) or not all(np.isfinite(s) and s > 0 for s in sizes):
        raise InputError("spacing", f"be {len(shape)} finite values above 0 mm", sizes)
    if axis not in (range(3) if len(shape) == 3 else (0,)):
        raise InputError("axis", f"be {'0, 1 or 2' if len(shape) == 3 else '0 in 2D'}", axis)
    return arrays[0], arrays[1], sizes


def _kept(shape: tuple[int, ...], exclude: Exclusion | None) -> Array | None:
    """Return the mask of compared voxels, None where all are."""
    if exclude is None:
        return None
    if isinstance(exclude, np.ndarray):
        if exclude.shape != shape or exclude.dtype != bool:
            given = f"shape {exclude.shape}, dtype {exclude.dtype}"
            raise InputError("exclude", f"be a mask of bool of shape {shape}", given)
        return np.logical_not(exclude)
    axis, indices = exclude
    volume = shape if len(shape) == 3 else (1, *shape)
    if axis not in (range(3) if len(shape) == 3 else (0,)):
        raise InputError("exclude", "name an axis of the arrays", axis)
    chosen = np.asarray(list(indices), dtype=np.int64)
    if chosen.size and not (0 <= int(chosen.min()) and int(chosen.max()) < volume[axis]):
        raise InputError("exclude", f"have slices in 0..{volume[axis] - 1}", str(list(indices)))
    line = np.ones(volume[axis], bool)
    line[chosen] = False
    column = line.reshape([-1 if number == axis else 1 for number in range(3)])
    # A view: a whole mask would cost a byte a voxel to say what a line says.
    return np.broadcast_to(column, volume)


def _scored(labels: Iterable[int]) -> Array:
    chosen = sorted({int(label) for label in labels})
    if chosen and chosen[0] < 1:
        raise InputError("labels", "be at least 1 (0 is background)", chosen[0])
    return np.array(chosen, np.int64)


def _compared_slices(shape: tuple[int, ...], axis: int, keep: Array | None) -> Array:
    if keep is None:
        return np.ones(shape[axis], bool)
    return np.array([keep.take(number, axis).any() for number in range(shape[axis])])


def _surface_voxels(labels: Array) -> Array:
    """Mark the voxels of each label that have a face neighbour of another value.

    Outside the array there is background, which has no surface. Axes of length 1 are not looked
    along, so that a single slice has outlines, not faces.
    """
    surface = np.zeros(labels.shape, bool)
    for axis, length in enumerate(labels.shape):
        if length == 1:
            continue
        here = np.moveaxis(labels, axis, 0)
        marks = np.moveaxis(surface, axis, 0)
        differs = here[1:] != here[:-1]
        marks[1:] |= differs
        marks[:-1] |= differs
        marks[0] = True
        marks[-1] = True
    surface &= labels != 0
    return surface


def _surface_distances(
    pred: Array, truth: Array, spacing: Sequence[float], size: int, keep: Array | None
) -> Array:
    """Return the average symmetric surface distance of each label.

    The distances of the surface voxels of the prediction to the true surface, and of the
    true ones to the predicted surface, are summed and divided by their number. Surfaces are
    those of the whole masks; surface voxels outside ``keep`` are there to be near to, but
    their own distances are not counted. Distances are those of voxel centres.

    Arrays are those of :func:`~.contingency.count_pairs`, ``spacing`` is in mm. The result has
    shape (size,); nan where either surface is missing, and for index 0.
    """
    from scipy.spatial import cKDTree

    result = np.full(size, np.nan)
    ours = _points_by_label(pred, spacing, size, keep)
    theirs = _points_by_label(truth, spacing, size, keep)
    for index in range(1, size):
        (points, counted), (true_points, true_counted) = ours[index], theirs[index]
        if len(points) == 0 or len(true_points) == 0:
            continue
        # Trees of surface points, not distance maps: their cost grows with the surface, not
        # with the box, which scattered false voxels make as large as the volume.
        outward = cKDTree(true_points).query(points[counted])[0]
        inward = cKDTree(points).query(true_points[true_counted])[0]
        number = outward.size + inward.size
        if number:
            result[index] = (outward.sum() + inward.sum()) / number
    return result


def _points_by_label(
    labels: Array, spacing: Sequence[float], size: int, keep: Array | None
) -> list[tuple[Array, Array]]:
    where = np.nonzero(_surface_voxels(labels))
    values = labels[where]
    order = np.argsort(values, kind="stable")
    points = np.stack(where, axis=1)[order] * np.asarray(spacing, float)
    counted = np.ones(len(order), bool) if keep is None else keep[where][order]
    ends = np.cumsum(np.bincount(values, minlength=size))[:-1]
    return list(zip(np.split(points, ends), np.split(counted, ends), strict=True))
