"""Which cases of a data set are templates, and which are scored."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch

from ..errors import InputError
from .config import BenchmarkConfig
from .datasets import LAYOUTS, Case
from .sections import DatasetConfig

__all__ = ["Selection", "find_cases", "select_cases"]


@dataclass(frozen=True)
class Selection:
    """The cases of a benchmark.

    Parameters
    ----------
    pool : tuple of Case
        Templates come from these; empty where they come from the scored case itself.
    scored : tuple of Case
    left_out : tuple of str
        Names of cases that share a group with the pool, and so are not scored.
    """

    pool: tuple[Case, ...]
    scored: tuple[Case, ...]
    left_out: tuple[str, ...] = ()

    def case(self, name: str) -> Case:
        """Return the case of a name."""
        return next(case for case in (*self.scored, *self.pool) if case.name == name)


def find_cases(config: BenchmarkConfig) -> list[Case]:
    """Find all cases of the data set that have what the benchmark compares.

    Raises
    ------
    InputError
        If folders or files are missing, or the layout or one of its options does not exist.
    """
    dataset = config.dataset
    layout = "folder" if dataset.layout is None else dataset.layout
    try:
        cases = LAYOUTS.get(layout)(dataset.root, **dataset.layout_options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError("dataset.options", f"fit the layout {layout}", str(error)) from None
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise InputError("dataset", "have cases of different names", sorted(names))
    if dataset.name_of_case is not None:
        cases = [case for case in cases if fnmatch(case.name, dataset.name_of_case)]
    if config.landmarks is None:
        cases = [case for case in cases if case.truth is not None]
    else:
        cases = [case for case in cases if case.landmarks is not None]
    if not cases:
        what = "labels" if config.landmarks is None else "landmarks"
        raise InputError("dataset", f"have cases with {what}", f"none in {dataset.root}")
    return cases


def select_cases(config: BenchmarkConfig) -> Selection:
    """Find the cases and share them out.

    Raises
    ------
    InputError
        As :func:`find_cases`, and where a split does not exist or leaves nothing.
    """
    cases, dataset = find_cases(config), config.dataset
    if config.templates.scope == "within":
        return Selection((), tuple(_scored(cases, cases, dataset)))
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


def _pool(cases: list[Case], dataset: DatasetConfig) -> list[Case]:
    wanted = dataset.train
    if isinstance(wanted, int):
        return cases[:wanted]
    if isinstance(wanted, tuple):
        return _named(cases, wanted, "dataset.train")
    pool = [case for case in cases if case.split == "train"]
    if not pool:
        raise InputError(
            "dataset.train",
            "be a number or a list of cases for a data set without a split of its own",
            wanted,
        )
    return pool


def _scored(left: list[Case], cases: list[Case], dataset: DatasetConfig) -> list[Case]:
    wanted = dataset.test
    if isinstance(wanted, int):
        return left[:wanted]
    if isinstance(wanted, tuple):
        named = _named(cases, wanted, "dataset.test")
        names = {case.name for case in left}
        taken = [case.name for case in named if case.name not in names]
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
