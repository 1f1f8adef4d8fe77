"""Label images with a model.

IMAGE is a file, a folder that is an image (a DICOM series, OME-Zarr), a folder of images, or a
pattern in quotes ('in/**/*.nii.gz'). Label maps and results that lie beside images are left out of
folders and patterns. Every image gives OUTDIR/<stem>_labels in its own format (.nii.gz, .tif, .png,
.nrrd, .mha, .ome.zarr), else in that of --format, and on its own grid; DICOM gives .nii.gz, or
.seg.dcm with --format dicom-seg, JPEG .png. Images of equal stem keep their folders.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import NO_REFINEMENT, Tolerance
from ..config.base import merged_settings
from ..errors import InputError
from . import inputs, shared
from .reporting import Failures, ProgressBars

if TYPE_CHECKING:
    from ..features.store import FeatureStore
    from ..io.dicom.codes import SegmentCode
    from ..io.image_jobs import ImageJob
    from ..jobs import Batch, ImageResult

NAME = "predict"
HELP = "label images with a model"
EXAMPLE = "napari-fewshot predict model.fewshot image.nii.gz -o results --confidence"
METHOD = "propagation.refinement.method"
"""Setting of a model that ``--refine`` stands for."""

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="model file of the train command")
    add("images", nargs="+", metavar="IMAGE", help="image to label, folder or pattern")
    add("-o", "--output", type=Path, required=True, metavar="OUTDIR", help="folder of the results")
    shared.add_options(
        parser,
        "--format",
        help="format of label maps and confidence: nii.gz, tif, nrrd, mha, ome-zarr, or dicom-seg "
        "for labels of DICOM series (default: auto, that of the image)",
    )
    add(
        "--codes",
        type=Path,
        metavar="FILE",
        help="with --format dicom-seg: what labels stand for, as JSON such as "
        '{"liver": {"type": ["10200004", "SCT", "Liver"]}}, or a file of dcmqi',
    )
    shared.add_options(parser, "--confidence")
    add("--landmarks", action="store_true", help="write landmarks too, as CSV")
    add(
        "--tolerance",
        metavar="Nmm|N%|Npx",
        help="with --landmarks: the score is the probability that a landmark lies within this "
        "distance; %% of the longest side of the image (default: as set in the model, else 5%%)",
    )
    add(
        "--axis",
        metavar="N|axial|coronal|sagittal|fused",
        help="axis of the slices; fused: the mean of all planes that were painted, or, where that "
        "is one, of it and the two others, which learn from what is found along it; that takes "
        "longer (default: that of the templates)",
    )
    add(
        "--refine",
        metavar="NAME",
        help="make the labels more exact: random-walker, a SAM (sam-vit-b ...), auto: a SAM whose "
        "weights are here, else random-walker, or none (default: as set in the model, else not)",
    )
    shared.add_options(parser, "--sam-weights", help="local checkpoint of the SAM that refines")
    shared.add_options(
        parser,
        "--frame",
        type=inputs.frame_choice,
        metavar="T|all",
        help="time point of 4D images; all: each (one NIfTI of four axes, else a file for each)",
    )
    shared.add_options(parser, "--series", "--max-memory")
    shared.add_options(
        parser,
        "--channels",
        help="channels to read in place of those that the model was trained with, e.g. 1,3",
    )
    add(
        "--region",
        metavar="A-B[,A-B,A-B]",
        help="label a part of each image: slices A to B along the axis of the slices, counted from "
        "0 (10-40), or a box with a part for each axis in file order, empty for a whole axis "
        "(10-40,0-255,100-300); elsewhere labels are 0",
    )
    shared.add_options(
        parser,
        "--set",
        metavar="propagation.KEY=VALUE",
        help="another setting of the propagation, e.g. propagation.cleanup.min_size=50",
    )
    shared.add_options(parser, "--overwrite", "--weights")
    shared.add_store_options(parser, "features of transformers")
    shared.add_scheduler_options(parser, "images")


def run(options: argparse.Namespace) -> int:
    """Label the images; a bad one does not keep the others from being done."""
    shared.check_scheduler(options, options.device)
    settings = shared.parse_settings(options.set)
    if set(settings) - {"propagation"}:
        raise InputError("--set", "change the propagation only", ", ".join(options.set))
    _check_refinement(options, settings)
    settings = _with_tolerance(options, settings)
    store = shared.open_store(options)
    batch = _open(options, settings, store)
    model = batch.source.segmenter()
    method = options.refine or model.refinement or NO_REFINEMENT
    if options.sam_weights is not None and method == NO_REFINEMENT:
        given = "no --refine" if options.refine is None else f"--refine {options.refine}"
        raise InputError("--sam-weights", "stand beside --refine NAME", given)
    failures = Failures()
    with ProgressBars() as bars:

        def ended(job: ImageJob, result: ImageResult, error: Exception | None) -> None:
            bars.close()
            with failures.of(job.image):
                if error is not None:
                    raise error
                print(job.labels)

        with shared.scheduler_client(options, options.device) as client:
            batch.run(ended, bars, client)
    if store is not None:
        store.prune()
    return failures.status


def _with_tolerance(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the tolerance that landmarks are scored by."""
    if options.tolerance is None:
        return settings
    if not options.landmarks:
        raise InputError("--tolerance", "stand beside --landmarks", options.tolerance)
    try:
        Tolerance.of(options.tolerance)
    except ValueError as error:
        raise InputError("--tolerance", str(error), options.tolerance) from None
    own = {"propagation": {"landmarks": {"tolerance": options.tolerance}}}
    return merged_settings(settings, own)


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


def _codes(options: argparse.Namespace) -> dict[str, SegmentCode] | None:
    """What labels stand for, where they are written as segments."""
    from ..io.dicom.codes import read_codes

    if options.codes is None:
        return None
    if options.format != "dicom-seg":
        given = "no --format" if options.format is None else f"--format {options.format}"
        raise InputError("--codes", "stand beside --format dicom-seg", given)
    return read_codes(shared.existing_file("--codes", options.codes))


def _open(
    options: argparse.Namespace, settings: dict[str, Any], store: FeatureStore | None
) -> Batch:
    """Say what is written where; everything that can be seen before the work is checked."""
    from ..io.image_jobs import image_jobs
    from ..io.outputs import Outputs
    from ..jobs import Batch, ModelSource, PredictOptions

    shared.check_axis(options.axis, "fused")
    shared.check_folder("--output", options.output)
    shared.existing_file("MODEL", options.model)
    images = inputs.of_series(inputs.images_of("IMAGE", options.images), options.series)
    jobs = image_jobs(
        images,
        options.output,
        confidence=options.confidence,
        landmarks=options.landmarks,
        frame=options.frame,
        choice=options.format,
    )
    source = ModelSource.of(
        options.model,
        weights=options.weights,
        sam_weights=options.sam_weights,
        device=options.device,
        store=store,
        propagation=settings.get("propagation"),
        channels=shared.parse_numbers("--channels", options.channels),
    )
    wanted = PredictOptions(
        axis=options.axis,
        refine=options.refine,
        format=options.format,
        region=inputs.parse_region("--region", options.region),
        codes=_codes(options),
    )
    outputs = Outputs(
        "--output", [*images, *source.files, options.codes], overwrite=options.overwrite
    )
    return Batch.open(source, jobs, options.output, wanted, outputs)
