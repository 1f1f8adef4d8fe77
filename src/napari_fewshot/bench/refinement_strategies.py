"""Strategies of refinement beside each other, on given truth."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from ..config import PromptConfig, RefinementConfig
from ..errors import InputError, UnknownNameError
from ..io.outputs import replacing
from ..io.spreadsheet import guarded
from ..metrics.labels import Exclusion, evaluate_labels
from ..metrics.scores import LabelScore, Record
from ..predict.refine import LabelRefiner
from ..predict.refiners import REFINERS, WALKER, Refiner, check_method
from ..sam.checkpoint import SAMS
from ..types import Array, Progress, Volume, joint_progress, no_progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StrategyComparison", "StrategyRow", "compare_refinements", "named_strategies"]

PROMPTS: tuple[str, ...] = get_args(PromptConfig.model_fields["strategy"].annotation)
BOXES = ("box", "boxes")
POINTED = ("random", "box-points")
"""Strategies that draw points."""
FILES_WRITTEN, POINTS_PLOT = ("table.md", "table.csv", "plot.png"), "points.png"
ALL = "all"
_BETTER, _WORSE = "#0072B2", "#D55E00"


@dataclass(frozen=True)
class StrategyRow(Record):
    """What one strategy did to one label; nan where a score is undefined.

    Parameters
    ----------
    strategy : str
    label : int
    name : str
        Of the label; empty where none is known.
    iou_before, iou_after, dice_before, dice_after : float
        In 0..1.
    points : int
        Of each prompt, where its number is part of the strategy's name; else 0.
    seed : int
        Of random prompts.
    """

    strategy: str
    label: int
    name: str
    iou_before: float
    iou_after: float
    dice_before: float
    dice_after: float
    points: int = 0
    seed: int = 0


@dataclass(frozen=True)
class StrategyComparison(Record):
    """Scores of all strategies.

    Parameters
    ----------
    rows : tuple of StrategyRow
        For each strategy and seed, one for each label.
    slices : dict of str to int
        Slices that each strategy refined.
    seconds : dict of str to float
        Time of each of them, loading included, per refined slice; over all seeds.
    """

    rows: tuple[StrategyRow, ...]
    slices: dict[str, int]
    seconds: dict[str, float]

    def mean(self, strategy: str, score: str) -> float:
        """Mean of a score, such as ``"iou_after"``, over the labels that have it, and the seeds."""
        return _mean(getattr(row, score) for row in self.rows if row.strategy == strategy)

    def seed_means(self, strategy: str, score: str) -> list[float]:
        """Mean of a score over the labels that have it, for each seed."""
        rows = [row for row in self.rows if row.strategy == strategy]
        return [
            _mean(getattr(row, score) for row in rows if row.seed == seed)
            for seed in dict.fromkeys(row.seed for row in rows)
        ]

    def format_table(self) -> str:
        """Return a table in Markdown: a row for each strategy, the best first."""
        head = "| strategy | IoU before | IoU after | change | Dice before | Dice after | "
        lines = [head + "labels better / worse | slices | s a slice |", "|---" * 9 + "|"]
        for name in self._ranked():
            before, after, dice_before, dice_after = (
                self.mean(name, score)
                for score in ("iou_before", "iou_after", "dice_before", "dice_after")
            )
            changes: dict[int, list[float]] = {}
            for row in (row for row in self.rows if row.strategy == name):
                changes.setdefault(row.label, []).append(row.iou_after - row.iou_before)
            up = sum(_mean(change) > 0 for change in changes.values())
            down = sum(_mean(change) < 0 for change in changes.values())
            seeds = self.seed_means(name, "iou_after")
            spread = f" ± {np.std(seeds, ddof=1):.3f}" if len(seeds) > 1 else ""
            lines.append(
                f"| {name} | {before:.3f} | {after:.3f}{spread} | {after - before:+.3f} | "
                f"{dice_before:.3f} | {dice_after:.3f} | {up} / {down} | {self.slices[name]} | "
                f"{self.seconds[name]:.2f} |"
            )
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """Write ``table.md``, ``table.csv`` (a row for each label) and ``plot.png``.

        Where numbers of points are compared, or seeds, the CSV has them as columns; of the numbers
        there is ``points.png``.

        Raises
        ------
        InputError
            If matplotlib, which draws the plot, is not installed; or if a file cannot be written.
        """
        import pandas as pd

        check_matplotlib()
        files = [folder / name for name in FILES_WRITTEN]
        with replacing(files[0]) as part:
            part.write_text(self.format_table() + "\n", encoding="utf-8")
        scores = pd.DataFrame(self.rows, columns=list(StrategyRow.__dataclass_fields__))
        if scores[["points", "seed"]].nunique().max() < 2:
            scores = scores.drop(columns=["points", "seed"])
        seconds = {name: f"{value:.3f}" for name, value in self.seconds.items()}
        scores["slices"] = scores["strategy"].map(self.slices)
        scores["seconds_per_slice"] = scores["strategy"].map(seconds)
        with replacing(files[1]) as part:
            cells = scores.map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
            cells.to_csv(part, index=False, float_format="%.4f", lineterminator="\n")
        with replacing(files[2]) as part:
            self._figure().savefig(part, format="png", dpi=110)
        if any(row.points for row in self.rows):
            files.append(folder / POINTS_PLOT)
            with replacing(files[-1]) as part:
                self._points_figure().savefig(part, format="png", dpi=110)
        return files

    def _ranked(self) -> list[str]:
        """Names of the strategies, the best first."""
        return sorted(self.slices, key=lambda name: -np.nan_to_num(self.mean(name, "iou_after")))

    def _figure(self) -> Figure:
        """Draw bars for the mean IoU of strategies, lines where it was before, dots for labels."""
        from matplotlib.figure import Figure

        names = self._ranked()
        before = [self.mean(name, "iou_before") for name in names]
        after = [np.nan_to_num(self.mean(name, "iou_after")) for name in names]
        colours = [_WORSE if a < b else _BETTER for a, b in zip(after, before, strict=True)]
        figure = Figure(figsize=(8, 1.2 + 0.36 * len(names)), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh(names, after, height=0.6, color=colours)
        axes.bar_label(bars, [f"{value:.3f}" for value in after], padding=6, fontsize=9)
        lines = range(len(names))
        axes.vlines(before, [n - 0.42 for n in lines], [n + 0.42 for n in lines], color="black")
        labels = [row for row in self.rows if not math.isnan(row.iou_after)]
        axes.plot(
            [row.iou_after for row in labels], [names.index(row.strategy) for row in labels],
            "o", color="black", markersize=4, markeredgecolor="white", clip_on=False,
        )  # fmt: skip
        axes.set(
            xlim=(0, 1), xlabel="line: before    blue: better    orange: worse    dots: labels"
        )
        axes.set_title("Mean IoU per strategy of refinement", loc="left")
        axes.invert_yaxis()
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        return figure

    def _points_figure(self) -> Figure:
        """Draw scores over the number of points, with the range of the seeds; others are level."""
        from matplotlib.figure import Figure

        curves: dict[str, dict[int, str]] = {}
        for row in self.rows:
            base = row.strategy.removesuffix(f":{row.points}")
            curves.setdefault(base, {})[row.points] = row.strategy
        numbers = sorted({row.points for row in self.rows} - {0})
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, score, title in zip(panels, ("iou", "dice"), ("IoU", "Dice"), strict=True):
            before = self.mean(self.rows[0].strategy, f"{score}_before")
            axes.axhline(before, color="black", linewidth=1, label="before")
            for number, (base, names) in enumerate(curves.items()):
                places = [n for n in numbers if n in names] or [numbers[0], numbers[-1]]
                found = [self.seed_means(names.get(n, base), f"{score}_after") for n in places]
                line, colour = "o-" if numbers[0] in names else "--", f"C{number % 10}"
                axes.plot(places, [_mean(one) for one in found], line, color=colour, label=base)
                low, high = [min(one) for one in found], [max(one) for one in found]
                axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.set(xlabel="points of a prompt", ylabel=f"mean {title}", xticks=numbers)
            axes.grid(axis="y", color="#dddddd")
        panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return figure


def _mean(values: Iterable[float]) -> float:
    """Mean of those that are a number; nan of none."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def check_matplotlib() -> None:
    """Refuse to go on where the plot cannot be drawn; the error names the extra."""
    if find_spec("matplotlib") is None:
        remedy = "Install it with pip install 'napari-fewshot[benchmark]'."
        raise InputError("plot.png", "be drawn by matplotlib", "none", remedy)


def named_strategies(
    words: Iterable[str],
    config: RefinementConfig | None = None,
    parameter: str = "strategies",
    *,
    points: Sequence[int] = (),
) -> dict[str, RefinementConfig]:
    """Settings of strategies that are named in short.

    Parameters
    ----------
    words : iterable of str
        ``"random-walker"``; the name of a SAM, for all its strategies (MedSAM has boxes alone);
        name and strategy, ``"sam-vit-b:box"``; or ``"all"`` that work here without a download.
    config : RefinementConfig, optional
        The other settings.
    parameter : str
        What the caller named them.
    points : sequence of int
        Numbers of points, each of which makes a strategy of those that draw points, such as
        ``"sam-vit-b:random:5"``. None: they draw as many as ``config`` says.

    Raises
    ------
    UnknownNameError
        If a method or strategy does not exist.
    InputError
        If a number of points breaks its limit.
    """
    base = config or RefinementConfig()
    found: dict[str, RefinementConfig] = {}
    for word in words:
        method, colon, strategy = word.partition(":")
        methods = [check_method(method, parameter)] if method != ALL else _available()
        for name in methods:
            if name == WALKER and not colon:
                found[name] = base.model_copy(update={"method": name})
                continue
            if colon and strategy not in _prompts_of(name):
                known = [f"{one}:{prompt}" for one in REFINERS for prompt in _prompts_of(one)]
                raise UnknownNameError(parameter, word, [ALL, *REFINERS, *known])
            for prompt in [strategy] if colon else _prompts_of(name):
                given = {**base.prompts.model_dump(), "strategy": prompt}
                numbers = [(f":{n}", {"points": n}) for n in points if prompt in POINTED]
                for suffix, number in numbers or [("", {})]:
                    update = {"method": name, "prompts": PromptConfig.of(given | number, "prompts")}
                    found[f"{name}:{prompt}{suffix}"] = base.model_copy(update=update)
    return found


def is_random(config: RefinementConfig) -> bool:
    """Whether a strategy gives another result with another seed."""
    prompts = config.prompts
    return config.method != WALKER and bool(prompts.strategy in POINTED or prompts.negatives)


def compare_refinements(
    volume: Volume | npt.ArrayLike,
    labels: Volume | npt.ArrayLike,
    truth: Volume | npt.ArrayLike,
    strategies: Mapping[str, Refiner | Sequence[Refiner]],
    *,
    confidence: Volume | npt.ArrayLike | None = None,
    exclude: Exclusion | None = None,
    progress: Progress = no_progress,
    **how: Any,
) -> StrategyComparison:
    """Score labels before and after each of several refinements.

    Parameters
    ----------
    volume, labels, confidence
        As for :func:`~napari_fewshot.refine_labels`.
    truth : Volume or int array, of the shape of ``labels``
        What ``labels`` should be.
    strategies : mapping of str to Refiner, or to several
        From :func:`~napari_fewshot.get_refiner`, under the names of the table. Several refiners of
        one name are the same strategy with other seeds; a name that ends in ``:5`` draws 5 points.
    exclude : mask or tuple of (axis, indices), optional
        What does not count, as for :func:`~napari_fewshot.evaluate_labels`.
    progress : callable
        ``progress(done, total, what)``; it may raise ``Cancelled``.
    **how
        ``axis`` and ``intensity``, as for :func:`~napari_fewshot.refine_labels`.

    Raises
    ------
    InputError
        As those two functions.
    WeightsError
        If the weights of a network cannot be had.
    """
    image = Volume.of(volume)
    given, given_confidence, true = (_data(one) for one in (labels, confidence, truth))
    names = truth.names if isinstance(truth, Volume) else {}
    values = [int(v) for v in np.union1d(np.unique(given), np.unique(true)) if v > 0]

    def scores(found: Array) -> Sequence[LabelScore]:
        return evaluate_labels(
            found, true, image.spacing, labels=values, names=names, exclude=exclude
        ).labels

    before = scores(np.asarray(given))
    rows: list[StrategyRow] = []
    slices: dict[str, int] = {}
    seconds: dict[str, float] = {}
    counters: list[Progress] = []
    several = {n: [r] if isinstance(r, Refiner) else list(r) for n, r in strategies.items()}
    runs = [(name, one, len(some)) for name, some in several.items() for one in some]
    for done, (name, refiner, repeats) in enumerate(runs):
        start, ours = time.perf_counter(), not refiner.is_loaded
        work = LabelRefiner(image, given, given_confidence, refiner, **how)
        counters = counters or joint_progress([len(work)] * len(runs), progress)
        slices[name] = sum(part.refined for part in work.run(progress=counters[done]))
        took = (time.perf_counter() - start) / max(1, slices[name])
        seconds[name] = seconds.get(name, 0.0) + took / repeats
        if ours:  # one network in memory at a time
            refiner.unload()
        prompts, seed = refiner.settings.config.prompts, refiner.settings.seed
        points = prompts.points if name.endswith(f":{prompts.points}") else 0
        for old, new in zip(before, scores(work.labels), strict=True):
            both = (old.iou, new.iou, old.dice, new.dice)
            rows.append(StrategyRow(name, old.label, old.name, *both, points, seed))
    return StrategyComparison(tuple(rows), slices, seconds)


def _prompts_of(method: str) -> tuple[str, ...]:
    """Strategies that a method has: a SAM that was trained with boxes alone gets no others."""
    if method == WALKER:
        return ()
    return BOXES if method in SAMS and SAMS[method].one_mask else PROMPTS


def _available() -> list[str]:
    return [name for name, entry in REFINERS.items() if entry.available()]


def _data(given: Any) -> Any:
    return given.data if isinstance(given, Volume) else given
