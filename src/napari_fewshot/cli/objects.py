"""Separate touching objects of label maps.

LABELS is a label map, a folder of label maps, or a pattern in quotes ('out/*_labels.nii.gz'). Each
connected part is cut where it is narrow, and objects are numbered from 1: OUT is a file for one
label map, else a folder, where NAME_labels gives NAME_instances.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import ObjectsConfig
from ..errors import InputError
from . import inputs, shared
from .reporting import Failures, ProgressBars

if TYPE_CHECKING:
    from ..types import Progress

NAME = "objects"
HELP = "separate touching objects of label maps, such as cells"
EXAMPLE = "napari-fewshot objects results -o objects --min-size 50"

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("labels", nargs="+", metavar="LABELS", help="label map, folder or pattern")
    for option, what in (
        ("--image", "image of each label map, darker between objects"),
        ("--confidence", "confidence of each label map, lower between objects"),
    ):
        add(
            option,
            nargs="+",
            action="extend",
            metavar="FILE",
            help=f"{what}: in their order; or a folder or pattern, by name",
        )
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="file or folder to write")
    add("--label", metavar="L,L", help="labels whose objects are wanted (default: all)")
    for option, name in (("--min-size", "min_size"), ("--max-size", "max_size")):
        shared.add_setting(parser, option, ObjectsConfig, name, metavar="SIZE")
    shared.add_setting(parser, "--by", ObjectsConfig, "by")
    shared.add_setting(parser, "--neck", ObjectsConfig, "neck", metavar="SHARE")
    shared.add_setting(parser, "--borders", ObjectsConfig, "borders")
    add(
        "--axis",
        metavar="N|axial|coronal|sagittal",
        help="axis of the slices with --by slices (default: axial where the file says how it "
        "lies, else 0)",
    )
    shared.add_options(parser, "--format", "--frame")
    shared.add_options(
        parser, "--set", metavar="KEY=VALUE", help="another setting, e.g. sigma=2 or overlap=0.3"
    )
    shared.add_options(parser, "--overwrite")


def run(options: argparse.Namespace) -> int:
    """Write a map of objects for each label map; a bad one does not keep the others."""
    shared.check_axis(options.axis)
    settings = {**shared.parse_settings(options.set), **shared.chosen_settings(options)}
    config = ObjectsConfig.of(settings, "settings")
    maps = inputs.given_label_maps(options.labels)
    beside = {
        name: inputs.images_for(f"--{name}", vars(options)[name], maps, suffix)
        for name, suffix in (("image", ""), ("confidence", "_confidence"))
        if vars(options)[name]
    }
    if len(beside) > 1:
        raise InputError("--confidence", "not stand beside --image", options.confidence[0])
    paths = _results(options, maps)
    outputs = shared.check_outputs(
        "--output",
        paths,
        [*shared.with_names(*maps), *(path for more in beside.values() for path in more)],
        overwrite=options.overwrite,
    )
    failures = Failures()
    with ProgressBars() as bars:
        for number, (path, out) in enumerate(zip(maps, paths, strict=True)):
            with failures.of(path), outputs.writing():
                files = {name: more[number] for name, more in beside.items()}
                count = _separate(path, files, out, config, options, bars)
                bars.close()
                print(f"{out} ({count} objects)")
    return failures.status


def _results(options: argparse.Namespace, maps: list[Path]) -> list[Path]:
    """File of each label map: as it is called, or in a folder."""
    from ..io import output_paths
    from ..io.formats import FORMATS

    out: Path = options.output
    name = out.name.lower()
    if any(name.endswith(entry.suffixes) for _, entry in FORMATS.items() if entry.suffixes):
        if len(maps) > 1:
            raise InputError("--output", f"be a folder for {len(maps)} label maps", out)
        if options.format is not None:
            raise InputError("--format", "stand beside a folder as --output only", options.format)
        return [out]
    shared.check_folder("--output", out)
    found = output_paths(maps, out, "_instances", "labels", options.format)
    paths = [path.with_name(path.name.replace("_labels_instances", "_instances")) for path in found]
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise InputError("LABELS", "have results of different names", f"two giving {twice[0].name}")
    return paths


def _separate(
    path: Path,
    files: dict[str, Path],
    out: Path,
    config: ObjectsConfig,
    options: argparse.Namespace,
    progress: Progress,
) -> int:
    """Write the objects of one label map; their number."""
    from ..io import write_labels
    from ..io.volumes import read_labels_at, read_volume_at
    from ..objects import separate_objects

    beside = {name: read_volume_at(file, options.frame) for name, file in files.items()}
    if "confidence" in beside:
        inputs.check_confidence(beside["confidence"])
    found = separate_objects(
        read_labels_at(path, options.frame),
        image=beside.get("image"),
        confidence=beside.get("confidence"),
        label=shared.parse_numbers("--label", options.label),
        axis=options.axis,
        config=config,
        progress=progress,
    )
    write_labels(out, found.data, found, names=found.names)
    return int(found.data.max())
