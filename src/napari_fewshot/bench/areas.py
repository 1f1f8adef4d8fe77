"""Where labels are in a case, kept beside the results: slices are chosen without reading images."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..io.outputs import replacing
from ..types import Array
from .config import BenchmarkConfig
from .datasets import Case
from .fingerprints import Fingerprints
from .prepare import PreparedCase

__all__ = ["AreaStore", "CaseAreas"]

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class CaseAreas:
    """Pixels of each label on each slice of a case.

    Parameters
    ----------
    case : str
    slices : int
        Along the working axis.
    areas : dict of int to array, shape (N,)
        Of landmarks, their number.
    mapped : bool
        Whether they are of a label map: then slices without labels are known to be empty.
    names : dict of int to str
        Of landmarks.
    """

    case: str
    slices: int
    areas: dict[int, Array]
    mapped: bool = True
    names: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, case: PreparedCase) -> CaseAreas:
        """Areas of a case in memory."""
        mapped = case.truth is not None
        names = {} if mapped else {point.label: point.name for point in case.landmarks}
        return cls(case.name, case.slices, case.areas, mapped, names)


class AreaStore:
    """Areas of cases on disk, by the content of their files and the settings that they hang on.

    Parameters
    ----------
    folder : Path
        Of the benchmark; they lie in ``areas`` below it.
    config : BenchmarkConfig
    fingerprints : Fingerprints
    """

    def __init__(self, folder: Path, config: BenchmarkConfig, fingerprints: Fingerprints) -> None:
        self._folder, self._fingerprints = folder / "areas", fingerprints
        self._common = {
            "format": _FORMAT,
            "axis": config.dataset.axis,
            "options": config.dataset.model_dump(mode="json")["options"],
            "spacing": [config.image.spacing, config.image.resample],
            "labels": config.labels.model_dump(mode="json"),
            "landmarks": config.landmarks and config.landmarks.model_dump(mode="json"),
        }

    def read(self, case: Case) -> CaseAreas | None:
        """Return what is kept of a case; None where nothing is, or it is damaged."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            content = json.loads(self.path(case).read_text("utf-8"))
            slices = int(content["slices"])
            areas = {}
            for value, line in content["areas"].items():
                areas[int(value)] = np.zeros(slices, np.int64)
                for index, pixels in line.items():
                    areas[int(value)][int(index)] = pixels
            names = {int(value): str(name) for value, name in content["names"].items()}
            return CaseAreas(case.name, slices, areas, bool(content["mapped"]), names)
        return None

    def write(self, case: Case, found: CaseAreas) -> None:
        """Keep the areas of a case."""
        content = {
            "case": case.name,
            "slices": found.slices,
            "mapped": found.mapped,
            "names": found.names,
            "areas": {
                value: {int(k): int(line[k]) for k in np.flatnonzero(line)}
                for value, line in found.areas.items()
            },
        }
        with replacing(self.path(case)) as part:
            part.write_text(json.dumps(content) + "\n", "utf-8")

    def path(self, case: Case) -> Path:
        """File of a case."""
        content = {**self._common, "case": case.name, "files": self._fingerprints.of(case.files)}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{digest[:24]}.json"
