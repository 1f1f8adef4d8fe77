"""Write a model for other programs, as ONNX or as a package of bioimage.io.

FILE.onnx takes slices, with values in 0..1, and gives the probabilities of the labels. FILE.zip is
a package of the bioimage.io model format, with test tensors and a description. What the file leaves
out beside `predict`, and how well it agrees with the model, is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import shared

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]

NAME = "export"
HELP = "write a model for other programs: ONNX, bioimage.io"
EXAMPLE = "napari-fewshot export model.fewshot -o model.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="model file of the train command")
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.onnx, or FILE.zip for a package of bioimage.io",
    )
    for name, what in (
        ("author", "who made the model"),
        ("licence", "its licence, by its SPDX name, e.g. CC-BY-4.0"),
        ("note", "a sentence on what it is for"),
    ):
        add(f"--{name}", metavar="TEXT", help=f"{what} (default: as on the card of the model)")
    shared.add_options(parser, "--weights", "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Write the file; nothing where the two do not agree."""
    from ..export import export_model
    from ..segmenter import FewShotSegmenter

    path = shared.existing_file("MODEL", options.model)
    inputs = [path, options.weights]
    outputs = shared.check_outputs(
        "--output", [options.output], inputs, overwrite=options.overwrite
    )
    model = FewShotSegmenter.load(path, weights=options.weights, device="cpu")
    model = model.with_card(author=options.author, licence=options.licence, note=options.note)
    with outputs.writing():
        found = export_model(model, options.output)
    print(found.path)
    print(f"agrees      {found.agreement}")
    for words in found.left_out:
        print(f"left out    {words}")
    return 0
