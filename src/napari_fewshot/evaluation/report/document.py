"""The report as a list of blocks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..benchmark.config import BenchmarkConfig
from ..benchmark.plan import Unit
from ..benchmark.records import Record
from ..benchmark.runner import Benchmark
from ..methods import METHODS
from .blocks import Block, Cell, Heading, Picture, Table, Text
from .plots import box_plots, can_plot, shot_curves
from .published import published_tables
from .tables import cost_table, method_table, metrics_of, named_shot, shots_of, structure_table
from .tidy import Row

__all__ = ["make_document"]

_HOW_TO_READ = (
    "Means are over the cases, of each the mean over its structures and seeds; ± is the standard "
    "deviation of the cases, or of the seeds where there is one case. The best is bold.",
    "Errors ÷ baseline: the share that is wrong (1 − score) in relation to that of the baseline; "
    "0.50 means half its errors.",
    "Painted slices and cases are left out of the score. Absent slices are those on which the "
    "structure is not, by the truth.",
    "A structure that was missed counts as 0 in Dice and IoU; it has no surface distance, and a "
    "landmark that was missed has no radial error.",
)


def make_document(
    benchmark: Benchmark, rows: Sequence[Row], figures: Path, command: str
) -> list[Block]:
    """Put the report together.

    Parameters
    ----------
    benchmark : Benchmark
        What was run.
    rows : sequence of dict
        Scores that are there.
    figures : Path
        Folder that pictures are written to.
    command : str
        What makes the report again.
    """
    config = benchmark.config
    pairs = benchmark.records.all(benchmark.units)
    blocks: list[Block] = [Heading(1, config.title or "Benchmark")]
    if config.notes:
        blocks.append(Text((config.notes.strip(),)))
    blocks.append(Text(tuple(_setting(benchmark)), items=True))
    blocks += _missing(benchmark, pairs)
    if rows:
        blocks.append(Heading(2, "Methods"))
        shots = [shot for shot in shots_of(config) if any(row["shot"] == shot for row in rows)]
        blocks += [method_table(config, rows, shot) for shot in shots]
        blocks.append(Text(_HOW_TO_READ, items=True))
        blocks += _plots(config, rows, figures)
        score = next(iter(metrics_of(config).values()))
        blocks.append(Heading(2, f"Structures: {score.title}"))
        blocks += [structure_table(config, rows, shot) for shot in shots]
        beside = published_tables(config, rows)
        if beside:
            blocks.append(Heading(2, "Published figures beside ours"))
            blocks.append(
                Text(("Cases, splits and numbers of templates differ where it is not said.",))
            )
            blocks += beside
        blocks += _worst(benchmark, pairs, figures)
        blocks.append(Heading(2, "Time and memory"))
        blocks += [cost_table(config, pairs), Text((_costs(config),))]
    blocks += _made_with(benchmark, pairs, command)
    return blocks


def _setting(benchmark: Benchmark) -> Iterator[str]:
    config, selection = benchmark.config, benchmark.selection
    dataset = config.dataset.layout or config.dataset.root.name
    yield f"Data set: {dataset}; {len(selection.scored)} cases are scored."
    how = config.templates
    if how.scope == "within":
        yield (
            f"Templates: slices of the scored volume itself ({how.choice}); they are left out of "
            "its score."
        )
    else:
        yield (
            f"Templates: from {len(selection.pool)} other cases ({how.choice}"
            + (f", {how.draw})." if how.choice == "cases" else ").")
        )
    if selection.left_out:
        yield f"Not scored, since they share a group with templates: {len(selection.left_out)}."
    yield f"Working axis: {config.dataset.axis}."
    image = config.image
    if image.window is not None:
        yield f"Grey values clipped to {image.window[0]:g} … {image.window[1]:g}."
    if image.percentiles is not None:
        yield f"Grey values clipped to percentiles {image.percentiles[0]:g} … " + (
            f"{image.percentiles[1]:g} of each image."
        )
    if image.spacing is not None:
        yield f"Resampled to {image.spacing:g} mm ({image.resample}); scores are on that grid."
    if config.labels.min_voxels > 1:
        yield f"Structures of fewer than {config.labels.min_voxels} voxels are not scored."
    if config.landmarks is not None:
        yield f"A landmark is localised when it is nearer than {config.metrics.radius_px:g} pixels."
    yield f"Baseline: {config.reference}."
    oracles = [one.name for one in config.methods if METHODS.get(one.method).oracle]
    if oracles:
        yield f"Shown the truth of each case, and so no competitors: {', '.join(oracles)}."


def _missing(benchmark: Benchmark, pairs: Sequence[tuple[Unit, Record]]) -> list[Block]:
    """What failed or was not run."""
    failed = [(unit, record) for unit, record in pairs if record.error]
    open_units = len(benchmark.units) - len(pairs)
    blocks: list[Block] = []
    if open_units:
        words = f"{open_units} of {len(benchmark.units)} predictions are not made yet."
        blocks.append(Text((words,)))
    if failed:
        blocks.append(Heading(2, "Failures"))
        reasons: dict[tuple[str, str], int] = {}
        for unit, record in failed:
            key = (unit.method, record.error)
            reasons[key] = reasons.get(key, 0) + 1
        body = tuple(
            (Cell(method), Cell(error), Cell(str(count)))
            for (method, error), count in reasons.items()
        )
        blocks.append(Table(("method", "reason", "predictions"), body, left=2))
    return blocks


def _plots(config: BenchmarkConfig, rows: Sequence[Row], figures: Path) -> list[Block]:
    if not can_plot():
        install = "pip install 'napari-fewshot[benchmark]'"
        return [Text((f"Plots need matplotlib, which is not installed ({install}).",))]
    found: list[Block] = []
    curves, boxes = figures / "shots.png", figures / "boxes.png"
    if shot_curves(config, rows, curves):
        found.append(
            Picture(curves, "Score over the number of templates; shaded: the range of the seeds.")
        )
    if box_plots(config, rows, boxes):
        found.append(
            Picture(boxes, "Cases and structures: median, quartiles, and 1.5 quartile distances.")
        )
    return found


def _worst(
    benchmark: Benchmark, pairs: Sequence[tuple[Unit, Record]], figures: Path
) -> list[Block]:
    """Pictures of the cases with the lowest scores of each method."""
    config = benchmark.config
    score = next(iter(metrics_of(config).values()))
    blocks: list[Block] = []
    for method in config.methods:
        own = [(u, r) for u, r in pairs if u.method == method.name and r.picture]
        if not own:
            continue
        largest = max((unit.shot for unit, _ in own), key=lambda s: (s == "all", str(s).zfill(9)))
        ranked = sorted(
            ((score.value(r.rows) or 0.0, u, r) for u, r in own if u.shot == largest),
            key=lambda one: one[0],
        )
        for value, unit, record in ranked[: config.output.pictures]:
            source = benchmark.records.folder / record.picture
            if source.is_file():
                figures.mkdir(parents=True, exist_ok=True)
                target = figures / f"worst-{record.picture}"
                shutil.copyfile(source, target)
                words = f"{method.name}, {unit.case}, {named_shot(config, unit.shot)}: "
                words += f"{score.title} {value:.3f}; {record.worst}"
                blocks.append(Picture(target, words))
    if not blocks:
        return []
    legend = "Truth, prediction, and both outlines (white: truth, orange: prediction)."
    if config.landmarks is not None:
        legend = "White: truth, orange: prediction."
    intro = f"Cases of the lowest score, on the slice with the most wrong pixels. {legend}"
    if config.landmarks is not None:
        intro = f"Cases of the lowest score, on the slice of the worst landmark. {legend}"
    return [Heading(2, "Worst cases"), Text((intro,)), *blocks]


def _costs(config: BenchmarkConfig) -> str:
    text = (
        "Seconds are wall time, medians. Of predictions only the first of each case counts: later "
        "ones find features of the case in memory. Each method has a process of its own; memory is "
        "the largest resident memory of that process, which holds Python, the libraries and the "
        "images"
    )
    text += "" if config.features == "none" else ", and features that are kept for the next run"
    if config.features == "disk":
        text += ". Features on disk may come from another method with the same backbone"
    return text + "."


def _made_with(
    benchmark: Benchmark, pairs: Sequence[tuple[Unit, Record]], command: str
) -> list[Block]:
    machines: list[dict[str, Any]] = []
    for _, record in pairs:
        if record.machine and record.machine not in machines:
            machines.append(record.machine)
    seeds = sorted({unit.seed for unit in benchmark.units})
    lines = [", ".join(f"{name} {value}" for name, value in one.items()) for one in machines]
    return [
        Heading(2, "How it was made"),
        Text((command,), code=True),
        Text((f"Seeds: {', '.join(map(str, seeds))}.", *lines), items=True),
    ]
