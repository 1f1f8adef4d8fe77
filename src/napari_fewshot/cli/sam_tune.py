"""Tune the mask decoder of SAM or MedSAM on painted slices, and write it as a checkpoint.

Connected parts of labels are prompted for by boxes and points; the encoders stay as they are. The
file is for --sam-weights, with the same --sam, and .pth also for segment_anything. Options that
describe a template are given as for train.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..config import TuneConfig
from . import shared
from .reporting import ProgressBars
from .templates import add_template_arguments, group_templates, read_templates
from .train import check_output

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]

NAME = "tune"
HELP = "tune the mask decoder on painted slices"
EXAMPLE = (
    "napari-fewshot sam tune --image image.nii.gz --labels painted.nii.gz -o tuned.safetensors"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add_template_arguments(parser)
    parser.set_defaults(template="dense", background=None)
    shared.add_options(parser, "--sam")
    shared.add_setting(parser, "--prompts", TuneConfig, "prompts")
    shared.add_setting(parser, "--steps", TuneConfig, "steps", metavar="N")
    shared.add_setting(parser, "--seed", TuneConfig, "seed", metavar="S")
    shared.add_options(parser, "--sam-weights", "--frame", "--window", "--channels")
    shared.add_options(parser, "--set", help="another setting, e.g. learning_rate=0.0001")
    shared.add_store_options(parser, "embeddings of SAM")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="checkpoint to write: .pth, .pt or .safetensors",
    )
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Tune, write the checkpoint, and tell what it changed."""
    from ..sam import load_sam, tune_sam
    from ..sam.checkpoint import check_checkpoint_name

    files = group_templates(options.given, landmarks=False)
    if options.sam_weights is not None:
        shared.existing_file("--sam-weights", options.sam_weights)
    check_checkpoint_name(options.output, "--output")
    outputs = check_output(options, files, options.sam_weights)
    chosen = shared.parse_settings(options.set) | shared.chosen_settings(options)
    config = TuneConfig.of(chosen, "settings")
    intensity = shared.given_intensity(options)
    templates = read_templates(files, options)
    store = shared.open_store(options)
    sam = load_sam(options.sam, weights=options.sam_weights, device=options.device, store=store)
    start = time.perf_counter()
    with ProgressBars() as bars:
        tuned = tune_sam(templates, sam=sam, config=config, intensity=intensity, progress=bars)
    seconds = time.perf_counter() - start
    with outputs.writing():
        tuned.save(options.output)
    print(f"{options.sam}, tuned on {tuned.slices} painted slices in {seconds:.1f} s")
    if not tuned.held_out:
        print("Dice before and after: needs three painted slices, one of which is held out")
    for kind, before in tuned.before.items():
        after, count = tuned.after[kind], tuned.held_out
        print(f"Dice with {kind}, {count} held-out slices: {before:.3f} before, {after:.3f} after")
        if after < before:
            advice = f"worse with {kind} than before: paint more slices, or give fewer --steps"
            print(f"napari-fewshot: warning: {advice}.", file=sys.stderr)
    print(options.output)
    if store is not None:
        store.prune()
    return 0
