"""What several commands take, and how it is checked and read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ..config import DEFAULT_SAM, STORE_LIMIT_GB, IntensityConfig, field_info
from ..errors import InputError

if TYPE_CHECKING:
    from distributed import Client

    from ..features.store import FeatureStore
    from ..io.formats import Kind
    from ..io.outputs import Outputs
    from ..sam import SamLabels
    from ..segmenter import Prediction
    from ..types import Volume

__all__ = [
    "add_options",
    "add_scheduler_options",
    "add_setting",
    "add_store_options",
    "check_axis",
    "check_folder",
    "check_outputs",
    "check_scheduler",
    "chosen_settings",
    "existing_file",
    "existing_image",
    "given_intensity",
    "intensity_settings",
    "is_count",
    "open_store",
    "parse_numbers",
    "parse_settings",
    "result_paths",
    "scheduler_client",
    "with_names",
    "write_result",
]

LONGEST_RANGE = 100_000
LARGEST_STORE_GB = 10**9
_MAX_DIGITS = 9


def _format_choice(text: str) -> str | None:
    return None if text == "auto" else text.removeprefix(".")


SHARED: dict[str, dict[str, Any]] = {
    "--channels": {
        "metavar": "C,C",
        "help": "channels to read, in this order, e.g. 0,2; one alone is taken as grey",
    },
    "--confidence": {"action": "store_true", "help": "write the confidence too"},
    "--format": {
        "type": _format_choice,
        "metavar": "NAME",
        "help": "format of label maps and confidence: nii.gz, tif, nrrd, mha or ome-zarr "
        "(default: auto, that of the image)",
    },
    "--frame": {"type": int, "metavar": "T", "help": "time point of 4D images"},
    "--max-memory": {
        "type": float,
        "metavar": "GB",
        "help": "largest image that is read into memory (default: what the machine has free)",
    },
    "--overwrite": {
        "action": "store_true",
        "help": "replace files, too, that no run has written or that were changed since; never "
        "inputs",
    },
    "--sam": {
        "default": DEFAULT_SAM,
        "metavar": "NAME",
        "help": "sam-vit-b, sam-vit-l, sam-vit-h or medsam (default: %(default)s)",
    },
    "--sam-weights": {"type": Path, "metavar": "FILE", "help": "local checkpoint of the SAM"},
    "--series": {
        "type": int,
        "metavar": "N",
        "help": "which of the images that a TIFF file holds, counted from 0 (also FILE.tif/N)",
    },
    "--set": {"action": "append", "default": [], "metavar": "KEY=VALUE"},
    "--weights": {"type": Path, "metavar": "FILE", "help": "local checkpoint of the backbone"},
    "--window": {
        "nargs": 2,
        "type": float,
        "metavar": ("LO", "HI"),
        "help": "fixed grey values, e.g. -160 240",
    },
}


def add_options(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add options that mean the same in all commands, with some of their words changed."""
    for name in names:
        parser.add_argument(name, **(SHARED[name] | changes))


def add_setting(
    parser: argparse.ArgumentParser,
    option: str,
    model: type[BaseModel],
    name: str,
    **changes: Any,
) -> None:
    """Add an option that stands for a setting, with the type, choices and help declared there.

    :func:`chosen_settings` collects them.
    """
    info = field_info(model, name)
    # None can not be given here; where it is the default, leaving the option out is.
    help_text = info.help if info.default is None else info.help.partition(" None:")[0]
    first, space, rest = help_text.rstrip(".").partition(" ")
    text = f"{first.lower() if first.istitle() else first}{space}{rest}"
    if info.kind is bool:
        form: dict[str, Any] = {"action": "store_const", "const": True, "help": text}
    else:
        default = "" if info.default is None else f" (default: {info.default})"
        form = {"type": info.kind, "help": f"{text}{default}", "choices": info.choices or None}
    parser.add_argument(option, dest=f"settings.{name}", **(form | changes))


def chosen_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings that were chosen by options of :func:`add_setting`."""
    return {
        key.removeprefix("settings."): value
        for key, value in vars(options).items()
        if key.startswith("settings.") and value is not None
    }


def add_store_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add where a network runs, and where ``what`` it gives is kept."""
    add = parser.add_argument
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    add(
        "--store",
        metavar="DIR",
        type=Path,
        help=f"folder where {what} are kept between runs (default: a folder in the user's cache)",
    )
    add("--no-store", action="store_true", help="keep no features on disk")
    add(
        "--store-limit",
        type=float,
        default=STORE_LIMIT_GB,
        metavar="GB",
        help="at the end, drop the features that were used least recently, down to this size "
        "(default: %(default)g)",
    )


def add_scheduler_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Add where ``what`` are worked on, if not one after the other in this process."""
    parser.add_argument(
        "--scheduler",
        metavar="local|ADDRESS",
        help=f"work on {what} side by side: in processes of this machine, or on the cluster of "
        "dask.distributed at this address (tcp://host:8786)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of --scheduler local (default: one for each GPU, else for each core)",
    )


def check_scheduler(options: argparse.Namespace, device: str = "cpu") -> None:
    """Check the options of :func:`add_scheduler_options` before the work; nothing is started."""
    if options.scheduler is not None:
        from ..jobs.scheduler import check_cluster

        check_cluster(options.scheduler, options.workers, device)
    elif options.workers is not None:
        raise InputError("--workers", "stand beside --scheduler local", options.workers)


@contextmanager
def scheduler_client(options: argparse.Namespace, device: str) -> Iterator[Client | None]:
    """Client of the cluster that the options ask for, if any; says where its dashboard is.

    ``device`` is where networks will run.
    """
    check_scheduler(options, device)
    if options.scheduler is None:
        yield None
        return
    from ..jobs.scheduler import dashboard_of, open_client

    with open_client(options.scheduler, options.workers, device) as client:
        address = dashboard_of(client)
        if address is not None:
            print(f"napari-fewshot: dashboard of the cluster: {address}", file=sys.stderr)
        yield client


def open_store(options: argparse.Namespace) -> FeatureStore | None:
    """Open the feature store that the options ask for."""
    from ..features.store import FeatureStore

    if not 0 <= options.store_limit <= LARGEST_STORE_GB:
        limits = f"be at least 0, and at most {LARGEST_STORE_GB}"
        raise InputError("--store-limit", limits, options.store_limit)
    return None if options.no_store else FeatureStore(options.store, limit_gb=options.store_limit)


def intensity_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the intensity that ``--window`` and ``--channels`` stand for."""
    settings: dict[str, Any] = {}
    if options.window is not None:
        low, high = options.window
        if not low < high:
            raise InputError("--window", "have LO below HI", f"{low:g} {high:g}")
        settings |= {"mode": "window", "low": low, "high": high}
    if options.channels is not None:
        settings["channels"] = parse_numbers("--channels", options.channels)
    return settings


def given_intensity(options: argparse.Namespace) -> IntensityConfig:
    """Intensity as ``--window`` and ``--channels`` say, else by default."""
    return IntensityConfig.of(intensity_settings(options), "intensity")


def existing_file(parameter: str, path: Path) -> Path:
    """Return the path, or raise :class:`InputError` when it is no file."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        given = f"{path} (a pipe or a device)"
        raise InputError(parameter, "be a file", given, "Write it to a file first.")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise InputError(parameter, "be an existing file", f"{path} ({what})")
    return path


def existing_image(parameter: str, path: Path) -> Path:
    """Return the path, or raise :class:`InputError` when it is no file and no folder of one."""
    from ..io.formats import is_image_path

    return path if is_image_path(path) else existing_file(parameter, path)


def check_axis(text: str | None, *words: str) -> None:
    """Raise :class:`InputError` unless it is an axis, one of the other words, or not given."""
    from ..geometry import PLANES

    known = (*words, "0", "1", "2", *PLANES)
    if text is not None and text not in known:
        raise InputError("--axis", f"be one of {', '.join(known)}", text)


def check_folder(parameter: str, path: Path) -> None:
    """Raise :class:`InputError` where something else than a folder is in the way."""
    if path.exists() and not path.is_dir():
        raise InputError(parameter, "be a folder", path)


def check_outputs(
    parameter: str,
    outputs: Iterable[Path | None],
    inputs: Iterable[Path | None],
    *,
    overwrite: bool = False,
) -> Outputs:
    """Raise :class:`InputError` where an output would take the place of an input or a foreign file.

    Returns what the outputs are to be written with. None is skipped.
    """
    from ..io.outputs import Outputs

    files = Outputs(parameter, inputs, overwrite=overwrite)
    files.check(path for path in outputs if path is not None)
    return files


def result_paths(
    images: Sequence[Path],
    folder: Path,
    suffix: str = "_labels",
    kind: Kind = "labels",
    *,
    choice: str | None = None,
    wanted: bool = True,
) -> Sequence[Path | None]:
    """Where a result of each image goes; None of each where it is not wanted."""
    from ..io import output_paths

    return output_paths(images, folder, suffix, kind, choice) if wanted else [None] * len(images)


def write_result(
    found: Prediction | SamLabels, image: Volume, labels: Path, confidence: Path | None
) -> None:
    """Write labels with their names, and confidence if wanted."""
    from ..io import write_image, write_labels

    if confidence is not None:
        write_image(confidence, found.confidence, image)
    write_labels(labels, found.labels, image, names=found.names)


def with_names(*label_maps: Path | None) -> list[Path]:
    """Label maps with the files that their names are read from."""
    from ..io.volumes import name_files

    given = [path for path in label_maps if path is not None]
    return [*given, *(file for path in given for file in name_files(path))]


def is_count(text: str) -> bool:
    """Whether a text is a whole number from 0 that anything here may have."""
    return text.isdecimal() and len(text) <= _MAX_DIGITS


def parse_numbers(option: str, text: str | None) -> list[int] | None:
    """Read ``3,7,10-12``."""
    if text is None:
        return None
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not is_count(first) or (dash and not is_count(last)):
            raise InputError(option, "be numbers such as 3,7,10-12", text)
        start, stop = int(first), int(last or first)
        if not start <= stop < start + LONGEST_RANGE:
            raise InputError(
                option, f"have rising ranges of at most {LONGEST_RANGE} numbers", part.strip()
            )
        numbers += range(start, stop + 1)
    return numbers


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
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
        except (ValueError, RecursionError):  # no JSON, too many digits, too deep
            value = text
        section = settings
        *path, key = name.strip().split(".")
        for part in path:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError("--set", "set a section or its keys, not both", pair)
        section[key] = value
    return settings
