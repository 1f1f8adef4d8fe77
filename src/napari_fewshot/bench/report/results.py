"""The scores that a report compares, and how complete they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import FewShotError
from ..config import BenchmarkConfig, Shot
from ..datasets import Case
from ..plan import Selection, Unit
from ..records import Record
from ..runner import Benchmark
from .tidy import Row, tidy_rows

__all__ = ["Coverage", "LengthUnit", "Results", "coverage_of", "length_unit"]

LengthUnit = Literal["mm", "px", "mm or px"]


@dataclass(frozen=True)
class Coverage:
    """How many of the pairs of a case and a seed have scores.

    Parameters
    ----------
    done, planned : int
    """

    done: int
    planned: int

    @property
    def whole(self) -> bool:
        """Whether all have."""
        return self.done == self.planned

    def mark(self, name: str) -> str:
        """Return the name of a method, with what it lacks."""
        return name if self.whole else f"{name} ({self.done} of {self.planned} cases × seeds)"


@dataclass(frozen=True, eq=False)
class Results:
    """Scores of a benchmark.

    Parameters
    ----------
    config : BenchmarkConfig
    rows : sequence of dict
        Those that are there.
    coverage : mapping
        Of each method and shot that is planned.
    unit : {"mm", "px", "mm or px"}
        What distances are in.
    """

    config: BenchmarkConfig
    rows: Sequence[Row]
    coverage: Mapping[tuple[str, Shot], Coverage]
    unit: LengthUnit = "mm"

    @classmethod
    def of(cls, benchmark: Benchmark) -> Results:
        """What is finished of a benchmark."""
        pairs = benchmark.records.all(benchmark.units)
        unit = length_unit(benchmark.selection)
        return cls(benchmark.config, tidy_rows(pairs), coverage_of(benchmark.units, pairs), unit)

    def part(self, method: str, shot: Shot) -> list[Row]:
        """Rows of a method and shot."""
        return [row for row in self.rows if row["method"] == method and row["shot"] == shot]

    def methods(self, shot: Shot) -> list[str]:
        """Methods that are planned for a shot."""
        names = (method.name for method in self.config.methods)
        return [name for name in names if (name, shot) in self.coverage]

    def whole(self, method: str, shot: Shot) -> bool:
        """Whether a method has all scores that are planned for a shot."""
        found = self.coverage.get((method, shot))
        return found is not None and found.whole

    def marked(self, method: str, shot: Shot) -> str:
        """Name of a method, with what it lacks."""
        return self.coverage[method, shot].mark(method)


def coverage_of(
    units: Sequence[Unit], pairs: Sequence[tuple[Unit, Record]]
) -> dict[tuple[str, Shot], Coverage]:
    """Count what is planned and what is scored, for each method and shot."""
    scored = {unit for unit, record in pairs if not record.error}
    groups: dict[tuple[str, Shot], list[bool]] = {}
    for unit in units:
        groups.setdefault((unit.method, unit.shot), []).append(unit in scored)
    return {key: Coverage(sum(found), len(found)) for key, found in groups.items()}


def length_unit(selection: Selection) -> LengthUnit:
    """Find out whether images say how large their pixels are; the first of each kind is read.

    Sizes of 1 without an orientation are what a file without sizes is read as. Where they are
    meant all the same, millimetres and pixels are the same numbers.
    """
    kinds: dict[str, Case] = {}
    for case in selection.scored:
        kinds.setdefault(_ending(case), case)
    found = set()
    for case in kinds.values():
        try:
            image = case.image()
        except (FewShotError, OSError):
            return "mm or px"
        found.add(image.affine is not None or any(size != 1 for size in image.spacing))
    if len(found) != 1:
        return "mm or px"
    return "mm" if found.pop() else "px"


def _ending(case: Case) -> str:
    """Ending of the file of the image; none of a folder, such as a DICOM series."""
    return case.files[0].suffix if case.files and case.files[0].is_file() else ""
