"""Figures of a report: curves, box plots, and the worst cases.

Curves and box plots need matplotlib (the extra ``benchmark``).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...config import IntensityConfig
from ...errors import FewShotError
from ...io.outputs import replacing
from ...slices.intensity import IntensityScaler
from ...types import Array
from ..kept import evenly
from ..prepare import intensity_of
from ..records import Record
from .results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "can_plot", "plots", "worst_cases"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")
"""Of Okabe and Ito: they can be told apart with the common kinds of colour blindness."""

_CURVES, _VOXELS, _WIDE = 30, 300_000, 10
"""Curves of grey values at most, voxels that one is made of, and how much brighter than the others
an image is where their axis is logarithmic."""

_DASHES = ("-", "--", ":", "-.")


class Picture(NamedTuple):
    """A PNG, and what it shows."""

    path: Path
    caption: str


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def plots(results: Results, folder: Path) -> Iterator[Picture]:
    """Draw the curves, where there are two shots at least, and the box plots."""
    if len(results.shots) > 1:
        words = "Score over the number of templates; shaded: the range of the seeds."
        if not all(one.whole for one in results.coverage.values()):
            words += " Hollow: cases or seeds are missing."
        yield Picture(_saved(_shot_curves(results), folder / "shots.png"), words)
    words = "Cases and structures: median, quartiles, and 1.5 quartile distances."
    yield Picture(_saved(_box_plots(results), folder / "boxes.png"), words)
    values = _grey_values(results) if results.config.output.pictures else []
    if values:
        total = len(results.benchmark.selection.scored)
        words = f"Grey values of {len(values)} of {total} cases, a curve each."
        yield Picture(_saved(_intensities(values), folder / "intensities.png"), words)


def _shot_curves(results: Results) -> Figure:
    """Draw the score of each method over the shots, with the range of its seeds.

    Where cases or seeds are missing, the mark is hollow.
    """
    from matplotlib.figure import Figure

    config, score, shots = results.config, results.score, results.shots
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(method.name for method in config.methods):
        own = results.scores[results.scores["method"] == method]
        cases = score.values(own, ["shot", "seed", "case"])
        if cases.empty:
            continue
        seeds = cases.groupby(["shot", "seed"], sort=False).mean().groupby("shot", sort=False)
        spread = seeds.agg(["mean", "min", "max"]).reindex(shots).dropna()
        places = [shots.index(shot) for shot in spread.index]
        colour = _COLOURS[number % len(_COLOURS)]
        dash = _DASHES[number // len(_COLOURS) % len(_DASHES)]
        axes.plot(places, spread["mean"], dash, marker="o", color=colour, label=method)
        lacking = spread[[not results.whole(method, shot) for shot in spread.index]]["mean"]
        hollow = [shots.index(shot) for shot in lacking.index]
        axes.plot(hollow, lacking, "o", markerfacecolor="white", markeredgecolor=colour)
        axes.fill_between(
            places, spread["min"], spread["max"], color=colour, alpha=0.15, linewidth=0
        )
    axes.set_xticks(range(len(shots)), [str(shot) for shot in shots])
    axes.set_xlabel("template cases" if config.templates.choice == "cases" else "template slices")
    axes.set_ylabel(score.title)
    axes.grid(axis="y", color="#dddddd")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _box_plots(results: Results) -> Figure:
    """Draw a panel for each shot: scores of cases and structures, means over the seeds.

    Of landmarks, errors are drawn: in mm, else in pixels. Where cases or seeds are missing, the
    name of the method says so.
    """
    from matplotlib.figure import Figure

    metrics, shots = results.metrics, results.scored_shots
    metric = next(metrics[name] for name in ("dice", "error_mm", "error_px") if name in metrics)
    names = [method.name for method in results.config.methods]
    height = 0.8 + 0.32 * len(names)
    figure = Figure(figsize=(7.5, height * len(shots)), layout="constrained")
    panels = figure.subplots(len(shots), 1, squeeze=False, sharex=True)
    for axes, shot in zip(panels[:, 0], shots, strict=True):
        parts = [metric.values(results.part(n, shot), ["name", "case", "seed"]) for n in names]
        boxes = axes.boxplot(
            [part.groupby(["name", "case"]).mean().tolist() for part in parts],
            orientation="horizontal", widths=0.6, patch_artist=True, flierprops={"ms": 3},
            medianprops={"color": "black"},
        )  # fmt: skip
        for number, box in enumerate(boxes["boxes"]):
            box.set(facecolor=_COLOURS[number % len(_COLOURS)], alpha=0.6)
        ticks = [results.marked(name, shot) for name in names]
        axes.set_yticks(range(1, len(names) + 1), ticks, fontsize=8)
        axes.invert_yaxis()
        axes.set_title(results.shot_name(shot), fontsize=9, loc="left")
        axes.grid(axis="x", color="#dddddd")
    panels[-1, 0].set_xlabel(metric.title)
    return figure


def _grey_values(results: Results) -> list[tuple[Array, Array]]:
    """Some grey values of some cases, as they are and scaled; what cannot be read has none.

    They are scaled as the configuration says, else as our segmenter does by itself.
    """
    scored, image = results.benchmark.selection.scored, results.config.image
    wanted = intensity_of(image) or IntensityConfig()
    if image.percentiles is not None:
        low, high = image.percentiles
        wanted = IntensityConfig(mode="percentile", low=low, high=high)
    values = []
    for place in evenly(0, len(scored) - 1, _CURVES):
        try:
            volume = scored[place].image()
        except (FewShotError, OSError):
            continue
        step = math.ceil((volume.data.size / _VOXELS) ** (1 / volume.ndim))
        thin = np.asarray(volume.data[(slice(None, None, step),) * volume.ndim])
        scaled = IntensityScaler.of(volume.data, volume.has_channels, wanted).apply(thin)
        finite = np.isfinite(thin)
        if finite.any():
            values.append((thin[finite].astype(np.float64), scaled[finite]))
    return values


def _intensities(values: Sequence[tuple[Array, Array]]) -> Figure:
    """Draw a curve for each case: grey values as they are, and scaled."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    tops = [np.percentile(raw, 99.5) for raw, _ in values]
    wide = max(tops) > _WIDE * np.median(tops) > 0
    figure = Figure(figsize=(7.5, 3.2), layout="constrained")
    titles = ("grey values of the files", "scaled to 0..1")
    for number, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True)):
        for place, part in enumerate(pair[number] for pair in values):
            ends = (0, 1) if number else tuple(np.percentile(part, (0.5, 99.5)))
            counts, edges = np.histogram(part, 40, ends)
            colour = colormaps["viridis"](place / len(values))
            axes.plot((edges[1:] + edges[:-1]) / 2, counts / part.size, color=colour, linewidth=1)
        axes.set(xlabel=title, yscale="log", xscale="log" if wide and not number else "linear")
        axes.grid(axis="y", color="#dddddd")
    figure.axes[0].set_ylabel("share of the voxels, in 40 steps")
    return figure


def _saved(figure: Figure, path: Path) -> Path:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110)
    return path


def worst_cases(results: Results, folder: Path) -> tuple[list[Picture], dict[str, list[str]]]:
    """Copy pictures of the cases with the lowest scores of each method, at its largest shot.

    The second part names records of wrong predictions that have no picture, by method.
    """
    units, score = results.benchmark.records.folder, results.score
    count = results.config.output.pictures
    shown: list[Picture] = []
    missing: dict[str, list[str]] = {}
    for method in results.config.methods if count else ():
        drawn = []
        own = results.of_first_seed(method)
        largest = results.largest_shot(own)
        for unit, record in (pair for pair in own if pair[0].shot in largest):
            if record.picture and (units / record.picture).is_file():
                drawn.append((float(np.nan_to_num(score.of(record.rows))), unit, record))
            elif _is_wrong(record):
                missing.setdefault(method.name, []).append(f"units/{unit.key}.json")
        for value, unit, record in sorted(drawn, key=itemgetter(0))[:count]:
            target = folder / f"worst-{record.picture}"
            with replacing(target) as part:
                shutil.copyfile(units / record.picture, part)
            what = record.worst.replace(" mm off", f" {results.unit} off")
            where = f"{method.name}, {unit.case}, {results.shot_name(unit.shot)}"
            shown.append(Picture(target, f"{where}: {score.title} {value:.3f}; {what}"))
    return shown, missing


def _is_wrong(record: Record) -> bool:
    """Whether there is anything to draw: what is all right has no picture, nor has nothing."""
    if any("found" in row for row in record.rows):
        return any(row["found"] for row in record.rows)
    return any(row["dice"] is not None and row["dice"] < 1 for row in record.rows)
