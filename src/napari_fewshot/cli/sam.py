"""Compare with SAM: everything in an image, what is in boxes or at points, or PerSAM.

Each image IMAGE gives OUTDIR/<stem>_labels in its own format and on its own grid. Images of equal
stem keep their folders.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InputError
from .failures import Failures
from .progress import ProgressBars
from .prompting import (
    Job,
    Shared,
    add_automatic_arguments,
    add_persam_arguments,
    add_region_arguments,
    prepare,
)

if TYPE_CHECKING:
    from ..types import Volume

NAME = "sam"
HELP = "compare with SAM, MedSAM and PerSAM"

__all__ = ["HELP", "NAME", "add_arguments", "run"]

_MODES = {
    "automatic": "everything in an image, as instances",
    "boxes": "what is in boxes round given labels",
    "points": "what lies at a point in each part of given labels",
    "persam": "what a labelled image shows, in other images",
}
_ABOUT = {
    "automatic": """Find everything in an image, without being told what to look for.

IMAGE gives OUTDIR/<stem>_instances, in which every instance of a slice has its own number, and
OUTDIR/<stem>_instances.csv with the scores of each; with --truth also OUTDIR/<stem>_labels.""",
    "boxes": """Segment what is in boxes round labels: the truth, or where something was localised.

Each label is segmented by itself; where masks overlap the one of the highest score stays.""",
    "points": """Segment what lies at a point of each connected part of labels, where it is deepest.

Each label is segmented by itself; where masks overlap the one of the highest score stays.""",
    "persam": """Segment in other images what painted slices of an image show (PerSAM, PerSAM-F).

Each label is segmented by itself; where masks overlap the one of the highest score stays.""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the modes and their options."""
    modes = parser.add_subparsers(dest="mode", metavar="MODE", required=True)
    for mode, summary in _MODES.items():
        below = modes.add_parser(mode, help=summary, description=_ABOUT[mode])
        if mode == "automatic":
            add_automatic_arguments(below)
        elif mode == "persam":
            add_persam_arguments(below)
        else:
            add_region_arguments(below)


def run(options: argparse.Namespace) -> int:
    """Work on one image after the other; a bad one does not keep the others from being done."""
    work: dict[str, Callable[[Shared, Job, Volume, ProgressBars], str]] = {
        "automatic": _automatic,
        "boxes": _regions,
        "points": _regions,
        "persam": _persam,
    }
    shared, jobs = prepare(options)
    failures = Failures()
    for job in jobs:
        with failures.of(job.image):
            image = shared.read(job.image)
            with shared.outputs.writing(), ProgressBars(job.image.name) as bars:
                warning = work[options.mode](shared, job, image, bars)
            if warning:
                print(f"napari-fewshot: warning: {job.image}: {warning}", file=sys.stderr)
            print(job.output)
    shared.limit_store()
    return failures.status


def _automatic(shared: Shared, job: Job, image: Volume, bars: ProgressBars) -> str:
    from ..io import check_match, read_labels, write_labels
    from ..io.outputs import replacing
    from ..metrics.contingency import match_instances
    from ..sam import sam_automatic

    truth = None
    if job.truth is not None:
        truth = read_labels(job.truth)
        check_match(image, truth)
    found = sam_automatic(
        image,
        sam=shared.sam,
        config=shared.config,
        axis=shared.axis,
        intensity=shared.intensity,
        progress=bars,
    )
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
    if found.instances:
        return ""
    set_to = shared.config
    limits = {
        "--set iou=": set_to.iou,
        "--set stability=": set_to.stability,
        "--min-area ": set_to.min_area,
    }
    lower = ", ".join(f"{option}{value:g}" for option, value in limits.items() if value > 0)
    advice = [f"lower {lower}"] if lower else []
    if set_to.max_area is not None:
        advice.append(f"raise --max-area {set_to.max_area:g}")
    what = "nothing was found that passes the limits"
    return f"{what}: {', or '.join(advice)}." if advice else "nothing was found."


def _regions(shared: Shared, job: Job, image: Volume, bars: ProgressBars) -> str:
    from ..io import check_match, read_labels, write_image, write_labels
    from ..sam import sam_boxes, sam_points

    if job.regions is None:
        raise InputError("--labels", "be given, or --truth", "neither")
    regions = read_labels(job.regions)
    check_match(image, regions)
    method = sam_boxes if shared.mode == "boxes" else sam_points
    found = method(
        image,
        regions,
        sam=shared.sam,
        config=shared.config,
        axis=shared.axis,
        intensity=shared.intensity,
        progress=bars,
    )
    if job.confidence is not None:
        write_image(job.confidence, found.confidence, image)
    write_labels(job.output, found.labels, image, names=found.names)
    if not regions.data.any():
        return f"nothing was looked for, since {job.regions} has no label."
    return "" if found.labels.any() else f"nothing was found where {job.regions} has labels."


def _persam(shared: Shared, job: Job, image: Volume, bars: ProgressBars) -> str:
    from ..io import write_image, write_labels

    if shared.learned is None:
        raise InputError("--reference", "be given", "none")
    found = shared.learned.segment(image, axis=shared.axis, progress=bars)
    if job.confidence is not None:
        write_image(job.confidence, found.confidence, image)
    names = {value: name for value, name in found.names.items() if name != str(value)}
    write_labels(job.output, found.labels, image, names=names)
    if found.labels.any():
        return ""
    least = shared.config.min_similarity
    lower = "" if least is None else f" Lower --set min_similarity={least:g}."
    return f"nothing was found that is like the reference.{lower}"
