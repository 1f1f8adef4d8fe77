"""Arguments that several commands share, and how settings are read from text."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import STORE_LIMIT_GB
from ..errors import InputError

if TYPE_CHECKING:
    from ..features.store import FeatureStore
    from ..io.outputs import Outputs
    from ..segmenter import FewShotSegmenter

__all__ = [
    "add_backbone_arguments",
    "add_overwrite_argument",
    "add_store_arguments",
    "add_window_argument",
    "check_axis",
    "check_outputs",
    "existing_file",
    "existing_image",
    "limit_store",
    "merge_settings",
    "one_line",
    "open_store",
    "parse_settings",
    "window_settings",
    "with_names",
]

OPTIONS = (
    "adapter",
    "axis",
    "background",
    "backbone",
    "device",
    "fine_tune",
    "frame",
    "image",
    "known_labels",
    "labels",
    "method",
    "points",
    "sam",
    "sam_weights",
    "slices",
    "store",
    "weights",
)
"""Parameters of the library that are options of the same name here."""

RENAMED = {"inputs": "IMAGE", "out_dir": "--output", "settings.seed": "--seed"}
"""Those that are called otherwise here."""


def add_backbone_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what loading and running a backbone takes."""
    parser.add_argument(
        "--weights", metavar="FILE", type=Path, help="local checkpoint of the backbone"
    )
    add_store_arguments(parser, "features of transformers")


def add_overwrite_argument(parser: argparse.ArgumentParser) -> None:
    """Add leave to replace what is not ours."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files, too, that no run has written or that were changed since; never inputs",
    )


def add_store_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add where a network runs, and where ``what`` it gives is kept."""
    parser.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps"
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help=f"folder where {what} are kept between runs (default: a folder in the user's cache)",
    )
    parser.add_argument("--no-store", action="store_true", help="keep no features on disk")
    parser.add_argument(
        "--store-limit",
        type=float,
        default=STORE_LIMIT_GB,
        metavar="GB",
        help="at the end, drop the features that were used least recently, down to this size "
        "(default: %(default)g)",
    )


def add_window_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that :func:`window_settings` reads."""
    parser.add_argument(
        "--window",
        nargs=2,
        type=float,
        metavar=("LO", "HI"),
        help="fixed grey values, e.g. -160 240",
    )


def window_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the intensity that ``--window`` stands for; none without it."""
    if options.window is None:
        return {}
    low, high = options.window
    if not low < high:
        raise InputError("--window", "have LO below HI", f"{low:g} {high:g}")
    return {"mode": "window", "low": low, "high": high}


def open_store(options: argparse.Namespace) -> FeatureStore | None:
    """Open the feature store that the options ask for."""
    from ..features.store import FeatureStore

    if not options.store_limit >= 0:
        raise InputError("--store-limit", "be at least 0", options.store_limit)
    return None if options.no_store else FeatureStore(options.store)


def limit_store(model: FewShotSegmenter, options: argparse.Namespace) -> None:
    """Keep the feature store, where it was used, below the limit that the options set."""
    store = model.extractor.store
    if store is not None:
        store.prune(int(options.store_limit * 1e9))


def existing_file(parameter: str, path: Path) -> Path:
    """Return the path, or raise :class:`InputError` when it is no file."""
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise InputError(parameter, "be an existing file", f"{path} ({what})")
    return path


def existing_image(parameter: str, path: Path) -> Path:
    """Return the path, or raise :class:`InputError` when it is no file and no DICOM series."""
    from ..io import holds_dicom

    return path if path.is_dir() and holds_dicom(path) else existing_file(parameter, path)


def check_axis(text: str, *words: str) -> None:
    """Raise :class:`InputError` unless the text is an axis, or one of the other words."""
    from ..geometry import PLANES

    known = (*words, "0", "1", "2", *PLANES)
    if text not in known:
        raise InputError("--axis", f"be one of {', '.join(known)}", text)


def check_outputs(
    parameter: str,
    outputs: Iterable[Path],
    inputs: Iterable[Path | None],
    *,
    overwrite: bool = False,
) -> Outputs:
    """Raise :class:`InputError` where an output would take the place of an input or a foreign file.

    Returns what the outputs are to be written with.
    """
    from ..io.outputs import Outputs

    files = Outputs(parameter, inputs, overwrite=overwrite)
    files.check(outputs)
    return files


def with_names(*label_maps: Path | None) -> list[Path]:
    """Label maps with the files that their names are read from."""
    from ..io.volumes import name_files

    given = [path for path in label_maps if path is not None]
    return [*given, *(file for path in given for file in name_files(path))]


def one_line(error: Exception) -> str:
    """Word an error in one line, with the option in place of the parameter of the library."""
    text = " ".join(str(error).split())
    parameter = error.parameter if isinstance(error, InputError) else ""
    option = parameter
    if parameter in OPTIONS:
        option = f"--{parameter.replace('_', '-')}"
    elif parameter in RENAMED:
        option = RENAMED[parameter]
    elif parameter == "settings" or parameter.startswith("settings."):
        option = parameter.replace("settings", "--set", 1).replace(".", " ", 1)
    return option + text.removeprefix(parameter)


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Turn ``section.key=value`` into nested settings; values are JSON, else text.

    Raises
    ------
    InputError
        If a pair has no ``=``, or a section is given a value as well.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise InputError("--set", "be written section.key=value", pair)
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        section = settings
        *path, key = name.strip().split(".")
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError("--set", "set a section or its keys, not both", pair)
        section[key] = value
    return settings


def merge_settings(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Lay ``more`` over ``base``, section by section."""
    result = dict(base)
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge_settings(result[key], value)
        else:
            result[key] = value
    return result
