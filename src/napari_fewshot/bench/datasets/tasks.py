"""Sets that describe themselves in a ``dataset.json``: Medical Segmentation Decathlon, AMOS22.

Layout of the Decathlon, as its archives unpack (http://medicaldecathlon.com)::

    Task02_Heart/dataset.json imagesTr/la_003.nii.gz labelsTr/la_003.nii.gz imagesTs/...

Layout of AMOS22, as ``amos22.zip`` unpacks (https://zenodo.org/records/7262581)::

    amos22/dataset.json imagesTr/amos_0001.nii.gz labelsTr/... imagesVa/... labelsVa/... imagesTs/
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError, UnreadableFileError
from ...io import read_labels, read_volume
from ...io.paths import stem_of
from ...types import Volume
from .case import LAYOUTS, Case, Layout
from .patterns import existing_folder, natural, shortened

__all__ = ["find_amos22", "find_msd"]

# Hippocampus images numbered 2n - 1 and 2n are alike in scanner, grey values and volume, while
# neighbours 2n and 2n + 1 are not: they are the two sides of one person (394 of 197).
_SIDES = "Hippocampus"
# Numbers of AMOS22 from here on are MR.
_FIRST_MR = 501
# The file itself says "arota".
_AMOS_NAMES = {8: "aorta", 9: "postcava"}
_PARTS: tuple[tuple[str, Literal["train", "test"]], ...] = (
    ("training", "train"),
    ("validation", "test"),
)


def find_msd(root: Path, *, task: str = "", channel: int | None = None) -> list[Case]:
    """Find the labelled cases of a task of the Medical Segmentation Decathlon.

    Parameters
    ----------
    root : Path
        Folder of the task, or the one that holds it.
    task : str
        Name of that folder, such as ``Task02_Heart``; needed where there are several.
    channel : int, optional
        Image of tasks with several (4D files), counted from 0.

    Raises
    ------
    InputError
        If folder, ``dataset.json`` or files that it names are missing.
    """
    folder = _task_folder(root, task)
    content = _description(folder)
    names = _label_names(content, folder / "dataset.json")
    pairs = _pairs(content, folder, "training")
    cases = _cases(folder, pairs, names, channel, "training")
    if _SIDES not in f"{folder.name} {content.get('name', '')}":
        return cases
    return [replace(case, group=_pair_of_sides(case.name)) for case in cases]


def find_amos22(root: Path, *, modality: Literal["ct", "mr", "all"] = "ct") -> list[Case]:
    """Find the labelled cases of AMOS22: those of its training and validation folders.

    Parameters
    ----------
    root : Path
        Folder that holds ``dataset.json``, or the one above it.
    modality : {"ct", "mr", "all"}
        Cases up to 0500 are CT, those above MR.

    Returns
    -------
    list of Case
        ``split`` is "train" for imagesTr, "test" for imagesVa.

    Raises
    ------
    InputError
        If folder, ``dataset.json`` or files that it names are missing.
    """
    if modality not in ("ct", "mr", "all"):
        raise InputError("modality", "be ct, mr or all", modality)
    folder = _task_folder(root, "")
    content = _description(folder)
    names = {**_label_names(content, folder / "dataset.json"), **_AMOS_NAMES}
    cases: list[Case] = []
    for part, split in _PARTS:
        pairs = [pair for pair in _pairs(content, folder, part) if pair[1] is not None]
        found = _cases(folder, pairs, names, None, part)
        cases += [replace(case, split=split) for case in found]
    chosen = [case for case in cases if modality in ("all", _modality(case.name))]
    if not chosen:
        raise InputError(str(folder), f"hold labelled cases of {modality}", f"{len(cases)} others")
    return chosen


def _task_folder(root: Path, task: str) -> Path:
    existing_folder(root, "the folder of a task")
    if task and (root / task).is_dir():
        root = root / task
    if (root / "dataset.json").is_file() and task in ("", root.name):
        return root
    below = sorted(path.parent.name for path in root.glob("*/dataset.json"))
    if not task and len(below) == 1:
        return root / below[0]
    wanted = f"{task}/dataset.json" if task else "a dataset.json, or one folder with it"
    remedy = "Is it the folder that the archive unpacks to?"
    if below:
        remedy = f"Name the task: there are {shortened(below)}."
    raise InputError(str(root), f"hold {wanted}", "no such file" if not below else "others", remedy)


def _description(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UnreadableFileError(str(path), "be a JSON file", str(error)) from None
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise InputError(str(path), 'have a list "training"', "another content")
    return content


def _label_names(content: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Names by value; newer files write them the other way round."""
    labels = content.get("labels", {})
    names: dict[int, str] = {}
    try:
        for key, value in labels.items():
            number, name = (key, value) if str(key).isdecimal() else (value, key)
            names[int(number)] = str(name)
    except (AttributeError, TypeError, ValueError):
        raise InputError(str(path), 'have "labels" of value and name', labels) from None
    return {value: name for value, name in names.items() if value > 0}


def _pairs(content: Mapping[str, Any], folder: Path, part: str) -> list[tuple[Path, Path | None]]:
    """Images of a part of the set, and their labels where there are some."""
    pairs: list[tuple[Path, Path | None]] = []
    for entry in content.get(part, []):
        image = entry if isinstance(entry, str) else entry.get("image", "")
        label = "" if isinstance(entry, str) else entry.get("label", "")
        if image and not Path(image).name.startswith("._"):
            named = folder / label if label else _label_beside(folder / image)
            pairs.append((folder / image, named))
    return sorted(pairs, key=lambda pair: natural(pair[0].name))


def _label_beside(image: Path) -> Path | None:
    """Labels that are there, though the list does not name them: labelsVa beside imagesVa."""
    label = image.parent.with_name(image.parent.name.replace("images", "labels")) / image.name
    return label if label != image and label.is_file() else None


def _cases(
    folder: Path,
    pairs: list[tuple[Path, Path | None]],
    names: dict[int, str],
    channel: int | None,
    part: str,
) -> list[Case]:
    missing = [path for pair in pairs for path in pair if path is not None and not path.is_file()]
    if missing:
        listed = shortened([path.relative_to(folder).as_posix() for path in missing])
        raise InputError(
            str(folder), f'hold the files that dataset.json lists under "{part}"', f"no {listed}"
        )
    return [
        Case(
            stem_of(image),
            image=partial(read_volume, image, frame=channel),
            truth=None if label is None else partial(_named_labels, label, names),
            files=(image,) if label is None else (image, label),
        )
        for image, label in pairs
    ]


def _named_labels(path: Path, names: dict[int, str]) -> Volume:
    return replace(read_labels(path), names=names)


def _number(name: str) -> int | None:
    match = re.search(r"(\d+)$", name)
    return int(match.group(1)) if match else None


def _pair_of_sides(name: str) -> str:
    number = _number(name)
    return name if number is None else f"person {(number + 1) // 2}"


def _modality(name: str) -> str:
    number = _number(name)
    return "mr" if number is not None and number >= _FIRST_MR else "ct"


LAYOUTS.add(
    "msd",
    Layout(
        "msd",
        "Medical Segmentation Decathlon: any task",
        find_msd,
        "http://medicaldecathlon.com",
        "CC BY-SA 4.0",
    ),
)
LAYOUTS.add(
    "amos22",
    Layout(
        "amos22",
        "AMOS22: 15 abdominal organs in CT and MR",
        find_amos22,
        "https://zenodo.org/records/7262581",
        "CC BY 4.0",
    ),
)
