"""Templates of a fit: which slices are painted, and what is then left out of the score.

Where labels are in a case is kept beside the results, so that slices are chosen without reading
images.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from ..errors import InputError
from ..io.outputs import replacing
from ..templates import Template
from ..types import Array, Progress, no_progress
from .config import BenchmarkConfig, Shot
from .datasets import Case
from .plan import Fingerprints, case_settings
from .prepare import PreparedCase

__all__ = [
    "FOLDS",
    "AreaStore",
    "CaseAreas",
    "Painted",
    "choose",
    "looked_at",
    "paint_across",
    "paint_within",
]

FOLDS = 5
_ROUNDS = 50
_FORMAT = 1


@dataclass(frozen=True)
class Candidate:
    """A slice that could be painted.

    ``index`` is along the working axis, in file order; ``place`` is 0 at the first labelled slice
    of its case and 1 at the last; ``areas`` are the pixels of each label.
    """

    case: str
    index: int
    place: float
    areas: dict[int, int]


class CaseAreas(BaseModel):
    """Pixels of each label on the slices of a case that have it; of landmarks, their number.

    Slices are along the working axis. ``mapped`` says whether areas are of a label map: then slices
    without labels are known to be empty. ``names`` are those of landmarks.
    """

    case: str
    slices: int
    mapped: bool
    names: dict[int, str]
    areas: dict[int, dict[int, int]]

    @classmethod
    def of(cls, case: PreparedCase) -> CaseAreas:
        """Areas of a case in memory."""
        points = case.landmarks if case.truth is None else ()
        return cls(
            case=case.name,
            slices=case.slices,
            mapped=case.truth is not None,
            names={point.label: point.name for point in points},
            areas=case.areas,
        )

    def candidates(self) -> list[Candidate]:
        """Slices that have a label that counts."""
        used = sorted({index for line in self.areas.values() for index in line})
        length = max(1, used[-1] - used[0]) if used else 1
        return [
            Candidate(
                self.case,
                index,
                (index - used[0]) / length,
                {value: line[index] for value, line in self.areas.items() if index in line},
            )
            for index in used
        ]

    def labels_on(self, slices: Iterable[int]) -> list[int]:
        """Labels that occur on some slices."""
        wanted = set(slices)
        return [value for value, line in self.areas.items() if wanted & set(line)]


class AreaStore:
    """Areas of cases in the folder of a benchmark, by the content of files and the settings."""

    def __init__(self, folder: Path, config: BenchmarkConfig, fingerprints: Fingerprints) -> None:
        self._folder, self._fingerprints = folder / "areas", fingerprints
        spacing = [config.image.spacing, config.image.resample]
        self._common = {"format": _FORMAT, "spacing": spacing, **case_settings(config)}

    def path(self, case: Case) -> Path:
        """File of a case."""
        return self._folder / f"{self._fingerprints.key(case, self._common)}.json"

    def read(self, case: Case) -> CaseAreas | None:
        """Return what is kept of a case; None where nothing is, or it is damaged."""
        try:
            return CaseAreas.model_validate_json(self.path(case).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def write(self, case: Case, found: CaseAreas) -> None:
        """Keep the areas of a case."""
        with replacing(self.path(case)) as part:
            part.write_text(found.model_dump_json() + "\n", "utf-8")


@dataclass(frozen=True, eq=False)
class Painted:
    """Templates of one fit.

    ``slices`` are known, by case, in file order along the working axis; labels that were ``taught``
    were looked for in the templates. This fit is for the slices ``predicted`` of the case; None:
    all.
    """

    templates: tuple[Template, ...] = ()
    slices: dict[str, tuple[int, ...]] = field(default_factory=dict)
    taught: dict[int, str] = field(default_factory=dict)
    predicted: tuple[int, ...] | None = None


def paint_within(
    case: PreparedCase, shot: Shot, config: BenchmarkConfig, seed: int
) -> list[Painted]:
    """Paint slices of the case that is scored: one set of templates, or one for each fold."""
    if case.image.ndim == 2:
        raise InputError("templates.scope", 'be "across" for 2D images', f"case {case.name}")
    areas = CaseAreas.of(case)
    labelled = areas.candidates()
    parts: list[tuple[Sequence[int], tuple[int, ...] | None]] = []
    if shot == "all":
        folds = [tuple(range(k, case.slices, FOLDS)) for k in range(FOLDS)]
        parts = [([k for k in range(case.slices) if k not in fold], fold) for fold in folds if fold]
    elif shot < len(labelled):
        chosen = choose(labelled, shot, config.templates.choice, seed)
        parts = [([one.index for one in chosen], None)]
    elif labelled:
        raise InputError(
            "shots",
            f"be fewer than the {len(labelled)} labelled slices of case {case.name}, so that one "
            "is left to score",
            shot,
            "Take fewer shots, or leave the case out with dataset.test or dataset.name_of_case.",
        )
    parts = [(known, fold) for known, fold in parts if areas.labels_on(known)]
    if not parts:
        raise InputError("labels", "occur in every case", f"none in {case.name}")
    return [
        _painted([case], {case.name: tuple(known)}, areas.labels_on(known), fold)
        for known, fold in parts
    ]


def paint_across(
    pool: Sequence[str],
    areas: Callable[[str], CaseAreas],
    prepared: Callable[[str], PreparedCase],
    shot: Shot,
    config: BenchmarkConfig,
    seed: int,
    progress: Progress = no_progress,
) -> Painted:
    """Paint slices of other cases: those of the ``pool``, by name.

    Only cases that are painted are asked for as a whole; of others, the ``areas`` do.
    """
    how = config.templates
    slices: dict[str, tuple[int, ...]] = {}
    named = looked_at(pool, shot, config, seed)
    if how.choice == "cases" or shot == "all":
        for name in named:
            case = areas(name)
            # Nobody looked at slices without landmarks: those are unknown in any case.
            every = how.empty_slices and case.mapped
            known = range(case.slices) if every else [one.index for one in case.candidates()]
            if known:
                slices[name] = tuple(known)
    else:
        found: list[Candidate] = []
        for number, name in enumerate(named, start=1):
            found += areas(name).candidates()
            progress(number, len(named), "labels of the pool")
        if shot > len(found):
            most = f"be at most the {len(found)} labelled slices of the pool"
            raise InputError("shots", most, shot)
        for one in choose(found, shot, how.choice, seed):
            slices[one.case] = (*slices.get(one.case, ()), one.index)
    values = {value for name, known in slices.items() for value in areas(name).labels_on(known)}
    if not values:
        raise InputError("labels", "occur in the templates", f"none in {', '.join(slices) or pool}")
    # One at a time: of a case that was painted, its image stays, and not its truth.
    return _painted((prepared(name) for name in slices), slices, sorted(values))


def looked_at(pool: Sequence[str], shot: Shot, config: BenchmarkConfig, seed: int) -> list[str]:
    """Cases of the pool whose areas :func:`paint_across` asks for."""
    how = config.templates
    whole = how.choice == "cases" or shot == "all"
    return _drawn(pool, shot, how.draw, seed) if whole else list(pool)


def too_many_shots(shot: int, cases: int, method: str = "") -> InputError:
    """What is said where the pool has fewer cases than are drawn from it."""
    most = f"be at most the {cases} cases of the pool"
    remedy = "Raise dataset.train, or take fewer shots."
    return InputError(f"{method}shots", most, shot, remedy)


def choose(slices: Sequence[Candidate], count: int, how: str, seed: int) -> list[Candidate]:
    """Choose ``count`` slices, all where there are no more; the order of what is given is kept.

    ``even``: at equal distances, neither the first nor the last where more than one is left out.
    ``representative``: k-means over place and areas of labels; of each group the slice nearest to
    its middle.
    """
    if count >= len(slices):
        return list(slices)
    if how == "first":
        return list(slices[:count])
    if how == "random":
        drawn = np.random.default_rng(seed).choice(len(slices), count, replace=False)
        return [slices[k] for k in sorted(drawn.tolist())]
    if how == "representative":
        return [slices[k] for k in _medoids(_described(slices), count)]
    return [slices[k] for k in _even(len(slices), count)]


def _even(total: int, count: int) -> list[int]:
    places = sorted({int(p) for p in np.round(np.linspace(0, total - 1, count + 2)[1:-1])})
    if len(places) == count:
        return places
    # All but one: these are less than a slice apart, and two of them round to the same.
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def _described(slices: Sequence[Candidate]) -> Array:
    """Place and root of the area of each label, the largest of which is 1."""
    values = sorted({value for one in slices for value in one.areas})
    areas = np.array([[one.areas.get(value, 0) for value in values] for one in slices], float)
    sizes = np.sqrt(areas / areas.max(axis=0)) / np.sqrt(len(values))
    return np.column_stack([[one.place for one in slices], sizes])


def _medoids(points: Array, count: int) -> list[int]:
    """Points nearest to the centres of k-means, started from points far from each other."""
    from scipy.cluster.vq import kmeans2
    from scipy.spatial.distance import cdist

    chosen = [int(np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1)))]
    while len(chosen) < count:
        chosen.append(int(np.argmax(cdist(points, points[chosen]).min(axis=1))))
    with warnings.catch_warnings():  # a group that becomes empty keeps its centre
        warnings.simplefilter("ignore", UserWarning)
        centres, _ = kmeans2(points, points[chosen], iter=_ROUNDS, minit="matrix")
    found: list[int] = []
    for line in cdist(centres, points):
        order = np.argsort(line, kind="stable")
        found.append(next(int(k) for k in order if int(k) not in found))
    return sorted(found)


def _drawn(pool: Sequence[str], shot: Shot, draw: str, seed: int) -> list[str]:
    """Names of the cases that are templates as a whole."""
    if shot == "all":
        return list(pool)
    if shot > len(pool):
        raise too_many_shots(shot, len(pool))
    if draw == "first":
        return list(pool[:shot])
    drawn = np.random.default_rng(seed).choice(len(pool), shot, replace=False)
    return [pool[k] for k in sorted(drawn.tolist())]


def _painted(
    cases: Iterable[PreparedCase],
    slices: dict[str, tuple[int, ...]],
    values: Sequence[int],
    predicted: tuple[int, ...] | None = None,
) -> Painted:
    templates = tuple(_template(case, slices[case.name], values) for case in cases)
    names = {value: name for one in templates for value, name in one.names.items()}
    taught = {value: names.get(value, str(value)) for value in values}
    return Painted(templates, slices, taught, predicted)


def _template(case: PreparedCase, known: tuple[int, ...], values: Sequence[int]) -> Template:
    """Template of a case in which ``values`` were looked for."""
    axis = None if case.image.ndim == 2 else case.axis
    if case.truth is None:
        points = tuple(point for point in case.landmarks if case.slice_of(point) in known)
        return Template(case.image, points=points, axis=axis)
    data = np.zeros_like(case.truth.data)
    stack = data[None] if data.ndim == 2 else np.moveaxis(data, case.axis, 0)
    stack[list(known)] = case.planes[list(known)]
    names = {value: name for value, name in case.truth.names.items() if value in values}
    return Template(
        replace(case.image, names={}),
        case.truth.with_data(data, names=names),
        slices=known,
        known_labels=values,
        axis=axis,
    )
