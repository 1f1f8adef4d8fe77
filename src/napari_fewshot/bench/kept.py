"""What is kept of a prediction for the figures of a report: a few slices of labels, and points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..errors import FewShotError
from ..io import read_labels
from ..io.checks import LARGEST_LABEL, fitting_dtype
from ..io.outputs import replacing
from ..types import Array, Landmark
from .methods import Predicted
from .plan import Unit
from .prepare import PreparedCase
from .records import Records, prediction_files
from .scoring import points_of

__all__ = ["FOREGROUND", "KeptSlices", "evenly", "fullest"]

FOREGROUND = LARGEST_LABEL
"""All structures as one, where they have several labels; rows of scores have 0 for it."""


def evenly(first: int, last: int, n: int) -> list[int]:
    """At most ``n`` of the numbers from first to last, at equal distances."""
    width = (last - first + 1) / n
    return sorted({int(first + (part + 0.5) * width) for part in range(n)})


def fullest(case: PreparedCase, among: Iterable[int]) -> int:
    """Of some slices, the one with the most labelled pixels, or landmarks, by the truth."""
    total: Counter[int] = Counter()
    for line in case.areas.values():
        total.update(line)
    return max(among, key=lambda index: total[index])


@dataclass(frozen=True, eq=False)
class KeptSlices:
    """Slices of a prediction, in file order along the working axis.

    ``planes`` are their labels, shape (N, H, W); None where landmarks were predicted. Landmarks are
    those of the whole case.
    """

    slices: tuple[int, ...]
    planes: Array | None
    landmarks: tuple[Landmark, ...] = ()

    @classmethod
    def of(
        cls,
        found: Predicted,
        case: PreparedCase,
        painted: Sequence[int],
        count: int,
        region: int = FOREGROUND,
    ) -> KeptSlices:
        """Take ``count`` slices at equal distances, and the fullest that was not painted.

        Labels whose numbers mean nothing become one of the number ``region``.
        """
        if case.landmarks:
            return cls((), None, tuple(points_of(found, case)))
        unseen = sorted(set(range(case.slices)) - set(painted))
        best = [fullest(case, unseen)] if unseen else []
        wanted = sorted({*evenly(0, case.slices - 1, count), *best})
        if found.labels is None:
            return cls(tuple(wanted), None)
        planes = _stack(found, case)[wanted]
        if found.scored != "labels":
            planes = np.where(planes > 0, np.int32(region), 0)
        return cls(tuple(wanted), planes)

    def labels(self, index: int) -> Array | None:
        """Labels of a slice, shape (H, W); None where they were not kept."""
        if self.planes is None or index not in self.slices:
            return None
        return np.asarray(self.planes[self.slices.index(index)])

    def write(self, path: Path) -> None:
        """Write a compressed npz."""
        points, planes = self.landmarks, self.planes
        planes = np.empty((0, 0, 0), np.uint8) if planes is None else planes
        with replacing(path) as part, part.open("wb") as stream:
            np.savez_compressed(
                stream,
                slices=np.array(self.slices, np.int64),
                planes=planes.astype(fitting_dtype(planes)),
                names=np.array([point.name for point in points], np.str_),
                numbers=np.array([point.label for point in points], np.int64),
                positions=np.array([point.position for point in points]).reshape(-1, 3),
            )

    @classmethod
    def read(cls, folder: Path, unit: Unit, case: PreparedCase) -> KeptSlices | None:
        """Read what a benchmark kept of a unit: slices, or a whole label map; None of nothing."""
        path = Records(folder).kept_path(unit)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = dict(file)
            points = zip(arrays["names"], arrays["numbers"], arrays["positions"], strict=True)
            landmarks = tuple(
                Landmark(str(name), int(label), (float(z), float(y), float(x)))
                for name, label, (z, y, x) in points
            )
            planes = None if case.landmarks else arrays["planes"]
            kept = cls(tuple(arrays["slices"].tolist()), planes, landmarks)
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):  # none, or damaged
            return cls._of_file(prediction_files(folder, unit)[case.image.ndim == 2], case)
        return kept if case.landmarks or kept._fits(case) else None

    @classmethod
    def _of_file(cls, path: Path, case: PreparedCase) -> KeptSlices | None:
        try:
            labels = read_labels(path).data if path.is_file() else None
        except FewShotError:
            return None
        if labels is None or labels.shape != case.image.shape[: labels.ndim]:
            return None
        found = Predicted(labels)
        if case.landmarks:
            return cls((), None, tuple(points_of(found, case)))
        return cls(tuple(range(case.slices)), _stack(found, case))

    def _fits(self, case: PreparedCase) -> bool:
        return self.planes is not None and (
            self.planes.shape == (len(self.slices), *case.planes.shape[1:])
            and all(0 <= index < case.slices for index in self.slices)
        )


def _stack(found: Predicted, case: PreparedCase) -> Array:
    """Predicted labels as slices along the working axis."""
    labels = np.asarray(found.labels)
    return labels[None] if labels.ndim == 2 else np.moveaxis(labels, case.axis, 0)
