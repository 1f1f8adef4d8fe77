"""Scores of a label map in a file against the truth in another one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io import check_match, read_labels
from ..io.formats import absolute
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
    """

    pred: Path
    truth: Path
    painted: Path | None = None
    labels: tuple[int, ...] | None = None
    axis: str | None = None

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
        pred, truth = read_labels(self.pred), read_labels(self.truth)
        check_match(truth, pred)
        axis, exclude = file_axis(truth, self.axis), None
        if self.painted is not None:
            axis, exclude = excluded_slices(self.painted, truth, self.axis)
        return evaluate_labels(
            pred.data,
            truth.data,
            truth.spacing,
            labels=self.labels,
            names={**pred.names, **truth.names},
            exclude=None if exclude is None else (axis, exclude),
            axis=axis,
        )


def excluded_slices(path: Path, truth: Volume, given: str | None) -> tuple[int, list[int]]:
    """Axis in file order, and the slices along it that are painted in a label map."""
    painted = read_labels(path)
    check_match(truth, painted)
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
