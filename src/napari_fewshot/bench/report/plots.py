"""Box plots and curves over shots; they need matplotlib (the extra ``benchmark``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from ...io.outputs import replacing
from ..config import Shot
from .results import Results
from .summary import Metric, case_means
from .tables import metrics_of, named_shot, shots_of
from .tidy import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["box_plots", "can_plot", "shot_curves"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")
"""Of Okabe and Ito: they can be told apart with the common kinds of colour blindness."""

_DASHES = ("-", "--", ":", "-.")


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def shot_curves(results: Results, path: Path) -> bool:
    """Draw the score of each method over the shots, with the range of its seeds.

    Where cases or seeds are missing, the mark is hollow.

    Returns
    -------
    bool
        False where there are fewer than two shots, and nothing was drawn.
    """
    from matplotlib.figure import Figure

    config = results.config
    score = next(iter(metrics_of(config).values()))
    shots = shots_of(config)
    if len(shots) < 2:
        return False
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    places = {shot: number for number, shot in enumerate(shots)}
    for number, method in enumerate(config.methods):
        lines = [(shot, _by_seed(results.part(method.name, shot), score)) for shot in shots]
        lines = [(shot, seeds) for shot, seeds in lines if seeds]
        if not lines:
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        dash = _DASHES[number // len(_COLOURS) % len(_DASHES)]
        x, means = [places[shot] for shot, _ in lines], [fmean(seeds) for _, seeds in lines]
        axes.plot(x, means, dash, marker="o", color=colour, label=method.name)
        hollow = [k for k, (shot, _) in enumerate(lines) if not results.whole(method.name, shot)]
        places_of, means_of = [x[k] for k in hollow], [means[k] for k in hollow]
        axes.plot(places_of, means_of, "o", markerfacecolor="white", markeredgecolor=colour)
        low, high = [min(seeds) for _, seeds in lines], [max(seeds) for _, seeds in lines]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xticks(list(places.values()), [str(shot) for shot in shots])
    axes.set_xlabel("template cases" if config.templates.choice == "cases" else "template slices")
    axes.set_ylabel(score.title)
    axes.grid(axis="y", color="#dddddd")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)
    return True


def box_plots(results: Results, path: Path) -> bool:
    """Draw a panel for each shot: scores of cases and structures, means over the seeds.

    Where cases or seeds are missing, the name of the method says so.

    Returns
    -------
    bool
        False where there is nothing to draw.
    """
    from matplotlib.figure import Figure

    config = results.config
    metrics = metrics_of(config, results.unit)
    metric = metrics["dice"] if config.landmarks is None else _errors_of(metrics)
    shots = [shot for shot in shots_of(config) if any(row["shot"] == shot for row in results.rows)]
    if not shots:
        return False
    names = [method.name for method in config.methods]
    height = 0.8 + 0.32 * len(names)
    figure = Figure(figsize=(7.5, height * len(shots)), layout="constrained")
    panels = figure.subplots(len(shots), 1, squeeze=False, sharex=True)
    for axes, shot in zip(panels[:, 0], shots, strict=True):
        values = [_spread(results.part(name, shot), metric) for name in names]
        boxes = axes.boxplot(
            values, orientation="horizontal", widths=0.6, patch_artist=True, flierprops={"ms": 3}
        )
        for number, box in enumerate(boxes["boxes"]):
            box.set_facecolor(_COLOURS[number % len(_COLOURS)])
            box.set_alpha(0.6)
        for median in boxes["medians"]:
            median.set_color("black")
        axes.set_yticks(range(1, len(names) + 1), _ticks(results, shot), fontsize=8)
        axes.invert_yaxis()
        axes.set_title(named_shot(config, shot), fontsize=9, loc="left")
        axes.grid(axis="x", color="#dddddd")
    panels[-1, 0].set_xlabel(metric.title)
    _save(figure, path)
    return True


def _errors_of(metrics: dict[str, Metric]) -> Metric:
    """Radial error in mm, in pixels where there are no mm."""
    return metrics.get("error_mm", metrics["error_px"])


def _ticks(results: Results, shot: Shot) -> list[str]:
    planned = results.methods(shot)
    names = (method.name for method in results.config.methods)
    return [results.marked(name, shot) if name in planned else name for name in names]


def _by_seed(rows: Sequence[Row], metric: Metric) -> list[float]:
    """Mean over the cases, for each seed."""
    seeds: dict[int, list[float]] = {}
    for values in case_means(rows, metric).values():
        for seed, value in values.items():
            seeds.setdefault(seed, []).append(value)
    return [fmean(values) for values in seeds.values()]


def _spread(rows: Sequence[Row], metric: Metric) -> list[float]:
    """Value of each case and structure, means over the seeds."""
    structures: dict[str, list[Row]] = {}
    for row in rows:
        structures.setdefault(row["name"], []).append(row)
    return [
        fmean(seeds.values())
        for part in structures.values()
        for seeds in case_means(part, metric).values()
    ]


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110)
