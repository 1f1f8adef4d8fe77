"""Templates of a fit: what is painted, and what is then left out of the score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import InputError
from ...sampling.template import Template
from .choice import Candidate, candidates, choose
from .config import BenchmarkConfig, Shot
from .prepare import PreparedCase

__all__ = ["Painted", "paint_across", "paint_within"]

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Painted:
    """Templates of one fit.

    Parameters
    ----------
    templates : tuple of Template
    slices : dict of str to tuple of int
        Known slices of each case, in file order along the working axis.
    predicted : tuple of int, optional
        Slices of the case that this fit is for; None: all.
    """

    templates: tuple[Template, ...]
    slices: dict[str, tuple[int, ...]]
    predicted: tuple[int, ...] | None = field(default=None)


def paint_within(
    case: PreparedCase, shot: Shot, config: BenchmarkConfig, seed: int
) -> list[Painted]:
    """Paint slices of the case that is scored: one set of templates, or one for each fold.

    Raises
    ------
    InputError
        If the case is a 2D image or has no label that counts.
    """
    if case.image.ndim == 2:
        raise InputError("templates.scope", 'be "across" for 2D images', f"case {case.name}")
    if shot == "all":
        folds = [tuple(range(k, case.slices, FOLDS)) for k in range(FOLDS)]
        parts = []
        for fold in folds:
            known = tuple(k for k in range(case.slices) if k not in fold)
            if fold and any(line[list(known)].any() for line in case.areas.values()):
                parts.append(Painted((_template(case, known, None),), {case.name: known}, fold))
        if parts:
            return parts
    chosen = [] if shot == "all" else choose(candidates(case), shot, config.templates.choice, seed)
    if not chosen:
        raise InputError("labels", "occur in every case", f"none in {case.name}")
    known = tuple(one.index for one in chosen)
    return [Painted((_template(case, known, None),), {case.name: known})]


def paint_across(
    pool: Sequence[str],
    prepared: Callable[[str], PreparedCase],
    shot: Shot,
    config: BenchmarkConfig,
    seed: int,
) -> Painted:
    """Paint slices of other cases.

    Parameters
    ----------
    pool : sequence of str
        Names of the cases that templates come from.
    prepared : callable
        Gives the case of a name.
    shot, config, seed
        How many, and how they are chosen.

    Raises
    ------
    InputError
        If there are fewer cases in the pool than the shot asks for, or no label that counts.
    """
    how = config.templates
    if how.choice == "cases" or shot == "all":
        slices = _whole(_cases(pool, shot, how.draw, seed), prepared, how.empty_slices)
    else:
        found = [one for name in pool for one in candidates(prepared(name))]
        slices = _by_case(choose(found, shot, how.choice, seed))
    cases = {name: prepared(name) for name in slices}
    values = sorted(
        {value for name, known in slices.items() for value in _seen(cases[name], known)}
    )
    if not values:
        raise InputError("labels", "occur in the templates", f"none in {', '.join(slices) or pool}")
    templates = tuple(_template(cases[name], known, values) for name, known in slices.items())
    return Painted(templates, slices)


def _cases(pool: Sequence[str], shot: Shot, draw: str, seed: int) -> list[str]:
    if shot == "all":
        return list(pool)
    if shot > len(pool):
        raise InputError("shots", f"be at most the {len(pool)} cases of the pool", shot)
    if draw == "first":
        return list(pool[:shot])
    drawn = np.random.default_rng(seed).choice(len(pool), shot, replace=False)
    return [pool[k] for k in sorted(drawn.tolist())]


def _whole(
    names: Iterable[str], prepared: Callable[[str], PreparedCase], empty: bool
) -> dict[str, tuple[int, ...]]:
    slices = {}
    for name in names:
        case = prepared(name)
        # Nobody looked at slices without landmarks: those are unknown in any case.
        every = empty and case.truth is not None
        labelled = [one.index for one in candidates(case)]
        slices[name] = tuple(range(case.slices)) if every else tuple(labelled)
    return {name: known for name, known in slices.items() if known}


def _by_case(chosen: Sequence[Candidate]) -> dict[str, tuple[int, ...]]:
    slices: dict[str, tuple[int, ...]] = {}
    for one in chosen:
        slices[one.case] = (*slices.get(one.case, ()), one.index)
    return slices


def _seen(case: PreparedCase, known: Sequence[int]) -> list[int]:
    """Labels that occur on the known slices."""
    return [value for value, line in case.areas.items() if line[list(known)].any()]


def _template(case: PreparedCase, known: tuple[int, ...], values: Sequence[int] | None) -> Template:
    """Template of a case; ``values`` were looked for, None: those that occur here."""
    axis = None if case.image.ndim == 2 else case.axis
    if case.truth is None:
        points = tuple(point for point in case.landmarks if case.slice_of(point) in known)
        return Template(case.image, points=points, axis=axis)
    data = np.zeros_like(case.truth.data)
    stack = data[None] if data.ndim == 2 else np.moveaxis(data, case.axis, 0)
    stack[list(known)] = case.planes[list(known)]
    looked_for = sorted(set(values if values is not None else _seen(case, known)))
    names = {value: name for value, name in case.truth.names.items() if value in looked_for}
    return Template(
        replace(case.image, names={}),
        case.truth.with_data(data, names=names),
        slices=known,
        known_labels=looked_for,
        axis=axis,
    )
