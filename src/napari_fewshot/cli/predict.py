"""Label images with a model.

Every image IMAGE gives OUTDIR/<stem>_labels in its own format (.nii.gz, .tif, .png, .nrrd, .mha)
and on its own grid; DICOM (the folder of a series, or a file of it) gives .nii.gz, JPEG .png.
Images of equal stem keep their folders.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .arguments import (
    add_backbone_arguments,
    add_overwrite_argument,
    check_axis,
    check_outputs,
    existing_file,
    existing_image,
    limit_store,
    open_store,
    parse_settings,
)
from .failures import Failures
from .progress import ProgressBars
from .refining import check_refine, check_sam_weights, loading_sam

if TYPE_CHECKING:
    from ..io.outputs import Outputs
    from ..predict.refiners import Refiner
    from ..segmenter import FewShotSegmenter

NAME = "predict"
HELP = "label images with a model"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


@dataclass(frozen=True)
class _Job:
    """One image and the files that it gives."""

    image: Path
    labels: Path
    confidence: Path | None
    landmarks: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="model file of the train command")
    add("images", type=Path, nargs="+", metavar="IMAGE", help="image to label")
    add("-o", "--output", type=Path, required=True, metavar="OUTDIR", help="folder of the results")
    add("--confidence", action="store_true", help="write the confidence too")
    add("--landmarks", action="store_true", help="write landmarks too, as CSV")
    add(
        "--axis",
        default=None,
        metavar="N|axial|coronal|sagittal|fused",
        help="axis of the slices; fused: the mean of all planes that were painted, two at least "
        "(default: that of the templates)",
    )
    add(
        "--refine",
        metavar="NAME",
        help="make the labels more exact: random-walker, a SAM (sam-vit-b ...), or auto: a SAM "
        "whose weights are here, else random-walker (default: as set in the model, else not)",
    )
    add("--sam-weights", metavar="FILE", type=Path, help="local checkpoint of the SAM that refines")
    add("--frame", type=int, metavar="T", help="time point of 4D images")
    add(
        "--set",
        action="append",
        default=[],
        metavar="propagation.KEY=VALUE",
        help="another setting of the propagation, e.g. propagation.cleanup.min_size=50",
    )
    add_overwrite_argument(parser)
    add_backbone_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Label one image after the other; a bad one does not keep the others from being done."""
    from ..segmenter import FewShotSegmenter

    settings = parse_settings(options.set)
    if set(settings) - {"propagation"}:
        raise InputError("--set", "change the propagation only", ", ".join(options.set))
    check_refine(options, settings)
    jobs, outputs = _jobs(options)
    model = FewShotSegmenter.load(
        options.model,
        weights=options.weights,
        device=options.device,
        store=open_store(options),
        propagation=settings.get("propagation"),
    )
    check_sam_weights(options, model.config.propagation.refinement.method)
    with loading_sam():
        refiner = model.load_refiner(options.refine, options.sam_weights)
    failures = Failures()
    for job in jobs:
        with failures.of(job.image):
            _predict(model, refiner, job, outputs, options)
            print(job.labels)
    limit_store(model, options)
    return failures.status


def _jobs(options: argparse.Namespace) -> tuple[list[_Job], Outputs]:
    """Say what is written where; everything that can be seen before the work is checked."""
    from ..io import output_paths
    from ..io.volumes import name_files

    if options.axis is not None:
        check_axis(options.axis, "fused")
    if options.output.exists() and not options.output.is_dir():
        raise InputError("--output", "be a folder", options.output)
    existing_file("MODEL", options.model)
    images = [existing_image("IMAGE", path) for path in options.images]
    none: list[Path | None] = [None] * len(images)
    out = options.output
    labels = output_paths(images, out)
    confidence = output_paths(images, out, "_confidence", "image") if options.confidence else none
    landmarks = output_paths(images, out, "_landmarks", "points") if options.landmarks else none
    names = [name_files(path)[0] for path in labels]
    outputs = check_outputs(
        "--output",
        [path for path in (*labels, *names, *confidence, *landmarks) if path is not None],
        [*images, options.model, options.weights, options.sam_weights],
        overwrite=options.overwrite,
    )
    jobs = [_Job(*row) for row in zip(images, labels, confidence, landmarks, strict=True)]
    return jobs, outputs


def _predict(
    model: FewShotSegmenter,
    refiner: Refiner | None,
    job: _Job,
    outputs: Outputs,
    options: argparse.Namespace,
) -> None:
    from ..io import read_volume, write_image, write_labels, write_points

    image = read_volume(job.image, frame=options.frame)
    with ProgressBars(job.image.name) as bars:
        found = model.predict(
            image,
            axis=options.axis,
            landmarks=job.landmarks is not None,
            refine=refiner,
            progress=bars,
        )
    names = {value: name for value, name in found.names.items() if name != str(value)}
    with outputs.writing():
        if job.landmarks is not None:
            write_points(job.landmarks, found.landmarks, image)
        if job.confidence is not None:
            write_image(job.confidence, found.confidence, image)
        write_labels(job.labels, found.labels, image, names=names)
