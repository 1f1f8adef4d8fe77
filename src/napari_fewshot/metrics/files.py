"""Scores of a label map in a file against the truth in another one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io import on_grid, read_labels_on
from ..io.formats import absolute
from ..io.matching import in_units_of
from ..io.parts import filled, widened
from ..io.volumes import read_labels_at
from ..slices.axis import file_axis, painted_axis
from ..types import Volume
from .labels import evaluate_labels
from .scores import LabelScores

__all__ = ["LabelMapPair", "excluded_slices"]


@dataclass(frozen=True)
class LabelMapPair:
    """A prediction, its truth, and what is scored of them.

    Parameters
    ----------
    pred, truth : Path
    painted : Path, optional
        Label map of the templates, whose slices are left out.
    labels : tuple of int, optional
        Labels to score; None: all that occur.
    axis : str, optional
        Axis of the slices; None: that of ``painted``, else axial, else 0.
    frame : int, optional
        Time point of label maps of four axes.
    """

    pred: Path
    truth: Path
    painted: Path | None = None
    labels: tuple[int, ...] | None = None
    axis: str | None = None
    frame: int | None = None

    def __str__(self) -> str:
        """Return the path of the prediction."""
        return str(self.pred)

    def absolute(self) -> LabelMapPair:
        """Return the same files, wherever a process has been started."""
        painted = None if self.painted is None else absolute(self.painted)
        return replace(self, pred=absolute(self.pred), truth=absolute(self.truth), painted=painted)

    def score(self) -> LabelScores:
        """Read both and compare them.

        Raises
        ------
        InputError
            If a file cannot be read, or they are on different grids.
        """
        pred, truth = (read_labels_at(path, self.frame) for path in (self.pred, self.truth))
        pred = widened(pred, truth)
        truth = filled(pred, truth)
        pred, truth = on_grid(truth, pred), in_units_of(truth, pred)
        axis, exclude = file_axis(truth, self.axis), None
        if self.painted is not None:
            axis, exclude = excluded_slices(self.painted, truth, self.axis, self.frame)
        return evaluate_labels(
            pred.data,
            truth.data,
            truth.spacing,
            labels=self.labels,
            names={**pred.names, **truth.names},
            exclude=None if exclude is None else (axis, exclude),
            axis=axis,
        )


def excluded_slices(
    path: Path, truth: Volume, given: str | None, frame: int | None = None
) -> tuple[int, list[int]]:
    """Axis in file order, and the slices along it that are painted in a label map."""
    painted = read_labels_on(truth, path, frame)
    if painted.ndim == 2:
        raise InputError("exclude_slices_of", "be a label map of a volume", "a 2D image")
    axis = file_axis(painted, given)
    if given is None:
        axis = painted_axis(painted.data, axis)
    slices = np.moveaxis(painted.data, axis, 0).any(axis=(1, 2))
    if slices.all():
        raise InputError(
            "exclude_slices_of", "leave slices to score", f"paint on all {painted.shape[axis]}"
        )
    return axis, [int(k) for k in np.flatnonzero(slices)]
