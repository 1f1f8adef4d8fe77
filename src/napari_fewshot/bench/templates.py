"""Templates of a fit: what is painted, and what is then left out of the score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError
from ..templates.template import Template
from ..types import Progress, no_progress
from .areas import CaseAreas
from .choice import Candidate, candidates, choose
from .config import BenchmarkConfig, Shot
from .prepare import PreparedCase

__all__ = ["FOLDS", "Painted", "paint_across", "paint_within"]

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Painted:
    """Templates of one fit.

    Parameters
    ----------
    templates : tuple of Template
    slices : dict of str to tuple of int
        Known slices of each case, in file order along the working axis.
    taught : dict of int to str
        Labels that were looked for in the templates, with their names.
    predicted : tuple of int, optional
        Slices of the case that this fit is for; None: all.
    """

    templates: tuple[Template, ...]
    slices: dict[str, tuple[int, ...]]
    taught: dict[int, str] = field(default_factory=dict)
    predicted: tuple[int, ...] | None = None


def paint_within(
    case: PreparedCase, shot: Shot, config: BenchmarkConfig, seed: int
) -> list[Painted]:
    """Paint slices of the case that is scored: one set of templates, or one for each fold.

    Raises
    ------
    InputError
        If the case is a 2D image, has no label that counts, or no labelled slice that is left.
    """
    if case.image.ndim == 2:
        raise InputError("templates.scope", 'be "across" for 2D images', f"case {case.name}")
    areas = CaseAreas.of(case)
    if shot == "all":
        folds = [tuple(range(k, case.slices, FOLDS)) for k in range(FOLDS)]
        parts = []
        for fold in folds:
            known = tuple(k for k in range(case.slices) if k not in fold)
            if fold and _seen(areas, known):
                parts.append(_painted([case], {case.name: known}, _seen(areas, known), fold))
        if parts:
            return parts
    labelled = candidates(areas)
    if shot == "all" or not labelled:
        raise InputError("labels", "occur in every case", f"none in {case.name}")
    if shot >= len(labelled):
        raise InputError(
            "shots",
            f"be fewer than the {len(labelled)} labelled slices of case {case.name}, so that one "
            "is left to score",
            shot,
            "Take fewer shots, or leave the case out with dataset.test or dataset.name_of_case.",
        )
    chosen = choose(labelled, shot, config.templates.choice, seed)
    known = tuple(one.index for one in chosen)
    return [_painted([case], {case.name: known}, _seen(areas, known))]


def paint_across(
    pool: Sequence[str],
    areas: Callable[[str], CaseAreas],
    prepared: Callable[[str], PreparedCase],
    shot: Shot,
    config: BenchmarkConfig,
    seed: int,
    progress: Progress = no_progress,
) -> Painted:
    """Paint slices of other cases.

    Parameters
    ----------
    pool : sequence of str
        Names of the cases that templates come from.
    areas, prepared : callable
        Give the areas of the case of a name, and the case; only cases that are painted are asked
        for as a whole.
    shot, config, seed
        How many, and how they are chosen.
    progress : callable
        Counts cases of the pool that were looked at.

    Raises
    ------
    InputError
        If there are fewer cases or labelled slices in the pool than the shot asks for, or no
        label that counts.
    """
    how = config.templates
    if how.choice == "cases" or shot == "all":
        slices = _whole(_cases(pool, shot, how.draw, seed), areas, how.empty_slices)
    else:
        found: list[Candidate] = []
        for number, name in enumerate(pool, start=1):
            found += candidates(areas(name))
            progress(number, len(pool), "labels of the pool")
        if shot > len(found):
            raise InputError(
                "shots", f"be at most the {len(found)} labelled slices of the pool", shot
            )
        slices = _by_case(choose(found, shot, how.choice, seed))
    values = {value for name, known in slices.items() for value in _seen(areas(name), known)}
    if not values:
        raise InputError("labels", "occur in the templates", f"none in {', '.join(slices) or pool}")
    # One at a time: of a case that was painted, its image stays, and not its truth.
    return _painted((prepared(name) for name in slices), slices, sorted(values))


def _cases(pool: Sequence[str], shot: Shot, draw: str, seed: int) -> list[str]:
    if shot == "all":
        return list(pool)
    if shot > len(pool):
        most = f"be at most the {len(pool)} cases of the pool"
        raise InputError("shots", most, shot, "Raise dataset.train, or take fewer shots.")
    if draw == "first":
        return list(pool[:shot])
    drawn = np.random.default_rng(seed).choice(len(pool), shot, replace=False)
    return [pool[k] for k in sorted(drawn.tolist())]


def _whole(
    names: Iterable[str], areas: Callable[[str], CaseAreas], empty: bool
) -> dict[str, tuple[int, ...]]:
    slices = {}
    for name in names:
        case = areas(name)
        # Nobody looked at slices without landmarks: those are unknown in any case.
        every = empty and case.mapped
        labelled = [one.index for one in candidates(case)]
        slices[name] = tuple(range(case.slices)) if every else tuple(labelled)
    return {name: known for name, known in slices.items() if known}


def _by_case(chosen: Sequence[Candidate]) -> dict[str, tuple[int, ...]]:
    slices: dict[str, tuple[int, ...]] = {}
    for one in chosen:
        slices[one.case] = (*slices.get(one.case, ()), one.index)
    return slices


def _seen(case: CaseAreas, known: Sequence[int]) -> list[int]:
    """Labels that occur on the known slices."""
    return [value for value, line in case.areas.items() if line[list(known)].any()]


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
