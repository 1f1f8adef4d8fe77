"""Where results go: names of output files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .formats import FORMATS, format_by_name, sniff_format

__all__ = ["Kind", "output_path", "output_paths", "stem_of"]

Kind = Literal["labels", "image", "points"]


def stem_of(path: Path) -> str:
    """File name without its ending, of which ``.nii.gz`` and ``.ome.tif`` are whole ones.

    Of a folder (a DICOM series) it is the whole name.
    """
    name = path.name
    if path.is_dir():
        return name
    endings = (ending for _, known in FORMATS.items() for ending in known.suffixes)
    for ending in endings:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return path.stem


def output_path(
    input_path: str | Path,
    out_dir: str | Path,
    suffix: str = "_labels",
    kind: Kind = "labels",
) -> Path:
    """Name the result for one input.

    Parameters
    ----------
    input_path : str or Path
        An image. Where it exists, its content decides on the format, else its ending.
    out_dir : str or Path
        Folder of the results.
    suffix : str
        Put behind the stem.
    kind : {"labels", "image", "points"}
        Label maps are ``.nii.gz``, ``.tif``, ``.png``, ``.nrrd`` or ``.mha`` as the input,
        ``.nii.gz`` for DICOM and ``.png`` for JPEG; images (confidence) of PNG and JPEG inputs
        are ``.tif``; points are ``.csv``.
    """
    path = Path(input_path)
    return Path(out_dir) / f"{stem_of(path)}{suffix}{_ending(path, kind)}"


def output_paths(
    inputs: Sequence[str | Path],
    out_dir: str | Path,
    suffix: str = "_labels",
    kind: Kind = "labels",
) -> list[Path]:
    """Name the results for several inputs, so that none overwrites another or an input.

    Inputs of equal stem keep their folders, relative to the one that they have in common;
    upper and lower case count as equal, since some file systems take them so.

    Raises
    ------
    InputError
        If two inputs of one folder would have the same result, or a result would overwrite an
        input.
    """
    sources = [Path(os.path.abspath(path)) for path in inputs]  # noqa: PTH100 - keeps links
    groups: dict[str, list[Path]] = defaultdict(list)
    for source in sources:
        groups[output_path(source, out_dir, suffix, kind).name.casefold()].append(source)
    results: list[Path] = []
    for source in sources:
        result = output_path(source, out_dir, suffix, kind)
        group = groups[result.name.casefold()]
        if len(group) > 1:
            common = os.path.commonpath([other.parent for other in group])
            result = Path(out_dir) / source.parent.relative_to(common) / result.name
        results.append(result)
    _check_distinct(sources, results)
    return results


def _check_distinct(sources: list[Path], results: list[Path]) -> None:
    taken: dict[str, Path] = {}
    originals = {str(source.resolve()) for source in sources}
    for source, result in zip(sources, results, strict=True):
        other = taken.setdefault(str(result).casefold(), source)
        if other is not source:
            raise InputError(
                "inputs",
                "have results of different names",
                f"{other} and {source}, both giving {result.name}",
                "Rename one, or use an output folder for each.",
            )
        if str(result.resolve()) in originals:
            raise InputError(
                "out_dir",
                "not make a result overwrite an input",
                str(result),
                "Choose another output folder.",
            )


def _ending(path: Path, kind: Kind) -> str:
    if kind == "points":
        return ".csv"
    found = sniff_format(path) if path.exists() else format_by_name(path)
    return found.labels_suffix if kind == "labels" else found.image_suffix
