"""The report as a list of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..config import BenchmarkConfig
from ..methods import METHODS
from ..plan import Unit
from ..records import Record
from ..runner import Benchmark
from .blocks import Block, Cell, Heading, Picture, Table, Text
from .plots import box_plots, can_plot, shot_curves
from .published import published_blocks
from .results import Results
from .tables import cost_table, method_table, metrics_of, shots_of, structure_table
from .tidy import distinct_machines
from .worst import worst_cases

__all__ = ["make_document"]

_HOW_TO_READ = (
    "Means are over the cases, of each the mean over its structures and seeds; ± is the standard "
    "deviation of the cases, or of the seeds where there is one case. The best is bold.",
    "Errors ÷ baseline: the share that is wrong (1 − score) in relation to that of the baseline; "
    "0.50 means half its errors. Where the baseline was not run with as many templates, it is that "
    "of its largest number of them, which the column names.",
    "Painted slices and cases are left out of the score. Absent slices are those on which the "
    "structure is not, by the truth.",
    "A structure that was missed counts as 0 in Dice and IoU; it has no surface distance, and a "
    "landmark that was missed has no radial error.",
)

_INCOMPLETE = (
    "A method that says how many cases × seeds it has lacks the others: its means are over other "
    "cases than those of its rivals, so they are not compared, and nothing is where the baseline "
    "lacks some."
)


def make_document(
    benchmark: Benchmark, results: Results, figures: Path, command: str
) -> list[Block]:
    """Put the report together.

    Parameters
    ----------
    benchmark : Benchmark
        What was run.
    results : Results
        Its scores that are there.
    figures : Path
        Folder that pictures are written to.
    command : str
        What makes the report again.
    """
    config, rows = benchmark.config, results.rows
    pairs = benchmark.records.all(benchmark.units)
    blocks: list[Block] = [Heading(1, config.title or "Benchmark")]
    if config.notes:
        blocks.append(Text((config.notes.strip(),)))
    blocks.append(Text(tuple(_setting(benchmark, results)), items=True))
    blocks += _missing(benchmark, pairs)
    if rows:
        blocks.append(Heading(2, "Methods"))
        shots = [shot for shot in shots_of(config) if any(row["shot"] == shot for row in rows)]
        blocks += [method_table(results, shot) for shot in shots]
        whole = all(one.whole for one in results.coverage.values())
        blocks.append(Text(_HOW_TO_READ if whole else (*_HOW_TO_READ, _INCOMPLETE), items=True))
        blocks += _plots(results, figures)
        score = next(iter(metrics_of(config).values()))
        blocks.append(Heading(2, f"Structures: {score.title}"))
        blocks += [structure_table(results, shot) for shot in shots]
        beside = published_blocks(results)
        if beside:
            blocks.append(Heading(2, "Published figures beside ours"))
            blocks.append(
                Text(("Cases, splits and numbers of templates differ where it is not said.",))
            )
            blocks += beside
        blocks += worst_cases(benchmark, pairs, figures, results.unit)
        blocks.append(Heading(2, "Time and memory"))
        blocks += [cost_table(config, pairs), Text((_costs(config),))]
    blocks += _made_with(benchmark, pairs, command)
    return blocks


def _setting(benchmark: Benchmark, results: Results) -> Iterator[str]:
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
        size = f"{image.spacing:g} {results.unit}"
        yield f"Resampled to {size} ({image.resample}); scores are on that grid."
    if config.labels.min_voxels > 1:
        yield f"Structures of fewer than {config.labels.min_voxels} voxels are not scored."
    if config.landmarks is not None:
        yield f"A landmark is localised when it is nearer than {config.metrics.radius_px:g} pixels."
    if results.unit == "px":
        yield "Images do not say how large their pixels are: distances are in pixels of the files."
    elif results.unit == "mm or px":
        yield "Distances are in mm where images say how large their pixels are, else in pixels."
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


def _plots(results: Results, figures: Path) -> list[Block]:
    if not can_plot():
        install = "pip install 'napari-fewshot[benchmark]'"
        return [Text((f"Plots need matplotlib, which is not installed ({install}).",))]
    found: list[Block] = []
    curves, boxes = figures / "shots.png", figures / "boxes.png"
    if shot_curves(results, curves):
        words = "Score over the number of templates; shaded: the range of the seeds."
        if not all(one.whole for one in results.coverage.values()):
            words += " Hollow: cases or seeds are missing."
        found.append(Picture(curves, words))
    if box_plots(results, boxes):
        found.append(
            Picture(boxes, "Cases and structures: median, quartiles, and 1.5 quartile distances.")
        )
    return found


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
    seeds = sorted({unit.seed for unit in benchmark.units})
    lines = [f"Seeds: {', '.join(map(str, seeds))}."]
    machines = distinct_machines(record for _, record in pairs)
    if len({(machine.get("napari-fewshot"), machine.get("commit")) for machine in machines}) > 1:
        lines.append("Predictions come from different versions of napari-fewshot, as said below.")
    for machine in machines:
        text = ", ".join(f"{name} {value}" for name, value in machine.items())
        if len(machines) > 1:
            units = [unit for unit, record in pairs if record.machine == machine]
            text += f": {_counted(units)}"
        lines.append(text)
    return [
        Heading(2, "How it was made"),
        Text((command,), code=True),
        Text(tuple(lines), items=True),
    ]


def _counted(units: Sequence[Unit]) -> str:
    """How many predictions of each method."""
    names = [unit.method for unit in units]
    counts = (f"{name} ({names.count(name)})" for name in dict.fromkeys(names))
    return f"predictions of {', '.join(counts)}"
