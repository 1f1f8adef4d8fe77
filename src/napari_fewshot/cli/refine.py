"""Make the labels of an image more exact, slice by slice.

Any label map on the grid of the image will do. The result has its grid and values.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from . import inputs, shared
from .reporting import ProgressBars

if TYPE_CHECKING:
    from ..config import IntensityConfig, RefinementConfig
    from ..features.store import FeatureStore
    from ..types import Volume

NAME = "refine"
HELP = "make labels more exact"
EXAMPLE = "napari-fewshot refine image.nii.gz labels.nii.gz -o refined.nii.gz"

__all__ = [
    "EXAMPLE",
    "HELP",
    "NAME",
    "RefineInputs",
    "add_arguments",
    "add_inputs",
    "read_inputs",
    "run",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_inputs(parser)
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
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Refine one label map."""
    from ..io import write_image, write_labels
    from ..io.formats import check_holds, check_image, format_by_name
    from ..io.volumes import name_files
    from ..metrics.contingency import present_labels
    from ..predict.refine import refine_labels
    from ..predict.refiners import check_method, get_refiner

    check_method(options.method)
    inputs = (options.image, options.labels, options.confidence, options.sam_weights)
    outputs = shared.check_outputs(
        "--output",
        [options.output, name_files(options.output)[0], options.output_confidence],
        [*inputs, *shared.with_names(options.labels)],
        overwrite=options.overwrite,
    )
    if options.output == options.output_confidence:
        raise InputError("--output-confidence", "be another file than --output", options.output)
    given = read_inputs(options)
    check_holds(options.output, present_labels(given.labels.data), given.labels.ndim)
    check_image(options.output, given.image)
    # Segments of DICOM refer to the image, of which the labels know nothing.
    like = given.image if format_by_name(options.output).only_for else given.labels
    refiner = get_refiner(
        options.method,
        config=given.config,
        sam_weights=options.sam_weights,
        device=given.device,
        seed=options.seed,
        store=given.store,
    )
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
        write_labels(options.output, labels, like, names=given.labels.names)
    if given.store is not None:
        given.store.prune()
    changed = int((labels != given.labels.data).sum())
    print(f"{refiner.name}: {changed} of {labels.size} voxels changed: {options.output}")
    return 0


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add what is refined, and how: also for the command that compares strategies."""
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="image of the labels")
    add("labels", type=Path, metavar="LABELS", help="label map on the grid of the image")
    add(
        "--confidence",
        type=Path,
        metavar="C",
        help="confidence of the labels, as predict --confidence writes it (default: pixels deep "
        "inside of their region count as sure)",
    )
    shared.add_options(parser, "--sam-weights")
    add(
        "--axis",
        metavar="N|axial|coronal|sagittal",
        help="axis of the slices (default: axial where the file says how it lies, else 0)",
    )
    shared.add_options(parser, "--frame", "--window", "--channels")
    shared.add_options(parser, "--set", help="a setting of the refinement, e.g. prompts.points=5")
    add("--seed", type=int, default=0, metavar="S", help="of random prompts (default: 0)")
    shared.add_store_options(parser, "embeddings of SAM")


@dataclass(frozen=True, eq=False)
class RefineInputs:
    """What the arguments of :func:`add_inputs` say."""

    image: Volume
    labels: Volume
    confidence: Volume | None
    config: RefinementConfig
    intensity: IntensityConfig
    device: str
    store: FeatureStore | None


def read_inputs(options: argparse.Namespace) -> RefineInputs:
    """Check the options, then read the files."""
    from ..config import RefinementConfig
    from ..device import choose_device
    from ..io import check_match, read_labels_on, read_volume

    shared.check_axis(options.axis)
    if options.seed < 0:
        raise InputError("--seed", "be at least 0", options.seed)
    shared.existing_image("IMAGE", options.image)
    for name, path in (("LABELS", options.labels), ("--confidence", options.confidence)):
        if path is not None:
            shared.existing_image(name, path)
    if options.sam_weights is not None:
        shared.existing_file("--sam-weights", options.sam_weights)
    config = RefinementConfig.of(shared.parse_settings(options.set), "settings")
    intensity = shared.given_intensity(options)
    device, store = choose_device(options.device), shared.open_store(options)
    image = read_volume(options.image, frame=options.frame)
    labels = read_labels_on(image, options.labels, options.frame)
    confidence = None
    if options.confidence is not None:
        confidence = read_volume(options.confidence)
        check_match(image, confidence)
        inputs.check_confidence(confidence)
    return RefineInputs(image, labels, confidence, config, intensity, device, store)
