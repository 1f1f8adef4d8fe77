"""Label images with a model.

Every image IMAGE gives OUTDIR/<stem>_labels in its own format (.nii.gz, .tif, .png, .nrrd, .mha)
and on its own grid; DICOM (the folder of a series, or a file of it) gives .nii.gz, JPEG .png.
Images of equal stem keep their folders.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import NO_REFINEMENT
from ..errors import InputError
from . import shared
from .reporting import Failures, ProgressBars

if TYPE_CHECKING:
    from ..io.outputs import Outputs
    from ..predict.refiners import Refiner
    from ..segmenter import FewShotSegmenter

NAME = "predict"
HELP = "label images with a model"
METHOD = "propagation.refinement.method"
"""Setting of a model that ``--refine`` stands for."""

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
    shared.add_options(parser, "--confidence")
    add("--landmarks", action="store_true", help="write landmarks too, as CSV")
    add(
        "--axis",
        metavar="N|axial|coronal|sagittal|fused",
        help="axis of the slices; fused: the mean of all planes that were painted, two at least "
        "(default: that of the templates)",
    )
    add(
        "--refine",
        metavar="NAME",
        help="make the labels more exact: random-walker, a SAM (sam-vit-b ...), auto: a SAM whose "
        "weights are here, else random-walker, or none (default: as set in the model, else not)",
    )
    shared.add_options(parser, "--sam-weights", help="local checkpoint of the SAM that refines")
    shared.add_options(parser, "--frame")
    shared.add_options(
        parser,
        "--set",
        metavar="propagation.KEY=VALUE",
        help="another setting of the propagation, e.g. propagation.cleanup.min_size=50",
    )
    shared.add_options(parser, "--overwrite", "--weights")
    shared.add_store_options(parser, "features of transformers")


def run(options: argparse.Namespace) -> int:
    """Label one image after the other; a bad one does not keep the others from being done."""
    from ..segmenter import FewShotSegmenter

    settings = shared.parse_settings(options.set)
    if set(settings) - {"propagation"}:
        raise InputError("--set", "change the propagation only", ", ".join(options.set))
    _check_refinement(options, settings)
    jobs, outputs = _jobs(options)
    model = FewShotSegmenter.load(
        options.model,
        weights=options.weights,
        device=options.device,
        store=shared.open_store(options),
        propagation=settings.get("propagation"),
    )
    method = options.refine or model.refinement or NO_REFINEMENT
    if options.sam_weights is not None and method == NO_REFINEMENT:
        given = "no --refine" if options.refine is None else f"--refine {options.refine}"
        raise InputError("--sam-weights", "stand beside --refine NAME", given)
    refiner = model.load_refiner(options.refine, options.sam_weights)
    failures = Failures()
    for job in jobs:
        with failures.of(job.image):
            _predict(model, refiner, job, outputs, options)
            print(job.labels)
    if model.extractor.store is not None:
        model.extractor.store.prune()
    return failures.status


def _check_refinement(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Check ``--refine``, ``--set`` and ``--sam-weights`` before anything is loaded."""
    from ..predict.refiners import check_method

    found: Any = settings
    for part in METHOD.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    for parameter, method in (("--refine", options.refine), (f"--set {METHOD}", found)):
        if isinstance(method, str) and method != NO_REFINEMENT:
            check_method(method, parameter)
    if isinstance(found, str) and options.refine not in (None, found):
        raise InputError(
            "--refine", f"agree with --set {METHOD}={found}", options.refine, "Give one."
        )
    if options.sam_weights is not None:
        shared.existing_file("--sam-weights", options.sam_weights)


def _jobs(options: argparse.Namespace) -> tuple[list[_Job], Outputs]:
    """Say what is written where; everything that can be seen before the work is checked."""
    from ..io import output_paths
    from ..io.volumes import name_files

    shared.check_axis(options.axis, "fused")
    shared.check_folder("--output", options.output)
    shared.existing_file("MODEL", options.model)
    images = [shared.existing_image("IMAGE", path) for path in options.images]
    out, results = options.output, shared.result_paths
    labels = output_paths(images, out)
    confidence = results(images, out, "_confidence", "image", wanted=options.confidence)
    landmarks = results(images, out, "_landmarks", "points", wanted=options.landmarks)
    names = [name_files(path)[0] for path in labels]
    outputs = shared.check_outputs(
        "--output",
        [*labels, *names, *confidence, *landmarks],
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
    from ..io import read_volume, write_points

    image = read_volume(job.image, frame=options.frame)
    with ProgressBars(job.image.name) as bars:
        found = model.predict(
            image,
            axis=options.axis,
            landmarks=job.landmarks is not None,
            refine=refiner or NO_REFINEMENT,
            progress=bars,
        )
    with outputs.writing():
        if job.landmarks is not None:
            write_points(job.landmarks, found.landmarks, image)
        shared.write_result(found, image, job.labels, job.confidence)
