"""Which images a command reads, and which part of them: patterns, channels, frames, regions."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .shared import is_count

if TYPE_CHECKING:
    from ..io.image_jobs import FrameChoice
    from ..slices.region import Region
    from ..types import Volume

__all__ = [
    "check_confidence",
    "expanded_templates",
    "frame_choice",
    "given_label_maps",
    "images_for",
    "images_of",
    "label_maps_of",
    "of_series",
    "parse_region",
]


_ROUNDING = 1e-3
"""How far beyond 0 and 1 a confidence may be, as scale factors of a file leave it."""


def images_of(parameter: str, given: Sequence[str | Path]) -> list[Path]:
    """Images that files, folders and patterns stand for; says what was left out of these.

    Raises what :func:`~napari_fewshot.io.find.find_images` raises.
    """
    from ..io.find import find_images

    found = find_images(parameter, given)
    if found.left_out:
        first, *more = found.left_out
        others = f" and {len(more)} more" if more else ""
        print(
            f"napari-fewshot: left out as label maps and results of images: {first}{others}",
            file=sys.stderr,
        )
    return list(found.images)


def of_series(paths: Sequence[Path], number: int | None) -> list[Path]:
    """Paths of one of the images that TIFF files hold; as they are without a number.

    Raises
    ------
    InputError
        If a path is no TIFF file, or leads on to a series already.
    """
    from ..io.formats import FORMATS, sniff_format, split_inside

    if number is None:
        return list(paths)
    if number < 0:
        raise InputError("--series", "be at least 0", number)
    for path in paths:
        if sniff_format(path) is not FORMATS.get("tiff") or split_inside(path)[1]:
            raise InputError("--series", "stand beside TIFF files", path)
    return [path / str(number) for path in paths]


def check_confidence(volume: Volume) -> None:
    """Refuse what is no confidence, such as the image itself: values beyond 0..1, or none at all.

    Raises
    ------
    InputError
        If there are such values; single ones that are NaN count as 0.
    """
    import numpy as np

    from ..arrays import blocks

    low, high = math.inf, -math.inf
    for _, part in blocks(volume.data):
        finite = part[np.isfinite(part)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not -_ROUNDING <= low <= high <= 1 + _ROUNDING:
        given = f"values from {low:g} to {high:g}" if low <= high else "no finite value"
        remedy = "Give what predict --confidence wrote; other scales have to be brought to 0..1."
        raise InputError(str(volume.source or "--confidence"), "hold values of 0..1", given, remedy)


def label_maps_of(option: str, given: Sequence[Path], images: Sequence[Path]) -> list[Path]:
    """Label map of each image: files and patterns in the order of the images, or by a folder.

    In a folder it is ``NAME_labels`` for the image ``NAME``, or ``NAME``, as in
    :func:`~napari_fewshot.io.find.label_maps_in`.

    Raises
    ------
    InputError
        If an image has none, or their numbers differ.
    """
    from ..io.find import find_files, label_maps_in
    from ..io.formats import is_image_folder, stem_of

    if len(given) == 1 and given[0].is_dir() and not is_image_folder(given[0]):
        maps = label_maps_in(given[0])
        without = [path for path in images if stem_of(path) not in maps]
        if without:
            name = f"{stem_of(without[0])}_labels"
            raise InputError(option, f"hold {name} for {without[0]}", given[0])
        return [maps[stem_of(path)] for path in images]
    files = [file for path in given for file in find_files(option, path)]
    if len(files) != len(images):
        raise InputError(option, f"be given for each of the {len(images)} images", len(files))
    return files


def given_label_maps(given: Sequence[str | Path]) -> list[Path]:
    """Label maps that files, folders and patterns stand for, in their order.

    Of a folder where some are called ``NAME_labels``, only these, since the others are images.

    Raises
    ------
    InputError
        If a path, pattern or folder gives nothing.
    """
    from ..io.find import find_files, label_maps_in
    from ..io.formats import is_image_folder, stem_of

    found: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir() or is_image_folder(path):
            found += find_files("LABELS", path)
            continue
        maps = list(label_maps_in(path).values())
        if not maps:
            raise InputError("LABELS", "be label maps, or a folder of them", f"{path} (empty)")
        named = [one for one in maps if stem_of(one).endswith("_labels")]
        found += named or maps
    return list(dict.fromkeys(found))


def images_for(
    option: str, given: Sequence[str | Path], label_maps: Sequence[Path], suffix: str = ""
) -> list[Path]:
    """Image of each label map: in their order, or of a folder or pattern the one of its name.

    ``NAME`` is the image of ``NAME_labels``, ``NAME_instances`` and of another ``NAME``; with a
    suffix, as of confidence, it is ``NAME`` with that behind.

    Raises
    ------
    InputError
        If a label map has none, or files differ in number.
    """
    from ..io.find import find_files
    from ..io.formats import is_image_path, stem_of

    if all(is_image_path(Path(path)) for path in given):
        images = [Path(path) for path in given]
        if len(images) != len(label_maps):
            raise InputError(
                option, f"be given for each of the {len(label_maps)} label maps", len(images)
            )
        return images
    if suffix:  # a result, which is never among images
        patterns = [Path(path) / f"*{suffix}.*" if Path(path).is_dir() else path for path in given]
        images = [file for path in patterns for file in find_files(option, path)]
    else:
        images = images_of(option, given)
    by_name = {stem_of(path): path for path in images}
    stems = [stem_of(path) for path in label_maps]
    names = [stem.removesuffix("_labels").removesuffix("_instances") for stem in stems]
    wanted = [f"{name}{suffix}" for name in names]
    for name, labels in zip(wanted, label_maps, strict=True):
        if name not in by_name:
            raise InputError(option, f"hold {name} for {labels}", ", ".join(map(str, given)))
    return [by_name[name] for name in wanted]


def expanded_templates(given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Options of templates in their order, with files in place of patterns and folders.

    Raises
    ------
    InputError
        If a path, pattern or folder gives nothing.
    """
    from ..io.find import find_files
    from ..io.formats import is_image_folder

    images = {value: images_of("--image", [value]) for name, value in given if name == "image"}
    every = [path for name, value in given if name == "image" for path in images[value]]
    result: list[tuple[str, str]] = []
    for name, value in given:
        path = Path(value)
        if name == "image":
            found = images[value]
        elif name == "labels" and path.is_dir() and not is_image_folder(path):
            found = label_maps_of("--labels", [path], every)
        elif name in ("labels", "points"):
            found = find_files(f"--{name}", path)
        else:
            result.append((name, value))
            continue
        result += ((name, str(file)) for file in found)
    return result


def frame_choice(text: str) -> FrameChoice:
    """Read a time point or ``all``; argparse words the ValueError of anything else."""
    from ..io.image_jobs import ALL_FRAMES

    return ALL_FRAMES if text == ALL_FRAMES else int(text)


def parse_region(option: str, text: str | None) -> Region | None:
    """Read ``10-40``, or ``10-40,0-255,100-300`` with a part for each axis, in file order.

    A part is a number or a range of which both ends belong to it; an empty one is the whole axis.
    """
    if text is None:
        return None
    parts: list[tuple[int, int] | None] = []
    for part in (piece.strip() for piece in text.split(",")):
        if not part:
            parts.append(None)
            continue
        first, dash, last = part.partition("-")
        if not is_count(first) or (dash and not is_count(last)):
            what = "be a range of slices such as 10-40, or one for each axis, as 10-40,0-255,9-99"
            raise InputError(option, what, text)
        if int(last or first) < int(first):
            raise InputError(option, "have rising ranges", part)
        parts.append((int(first), int(last or first) + 1))
    if all(part is None for part in parts):
        raise InputError(option, "have a range", text)
    return tuple(parts)
