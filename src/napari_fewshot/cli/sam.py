"""Compare with SAM: everything in an image, what is in boxes or at points, or PerSAM.

Each image IMAGE gives OUTDIR/<stem>_labels in its own format, else in that of --format, on its
own grid. Images of equal stem keep their folders. A folder or a pattern in quotes stands for the
images in it; a folder as --labels or --truth for NAME_labels, or NAME, of each image NAME.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import (
    BOX_SAM,
    AutomaticConfig,
    PerSamConfig,
    RegionConfig,
    StageConfig,
)
from ..errors import InputError
from . import inputs, sam_tune, shared
from .reporting import Failures, ProgressBars

if TYPE_CHECKING:
    from ..io.outputs import Outputs
    from ..sam import PersonalSam
    from ..templates import Template
    from ..types import Volume

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]

NAME = "sam"
HELP = "compare with SAM, MedSAM and PerSAM"
EXAMPLE = "napari-fewshot sam boxes image.nii.gz --labels labels.nii.gz -o results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the modes and their options."""
    modes = parser.add_subparsers(dest="mode", metavar="MODE", required=True)
    for name, mode in MODES.items():
        below = modes.add_parser(name, help=mode.summary, description=mode.about)
        below.set_defaults(example=f"napari-fewshot sam {name} image.nii.gz {mode.given}-o results")
        _add_common_arguments(below, mode.setting)
        mode.add_arguments(below)
    tuning = modes.add_parser(sam_tune.NAME, help=sam_tune.HELP, description=sam_tune.__doc__)
    tuning.set_defaults(example=sam_tune.EXAMPLE)
    sam_tune.add_arguments(tuning)


def run(options: argparse.Namespace) -> int:
    """Work on one image after the other; a bad one does not keep the others from being done."""
    from ..io import read_volume

    if options.mode == sam_tune.NAME:
        return sam_tune.run(options)
    given, jobs, outputs = _prepare(options)
    if options.sam == BOX_SAM and options.mode in ("automatic", "points"):
        note = f"{BOX_SAM} was trained with boxes alone; tuned weights may know points"
        print(f"napari-fewshot: warning: {note}.", file=sys.stderr)
    failures = Failures()
    for job in jobs:
        with failures.of(job.image):
            image = read_volume(job.image, frame=options.frame)
            with outputs.writing(), ProgressBars(job.image.name) as bars:
                warning = MODES[options.mode].segment(given, job, image, bars)
            if warning:
                print(f"napari-fewshot: warning: {job.image}: {warning}", file=sys.stderr)
            print(job.output)
    store = given.settings["sam"].store
    if store is not None:
        store.prune()
    return failures.status


def _add_common_arguments(parser: argparse.ArgumentParser, setting: str) -> None:
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image to segment, folder or pattern")
    add("-o", "--output", type=Path, required=True, metavar="OUTDIR", help="folder of the results")
    shared.add_options(parser, "--format", "--sam")
    add(
        "--axis",
        metavar="N|axial|coronal|sagittal",
        help="axis of the slices (default: that of the reference; without one axial where the "
        "file says how it lies, else 0)",
    )
    shared.add_options(parser, "--sam-weights", "--frame", "--window", "--channels", "--overwrite")
    shared.add_options(parser, "--set", help=f"a setting of the mode, e.g. {setting}")
    shared.add_store_options(parser, "embeddings of SAM")


def _add_automatic_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_setting(parser, "--min-area", AutomaticConfig, "min_area", metavar="A")
    shared.add_setting(parser, "--max-area", AutomaticConfig, "max_area", metavar="A")
    parser.add_argument(
        "--truth",
        type=Path,
        nargs="+",
        metavar="T",
        help="true label map of each image: each instance gets the label in which more than half "
        "of it lies",
    )


def _add_region_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    about = "label map of each image, e.g. what predict wrote"
    add("--labels", type=Path, nargs="+", metavar="L", help=about)
    about = (
        "true label map of each image, in place of --labels: how good SAM is for somebody who "
        "knows where everything is (an oracle)"
    )
    add("--truth", type=Path, nargs="+", metavar="T", help=about)
    shared.add_setting(parser, "--each", RegionConfig, "each")
    shared.add_options(parser, "--confidence")


def _add_persam_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference",
        type=Path,
        nargs=2,
        action="append",
        required=True,
        metavar=("IMAGE", "LABELS"),
        help="image and label map of which some slices are painted; may be given several times",
    )
    shared.add_setting(parser, "--fine-tune", PerSamConfig, "fine_tune")
    shared.add_options(parser, "--confidence")


@dataclass(frozen=True)
class _Job:
    """One image and the files that belong to it.

    ``known`` is the label map that was given with it. Automatic mode writes instances to
    ``output``, their scores to ``table``, and with a label map its labels to ``matched``.
    """

    image: Path
    known: Path | None
    output: Path
    matched: Path | None
    table: Path | None
    confidence: Path | None

    @property
    def outputs(self) -> list[Path | None]:
        from ..io.volumes import name_files

        # Instances have no names.
        named = self.matched if self.table is not None else self.output
        names = None if named is None else name_files(named)[0]
        return [self.output, self.matched, names, self.table, self.confidence]


def _jobs(options: argparse.Namespace) -> list[_Job]:
    from ..io import output_paths

    images = inputs.images_of("IMAGE", options.images)
    automatic = options.mode == "automatic"
    out, results = options.output, partial(shared.result_paths, choice=options.format)
    matched = automatic and options.truth is not None
    confidence = not automatic and options.confidence
    rows = zip(
        images,
        _label_maps(options, images),
        output_paths(images, out, "_instances" if automatic else "_labels", choice=options.format),
        results(images, out, wanted=matched),
        results(images, out, "_instances", "points", wanted=automatic),
        results(images, out, "_confidence", "image", wanted=confidence),
        strict=True,
    )
    return [_Job(*row) for row in rows]


def _label_maps(options: argparse.Namespace, images: Sequence[Path]) -> Sequence[Path | None]:
    """Label map that was given with each image."""
    if options.mode == "persam" or (options.mode == "automatic" and options.truth is None):
        return [None] * len(images)
    labels = None if options.mode == "automatic" else options.labels
    if (labels is None) == (options.truth is None):
        given = "neither" if labels is None else "both"
        raise InputError("--labels", "be given, or --truth", given)
    option, maps = ("--truth", options.truth) if labels is None else ("--labels", labels)
    return inputs.label_maps_of(option, maps, images)


@dataclass(frozen=True, eq=False)
class _Given:
    """What all images have in common; ``settings`` as the functions that prompt a SAM take them."""

    mode: str
    settings: dict[str, Any]
    learned: PersonalSam | None
    frame: int | None = None


def _prepare(options: argparse.Namespace) -> tuple[_Given, list[_Job], Outputs]:
    """Check what can be seen before the work, read the references and load the SAM."""
    from ..device import choose_device
    from ..sam import PersonalSam, load_sam

    shared.check_axis(options.axis)
    shared.check_folder("--output", options.output)
    if options.sam_weights is not None:
        shared.existing_file("--sam-weights", options.sam_weights)
    jobs = _jobs(options)
    references = options.reference if options.mode == "persam" else ()
    maps = [*(job.known for job in jobs), *(labels for _, labels in references)]
    images = [*(job.image for job in jobs), *(image for image, _ in references)]
    outputs = shared.check_outputs(
        "--output",
        [path for job in jobs for path in job.outputs],
        [*images, *shared.with_names(*maps), options.sam_weights],
        overwrite=options.overwrite,
    )
    chosen = shared.parse_settings(options.set) | shared.chosen_settings(options)
    settings: dict[str, Any] = {
        "config": MODES[options.mode].config.of(chosen, "settings"),
        "intensity": shared.given_intensity(options),
    }
    device, store = choose_device(options.device), shared.open_store(options)
    templates = [_template(image, labels, options.frame) for image, labels in references]
    settings["sam"] = load_sam(options.sam, weights=options.sam_weights, device=device, store=store)
    learned = None
    if templates:
        with ProgressBars() as bars:
            learned = PersonalSam.learn(templates, **settings, progress=bars)
    given = _Given(options.mode, settings | {"axis": options.axis}, learned, options.frame)
    return given, jobs, outputs


def _template(image_path: Path, label_path: Path, frame: int | None) -> Template:
    from ..io import read_labels_on, read_volume
    from ..templates import Template

    image = read_volume(shared.existing_image("--reference", image_path), frame=frame)
    labels = read_labels_on(image, shared.existing_image("--reference", label_path), frame)
    if not labels.data.any():
        raise InputError(
            "--reference",
            "have at least one painted slice",
            f"{label_path} (no paint)",
            "Paint a slice, or give another label map.",
        )
    return Template(image, labels)


def _automatic(given: _Given, job: _Job, image: Volume, bars: ProgressBars) -> str:
    from ..io import read_labels_on, write_labels
    from ..io.outputs import replacing
    from ..metrics.contingency import match_instances
    from ..sam import sam_automatic

    truth = None
    if job.known is not None:
        truth = read_labels_on(image, job.known, given.frame)
    found = sam_automatic(image, **given.settings, progress=bars)
    if truth is not None and job.matched is not None:
        matched = match_instances(found.labels, truth.data)
        write_labels(job.matched, matched, image, names=truth.names)
    if job.table is not None:
        with replacing(job.table) as temporary:
            rows = [
                f"{i.number},{i.index},{i.area},{i.iou:.4f},{i.stability:.4f}"
                for i in found.instances
            ]
            text = "\n".join(["instance,slice,pixels,predicted_iou,stability", *rows])
            temporary.write_text(text + "\n", encoding="utf-8")
    write_labels(job.output, found.labels, image)
    return "" if found.instances else _nothing_passes(given.settings["config"])


def _nothing_passes(config: AutomaticConfig) -> str:
    limits = {
        "--set iou=": config.iou,
        "--set stability=": config.stability,
        "--min-area ": config.min_area,
    }
    lower = ", ".join(f"{option}{value:g}" for option, value in limits.items() if value > 0)
    advice = [f"lower {lower}"] if lower else []
    if config.max_area is not None:
        advice.append(f"raise --max-area {config.max_area:g}")
    what = "nothing was found that passes the limits"
    return f"{what}: {', or '.join(advice)}." if advice else "nothing was found."


def _regions(given: _Given, job: _Job, image: Volume, bars: ProgressBars) -> str:
    from ..io import read_labels_on
    from ..io.formats import check_holds
    from ..metrics.contingency import present_labels
    from ..sam import sam_boxes, sam_points

    if job.known is None:
        raise InputError("--labels", "be given, or --truth", "neither")
    regions = read_labels_on(image, job.known, given.frame)
    check_holds(job.output, present_labels(regions.data), image.ndim)
    method = sam_boxes if given.mode == "boxes" else sam_points
    found = method(image, regions, **given.settings, progress=bars)
    shared.write_result(found, image, job.output, job.confidence)
    if not regions.data.any():
        return f"nothing was looked for, since {job.known} has no label."
    return "" if found.labels.any() else f"nothing was found where {job.known} has labels."


def _persam(given: _Given, job: _Job, image: Volume, bars: ProgressBars) -> str:
    if given.learned is None:
        raise InputError("--reference", "be given", "none")
    found = given.learned.segment(image, axis=given.settings["axis"], progress=bars)
    shared.write_result(found, image, job.output, job.confidence)
    if found.labels.any():
        return ""
    limit = given.settings["config"].min_similarity
    lower = "" if limit is None else f" Lower --set min_similarity={limit:g}."
    return f"nothing was found that is like the reference.{lower}"


@dataclass(frozen=True)
class _Mode:
    """A mode: words of its help, examples of options and a setting, its options, and work."""

    summary: str
    about: str
    given: str
    setting: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    config: type[StageConfig]
    segment: Callable[[_Given, _Job, Volume, ProgressBars], str]
    """Writes the results of an image; returns a warning, where there is one."""


_BY_ITSELF = (
    "Each label is segmented by itself; where masks overlap the one of the highest score stays."
)
MODES = {
    "automatic": _Mode(
        "everything in an image, as instances",
        """Find everything in an image, without being told what to look for.

IMAGE gives OUTDIR/<stem>_instances, in which every instance of a slice has its own number, and
OUTDIR/<stem>_instances.csv with the scores of each; with --truth also OUTDIR/<stem>_labels.""",
        "",
        "points_per_side=16",
        _add_automatic_arguments,
        AutomaticConfig,
        _automatic,
    ),
    "boxes": _Mode(
        "what is in boxes round given labels",
        "Segment what is in boxes round labels: the truth, or where something was localised.\n\n"
        + _BY_ITSELF,
        "--labels labels.nii.gz ",
        "margin=0.1",
        _add_region_arguments,
        RegionConfig,
        _regions,
    ),
    "points": _Mode(
        "what lies at a point in each part of given labels",
        "Segment what lies at a point of each connected part of labels, where it is deepest.\n\n"
        + _BY_ITSELF,
        "--labels labels.nii.gz ",
        "margin=0.1",
        _add_region_arguments,
        RegionConfig,
        _regions,
    ),
    "persam": _Mode(
        "what a labelled image shows, in other images",
        "Segment in other images what painted slices of an image show (PerSAM, PerSAM-F).\n\n"
        + _BY_ITSELF,
        "--reference other.nii.gz painted.nii.gz ",
        "min_similarity=0.6",
        _add_persam_arguments,
        PerSamConfig,
        _persam,
    ),
}
