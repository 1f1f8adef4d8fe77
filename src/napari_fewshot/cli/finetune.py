"""Fine-tune a backbone on images without labels, and write its weights.

The file is for --weights of every command, and for the viewer. Beside it lie a table of losses and
scores (.csv), its picture (.png) and what the network was shown (_views.png). Ctrl-C ends the
training and keeps the best weights so far; the same command goes on from there. Labelled images
(--probe-image and --probe-labels) tell whether it has become better: give some.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import DEFAULT_BACKBONE, FinetuneConfig
from ..config.base import merged_settings
from ..errors import Cancelled, InputError
from . import shared
from .inputs import images_of, label_maps_of
from .reporting import ProgressBars, noted_interrupt

if TYPE_CHECKING:
    from ..finetuning import Finetuned
    from ..finetuning.run import Run
    from ..templates import Template

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]

NAME = "finetune"
HELP = "fine-tune a backbone on images without labels"
EXAMPLE = "napari-fewshot finetune --images 'scans/**/*.nii.gz' --minutes 30 -o own.safetensors"
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "--images",
        nargs="+",
        required=True,
        metavar="PATTERN",
        help="images, folders of images, or patterns in quotes; label maps are left out",
    )
    add(
        "--backbone",
        default=DEFAULT_BACKBONE,
        metavar="NAME",
        help="backbone to fine-tune (default: %(default)s)",
    )
    shared.add_options(
        parser, "--weights", help="local checkpoint to begin with, in place of its own weights"
    )
    add("--probe-image", nargs="+", metavar="I", help="labelled images that weights are judged by")
    add("--probe-labels", nargs="+", type=Path, metavar="L", help="their label maps, or a folder")
    add(
        "--config",
        metavar="NAME|FILE.toml",
        help="settings out of a file, or published: for DINOv2 on a GPU; options still count",
    )
    shared.add_setting(parser, "--steps", FinetuneConfig, "steps", metavar="N")
    shared.add_setting(parser, "--minutes", FinetuneConfig, "minutes", metavar="M")
    shared.add_setting(
        parser, "--axis", FinetuneConfig, "axis", metavar="auto|all|N|axial|coronal|sagittal"
    )
    add("--spacing", type=float, metavar="MM", help="resample rows and columns to this spacing")
    shared.add_options(parser, "--window", "--channels")
    shared.add_setting(parser, "--seed", FinetuneConfig, "seed", metavar="S")
    shared.add_options(parser, "--set", help="another setting, e.g. contrast.keep=0.5")
    shared.add_setting(parser, "--devices", FinetuneConfig, "devices", metavar="N")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="WEIGHTS",
        help="weights to write: .safetensors",
    )
    shared.add_options(parser, "--overwrite", help="begin anew, and replace files that are there")


def run(options: argparse.Namespace) -> int:
    """Say what there is, train, write the weights, and say what it came to."""
    from ..finetuning.result import check_weights_name, outputs_of
    from ..finetuning.run import Run

    output = check_weights_name(options.output, "--output")
    settings = settings_of(options)
    shared.check_axis(settings.axis, "auto", "all")
    if options.weights is not None:
        shared.existing_file("--weights", options.weights)
    images = images_of("--images", options.images)
    labelled = _labelled(options)
    outputs = shared.check_outputs(
        "--output",
        outputs_of(output),
        [*images, *(path for pair in labelled for path in pair), options.weights],
        overwrite=options.overwrite,
    )
    with ProgressBars() as bars, noted_interrupt() as interrupted, outputs.writing():

        def progress(done: int, total: int, what: str) -> None:
            if interrupted.is_set():
                raise Cancelled("interrupted")
            bars(done, total, what)

        training = Run.of(
            options.backbone,
            images,
            weights=options.weights,
            probe=_templates(labelled),
            config=settings,
            device=options.device,
            progress=progress,
        )
        bars.close()
        training.begin(output, options.overwrite)
        if training.leads:
            _introduce(training, options.backbone)
        found = training.finish(training.train(progress))
    if training.leads:
        _report(found, training, output)
    return INTERRUPTED if found.ended == "stopped" else 0


def settings_of(options: argparse.Namespace) -> FinetuneConfig:
    """Settings that the options ask for."""
    from ..finetuning.ready import ready_settings

    base = {} if options.config is None else ready_settings(options.config)
    settings: dict[str, Any] = base | shared.chosen_settings(options)
    if intensity := shared.intensity_settings(options):
        settings["intensity"] = intensity
    if options.spacing is not None:
        if not 0 < options.spacing < math.inf:
            raise InputError("--spacing", "be finite and above 0 mm", options.spacing)
        settings["resampling"] = {"mode": "inplane", "spacing": options.spacing}
    return FinetuneConfig.of(
        merged_settings(settings, shared.parse_settings(options.set)), "settings"
    )


def _labelled(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Images of the probe with their label maps."""
    given, maps = options.probe_image, options.probe_labels
    if given is None and maps is None:
        return []
    if given is None or maps is None:
        present, absent = ("--probe-labels", "--probe-image")[:: -1 if maps is None else 1]
        raise InputError(present, f"stand beside {absent}", f"no {absent}")
    images = images_of("--probe-image", given)
    return list(zip(images, label_maps_of("--probe-labels", maps, images), strict=True))


def _templates(labelled: list[tuple[Path, Path]]) -> list[Template]:
    from ..io import check_match, read_labels, read_volume
    from ..templates import Template

    found = []
    for image, labels in labelled:
        volume, truth = read_volume(image), read_labels(labels)
        check_match(volume, truth)
        found.append(Template(volume, truth))
    return found


def _introduce(training: Run, backbone: str) -> None:
    """Say what there is to learn from, before it begins."""
    print(training.summary.describe())
    for name, why in training.left_out:
        about = why if name in why else f"{name}: {why}"
        print(f"napari-fewshot: left out: {about}", file=sys.stderr)
    begun = f", going on from step {training.steps}" if training.steps else ""
    print(f"{backbone}: {training.method}{begun}", flush=True)


def _report(found: Finetuned, training: Run, output: Path) -> None:
    """Say how it ended, and what it came to."""
    steps, seconds = training.steps, training.seconds
    if found.ended == "stopped":
        print(f"stopped after {steps} steps; the same command goes on from there", file=sys.stderr)
    if found.ended == "collapsed":
        print(
            f"napari-fewshot: warning: the features collapsed (their rank fell too far), and the "
            f"training ended after {steps} steps; try a lower learning_rate or a higher "
            "contrast.keep.",
            file=sys.stderr,
        )
    print(f"{steps} steps in {seconds:.0f} s: {output}")
    print(found.verdict)
