"""What the commands that refine labels share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import (
    add_store_arguments,
    add_window_argument,
    check_axis,
    existing_file,
    existing_image,
    open_store,
    parse_settings,
    window_settings,
)

if TYPE_CHECKING:
    from ..config import IntensityConfig, RefinementConfig
    from ..features.store import FeatureStore
    from ..types import Volume

__all__ = [
    "RefineInputs",
    "add_refining_arguments",
    "check_refine",
    "check_sam_weights",
    "loading_sam",
    "read_inputs",
]

METHOD = "propagation.refinement.method"
"""Setting of a model that ``--refine`` stands for."""


def check_refine(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Check ``--refine``, ``--set`` and ``--sam-weights`` before anything is loaded."""
    from ..predict.refiners import check_method

    if options.refine is not None:
        check_method(options.refine, "--refine")
    found: Any = settings
    for part in METHOD.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str):
        check_method(found, f"--set {METHOD}")
        if options.refine not in (None, found):
            raise InputError(
                "--refine", f"agree with --set {METHOD}={found}", options.refine, "Give one."
            )
    if options.sam_weights is not None:
        existing_file("--sam-weights", options.sam_weights)


def check_sam_weights(options: argparse.Namespace, method: str | None) -> None:
    """Check that there is a refinement, by ``--refine`` or as the model says, to give a file to."""
    if options.sam_weights is not None and options.refine is None and method is None:
        raise InputError("--sam-weights", "stand beside --refine NAME", "no --refine")


@contextmanager
def loading_sam(refining: bool = True) -> Iterator[None]:
    """Word missing weights for a SAM that is prompted: the library speaks of backbones."""
    from ..backbones.weights import MissingWeightsError

    try:
        yield
    except MissingWeightsError as error:
        instead = "refine with random-walker, which needs no download" if refining else ""
        raise error.of_sam(instead) from error


def add_refining_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the inputs, and how they are refined."""
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="image of the labels")
    add("labels", type=Path, metavar="LABELS", help="label map on the grid of the image")
    add(
        "--confidence",
        type=Path,
        metavar="C",
        help="confidence of the labels, as predict --confidence writes it (default: pixels deep "
        "inside of their region count as sure)",
    )
    add("--sam-weights", metavar="FILE", type=Path, help="local checkpoint of the SAM")
    add(
        "--axis",
        default=None,
        metavar="N|axial|coronal|sagittal",
        help="axis of the slices (default: axial where the file says how it lies, else 0)",
    )
    add("--frame", type=int, metavar="T", help="time point of 4D images")
    add_window_argument(parser)
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the refinement, e.g. prompts.points=5",
    )
    add("--seed", type=int, default=0, metavar="S", help="of random prompts (default: 0)")
    add_store_arguments(parser, "embeddings of SAM")


@dataclass(frozen=True, eq=False)
class RefineInputs:
    """What the arguments of :func:`add_refining_arguments` say."""

    image: Volume
    labels: Volume
    confidence: Volume | None
    config: RefinementConfig
    intensity: IntensityConfig
    device: str
    store: FeatureStore | None


def read_inputs(options: argparse.Namespace) -> RefineInputs:
    """Check the options, then read the files."""
    from ..config import IntensityConfig, RefinementConfig
    from ..device import choose_device
    from ..io import check_match, read_labels, read_volume

    if options.axis is not None:
        check_axis(options.axis)
    if options.seed < 0:
        raise InputError("--seed", "be at least 0", options.seed)
    existing_image("IMAGE", options.image)
    for name, path in (
        ("LABELS", options.labels),
        ("--confidence", options.confidence),
        ("--sam-weights", options.sam_weights),
    ):
        if path is not None:
            existing_file(name, path)
    config = RefinementConfig.of(parse_settings(options.set), "settings")
    intensity = window_settings(options)
    device, store = choose_device(options.device), open_store(options)
    image = read_volume(options.image, frame=options.frame)
    labels = read_labels(options.labels)
    check_match(image, labels)
    confidence = None
    if options.confidence is not None:
        confidence = read_volume(options.confidence)
        check_match(image, confidence)
    scale = IntensityConfig.of(intensity, "intensity")
    return RefineInputs(image, labels, confidence, config, scale, device, store)
