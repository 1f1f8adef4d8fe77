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
FILES_WRITTEN = ("table.md", "table.csv", "plot.png")
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
    """

    strategy: str
    label: int
    name: str
    iou_before: float
    iou_after: float
    dice_before: float
    dice_after: float


@dataclass(frozen=True)
class StrategyComparison(Record):
    """Scores of all strategies.

    Parameters
    ----------
    rows : tuple of StrategyRow
        For each strategy, one for each label.
    slices : dict of str to int
        Slices that each strategy refined.
    seconds : dict of str to float
        Time of each of them, loading included, per refined slice.
    """

    rows: tuple[StrategyRow, ...]
    slices: dict[str, int]
    seconds: dict[str, float]

    def mean(self, strategy: str, score: str) -> float:
        """Mean of a score, such as ``"iou_after"``, over the labels that have it."""
        values = [getattr(row, score) for row in self.rows if row.strategy == strategy]
        known = [value for value in values if not math.isnan(value)]
        return math.fsum(known) / len(known) if known else math.nan

    def format_table(self) -> str:
        """Return a table in Markdown: a row for each strategy, the best first."""
        head = "| strategy | IoU before | IoU after | change | Dice before | Dice after | "
        lines = [head + "labels better / worse | slices | s a slice |", "|---" * 9 + "|"]
        for name in self._ranked():
            before, after, dice_before, dice_after = (
                self.mean(name, score)
                for score in ("iou_before", "iou_after", "dice_before", "dice_after")
            )
            changes = [r.iou_after - r.iou_before for r in self.rows if r.strategy == name]
            up, down = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
            lines.append(
                f"| {name} | {before:.3f} | {after:.3f} | {after - before:+.3f} | "
                f"{dice_before:.3f} | {dice_after:.3f} | {up} / {down} | {self.slices[name]} | "
                f"{self.seconds[name]:.2f} |"
            )
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """Write ``table.md``, ``table.csv`` (a row for each label) and ``plot.png``.

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
        seconds = {name: f"{value:.3f}" for name, value in self.seconds.items()}
        scores["slices"] = scores["strategy"].map(self.slices)
        scores["seconds_per_slice"] = scores["strategy"].map(seconds)
        with replacing(files[1]) as part:
            scores.to_csv(part, index=False, float_format="%.4f", lineterminator="\n")
        with replacing(files[2]) as part:
            self._figure().savefig(part, format="png", dpi=110)
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


def check_matplotlib() -> None:
    """Refuse to go on where the plot cannot be drawn; the error names the extra."""
    if find_spec("matplotlib") is None:
        remedy = "Install it with pip install 'napari-fewshot[benchmark]'."
        raise InputError("plot.png", "be drawn by matplotlib", "none", remedy)


def named_strategies(
    words: Iterable[str], config: RefinementConfig | None = None, parameter: str = "strategies"
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

    Raises
    ------
    UnknownNameError
        If a method or strategy does not exist.
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
                prompts = base.prompts.model_copy(update={"strategy": prompt})
                found[f"{name}:{prompt}"] = base.model_copy(
                    update={"method": name, "prompts": prompts}
                )
    return found


def compare_refinements(
    volume: Volume | npt.ArrayLike,
    labels: Volume | npt.ArrayLike,
    truth: Volume | npt.ArrayLike,
    strategies: Mapping[str, Refiner],
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
    strategies : mapping of str to Refiner
        From :func:`~napari_fewshot.get_refiner`, under the names of the table.
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
    for done, (name, refiner) in enumerate(strategies.items()):
        start, ours = time.perf_counter(), not refiner.is_loaded
        work = LabelRefiner(image, given, given_confidence, refiner, **how)
        counters = counters or joint_progress([len(work)] * len(strategies), progress)
        slices[name] = sum(part.refined for part in work.run(progress=counters[done]))
        seconds[name] = (time.perf_counter() - start) / max(1, slices[name])
        if ours:  # one network in memory at a time
            refiner.unload()
        for old, new in zip(before, scores(work.labels), strict=True):
            rows.append(
                StrategyRow(name, old.label, old.name, old.iou, new.iou, old.dice, new.dice)
            )
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
