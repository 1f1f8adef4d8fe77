"""Figures of cases: what methods make of them beside each other, and along their slices."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from ...errors import FewShotError
from ...io.outputs import replacing
from ...metrics.landmarks import match_landmarks
from ...types import Landmark
from ..drawing import (
    PREDICTED,
    TRUE,
    View,
    as_stack,
    grey_range,
    judge,
    label_colours,
    lay_out,
    mark,
    name_panel,
    overlay,
    with_legend,
)
from ..kept import FOREGROUND, KeptSlices, evenly, fullest
from ..plan import Unit
from ..prepare import PreparedCase, prepare_case
from ..records import Record
from .figures import Picture
from .results import Results

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["case_figures"]

_LOGGER = logging.getLogger(__name__)
_SIDE, _SMALL = 180, 118


@dataclass(frozen=True)
class _Column:
    """A method in a figure: the cases of its first seed of which something is kept."""

    title: str
    pairs: dict[str, tuple[Unit, Record]]


def case_figures(results: Results, folder: Path) -> Iterator[Picture]:
    """Draw cases from the lowest to the highest score, and the middle one along its slices."""
    count, columns = results.config.output.pictures, _columns(results)
    means = {
        name: fmean(
            float(np.nan_to_num(results.score.of(column.pairs[name][1].rows)))
            for column in columns
            if name in column.pairs
        )
        for name in {name for column in columns for name in column.pairs}
    }
    ranked = sorted(means, key=lambda name: (means[name], name))
    if not ranked or not count:
        return
    places = np.linspace(0, len(ranked) - 1, min(len(ranked), count)).round().astype(int)
    drawing = _Drawing(results, columns)
    try:
        yield drawing.grid([ranked[place] for place in places], folder / "cases.png")
        middle = drawing.case(ranked[len(ranked) // 2])
        if middle.slices > 1:
            yield drawing.montage(middle, folder / "montage.png")
    except (FewShotError, OSError) as error:  # images that are no longer what they were
        _LOGGER.warning("napari-fewshot: cases are not shown: %s", error)


def _columns(results: Results) -> list[_Column]:
    """Methods at the largest shot of the baseline; those that lack it, at their own largest."""
    own = {}
    for method in results.config.methods:
        pairs = results.of_first_seed(method)
        # Without rows nothing of a case is scored, as all of it was painted.
        own[method.name] = [
            p for p in pairs if p[1].rows and results.benchmark.records.is_kept(p[0])
        ]
    first = own[results.config.reference] or next(filter(None, own.values()), [])
    common = results.largest_shot(first)
    columns = []
    for name, pairs in own.items():
        at_common = [pair for pair in pairs if pair[0].shot in common]
        shot = common if at_common else results.largest_shot(pairs)
        if shot:
            title = name if at_common else f"{name} ({results.shot_name(shot[0])})"
            found = {pair[0].case: pair for pair in pairs if pair[0].shot in shot}
            columns.append(_Column(title, found))
    return columns


class _Drawing:
    """Draws cases, and labels in the same colours in all of them."""

    def __init__(self, results: Results, columns: Sequence[_Column]) -> None:
        self.results, self.columns = results, columns
        rows = [row for column in columns for _, r in column.pairs.values() for row in r.rows]
        self.names = {int(row["label"]) or FOREGROUND: str(row["name"]) for row in rows}
        self.colours = label_colours(sorted(self.names))
        reference = [column for column in columns if column.title == results.config.reference]
        self.first = (*reference, *columns)[0]
        self.shown: set[int] = set()
        self._template: PreparedCase | None = None

    def case(self, name: str) -> PreparedCase:
        """Read a case."""
        return prepare_case(self.results.benchmark.selection.case(name), self.results.config)

    def grid(self, names: Sequence[str], path: Path) -> Picture:
        """Draw a row for each case: image, template, truth, and all methods."""
        panels = [self._row(self.case(name)) for name in names]
        heads = ["image", "template", "truth", *(column.title for column in self.columns)]
        unit, _ = next(iter(self.first.pairs.values()))
        most = "landmarks" if self.results.config.landmarks else "truth that was not painted"
        words = (
            f"Cases from the lowest to the highest mean score, on the slice with the most {most}; "
            f"{self.results.shot_name(unit.shot)}. Numbers: {self.results.score.title} of the case."
        )
        sheet = lay_out(panels, names, [(head, False) for head in heads])
        return self._saved(sheet, path, words)

    def _row(self, case: PreparedCase) -> list[Image.Image | None]:
        kept = [self._kept(column, case) for column in self.columns]
        painted = self._painted(case)
        slices = [set(one.slices) for one in kept if one and one.planes is not None]
        among = set.intersection(*slices) if slices else set(range(case.slices))
        unseen = among - set(painted.get(case.name, ()))
        index = fullest(case, sorted(unseen or among or range(case.slices)))
        view = _Shown(self, case, [index])
        methods = [view.panel(index, one) for one in kept]
        for column, panel in zip(self.columns, methods, strict=True):
            if panel is not None:
                value = self.results.score.of(column.pairs[case.name][1].rows)
                name_panel(panel, "–" if math.isnan(value) else f"{value:.2f}")
        return [
            view.plain(index),
            self._template_panel(case, painted, index),
            view.panel(index, _truth(case)),
            *methods,
        ]

    def _painted(self, case: PreparedCase) -> dict[str, list[int]]:
        """Template slices by case, of the baseline if it has some."""
        there = [c.pairs[case.name] for c in (self.first, *self.columns) if case.name in c.pairs]
        return next((record.painted for _, record in there if record.painted), {})

    def _template_panel(
        self, case: PreparedCase, painted: dict[str, list[int]], index: int
    ) -> Image.Image | None:
        """Painted slice of the case that is nearest, else the fullest of the first template."""
        name = case.name if case.name in painted else next(iter(painted), None)
        if name is None:
            return None
        if name == case.name:
            template, shown = case, min(painted[name], key=lambda known: abs(known - index))
        else:
            if self._template is None or self._template.name != name:
                self._template = self.case(name)
            template, shown = self._template, fullest(self._template, painted[name])
        return _Shown(self, template, [shown]).panel(shown, _truth(template))

    def montage(self, case: PreparedCase, path: Path) -> Picture:
        """Draw slices of a case as columns, and truth and methods below each other."""
        slices = evenly(0, case.slices - 1, self.results.config.output.picture_slices)
        own = [c for c in self.columns if case.name in c.pairs]
        painted = self._painted(case).get(case.name, [])
        view, truth = _Shown(self, case, slices, _SMALL), _truth(case)
        panels = [[view.panel(index, truth) for index in slices]]
        for column in own:
            kept = self._kept(column, case)
            panels.append([view.panel(k, kept, judged=k not in painted) for k in slices])
        heads = [(str(index), index in painted) for index in slices]
        sheet = lay_out(panels, ["truth", *(column.title for column in own)], heads)
        what = "landmarks (each on the slice nearest to it)" if case.landmarks else "labels"
        words = (
            f"{case.name}, of middle score, along its slices. Green: nothing is there, and nothing "
            f"was found. Red: {what} were found that are not on the slice; open: some on it were "
            "not found. With how many, if more than one."
        )
        return self._saved(sheet, path, words)

    def _kept(self, column: _Column, case: PreparedCase) -> KeptSlices | None:
        if case.name not in column.pairs:
            return None
        return KeptSlices.read(self.results.benchmark.folder, column.pairs[case.name][0], case)

    def _saved(self, sheet: Image.Image, path: Path, words: str) -> Picture:
        from PIL import Image

        if self.results.config.landmarks is None:
            legend = [(self.names[v], self.colours[v]) for v in sorted(self.shown)]
        else:
            legend, words = [], f"{words} White: truth, orange: prediction."
        with replacing(path) as part:
            # Few colours make small files; those of marks are rare, and stay.
            few = with_legend(sheet, legend).quantize(method=Image.Quantize.MAXCOVERAGE)
            few.save(part, format="PNG", optimize=True)
        self.shown = set()
        return Picture(path, words)


class _Shown:
    """Some slices of a case as they are drawn."""

    def __init__(
        self, drawing: _Drawing, case: PreparedCase, slices: Sequence[int], side: int = _SIDE
    ) -> None:
        self.drawing, self.case, self.slices = drawing, case, slices
        self.image = as_stack(case.image)
        self.view = View.of(self.image, case.axis, slices, side)
        self.limits = grey_range(self.image)

    def plain(self, index: int) -> Image.Image:
        """Draw a slice of the image."""
        grey = self.view.take(self.image.data, index)
        return overlay(grey, None, self.limits, {}, self.view.size)

    def panel(
        self, index: int, kept: KeptSlices | None, *, judged: bool = False
    ) -> Image.Image | None:
        """Draw a slice with labels or landmarks over it; None where they were not kept."""
        if kept is None:
            return None
        if self.case.landmarks:
            picture, false, missed, empty = self._with_points(index, kept)
        else:
            plane, scored = kept.labels(index), {*self.drawing.names}
            if plane is None:
                return None
            found, true = ({*np.unique(p)} & scored for p in (plane, self.case.planes[index]))
            self.drawing.shown |= found
            if true and FOREGROUND in found:  # all structures as one
                true = found
            false, missed, empty = len(found - true), len(true - found), not found | true
            grey = self.view.take(self.image.data, index)
            labels = self.view.take(np.moveaxis(plane[None], 0, self.case.axis), 0)
            picture = overlay(grey, labels, self.limits, self.drawing.colours, self.view.size)
        if judged:
            judge(picture, false, missed, empty=empty)
        return picture

    def _with_points(self, index: int, kept: KeptSlices) -> tuple[Image.Image, int, int, bool]:
        """Slice with landmarks, how many are false there and how many missed; whether none are."""
        picture, case = self.plain(index), self.case
        answers = match_landmarks(kept.landmarks, case.landmarks, self.image.spacing)
        if len(self.slices) > 1:
            true, found = (self._near(index, one) for one in (case.landmarks, kept.landmarks))
        else:  # those of the landmarks on it, wherever they were found
            here = [case.slice_of(point) == index for point in case.landmarks]
            true = list(compress(case.landmarks, here))
            found = [answer for answer in compress(answers, here) if answer is not None]
        goals = {id(a): t for t, a in zip(case.landmarks, answers, strict=True) if t in true}
        for point in found:
            goal = goals.get(id(point))
            line_to = None if goal is None else self.view.locate(goal.position)
            mark(picture, self.view.locate(point.position), PREDICTED, line_to=line_to)
        for point in true:
            mark(picture, self.view.locate(point.position), TRUE)
        # By their names: a pair has two of one name.
        seen, there = (Counter(point.name for point in some) for some in (found, true))
        return picture, (seen - there).total(), (there - seen).total(), not found and not true

    def _near(self, index: int, points: Sequence[Landmark]) -> list[Landmark]:
        """Those that a slice is nearest to."""
        nearest = [min(self.slices, key=lambda k: abs(k - self.case.slice_of(p))) for p in points]
        return [p for p, slice_ in zip(points, nearest, strict=True) if slice_ == index]


def _truth(case: PreparedCase) -> KeptSlices:
    """Truth, as if it were a prediction of which all is kept."""
    planes = None if case.landmarks else case.planes
    return KeptSlices(tuple(range(case.slices)), planes, case.landmarks)
