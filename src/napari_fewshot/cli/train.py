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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import SegmenterConfig
from ..config.base import merged_settings
from ..errors import InputError
from . import inputs, polishing, shared
from .reporting import ProgressBars

if TYPE_CHECKING:
    from ..io.outputs import Outputs
    from ..segmenter import FewShotSegmenter, HeldOutScore
    from ..templates.template import Template

NAME = "train"
HELP = "learn from painted slices or landmarks"

__all__ = ["HELP", "NAME", "add_arguments", "run"]

KINDS = ("labels", "points", "slices", "known_labels", "axis")
FILES = ("labels", "points")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add_template_arguments(parser)
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
    shared.add_options(parser, "--frame")
    shared.add_options(
        parser,
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="any other setting, e.g. contrastive.steps=1000",
    )
    shared.add_setting(parser, "--seed", SegmenterConfig, "seed", metavar="S")
    polishing.add_arguments(parser)
    add("--no-score", action="store_true", help="do not estimate the held-out score")
    shared.add_options(parser, "--weights")
    shared.add_store_options(parser, "features of transformers")
    add("-o", "--output", type=Path, required=True, metavar="MODEL", help="model file to write")
    shared.add_options(parser, "--overwrite")


def add_template_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`group_templates` and :func:`read_templates` take of any command."""
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
    add(
        "--slices",
        action=InOrder,
        metavar="K,K-K",
        help="slices that are known, counted along the axis from 0 (a listed slice without paint "
        "is known to be empty), or painted, or all (default: painted)",
    )
    add("--only", metavar="V,V", help="learn these labels only; the others become background")
    add(
        "--axis",
        action=InOrder,
        metavar="auto|N|axial|coronal|sagittal",
        help="axis of the slices; N counts in file order (default: the painted one)",
    )


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
    outputs = check_output(options, files, options.weights)
    polishing.check(options)
    from ..segmenter import FewShotSegmenter
    from ..segmenter.polish import check_polishing

    model = FewShotSegmenter(
        weights=options.weights,
        device=options.device,
        store=shared.open_store(options),
        **settings_of(options),
    )
    if options.polish:
        check_polishing(model.config)
    templates = read_templates(files, options)
    start = time.perf_counter()
    with ProgressBars() as bars:
        model, scores = _fit(model, templates, options.position == "auto", bars)
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
        if not scores:
            with ProgressBars() as bars:
                scores = {use: model.held_out_score(progress=bars)}
        score = scores[use]
        _report_score(model, score)
        if score is not None and score.weights != model.weights_:
            model = model.with_weights(score.weights)
            with outputs.writing():
                model.save(options.output)
    if model.extractor.store is not None:
        model.extractor.store.prune()
    return 0


def check_output(
    options: argparse.Namespace, files: Sequence[TemplateFiles], weights: Path | None
) -> Outputs:
    """Check that the file to write can be written, and that it is no file that is read."""
    path = options.output
    if path.is_dir() or not _writable(path):
        raise InputError("--output", "be a file in a folder that can be written", path)
    inputs = [path for group in files for path in (group.image, group.points)]
    labels = shared.with_names(*(group.labels for group in files))
    return shared.check_outputs(
        "--output", [path], [*inputs, *labels, weights], overwrite=options.overwrite
    )


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
    if model.config.intensity.channels is not None:
        channels = ", ".join(map(str, model.config.intensity.channels))
        print(f"channels: {channels}, of images to label too")
    print(f"{model.config.backbone} + {model.config.adapter}, trained in {seconds:.1f} s: {output}")
    if held := len(model.volume_predictor().model.volumes):
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


class InOrder(argparse.Action):
    """Collects ``(option, value)`` pairs of several options in the order in which they stand."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Append the values of one option."""
        given = list(getattr(namespace, "given", None) or [])
        values = values if isinstance(values, list) else [values]
        namespace.given = [*given, *((self.dest, value) for value in values)]


@dataclass
class TemplateFiles:
    """The files and words of one template."""

    image: Path
    labels: Path | None = None
    points: Path | None = None
    slices: str | None = None
    known_labels: str | None = None
    axis: str | None = None


def group_templates(
    given: Sequence[tuple[str, str]], *, landmarks: bool = True
) -> list[TemplateFiles]:
    """Share options out to images, each of which needs labels, or landmarks where these do.

    An option that is given once for every image goes to them in order; slices, known labels or
    an axis given once count for all; otherwise each belongs to the image that stands before it.
    """
    groups: list[TemplateFiles] = []
    owned: dict[str, list[tuple[int, str]]] = {kind: [] for kind in KINDS}
    for name, value in inputs.expanded_templates(given):
        if name == "image":
            groups.append(TemplateFiles(Path(value)))
        else:
            owned[name].append((len(groups) - 1, value))
    if not groups:
        raise InputError("--image", "be given at least once", "none")
    for kind, pairs in owned.items():
        option, values = f"--{kind.replace('_', '-')}", [value for _, value in pairs]
        if kind not in FILES and len(values) == 1:
            values *= len(groups)
        if len(values) == len(groups):
            pairs = list(enumerate(values))
        for owner, value in pairs:
            if owner < 0:
                raise InputError(option, "stand behind the --image it belongs to", value)
            if getattr(groups[owner], kind) is not None:
                raise InputError(option, "be given once for each image", value)
            if kind == "axis":
                shared.check_axis(value, "auto")
            setattr(groups[owner], kind, Path(value) if kind in FILES else value)
    for group in groups:
        if group.labels is None and (group.points is None or not landmarks):
            need = "be given for every image" + (", or --points" if landmarks else "")
            raise InputError("--labels", need, f"{group.image}")
    return groups


def read_templates(files: Sequence[TemplateFiles], options: argparse.Namespace) -> list[Template]:
    """Read the files of all templates; where there are several, messages say which it is about."""
    from ..templates.template import check_names

    numbers: dict[str, int] = {}
    templates = []
    for one in files:
        try:
            templates.append(_read_template(one, options, numbers))
        except InputError as error:
            if len(files) == 1 or str(one.image) in str(error):
                raise
            remedy = f"{error.remedy} (Image {one.image}.)".lstrip()
            raise InputError(error.parameter, error.constraint, error.given, remedy) from error
    check_names(templates)
    only = shared.parse_numbers("--only", options.only)
    if only is None:
        return templates
    painted = sorted(set().union(*(template.painted_values() for template in templates)))
    for value in only:
        if value not in painted:
            raise InputError("--only", f"be among the painted labels {painted}", value)
    return [t.only(*(v for v in only if v in t.painted_values())) for t in templates]


def _read_template(
    files: TemplateFiles, options: argparse.Namespace, numbers: dict[str, int]
) -> Template:
    """Read the files of one template."""
    from ..io import check_match, read_labels, read_points, read_volume
    from ..templates.template import SCRIBBLE_BACKGROUND, Template

    image = read_volume(files.image, frame=options.frame)
    labels = None
    if files.labels is not None:
        labels = read_labels(files.labels)
        check_match(image, labels)
    template = Template(
        image,
        labels,
        slices=_slices(files.slices),
        known_labels=shared.parse_numbers("--known-labels", files.known_labels),
        axis=None if files.axis == "auto" else files.axis,
        kind=options.template,
        points=() if files.points is None else read_points(files.points, image, numbers=numbers),
        background=SCRIBBLE_BACKGROUND if options.background is None else options.background,
    )
    if image.ndim == 3 and isinstance(template.slices, list):
        count = image.shape[template.file_axis()]
        if max(template.slices) >= count:
            raise InputError("--slices", f"be within 0..{count - 1}", files.slices)
    return template


def _slices(text: str | None) -> Any:
    if text is None or text in ("painted", "all"):
        return text
    return shared.parse_numbers("--slices", text)
