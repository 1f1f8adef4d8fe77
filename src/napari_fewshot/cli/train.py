"""Learn from images with painted slices or landmarks, and write a model file.

Options that describe a template (labels, points, slices, known labels, axis) are given once for
every image, in the order of the images, or each behind its own --image. Slices, known labels and
axis may be given once for all images.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import DEFAULT_ADAPTER, DEFAULT_BACKBONE
from ..errors import InputError
from .arguments import (
    add_backbone_arguments,
    add_overwrite_argument,
    add_window_argument,
    check_outputs,
    limit_store,
    merge_settings,
    open_store,
    parse_settings,
    window_settings,
    with_names,
)
from .progress import ProgressBars
from .templates import InOrder, group_templates, read_templates

if TYPE_CHECKING:
    from ..segmenter import FewShotSegmenter, HeldOutScore
    from ..templates.template import Template

NAME = "train"
HELP = "learn from painted slices or landmarks"

__all__ = ["HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--image", action=InOrder, nargs="+", metavar="I", required=True, help="image to learn from"
    )
    add(
        "--labels",
        action=InOrder,
        nargs="+",
        metavar="L",
        help="its label map, some slices painted",
    )
    add("--points", action=InOrder, nargs="+", metavar="P.csv", help="its landmarks")
    add(
        "--slices",
        action=InOrder,
        metavar="K,K-K",
        help="slices that are known, counted along the axis from 0 (a listed slice without paint "
        "is known to be empty), or painted, or all (default: painted)",
    )
    add(
        "--known-labels",
        action=InOrder,
        metavar="V,V",
        help="labels that were looked for; others are unknown there (default: those that occur)",
    )
    add("--only", metavar="V,V", help="learn these labels only; the others become background")
    add("--template", choices=["dense", "scribble"], default="dense", help="kind of the label maps")
    add("--background", type=int, metavar="V", help="value painted as background in scribbles")
    add(
        "--axis",
        action=InOrder,
        metavar="auto|N|axial|coronal|sagittal",
        help="axis of the slices; N counts in file order (default: the painted one)",
    )
    add("--backbone", default=None, metavar="NAME", help=f"default: {DEFAULT_BACKBONE}")
    add("--adapter", default=None, metavar="NAME", help=f"default: {DEFAULT_ADAPTER}")
    add("--preset", choices=["published"], help="settings of the papers instead of our defaults")
    add_window_argument(parser)
    add("--spacing", type=float, metavar="MM", help="resample rows and columns to this spacing")
    add("--isotropic", action="store_true", help="with --spacing: resample the slices too")
    add(
        "--position",
        choices=["on", "off", "auto"],
        help="position as features; auto tries both on held-out templates (default: on)",
    )
    add("--frame", type=int, metavar="T", help="time point of 4D images")
    add(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="any other setting, e.g. contrastive.steps=1000",
    )
    add("--seed", type=int, default=None, metavar="S", help="default: 0")
    add("--no-score", action="store_true", help="do not estimate the held-out score")
    add_backbone_arguments(parser)
    add("-o", "--output", type=Path, required=True, metavar="MODEL", help="model file to write")
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Train, write the model, then estimate its held-out score."""
    files = group_templates(options.given)
    if options.template == "scribble" and options.background is None:
        raise InputError(
            "--background",
            "be given with --template scribble",
            "nothing",
            "Name the value with which background is painted.",
        )
    if options.template == "dense" and options.background is not None:
        raise InputError("--background", "stand beside --template scribble", options.background)
    if options.output.is_dir() or not _writable(options.output):
        raise InputError("--output", "be a file in a folder that can be written", options.output)
    inputs = [path for group in files for path in (group.image, group.points)]
    labels = with_names(*(group.labels for group in files))
    outputs = check_outputs(
        "--output",
        [options.output],
        [*inputs, *labels, options.weights],
        overwrite=options.overwrite,
    )
    from ..segmenter import FewShotSegmenter

    model = FewShotSegmenter(
        weights=options.weights,
        device=options.device,
        store=open_store(options),
        **settings_of(options),
    )
    templates = read_templates(files, options)
    start = time.perf_counter()
    with ProgressBars() as bars:
        model, scores = _fit(model, templates, options.position == "auto", bars)
    seconds = time.perf_counter() - start
    with outputs.writing():
        model.save(options.output)
    _report(model, templates, seconds, options.output)
    if not options.no_score:
        use = model.config.position.use
        if not scores:
            with ProgressBars() as bars:
                scores = {use: model.held_out_score(progress=bars)}
        _report_score(model, scores[use])
    limit_store(model, options)
    return 0


def _fit(
    model: FewShotSegmenter, templates: list[Template], choose_position: bool, bars: ProgressBars
) -> tuple[FewShotSegmenter, dict[bool, HeldOutScore | None]]:
    """A fitted model, and where position was chosen, the scores with it and without."""
    if not choose_position:
        return model.fit(templates, progress=bars), {}
    from ..segmenter import fit_with_best_position

    best, scores = fit_with_best_position(model, templates, bars)
    bars.close()
    for use, score in scores.items():
        mean = "none: one template slice" if score is None else f"{score.mean:.3f}"
        print(f"held-out Dice {'with' if use else 'without'} position: {mean}")
    return best, scores


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the segmenter that the options ask for."""
    settings: dict[str, Any] = {
        "backbone": options.backbone,
        "adapter": options.adapter,
        "preset": options.preset,
        "seed": options.seed,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if window := window_settings(options):
        settings["intensity"] = window
    if options.spacing is not None:
        if not 0 < options.spacing < math.inf:
            raise InputError("--spacing", "be finite and above 0 mm", options.spacing)
        mode = "isotropic" if options.isotropic else "inplane"
        settings["resampling"] = {"mode": mode, "spacing": options.spacing}
    elif options.isotropic:
        raise InputError("--isotropic", "stand beside --spacing MM", "no --spacing")
    if options.position in ("on", "off"):
        settings["position"] = {"use": options.position == "on"}
    return merge_settings(settings, parse_settings(options.set))


def _writable(path: Path) -> bool:
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    import os

    return folder.is_dir() and os.access(folder, os.W_OK)


def _report(
    model: FewShotSegmenter, templates: list[Template], seconds: float, output: Path
) -> None:
    labels = ", ".join(
        f"{v} {name}" if name != str(v) else name for v, name in model.names_.items()
    )
    print(f"{len(templates)} template(s), {model.training_set_.describe()}")
    print(f"labels: {labels}")
    print(f"{model.config.backbone} + {model.config.adapter}, trained in {seconds:.1f} s: {output}")


def _report_score(model: FewShotSegmenter, score: HeldOutScore | None) -> None:
    if score is None:
        print("held-out score: needs at least two template slices", file=sys.stderr)
        return
    print(
        f"held-out Dice (an estimate that tends to be optimistic; {score.folds} folds by "
        f"{score.grouped_by}):"
    )
    width = max(4, *(len(name) for name in model.names_.values()))
    for value, dice in score.dice.items():
        shown = "    -" if math.isnan(dice) else f"{dice:.3f}"
        print(f"  {model.names_[value]:<{width}}  {shown}")
    print(f"  {'mean':<{width}}  {score.mean:.3f}")
    if any(math.isnan(dice) for dice in score.dice.values()):
        print(f"  {'-':<{width}}  could not be held out: known in one part of the templates only")
