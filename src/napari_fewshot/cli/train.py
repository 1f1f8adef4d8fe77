"""Learn from images with painted slices or landmarks, and write a model file.

Options that describe a template (labels, points, slices, known labels, axis) are given once for
every image, in the order of the images, or each behind its own --image. Slices, known labels and
axis may be given once for all images. Patterns in quotes and folders stand for the images, label
maps and CSV files in them, in natural order; a folder as --labels for NAME_labels, or NAME, of each
image NAME.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import SegmenterConfig
from ..config.base import merged_settings
from ..errors import InputError
from . import instances, polishing, shared
from .reporting import ProgressBars
from .templates import (
    InOrder,
    TemplateFiles,
    add_template_arguments,
    group_templates,
    read_templates,
)

if TYPE_CHECKING:
    from ..io.outputs import Outputs
    from ..segmenter import FewShotSegmenter, HeldOutScore
    from ..templates.template import Template

NAME = "train"
HELP = "learn from painted slices or landmarks"
EXAMPLE = "napari-fewshot train --image image.nii.gz --labels painted.nii.gz -o model.fewshot"

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add_template_arguments(parser)
    instances.add_arguments(parser)
    add(
        "--from",
        dest="before",
        type=Path,
        metavar="MODEL",
        help="learn on from a model: what it knows stays, and its settings count",
    )
    add("--points", action=InOrder, nargs="+", metavar="P.csv", help="its landmarks")
    add(
        "--known-labels",
        action=InOrder,
        metavar="V,V",
        help="labels that were looked for; others are unknown there (default: those that occur)",
    )
    add("--template", choices=["dense", "scribble"], default="dense", help="kind of the label maps")
    add("--background", type=int, metavar="V", help="value painted as background in scribbles")
    shared.add_setting(parser, "--backbone", SegmenterConfig, "backbone", metavar="NAME")
    shared.add_setting(parser, "--adapter", SegmenterConfig, "adapter", metavar="NAME")
    shared.add_setting(parser, "--preset", SegmenterConfig, "preset")
    shared.add_options(parser, "--window", "--channels")
    add("--spacing", type=float, metavar="MM", help="resample rows and columns to this spacing")
    add("--isotropic", action="store_true", help="with --spacing: resample the slices too")
    add(
        "--position",
        choices=["on", "off", "auto"],
        help="position as features; auto tries both on held-out templates (default: on)",
    )
    shared.add_options(parser, "--frame", "--series", "--max-memory")
    shared.add_options(
        parser,
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="any other setting, e.g. contrastive.steps=1000",
    )
    shared.add_setting(parser, "--seed", SegmenterConfig, "seed", metavar="S")
    polishing.add_arguments(parser)
    add("--author", metavar="WHO", help="author, for the card in the model file (see info)")
    add("--licence", metavar="SPDX", help="licence of the model, for its card, e.g. CC-BY-4.0")
    add("--note", metavar="TEXT", help="what others should know of the model, for its card")
    add("--no-score", action="store_true", help="do not estimate the held-out score")
    shared.add_options(parser, "--weights")
    shared.add_store_options(parser, "features of transformers")
    add("-o", "--output", type=Path, required=True, metavar="MODEL", help="model file to write")
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Train, write the model, then estimate its held-out score."""
    files = group_templates(options.given)
    _check_background(options)
    outputs = check_output(options, files, options.weights)
    polishing.check(options)
    from ..predict.card import ModelCard
    from ..segmenter.polishing import check_polishing

    words = {"author": options.author, "licence": options.licence, "note": options.note}
    ModelCard().written(words)  # what is too long is said before the training
    model = _to_learn(options)
    if options.polish:
        check_polishing(model.config)
    templates = instances.prepared(read_templates(files, options), options)
    start = time.perf_counter()
    scores: dict[bool, HeldOutScore | None] = {}
    with ProgressBars() as bars:
        if options.before is not None:
            model = model.extended(templates, progress=bars)
        else:
            model, scores = _fit(model, templates, options.position == "auto", bars)
    model = model.with_card(**words, files=_painted(files))
    seconds = time.perf_counter() - start
    with outputs.writing():
        model.save(options.output)
    _report(model, templates, seconds, options.output)
    if options.polish:
        model = polishing.polish(model, options.polish_minutes)
        with outputs.writing():
            model.save(options.output)
    if not options.no_score:
        use = model.config.position.use
        if use not in scores:
            with ProgressBars() as bars:
                scores[use] = model.held_out_score(progress=bars)
        score = scores[use]
        _report_score(model, score)
        if score is not None:
            model = model.with_weights(score.weights).with_card(score=score)
            with outputs.writing():
                model.save(options.output)
    if model.extractor.store is not None:
        model.extractor.store.prune()
    return 0


def _check_background(options: argparse.Namespace) -> None:
    """The value of background is that of scribbles, which need it."""
    if options.template == "scribble" and options.background is None:
        raise InputError(
            "--background",
            "be given with --template scribble",
            "nothing",
            "Name the value with which background is painted.",
        )
    if options.template == "dense" and options.background is not None:
        raise InputError("--background", "stand beside --template scribble", options.background)


def check_output(
    options: argparse.Namespace, files: Sequence[TemplateFiles], weights: Path | None
) -> Outputs:
    """Check that the file to write can be written, and that it is no file that is read."""
    path = options.output
    if path.is_dir() or not _writable(path):
        raise InputError("--output", "be a file in a folder that can be written", path)
    inputs = [path for group in files for path in (group.image, group.points)]
    inputs.append(getattr(options, "before", None))
    labels = shared.with_names(*(group.labels for group in files))
    return shared.check_outputs(
        "--output", [path], [*inputs, *labels, weights], overwrite=options.overwrite
    )


def _painted(files: Sequence[TemplateFiles]) -> list[Path]:
    """Files that a person made for the images: label maps and tables of points."""
    made = [(group.image, path) for group in files for path in (group.labels, group.points)]
    return [path for image, path in made if path is not None and path != image]


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
        mean = "none: one template slice" if score is None else f"{score.for_comparison:.3f}"
        print(f"held-out Dice {'with' if use else 'without'} position: {mean}")
    return best, scores


def _to_learn(options: argparse.Namespace) -> FewShotSegmenter:
    """The segmenter that is to learn: a new one, or the model to go on from."""
    from ..segmenter import FewShotSegmenter

    settings = settings_of(options)
    own = {
        "weights": options.weights,
        "device": options.device,
        "store": shared.open_store(options),
    }
    if options.before is None:
        return FewShotSegmenter(**own, **settings)
    _check_goes_on(options, settings)
    return FewShotSegmenter.load(options.before, **own)


def _check_goes_on(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Refuse settings beside a model that has its own."""
    given = sorted(settings) + (["position"] if options.position == "auto" else [])
    if given:
        raise InputError(
            "--from",
            "stand without settings of the training, which are those of the model",
            ", ".join(given),
            "Leave them out, or train anew.",
        )


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the segmenter that the options ask for."""
    settings = shared.chosen_settings(options)
    if intensity := shared.intensity_settings(options):
        settings["intensity"] = intensity
    if options.spacing is not None:
        if not 0 < options.spacing < math.inf:
            raise InputError("--spacing", "be finite and above 0 mm", options.spacing)
        mode = "isotropic" if options.isotropic else "inplane"
        settings["resampling"] = {"mode": mode, "spacing": options.spacing}
    elif options.isotropic:
        raise InputError("--isotropic", "stand beside --spacing MM", "no --spacing")
    if options.position in ("on", "off"):
        settings["position"] = {"use": options.position == "on"}
    return merged_settings(settings, shared.parse_settings(options.set))


def _writable(path: Path) -> bool:
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _report(
    model: FewShotSegmenter, templates: list[Template], seconds: float, output: Path
) -> None:
    labels = ", ".join(
        f"{v} {name}" if name != str(v) else name for v, name in model.names_.items()
    )
    print(f"{len(templates)} template(s), {model.training_set_.describe()}")
    print(f"labels: {labels}")
    if model.base_ is not None:
        card = model.card_
        print(f"learned on: {card.slices} known slices of {card.images} images in all")
    if model.config.intensity.channels is not None:
        channels = ", ".join(map(str, model.config.intensity.channels))
        print(f"channels: {channels}, of images to label too")
    print(f"{model.config.backbone} + {model.config.adapter}, trained in {seconds:.1f} s: {output}")
    learned = model.volume_predictor().model
    if learned.landmarks is not None:
        print(
            f"the model file shows {len(learned.landmarks.images)} of these images, coarsely and "
            "round their landmarks (--set propagation.landmarks.arrangement=false: none)"
        )
    if kept := model.remembered_pixels_:
        print(
            f"the model file keeps the features of {kept} pixels, to learn on from "
            "(--set sampling.remembered=0: none)"
        )
    if held := len(learned.volumes):
        print(
            f"the model file holds {held} of these images, coarsely, to register others with them "
            "(--set experts.registered=false: none)"
        )
    _report_refinement(model)


def _report_refinement(model: FewShotSegmenter) -> None:
    """Say which weights the prediction will need beside those that were there for training."""
    from ..predict.refiners import REFINERS, check_method

    if model.refinement is None:
        return
    print(f"predictions are refined by {model.refinement} (predict --refine none: not)")
    if not REFINERS.get(check_method(model.refinement)).available():
        print(
            f"weights of {model.refinement} are not on this machine: predict fetches them, or "
            "takes --sam-weights FILE",
            file=sys.stderr,
        )


def _report_score(model: FewShotSegmenter, score: HeldOutScore | None) -> None:
    if score is None:
        print("held-out score: needs at least two template slices", file=sys.stderr)
        return
    print(
        "held-out Dice (an estimate: too high if slices are alike, too low if few are painted; "
        f"{score.folds} folds by {score.grouped_by}):"
    )
    width = max(4, *(len(name) for name in model.names_.values()))
    for value, dice in score.dice.items():
        shown = "    -" if math.isnan(dice) else f"{dice:.3f}"
        print(f"  {model.names_[value]:<{width}}  {shown}")
    print(f"  {'mean':<{width}}  {score.mean:.3f}")
    unknown = {value for value, dice in score.dice.items() if math.isnan(dice)}
    if unknown - set(score.too_few):
        print(f"  {'-':<{width}}  could not be held out: known in one part of the templates only")
    for value in sorted(score.too_few):
        why = "one of its two slices tells little of the other: paint it on one more"
        print(f"  {model.names_[value]}: not known yet, {why}")
