"""Options of the modes of ``sam``, and what they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import DEFAULT_SAM
from ..errors import InputError
from .arguments import (
    add_overwrite_argument,
    add_store_arguments,
    add_window_argument,
    check_axis,
    check_outputs,
    existing_file,
    open_store,
    parse_settings,
    window_settings,
    with_names,
)
from .progress import ProgressBars
from .refining import loading_sam

if TYPE_CHECKING:
    from ..config import IntensityConfig
    from ..io.outputs import Outputs
    from ..sam import PersonalSam, SamModel
    from ..templates import Template
    from ..types import Volume

__all__ = [
    "Job",
    "Shared",
    "add_automatic_arguments",
    "add_persam_arguments",
    "add_region_arguments",
    "prepare",
]


def add_automatic_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of automatic mode."""
    _add_shared(parser, "points_per_side=16")
    add = parser.add_argument
    size = "drop {} masks; from 1 in pixels, below 1 a share of the slice (default: {})"
    add("--min-area", type=float, metavar="A", help=size.format("smaller", "10"))
    add("--max-area", type=float, metavar="A", help=size.format("larger", "0.5"))
    add(
        "--truth",
        type=Path,
        nargs="+",
        metavar="T",
        help="true label map of each image: each instance gets the label in which more than half "
        "of it lies",
    )


def add_region_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of boxes and points."""
    _add_shared(parser, "margin=0.1")
    add = parser.add_argument
    add(
        "--labels",
        type=Path,
        nargs="+",
        metavar="L",
        help="label map of each image, e.g. what predict wrote",
    )
    add(
        "--truth",
        type=Path,
        nargs="+",
        metavar="T",
        help="true label map of each image, in place of --labels: how good SAM is for somebody "
        "who knows where everything is (an oracle)",
    )
    add(
        "--each",
        choices=["component", "label"],
        help="prompt for each connected part by itself, or for all of a label together "
        "(default: component)",
    )
    add("--confidence", action="store_true", help="write the confidence too")


def add_persam_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of PerSAM."""
    _add_shared(parser, "min_similarity=0.6")
    add = parser.add_argument
    add(
        "--reference",
        type=Path,
        nargs=2,
        action="append",
        required=True,
        metavar=("IMAGE", "LABELS"),
        help="image and label map of which some slices are painted; may be given several times",
    )
    add("--fine-tune", action="store_true", help="PerSAM-F: learn how SAM's masks are mixed")
    add("--confidence", action="store_true", help="write the confidence too")


def _add_shared(parser: argparse.ArgumentParser, example: str) -> None:
    add = parser.add_argument
    add("images", type=Path, nargs="+", metavar="IMAGE", help="image to segment")
    add("-o", "--output", type=Path, required=True, metavar="OUTDIR", help="folder of the results")
    add(
        "--sam",
        default=DEFAULT_SAM,
        metavar="NAME",
        help="sam-vit-b, sam-vit-l, sam-vit-h or medsam (default: sam-vit-b)",
    )
    add("--sam-weights", metavar="FILE", type=Path, help="local checkpoint of the SAM")
    add(
        "--axis",
        metavar="N|axial|coronal|sagittal",
        help="axis of the slices (default: that of the reference; without one axial where the "
        "file says how it lies, else 0)",
    )
    add("--frame", type=int, metavar="T", help="time point of 4D images")
    add_window_argument(parser)
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"a setting of the mode, e.g. {example}",
    )
    add_overwrite_argument(parser)
    add_store_arguments(parser, "embeddings of SAM")


@dataclass(frozen=True)
class Job:
    """One image and the files that belong to it."""

    image: Path
    output: Path
    regions: Path | None = None
    truth: Path | None = None
    matched: Path | None = None
    table: Path | None = None
    confidence: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        """What is written."""
        from ..io.volumes import name_files

        # Instances have no names.
        named = self.matched if self.table is not None else self.output
        names = None if named is None else name_files(named)[0]
        files = (self.output, self.matched, names, self.table, self.confidence)
        return [path for path in files if path is not None]


@dataclass(frozen=True, eq=False)
class Shared:
    """What all images have in common."""

    options: argparse.Namespace
    outputs: Outputs
    sam: SamModel
    config: Any
    intensity: IntensityConfig
    learned: PersonalSam | None = None

    @property
    def mode(self) -> str:
        """``automatic``, ``boxes``, ``points`` or ``persam``."""
        return str(self.options.mode)

    @property
    def axis(self) -> str | None:
        """Axis of the slices, as given."""
        axis: str | None = self.options.axis
        return axis

    def read(self, path: Path) -> Volume:
        """Read an image."""
        from ..io import read_volume

        return read_volume(path, frame=self.options.frame)

    def limit_store(self) -> None:
        """Keep the store of embeddings below the limit that the options set."""
        if self.sam.store is not None:
            self.sam.store.prune(int(self.options.store_limit * 1e9))


def prepare(options: argparse.Namespace) -> tuple[Shared, list[Job]]:
    """Check what can be seen before the work, read the references and load the SAM."""
    from ..config import IntensityConfig
    from ..device import choose_device
    from ..sam import PersonalSam, load_sam

    if options.axis is not None:
        check_axis(options.axis)
    if options.output.exists() and not options.output.is_dir():
        raise InputError("--output", "be a folder", options.output)
    if options.sam_weights is not None:
        existing_file("--sam-weights", options.sam_weights)
    jobs = _jobs(options)
    outputs = check_outputs(
        "--output",
        [path for job in jobs for path in job.outputs],
        _inputs(options, jobs),
        overwrite=options.overwrite,
    )
    config = _config(options)
    intensity = IntensityConfig.of(window_settings(options), "intensity")
    device, store = choose_device(options.device), open_store(options)
    templates = _references(options) if options.mode == "persam" else []
    with loading_sam(refining=False):
        sam = load_sam(options.sam, weights=options.sam_weights, device=device, store=store)
    learned = None
    if templates:
        with ProgressBars() as bars:
            learned = PersonalSam.learn(
                templates, sam=sam, config=config, intensity=intensity, progress=bars
            )
    return Shared(options, outputs, sam, config, intensity, learned), jobs


def _jobs(options: argparse.Namespace) -> list[Job]:
    from ..io import output_paths

    images = [existing_file("IMAGE", path) for path in options.images]
    out, none = options.output, [None] * len(images)
    labels = output_paths(images, out)
    if options.mode == "automatic":
        truth = _for_each("--truth", options.truth, images)
        instances = output_paths(images, out, "_instances")
        tables = output_paths(images, out, "_instances", "points")
        rows = zip(images, instances, truth, labels, tables, strict=True)
        return [
            Job(image, output, truth=true, matched=None if true is None else matched, table=table)
            for image, output, true, matched, table in rows
        ]
    confidence = output_paths(images, out, "_confidence", "image") if options.confidence else none
    regions: Sequence[Path | None] = none
    if options.mode != "persam":
        if (options.labels is None) == (options.truth is None):
            raise InputError(
                "--labels", "be given, or --truth", "neither" if options.truth is None else "both"
            )
        option = "--labels" if options.truth is None else "--truth"
        regions = _for_each(option, options.labels or options.truth, images)
    return [
        Job(image, output, regions=where, confidence=sure)
        for image, output, where, sure in zip(images, labels, regions, confidence, strict=True)
    ]


def _inputs(options: argparse.Namespace, jobs: Sequence[Job]) -> list[Path | None]:
    maps = [path for job in jobs for path in (job.regions, job.truth)]
    references = options.reference if options.mode == "persam" else ()
    images = [*(job.image for job in jobs), *(image for image, _ in references)]
    return [*images, *with_names(*maps, *(labels for _, labels in references)), options.sam_weights]


def _for_each(
    option: str, given: Sequence[Path] | None, images: Sequence[Path]
) -> Sequence[Path | None]:
    if given is None:
        return [None] * len(images)
    if len(given) != len(images):
        raise InputError(option, f"be given for each of the {len(images)} images", len(given))
    return [existing_file(option, path) for path in given]


def _config(options: argparse.Namespace) -> Any:
    from ..config import AutomaticConfig, PerSamConfig, RegionConfig

    settings = parse_settings(options.set)
    if options.mode == "automatic":
        for key in ("min_area", "max_area"):
            if getattr(options, key) is not None:
                settings[key] = getattr(options, key)
        return AutomaticConfig.of(settings, "settings")
    if options.mode == "persam":
        if options.fine_tune:
            settings["fine_tune"] = True
        return PerSamConfig.of(settings, "settings")
    if options.each is not None:
        settings["each"] = options.each
    return RegionConfig.of(settings, "settings")


def _references(options: argparse.Namespace) -> list[Template]:
    from ..io import check_match, read_labels, read_volume
    from ..templates import Template

    templates = []
    for image_path, label_path in options.reference:
        image = read_volume(existing_file("--reference", image_path), frame=options.frame)
        labels = read_labels(existing_file("--reference", label_path))
        check_match(image, labels)
        if not labels.data.any():
            raise InputError(
                "--reference",
                "have at least one painted slice",
                f"{label_path} (no paint)",
                "Paint a slice, or give another label map.",
            )
        templates.append(Template(image, labels))
    return templates
