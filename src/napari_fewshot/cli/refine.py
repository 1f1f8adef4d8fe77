"""Make the labels of an image more exact, slice by slice.

Any label map on the grid of the image will do. The result has its grid and values.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from .arguments import add_overwrite_argument, check_outputs, with_names
from .progress import ProgressBars
from .refining import add_refining_arguments, loading_sam, read_inputs

NAME = "refine"
HELP = "make labels more exact"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_refining_arguments(parser)
    add = parser.add_argument
    add(
        "--method",
        default="auto",
        metavar="NAME",
        help="random-walker, a SAM (sam-vit-b ...), or auto: a SAM whose weights are here, else "
        "random-walker (default: auto)",
    )
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="label map to write")
    add("--output-confidence", type=Path, metavar="FILE", help="write the confidence too")
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Refine one label map."""
    from ..io import write_image, write_labels
    from ..io.volumes import name_files
    from ..predict.refine import refine_labels
    from ..predict.refiners import check_method, get_refiner

    check_method(options.method)
    written = [options.output, name_files(options.output)[0], options.output_confidence]
    outputs = check_outputs(
        "--output",
        [path for path in written if path is not None],
        [options.image, *with_names(options.labels), options.confidence, options.sam_weights],
        overwrite=options.overwrite,
    )
    if options.output == options.output_confidence:
        raise InputError("--output-confidence", "be another file than --output", options.output)
    given = read_inputs(options)
    refiner = get_refiner(
        options.method,
        config=given.config,
        sam_weights=options.sam_weights,
        device=given.device,
        seed=options.seed,
        store=given.store,
    )
    with loading_sam():
        refiner.load()
    with ProgressBars(options.labels.name) as bars:
        labels, confidence = refine_labels(
            given.image,
            given.labels,
            given.confidence,
            method=refiner,
            axis=options.axis,
            intensity=given.intensity,
            progress=bars,
        )
    with outputs.writing():
        if options.output_confidence is not None:
            write_image(options.output_confidence, confidence, given.labels)
        write_labels(options.output, labels, given.labels, names=given.labels.names)
    if given.store is not None:
        given.store.prune(int(options.store_limit * 1e9))
    changed = int((labels != given.labels.data).sum())
    print(f"{refiner.name}: {changed} of {labels.size} voxels changed: {options.output}")
    return 0
