"""The fits of one method: templates are painted, cases predicted and scored, and records kept."""

from __future__ import annotations

import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import Cancelled
from ..features.cache import FeatureCache
from ..features.store import FeatureStore
from ..io import write_labels
from ..io.outputs import Outputs
from ..types import Progress
from .config import BenchmarkConfig
from .kept import FOREGROUND, KeptSlices
from .machine import describe_machine, peak_device_memory_mb, peak_memory_mb
from .methods import (
    METHODS,
    WORK_FILES,
    WORK_FOLDERS,
    Method,
    MethodContext,
    Oracle,
    Predicted,
)
from .pictures import draw_worst
from .plan import Fingerprints, Fit, Selection, Unit
from .prepare import PreparedCase, intensity_of, prepare_case
from .records import Record, Records
from .scoring import score_case
from .templates import AreaStore, CaseAreas, Painted, paint_across, paint_within

__all__ = ["Finished", "MethodRun", "Part", "method_context", "needs_no_templates"]

Finished = Callable[[Unit, Record], None]
"""``finished(unit, record)`` after each unit."""

_KEPT_BYTES = 10**9


def needs_no_templates(config: BenchmarkConfig, fit: Fit) -> bool:
    """Whether a method learns nothing, and the configuration says which labels are scored.

    Where labels are not listed, the templates do.
    """
    return METHODS.get(fit.method.method).oracle and config.labels.listed


def method_context(config: BenchmarkConfig, fit: Fit, folder: Path) -> MethodContext:
    """What a method is given for a fit, but for stores of features."""
    return MethodContext(
        seed=fit.seed,
        device=config.device,
        work=folder / "work" / fit.key,
        intensity=intensity_of(config.image),
        landmarks=config.landmarks is not None,
        per_label=config.landmarks.per_label if config.landmarks else 1,
    )


@dataclass(frozen=True)
class Part:
    """What a process needs to run fits of a benchmark, which is kept in a folder."""

    config: BenchmarkConfig
    selection: Selection
    folder: Path
    fingerprints: Fingerprints

    def of(self, fits: Sequence[Fit]) -> Part:
        """No more than what some fits need, to be sent far."""
        pool = self.selection.pool
        fingerprints = self.fingerprints.only(pool)
        return replace(self, selection=self.selection.of(fits), fingerprints=fingerprints)

    def areas(self) -> AreaStore:
        """What is kept of where labels are."""
        return AreaStore(self.folder, self.config, self.fingerprints)


class MethodRun:
    """Runs fits of one method and keeps a record of each unit, which is then told to ``finished``.

    What is known of a case is found again by its fingerprints, and files are written with
    ``outputs``. In its own process nothing else runs, so that its memory is that of the method.
    ``aside`` is a folder for the files of units, in place of that of the benchmark; then nothing is
    kept there but by whoever is told.
    """

    def __init__(
        self,
        part: Part,
        outputs: Outputs,
        finished: Finished,
        progress: Progress,
        *,
        own_process: bool = False,
        aside: Path | None = None,
    ) -> None:
        self.config, self.selection, self.folder = part.config, part.selection, part.folder
        self.records, self.written = Records(self.folder), Records(aside or self.folder)
        self._finished, self._progress = finished, progress
        self._own_process = own_process
        self._outputs = outputs
        keep, folder = self.config.features, self.folder
        self._store = FeatureStore(folder / "features") if keep == "disk" else None
        self._cache = None if keep == "none" else FeatureCache()
        self._prepared: OrderedDict[str, PreparedCase] = OrderedDict()
        self._areas: dict[str, CaseAreas] = {}
        self._kept_areas = part.areas()
        self._numbers: dict[str, int] = {}
        self._seen: set[str] = set()
        self._machine: dict[str, object] = {}

    def run(self, fit: Fit) -> None:
        """Run what is left of a fit; what fails is recorded and not raised."""
        pending = [unit for unit in fit.units if not self._done(unit)]
        if not pending:
            return
        self._machine = self._machine or describe_machine(self.config.device)
        with self._failing(pending):
            parts = self._painted(fit, pending[0].case)
            if len(parts) > 1:
                self._run_folds(fit, pending[0], parts)
            else:
                self._run_units(fit, pending, parts.pop())
        if all(self._done(unit) for unit in fit.units):
            _clear(self.folder / "work" / fit.key)

    def _done(self, unit: Unit) -> bool:
        return self.records.done(unit) or self.written.done(unit)

    @contextmanager
    def _failing(self, units: Sequence[Unit]) -> Iterator[None]:
        """Record what is raised within: whatever it is, the others go on."""
        try:
            yield
        except Cancelled:
            raise
        except Exception as error:
            record = Record.of_error(error, self._machine)
            for unit in units:
                if not self._done(unit):
                    self._write(unit, record)

    def _write(self, unit: Unit, record: Record) -> None:
        with self._outputs.writing():
            self.written.write(unit, record)
        self._finished(unit, record)

    def _run_units(self, fit: Fit, units: Sequence[Unit], painted: Painted) -> None:
        method, seconds = self._fitted(fit, painted)
        painted = replace(painted, templates=())  # what is not kept by the method is let go
        for unit in units:
            with self._failing([unit]):
                found, took = self._predicted(method, unit.case)
                record = Record(fit_seconds=seconds, predict_seconds=took)
                self._keep(unit, found, painted, record)

    def _run_folds(self, fit: Fit, unit: Unit, parts: Sequence[Painted]) -> None:
        """Every slice from the model that did not see it."""
        case = self.prepared(unit.case)
        labels = np.zeros(case.image.shape, np.int32)
        planes = np.moveaxis(labels, case.axis, 0)
        fitting = predicting = 0.0
        for part in parts:
            method, seconds = self._fitted(fit, part)
            found, took = self._predicted(method, unit.case)
            if found.labels is None or part.predicted is None:
                continue
            wanted = list(part.predicted)
            planes[wanted] = np.moveaxis(found.labels, case.axis, 0)[wanted]
            fitting, predicting = fitting + seconds, predicting + took / len(parts)
        record = Record(fit_seconds=fitting, predict_seconds=predicting)
        taught = {value: name for part in parts for value, name in part.taught.items()}
        self._keep(unit, replace(found, labels=labels), Painted(taught=taught), record)

    def _painted(self, fit: Fit, name: str) -> list[Painted]:
        config = self.config
        if config.templates.scope == "within":
            return paint_within(self.prepared(name), fit.shot, config, fit.seed)
        if needs_no_templates(config, fit):
            return [Painted()]
        pool = [case.name for case in self.selection.pool]
        found = paint_across(
            pool, self.areas, self.prepared, fit.shot, config, fit.seed, self._progress
        )
        # What learns nothing has no slices to leave out where cases of the pool are scored too.
        learns = METHODS.get(fit.method.method).learns or config.dataset.test != "all"
        return [found if learns else replace(found, slices={})]

    def _fitted(self, fit: Fit, painted: Painted) -> tuple[Method, float]:
        context = method_context(self.config, fit, self.folder)
        context = replace(context, store=self._store, cache=self._cache)
        context.work.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        method = METHODS.get(fit.method.method).make(fit.method.settings, context)
        method.fit(painted.templates, self._progress)
        return method, time.perf_counter() - start

    def _predicted(self, method: Method, name: str) -> tuple[Predicted, float]:
        case = self.prepared(name)
        axis = None if case.image.ndim == 2 else case.axis
        if isinstance(method, Oracle):
            method.show(case.truth)
        start = time.perf_counter()
        found = method.predict(case.image, axis, self._progress)
        return found, time.perf_counter() - start

    def _keep(self, unit: Unit, found: Predicted, painted: Painted, record: Record) -> None:
        """Score a prediction and write its record; before it, what figures are made of."""
        config, case = self.config, self.prepared(unit.case)
        own = () if config.templates.scored else painted.slices.get(unit.case, ())
        rows = score_case(
            found,
            case,
            own,
            taught=painted.taught,
            min_voxels=config.labels.min_voxels,
            radius_px=None if config.landmarks is None else config.metrics.radius_px,
        )
        if config.dataset.test == "all":
            rows = [{**row, "taught": unit.case in painted.slices} for row in rows]
        method = next(one for one in config.methods if one.name == unit.method)
        first_seed = config.seeds_of(method)[0]
        picture, kept_slices, *predictions = self.written.files(unit)
        worst = None
        with self._outputs.writing():
            if config.output.pictures and unit.seed == first_seed:
                worst = draw_worst(found, case, own, picture, painted.taught)
                region = int(rows[0]["label"] if rows else 0) or FOREGROUND
                kept = KeptSlices.of(found, case, own, config.output.picture_slices, region)
                kept.write(kept_slices)
            if config.output.predictions and found.labels is not None:
                target = predictions[case.image.ndim == 2]
                write_labels(target, found.labels, replace(case.image, header=None))
        record = replace(
            record,
            rows=rows,
            first=unit.case not in self._seen,
            slices=case.slices,
            memory_mb=peak_memory_mb() if self._own_process else None,
            device_memory_mb=peak_device_memory_mb() if self._own_process else None,
            painted={name: list(known) for name, known in painted.slices.items()},
            machine=self._machine,
            picture=picture.name if worst else "",
            worst=worst or "",
        )
        self._seen.add(unit.case)
        self._write(unit, record)

    def prepared(self, name: str) -> PreparedCase:
        """Return a case; those used last stay in memory, up to a gigabyte."""
        found = self._prepared.pop(name, None)
        if found is None:
            found = prepare_case(self.selection.case(name), self.config)
            if found.truth is None:
                points = [replace(one, label=self._number(one.name)) for one in found.landmarks]
                found = replace(found, landmarks=tuple(points))
        self._prepared[name] = found
        while len(self._prepared) > 1 and self._bytes() > _KEPT_BYTES:
            self._prepared.popitem(last=False)
        return found

    def areas(self, name: str) -> CaseAreas:
        """Return where the labels of a case are; it is read only if no run has seen it before."""
        if name not in self._areas:
            case = self.selection.case(name)
            found = self._kept_areas.read(case)
            if found is None:
                found = CaseAreas.of(self.prepared(name))
                if self.written.folder == self.records.folder:
                    with self._outputs.writing():
                        self._kept_areas.write(case, found)
            elif not found.mapped:
                numbers = {label: self._number(point) for label, point in found.names.items()}
                lines = {numbers[label]: line for label, line in found.areas.items()}
                found = found.model_copy(update={"areas": lines, "names": {}})
            self._areas[name] = found
        return self._areas[name]

    def _number(self, name: str) -> int:
        """One number for each name of a landmark in all cases, whatever their files say."""
        return self._numbers.setdefault(name, len(self._numbers) + 1)

    def _bytes(self) -> int:
        arrays = [v for case in self._prepared.values() for v in (case.image, case.truth)]
        return sum(volume.data.nbytes for volume in arrays if volume is not None)


def _clear(work: Path) -> None:
    """Remove what methods have kept for after an interruption, and nothing else."""
    for name in WORK_FILES:
        (work / name).unlink(missing_ok=True)
    for name in WORK_FOLDERS:
        shutil.rmtree(work / name, ignore_errors=True)
    with suppress(OSError):  # something else is in it
        work.rmdir()
