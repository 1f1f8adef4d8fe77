"""The formats that are read and written, which of them a file has, and how results are named."""

from __future__ import annotations

import os
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError, UnknownNameError, UnreadableFileError
from ..registry import Registry
from ..types import Array, Volume
from .foreign import foreign_format

__all__ = [
    "FORMATS",
    "Format",
    "Kind",
    "absolute",
    "check_holds",
    "check_image",
    "format_by_name",
    "header_of",
    "is_image_folder",
    "is_image_path",
    "output_path",
    "output_paths",
    "sniff_format",
    "split_inside",
    "stem_of",
]

Kind = Literal["labels", "image", "points"]

_HEAD = 4096
# No more is unpacked than the header of NIfTI-1: the check sum is for the reader to compare.
_UNPACKED = 348
_GZIP = b"\x1f\x8b"
_NESTED = re.compile(r"(\.ome)?\.zarr$", re.IGNORECASE)

Writer = Callable[[Path, Array, Volume], None]


@dataclass(frozen=True)
class Format:
    """A file format, which the module that reads and writes it lists in its ``ENTRIES``.

    Parameters
    ----------
    title : str
        What people call it.
    suffixes : tuple of str
        Endings of file names, lower case, longest first.
    matches : callable
        ``matches(head) -> bool`` on the first bytes of a file, after gzip.
    read : callable
        ``read(path, frame, exact) -> Volume``: one time point where there are several; with
        ``exact``, for labels, values are not rounded to ``float32``.
    write : callable, optional
        ``write(path, data, like)``, atomically; without it ``not_written`` says what a file to
        write must be instead.
    labels_suffix, image_suffix : str
        Ending of results: label maps, and ``float32`` images such as confidence; equal if empty.
    write_labels : callable, optional
        As ``write``, for label maps, where the format can say that they are.
    holds : callable, optional
        ``holds(folder) -> bool``, where a folder of files is an image.
    is_folder : bool
        Whether what is written is a folder.
    holds_names : bool
        Whether names of labels are written into it, not beside.
    only_for : str
        Format (in ``FORMATS``) of the images whose labels can be written so; empty: of any.
    check : callable, optional
        ``check(path, image)``, an :class:`InputError` where its labels cannot be written so.
    choice : str
        What results of this format are called as a choice (``--format``); empty: no choice.
    require : callable, optional
        ``require(path, what)``, an :class:`InputError` where an optional dependency is missing.
    leads_on : bool
        Whether a path may lead on within a file: ``FILE.h5/name/of/data``, ``FILE.tif/2``.
    largest : int
        Largest label that a file holds.
    most_axes : int
        Axes that an image of it may have.
    reads_gzip : bool
        Whether ``read`` takes files in gzip; of other formats, gzip is taken off before.
    """

    title: str
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    read: Callable[[Path, int | None, bool], Volume]
    write: Writer | None
    labels_suffix: str
    image_suffix: str = ""
    write_labels: Writer | None = None
    not_written: str = ""
    holds: Callable[[Path], bool] | None = None
    is_folder: bool = False
    holds_names: bool = False
    only_for: str = ""
    check: Callable[[Path, Volume], None] | None = None
    choice: str = ""
    require: Callable[[Path, str], Any] | None = None
    leads_on: bool = False
    largest: int = 2**31 - 1
    most_axes: int = 4
    reads_gzip: bool = False


FORMATS: Registry[Format] = Registry(
    "format",
    ".io.nifti.format",
    ".io.tiff.format",
    ".io.png_jpeg",
    ".io.itk.format",
    ".io.zarr.format",
    ".io.dicom.segmentation",  # before the images, whose ending its own ends in
    ".io.dicom.format",
    ".io.hdf5",
)


def is_image_folder(path: Path) -> bool:
    """Whether a folder is an image as a whole, such as a DICOM series."""
    known = (candidate.holds for _, candidate in FORMATS.items())
    return path.is_dir() and any(holds(path) for holds in known if holds is not None)


def is_image_path(path: Path) -> bool:
    """Whether there is something to read: a file, a folder that is an image, data in a file."""
    return split_inside(path)[0].is_file() or is_image_folder(path)


def split_inside(path: Path) -> tuple[Path, str]:
    """Split ``FILE.h5/name/of/data`` into the file and the name; empty for other paths.

    The ending of the file decides, so that patterns can be split too; a folder is none.
    """
    known = [end for _, one in FORMATS.items() if one.leads_on for end in one.suffixes]
    endings = (*known, *(f"{end}.gz" for end in known))
    for parent in reversed(path.parents):
        if parent.name.lower().endswith(endings) and not parent.is_dir():
            return parent, path.relative_to(parent).as_posix()
    return path, ""


def header_of(path: Path) -> Path:
    """Header of a pair of which ``path`` is the other file (``.img``); any other path as it is."""
    name = path.name.lower()
    packed = ".gz" if name.endswith(".img.gz") else ""
    if not name.endswith(f".img{packed}"):
        return path
    stem = path.name[: -len(f".img{packed}")]
    names = [f"{stem}{kind}{end}" for kind in (".hdr", ".HDR") for end in (packed, "", ".gz")]
    beside = [path.with_name(one) for one in names]
    return next((one for one in beside if one.is_file()), path)


def sniff_format(path: Path) -> Format:
    """Find the format of a file by its first bytes, of a folder (DICOM, Zarr) by what it holds."""
    path = header_of(split_inside(path)[0])
    known = [candidate for _, candidate in FORMATS.items()]
    if path.is_dir():
        for candidate in known:
            if candidate.holds is not None and candidate.holds(path):
                return candidate
    raw, head = _head(path)
    for candidate in known:
        if candidate.matches(head):
            return candidate
    titles = ", ".join(candidate.title for candidate in known)
    foreign = foreign_format(head)
    if foreign is not None:
        raise UnreadableFileError(str(path), f"be one of {titles}", *foreign)
    given = "an empty file"
    if raw:
        given = f"a file that begins with the bytes {raw[:16].hex(' ')} ({raw[:16]!r})"
    remedy = "It may be truncated, or of another format: convert it to one of these."
    raise UnreadableFileError(str(path), f"be one of {titles}", given, remedy)


def format_by_name(path: Path) -> Format:
    """Find the format that the ending of a file name stands for."""
    name = path.name.lower()
    known: list[str] = []
    for _, candidate in FORMATS.items():
        if name.endswith(candidate.suffixes):
            return candidate
        known += candidate.suffixes
    raise InputError(str(path), f"end in one of {', '.join(known)}", path.name)


def check_image(path: Path, image: Volume) -> None:
    """Check that a file of this name can hold labels of an image, before they are worked out.

    :class:`InputError` if the format is for other images.
    """
    target = format_by_name(path)
    if image.source is not None:
        _check_source(target, split_inside(image.source)[0])
    if target.check is not None:
        target.check(path, image)


def check_holds(path: Path, labels: Iterable[int], ndim: int) -> None:
    """Check that a file of this name can hold labels, before they are worked out.

    Raises
    ------
    InputError
        If a label is too large for the format, or it has no volumes.
    """
    target = format_by_name(path)
    if ndim > target.most_axes:
        given = f"a volume of {ndim} axes"
        raise InputError(str(path), f"be no {target.title} file for volumes", given, "Use .nii.gz.")
    largest = max(labels, default=0)
    if largest > target.largest:
        remedy = "Choose another format (--format tif), or smaller labels."
        constraint = f"hold labels up to {target.largest} as a {target.title} file"
        raise InputError(str(path), constraint, f"the label {largest}", remedy)


def stem_of(path: Path) -> str:
    """File name without its ending, of which ``.nii.gz`` and ``.ome.tif`` are whole ones.

    Of the folder of a DICOM series it is the whole name; what lies within a Zarr folder or a file
    (``image.zarr/0``, ``image.h5/raw``) is called after both.
    """
    file, inner = split_inside(path)
    if inner:
        return "_".join([stem_of(file), *inner.split("/")])
    is_folder = path.is_dir()
    if is_folder:
        for parent in path.parents:
            if parent.suffix.lower() == ".zarr":
                inside = [_NESTED.sub("", part) for part in path.relative_to(parent).parts]
                return "_".join([stem_of(parent), *inside])
    known = [entry for _, entry in FORMATS.items() if entry.is_folder or not is_folder]
    endings = [ending for entry in known for ending in entry.suffixes]
    packed = [] if is_folder else [f"{ending}.gz" for ending in endings]
    for ending in (*packed, *endings):
        if path.name.lower().endswith(ending) and len(path.name) > len(ending):
            return path.name[: -len(ending)]
    return path.name if is_folder else path.stem


def _format_choices() -> tuple[str, ...]:
    """What a person can choose as the format of results: ``nii.gz``, ``tif`` and so on."""
    return tuple(entry.choice for _, entry in FORMATS.items() if entry.choice)


def output_path(
    input_path: str | Path,
    out_dir: str | Path,
    suffix: str = "_labels",
    kind: Kind = "labels",
    choice: str | None = None,
) -> Path:
    """Name the result for one input: its stem and the suffix, in a folder.

    ``choice`` is one of :func:`_format_choices`. Without it, the content of the input decides on
    the format where it exists, else its ending: label maps are ``.nii.gz``, ``.tif``, ``.png``,
    ``.nrrd``, ``.mha`` or ``.ome.zarr`` as the input, ``.nii.gz`` for DICOM and ``.png`` for JPEG;
    images (confidence) of PNG and JPEG inputs are ``.tif``. Points are ``.csv``.

    Raises
    ------
    UnknownNameError
        If ``choice`` is none.
    InputError
        If labels of this input cannot be written so: DICOM-SEG is for DICOM alone.
    """
    path = Path(input_path)
    if kind == "points":
        return Path(out_dir) / f"{stem_of(path)}{suffix}.csv"
    file = split_inside(path)[0]
    if choice is not None:
        found = _chosen(choice)
        _check_source(found, file)
    else:
        found = sniff_format(file) if file.exists() else format_by_name(file)
        # A segmentation refers to the slices of an image, and is none itself.
        found = FORMATS.get("nifti") if found.only_for else found
    ending = (kind == "image" and found.image_suffix) or found.labels_suffix
    return Path(out_dir) / f"{stem_of(path)}{suffix}{ending}"


def _chosen(choice: str) -> Format:
    for _, entry in FORMATS.items():
        if entry.choice == choice:
            return entry
    raise UnknownNameError("format of results", choice, _format_choices())


def _check_source(target: Format, file: Path) -> None:
    """Check that an image is of the format that labels of a format refer to."""
    if not target.only_for:
        return
    wanted = FORMATS.get(target.only_for)
    given = sniff_format(file) if file.exists() else format_by_name(file)
    if given is not wanted:
        raise InputError(
            str(file),
            f"be {wanted.title} for results in {target.title}",
            given.title,
            "Choose another format (--format nii.gz).",
        )


def absolute(path: str | Path) -> Path:
    """Absolute path; links stay links."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def output_paths(
    inputs: Sequence[str | Path],
    out_dir: str | Path,
    suffix: str = "_labels",
    kind: Kind = "labels",
    choice: str | None = None,
) -> list[Path]:
    """Name the results for several inputs, so that none overwrites another or an input.

    Inputs of equal stem keep their folders, relative to the one that they have in common;
    upper and lower case count as equal, since some file systems take them so.
    """
    sources = [absolute(path) for path in inputs]
    results = [output_path(source, out_dir, suffix, kind, choice) for source in sources]
    groups: dict[str, list[Path]] = defaultdict(list)
    for source, result in zip(sources, results, strict=True):
        groups[result.name.casefold()].append(source)
    for index, source in enumerate(sources):
        name = results[index].name
        group = groups[name.casefold()]
        if len(group) > 1:
            common = os.path.commonpath([other.parent for other in group])
            results[index] = Path(out_dir) / source.parent.relative_to(common) / name
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
            remedy = "Choose another output folder."
            raise InputError("out_dir", "not make a result overwrite an input", result, remedy)


def _head(path: Path) -> tuple[bytes, bytes]:
    """First bytes of a file, as stored and after gzip."""
    if path.is_dir():
        given, remedy = "a folder without either", "Give the image file itself."
        if (path / "attributes.json").is_file():
            given = "an N5 folder"
            remedy = "Export it as OME-Zarr (BigStitcher and BigDataViewer do)."
        constraint = "be a file, a folder of DICOM files, or a Zarr folder"
        raise InputError(str(path), constraint, given, remedy)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_HEAD)
    except FileNotFoundError:
        raise InputError(str(path), "be an existing file", "nothing at this path") from None
    except OSError as error:
        text = error.strerror or str(error)
        raise UnreadableFileError(str(path), "be a file that can be read", text) from error
    if not raw.startswith(_GZIP):
        return raw, raw
    try:
        return raw, zlib.decompressobj(wbits=31).decompress(raw, _UNPACKED)
    except zlib.error:
        return raw, raw
