"""The worst cases of each method, with a legend of their colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...io.outputs import replacing
from ..config import BenchmarkConfig, MethodConfig
from ..drawing import label_colours
from ..plan import Unit
from ..prepare import prepare_case
from ..records import Record
from ..runner import Benchmark
from .blocks import Block, Heading, Picture, Text
from .results import LengthUnit
from .tables import metrics_of, named_shot, shots_of

__all__ = ["worst_cases"]

_LINE, _SWATCH, _SPACE = 16, 10, 12
_COLOURS = 256

Legend = list[tuple[str, tuple[int, int, int]]]


def worst_cases(
    benchmark: Benchmark,
    pairs: Sequence[tuple[Unit, Record]],
    figures: Path,
    unit: LengthUnit = "mm",
) -> list[Block]:
    """Show the cases with the lowest scores of each method, at its largest shot.

    Parameters
    ----------
    benchmark : Benchmark
        What was run.
    pairs : sequence of tuple
        Units and their records.
    figures : Path
        Folder that pictures are written to.
    unit : {"mm", "px", "mm or px"}
        What distances are in.
    """
    config, folder = benchmark.config, benchmark.records.folder
    score = next(iter(metrics_of(config).values()))
    shown: list[Block] = []
    missing: dict[str, list[str]] = {}
    truths: dict[str, dict[int, str]] = {}
    for method in config.methods if config.output.pictures else ():
        own = _drawn(config, method, pairs)
        without = [u for u, r in own if not _has_picture(folder, r) and _is_wrong(r)]
        if without:
            missing[method.name] = [f"units/{one.key}.json" for one in without]
        ranked = sorted(
            ((score.value(r.rows) or 0.0, u, r) for u, r in own if _has_picture(folder, r)),
            key=lambda one: one[0],
        )
        for value, one, record in ranked[: config.output.pictures]:
            target = figures / f"worst-{record.picture}"
            _with_legend(folder / record.picture, _legend(benchmark, one, record, truths), target)
            what = record.worst.replace(" mm off", f" {unit} off")
            words = f"{method.name}, {one.case}, {named_shot(config, one.shot)}: "
            shown.append(Picture(target, f"{words}{score.title} {value:.3f}; {what}"))
    if not shown and not missing:
        return []
    intro = [Text((_how_to_read(config),))] if shown else []
    return [Heading(2, "Worst cases"), *intro, *shown, *_how_to_draw(missing)]


def _drawn(
    config: BenchmarkConfig, method: MethodConfig, pairs: Sequence[tuple[Unit, Record]]
) -> list[tuple[Unit, Record]]:
    """What pictures are made of: the first seed, here at the largest shot that is there."""
    first = config.seeds_of(method)[0]
    own = [(u, r) for u, r in pairs if u.method == method.name and u.seed == first and not r.error]
    there = {unit.shot for unit, _ in own}
    largest = [shot for shot in shots_of(config) if shot in there][-1:]
    return [(unit, record) for unit, record in own if unit.shot in largest]


def _has_picture(folder: Path, record: Record) -> bool:
    return bool(record.picture) and (folder / record.picture).is_file()


def _is_wrong(record: Record) -> bool:
    """Whether there is anything to draw: what is all right has no picture, nor has nothing."""
    if any("found" in row for row in record.rows):
        return any(row["found"] for row in record.rows)
    return any(row["dice"] is not None and row["dice"] < 1 for row in record.rows)


def _how_to_read(config: BenchmarkConfig) -> str:
    if config.landmarks is not None:
        return (
            "Cases of the lowest score, on the slice of the worst landmark. White: truth, orange: "
            "prediction."
        )
    return (
        "Cases of the lowest score, on the slice with the most wrong pixels. Truth, prediction, "
        "and both outlines (white: truth, orange: prediction); below them the colours of labels."
    )


def _how_to_draw(missing: dict[str, list[str]]) -> list[Block]:
    """Say how to get the pictures that were not made."""
    if not missing:
        return []
    count = sum(map(len, missing.values()))
    words = (
        f"Of {count} predictions there is no picture: it is drawn together with the prediction, "
        "and only where [output] pictures is not 0. To get them, delete these files in the folder "
        "of the results, and run the benchmark again; it trains and predicts them anew."
    )
    lines = [f"rm {' '.join(files)}  # {name}" for name, files in missing.items()]
    return [Text((words,)), Text(tuple(lines), code=True)]


def _legend(
    benchmark: Benchmark, unit: Unit, record: Record, truths: dict[str, dict[int, str]]
) -> Legend:
    """Names and colours of labels, as the picture has them; none of landmarks.

    Colours go by the labels that the truth or the prediction has anywhere. Rows may lack some that
    are too small to be scored, and count no voxels of painted slices: then the truth is read, once
    for each case.
    """
    config = benchmark.config
    if config.landmarks is not None:
        return []
    found = [row for row in record.rows if row["truth_voxels"] or row["pred_voxels"]]
    names: dict[int, str] = {row["label"]: row["name"] for row in found}
    if record.painted.get(unit.case) or config.labels.min_voxels > 1:
        if unit.case not in truths:
            truths[unit.case] = _true_labels(benchmark, unit.case)
        names = truths[unit.case] | names
    colours = label_colours(sorted(names))
    return [(names[label], colour) for label, colour in colours.items()]


def _true_labels(benchmark: Benchmark, name: str) -> dict[int, str]:
    truth = prepare_case(benchmark.selection.case(name), benchmark.config).truth
    if truth is None:
        return {}
    return {int(v): truth.names.get(int(v), str(v)) for v in np.unique(truth.data) if v}


def _with_legend(source: Path, legend: Legend, target: Path) -> None:
    """Copy a picture, with a legend below it."""
    with Image.open(source) as file:
        picture = file.convert("RGB")
    font = ImageFont.load_default(_LINE - 4)
    places, x, line = [], 0, 0
    for name, _ in legend:
        width = _SWATCH + 4 + round(font.getlength(name)) + _SPACE
        if x and x + width > picture.width:
            x, line = 0, line + 1
        places.append((x, picture.height + 4 + line * _LINE))
        x += width
    below = 4 + (line + 1) * _LINE if legend else 0
    sheet = Image.new("RGB", (picture.width, picture.height + below), (255, 255, 255))
    sheet.paste(picture)
    pen = ImageDraw.Draw(sheet)
    for (left, top), (name, colour) in zip(places, legend, strict=True):
        pen.rectangle((left, top + 2, left + _SWATCH, top + 2 + _SWATCH), fill=colour)
        pen.text((left + _SWATCH + 4, top), name, fill=(0, 0, 0), font=font)
    with replacing(target) as part:
        sheet.quantize(_COLOURS).save(part, format="PNG", optimize=True)
