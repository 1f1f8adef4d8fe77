"""Measure label maps: a table of labels or of objects, as CSV.

LABELS is a label map, a folder of label maps, or a pattern in quotes ('out/*_labels.nii.gz'). A row
for each label, or with --objects for each connected part of each label: volume (area in 2D),
centroid, bounding box, and the mean and standard deviation of the intensities of --image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from . import inputs, shared
from .reporting import Failures, ProgressBars

if TYPE_CHECKING:
    import pandas as pd

    from ..types import Progress, Volume

NAME = "measure"
HELP = "volume, centroid, bounding box and intensity of labels and objects, as CSV"
EXAMPLE = "napari-fewshot measure results --image images -o volumes.csv"

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("labels", nargs="+", metavar="LABELS", help="label map, folder or pattern")
    add(
        "--image",
        nargs="+",
        action="extend",
        metavar="I",
        help="image of each label map, in their order; or a folder or pattern, of which NAME is "
        "that of NAME_labels",
    )
    add("-o", "--output", type=Path, required=True, metavar="TABLE.csv", help="table to write")
    add("--objects", action="store_true", help="a row for each connected part of each label")
    add(
        "--connectivity",
        type=int,
        default=1,
        metavar="N",
        help="parts touch across faces (1), edges too (2) or corners too (3) (default: 1)",
    )
    add(
        "--unit",
        default="auto",
        choices=("auto", "mm", "um", "pixels"),
        help="unit of lengths (default: auto: um where pixels are below 0.02 mm, else mm, and "
        "pixels where nothing is known)",
    )
    shared.add_options(parser, "--frame", "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Write the table; a bad label map does not keep the others from being measured."""
    import pandas as pd

    from ..objects.table import write_table

    if options.output.suffix.lower() != ".csv":
        raise InputError("--output", "end in .csv", options.output)
    maps = inputs.given_label_maps(options.labels)
    images = inputs.images_for("--image", options.image, maps) if options.image else []
    outputs = shared.check_outputs(
        "--output",
        [options.output],
        [*shared.with_names(*maps), *images],
        overwrite=options.overwrite,
    )
    failures, tables, units = Failures(), [], _OneUnit(options.unit)
    with ProgressBars() as bars:
        for number, path in enumerate(maps):
            with failures.of(path):
                image = images[number] if images else None
                tables.append(_measured(path, image, options, units, bars))
            bars.close()
    if tables:
        with outputs.writing():
            write_table(options.output, pd.concat(tables, ignore_index=True))
        print(options.output)
    return failures.status


class _OneUnit:
    """The unit of all lengths in a table: with ``auto``, that of the first file that has any."""

    def __init__(self, unit: str) -> None:
        self._asked, self._found = unit, unit

    def of(self, labels: Volume) -> str:
        """Unit to measure a label map in."""
        from ..objects.units import length_unit

        own = length_unit(labels)
        if self._found == "auto" and own is not None:
            self._found = own
        return self._asked if own is None else self._found


def _measured(
    path: Path,
    image: Path | None,
    options: argparse.Namespace,
    units: _OneUnit,
    progress: Progress,
) -> pd.DataFrame:
    from ..io import read_labels_on, read_volume
    from ..io.volumes import read_labels_at
    from ..objects import measure_labels

    picture = None if image is None else read_volume(image, frame=options.frame)
    if picture is None:
        labels = read_labels_at(path, options.frame)
    else:
        labels = read_labels_on(picture, path, options.frame)
    table = measure_labels(
        labels,
        picture,
        objects=options.objects,
        connectivity=options.connectivity,
        unit=units.of(labels),
        progress=progress,
    )
    table.insert(0, "file", str(path))
    return table
