"""What is to be done: cases that are templates or scored, fits, and what each of them predicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from .. import __version__
from ..config import preset_settings
from ..download import file_sha256
from ..errors import InputError
from ..io.outputs import replacing
from ..types import Progress, no_progress
from .config import BenchmarkConfig, DatasetConfig, MethodConfig, Shot, is_weights
from .datasets import LAYOUTS, Case

__all__ = ["Fingerprints", "Fit", "Selection", "Unit", "make_plan", "select_cases", "weight_files"]

_FORMAT = 4
"""Raised when scores are taken in another way, so that nothing old is mixed with them."""


@dataclass(frozen=True)
class Selection:
    """The cases of a benchmark.

    Templates come from the ``pool``, which is empty where they come from the scored case itself.
    Cases that share a group with the pool are left out, and not scored.
    """

    pool: tuple[Case, ...]
    scored: tuple[Case, ...]
    left_out: tuple[str, ...] = ()

    def of(self, fits: Iterable[Fit]) -> Selection:
        """The pool, and the cases that some fits predict."""
        names = {unit.case for fit in fits for unit in fit.units}
        return Selection(self.pool, tuple(case for case in self.scored if case.name in names))

    def case(self, name: str) -> Case:
        """Return the case of a name."""
        return next(case for case in (*self.scored, *self.pool) if case.name == name)


@dataclass(frozen=True)
class Unit:
    """The smallest piece of work that is kept: one case, predicted by one fit.

    ``key`` is a digest of all that its result depends on.
    """

    method: str
    shot: Shot
    seed: int
    case: str
    key: str


@dataclass(frozen=True)
class Fit:
    """One training, and what is predicted with it."""

    method: MethodConfig
    shot: Shot
    seed: int
    units: tuple[Unit, ...]

    @property
    def key(self) -> str:
        """Digest of the fit, whichever of its cases are left to predict."""
        return hashlib.sha256("".join(unit.key for unit in self.units).encode()).hexdigest()[:16]


class Fingerprints:
    """SHA-256 of the files that results depend on, so that a copy of the data is the same data.

    They are remembered in the folder of the benchmark, for files of the same path, size and time of
    change: large sets are read once. ``unread``: read nothing, and know nothing but names, for a
    plan that is compared with no results.
    """

    def __init__(self, folder: Path, *, unread: bool = False) -> None:
        self._unread = unread
        self._path = folder / "fingerprints.json"
        self._known: dict[str, list[object]] = {}
        self._seen: dict[Path, str | None] = {}
        self._new = False
        with suppress(OSError, ValueError, TypeError):  # none yet, or damaged: made again
            self._known = dict(json.loads(self._path.read_text("utf-8")))

    def of(self, paths: Iterable[Path]) -> list[list[str | None]]:
        """Return name and digest of each file or folder of files; None for one that is missing."""
        return [[path.name, self._digest(path)] for path in paths]

    def key(self, case: Case, settings: Mapping[str, Any]) -> str:
        """Digest of a case and of further settings, in whatever order."""
        content = {**settings, "case": case.name, "files": self.of(case.files)}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]

    def read(self, paths: Iterable[Path], progress: Progress = no_progress) -> None:
        """Take the digests of files or folders, and count them."""
        if self._unread:
            return
        wanted = [path for path in dict.fromkeys(paths) if path not in self._seen]
        for number, path in enumerate(wanted, start=1):
            self._digest(path)
            progress(number, len(wanted), "files looked through")

    def only(self, cases: Iterable[Case]) -> Fingerprints:
        """Those of the files of some cases, which another process need not read again."""
        part = copy(self)
        part._known = {}
        part._seen = {path: self._digest(path) for case in cases for path in case.files}
        return part

    def save(self) -> None:
        """Remember what was read."""
        if self._new:
            with replacing(self._path) as part:
                part.write_text(json.dumps(self._known, indent=1) + "\n", "utf-8")
            self._new = False

    def _digest(self, path: Path) -> str | None:
        if self._unread:
            return None
        if path not in self._seen:
            self._seen[path] = self._of_folder(path) if path.is_dir() else self._of_file(path)
        return self._seen[path]

    def _of_folder(self, path: Path) -> str:
        """Digest of all files below a folder, such as a DICOM series."""
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        content = [[one.relative_to(path).as_posix(), self._of_file(one)] for one in inside]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _of_file(self, path: Path) -> str | None:
        if not path.exists():
            return None
        status = path.stat()
        state = [status.st_size, status.st_mtime_ns]
        if self._known.get(str(path), [])[:-1] != state:
            self._known[str(path)] = [*state, file_sha256(path)]
            self._new = True
        return str(self._known[str(path)][-1])


def select_cases(config: BenchmarkConfig) -> Selection:
    """Find the cases of the data set, and share them out."""
    cases, dataset = _found_cases(config), config.dataset
    if config.templates.scope == "within":
        return Selection((), tuple(_scored(cases, cases, dataset)))
    if dataset.test == "all":
        return Selection(tuple(_pool(cases, dataset)), tuple(cases))
    pool = _pool(cases, dataset)
    names, groups = {case.name for case in pool}, {case.group for case in pool} - {""}
    rest = [case for case in cases if case.name not in names]
    scored = _scored([case for case in rest if case.group not in groups], cases, dataset)
    if not scored and dataset.test != ():
        # The pool and its groups take all: what is wrong is not which of the rest are scored.
        limit = f"leave cases to score of the {len(cases)} that there are"
        remedy = "" if len(pool) == len(cases) else "The others share a group with the pool."
        given = f"{len(pool)} cases" if dataset.train in (None, "split") else dataset.train
        raise InputError("dataset.train", limit, given, remedy)
    if not scored:
        raise InputError("dataset.test", "name cases to score", "none")
    left_out = tuple(case.name for case in rest if case.group in groups)
    return Selection(tuple(pool), tuple(scored), left_out)


def _found_cases(config: BenchmarkConfig) -> list[Case]:
    """All cases of the data set that have what the benchmark compares."""
    dataset = config.dataset
    layout, options = dataset.layout, dataset.options
    if layout is None:
        patterns = ("images", "labels", "landmarks")
        layout, options = "folder", {name: getattr(dataset, name) for name in patterns}
    try:
        cases = LAYOUTS.get(layout)(dataset.root, **options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError("dataset.options", f"fit the layout {layout}", str(error)) from None
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise InputError("dataset", "have cases of different names", sorted(names))
    if dataset.name_of_case is not None:
        cases = [case for case in cases if fnmatch(case.name, dataset.name_of_case)]
    what = "labels" if config.landmarks is None else "landmarks"
    truth = "truth" if config.landmarks is None else "landmarks"
    cases = [case for case in cases if getattr(case, truth) is not None]
    if not cases:
        raise InputError("dataset", f"have cases with {what}", f"none in {dataset.root}")
    return cases


def _pool(cases: list[Case], dataset: DatasetConfig) -> list[Case]:
    wanted = dataset.train
    if isinstance(wanted, int):
        return cases[:wanted]
    if isinstance(wanted, tuple):
        return _named(cases, wanted, "dataset.train")
    pool = [case for case in cases if case.split == "train"]
    if not pool:
        limit = "be a number or a list of cases for a data set without a split of its own"
        raise InputError("dataset.train", limit, wanted)
    return pool


def _scored(left: list[Case], cases: list[Case], dataset: DatasetConfig) -> list[Case]:
    wanted = dataset.test
    if isinstance(wanted, int):
        return left[:wanted]
    if isinstance(wanted, tuple):
        named = _named(cases, wanted, "dataset.test")
        taken = [case.name for case in named if case not in left]
        if taken:
            raise InputError("dataset.test", "name no case of the pool or its groups", taken[0])
        return named
    if wanted == "split":
        found = [case for case in left if case.split == "test"]
        if not found:
            raise InputError("dataset.test", "be given for a data set without a split", wanted)
        return found
    return left


def _named(cases: list[Case], names: tuple[str, ...], parameter: str) -> list[Case]:
    known = {case.name: case for case in cases}
    for name in names:
        if name not in known:
            raise InputError(parameter, f"name cases, such as {cases[0].name}", name)
    return [known[name] for name in names]


def make_plan(
    config: BenchmarkConfig, selection: Selection, fingerprints: Fingerprints
) -> tuple[Fit, ...]:
    """List all fits, method by method."""
    fits = []
    for method in config.methods:
        common = _common(config, method, selection, fingerprints)
        pairs = [(s, k) for s in config.shots_of(method) for k in config.seeds_of(method)]
        if config.templates.scope == "across":
            groups = [(shot, seed, selection.scored) for shot, seed in pairs]
        else:  # case by case, so that one case at a time is in memory
            groups = [(shot, seed, (case,)) for case in selection.scored for shot, seed in pairs]
        for shot, seed, cases in groups:
            one = {**common, "shot": shot, "seed": seed}
            units = (
                Unit(method.name, shot, seed, case.name, fingerprints.key(case, one))
                for case in cases
            )
            fits.append(Fit(method, shot, seed, tuple(units)))
    return tuple(fits)


def _common(
    config: BenchmarkConfig, method: MethodConfig, selection: Selection, fingerprints: Fingerprints
) -> dict[str, Any]:
    """All that the results of a method depend on, but for shot, seed and case."""
    settings = method.model_dump(mode="json", include={"method", "settings"})
    preset, adapter = (method.settings.get(key) for key in ("preset", "adapter"))
    return {
        # What a preset means may change within a version.
        **({} if preset is None else {"preset": preset_settings(preset, adapter)}),
        "format": _FORMAT,
        "version": __version__,
        "device": config.device,
        "predictions": config.output.predictions,
        "method": settings,
        "weights": fingerprints.of(weight_files(settings["settings"])),
        "pool": [[case.name, fingerprints.of(case.files)] for case in selection.pool],
        **{
            section: getattr(config, section).model_dump(mode="json")
            for section in ("image", "templates", "metrics")
        },
        **case_settings(config),
    }


def case_settings(config: BenchmarkConfig) -> dict[str, Any]:
    """What the content of a case depends on, beside its files and the treatment of images."""
    return {
        "axis": config.dataset.axis,
        "options": config.dataset.model_dump(mode="json")["options"],
        "labels": config.labels.model_dump(mode="json"),
        "landmarks": config.landmarks and config.landmarks.model_dump(mode="json"),
    }


def weight_files(settings: Mapping[str, Any]) -> Iterator[Path]:
    """Files of weights that the settings of a method name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from weight_files(value)
        elif isinstance(value, str) and is_weights(key):
            yield Path(value)
