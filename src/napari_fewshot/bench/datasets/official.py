"""Published data sets, each in the folder layout that its archives unpack to.

- TotalSegmentator (https://zenodo.org/records/10047292, CC BY 4.0):
  ``meta.csv``, ``s0000/ct.nii.gz`` (``mri.nii.gz`` in the MR set),
  ``s0000/segmentations/liver.nii.gz``
- HaN-Seg (https://zenodo.org/records/7442914, CC BY-NC-ND 4.0):
  ``set_1/case_01/case_01_IMG_CT.nrrd``, ``case_01_OAR_Eye_AL.seg.nrrd``, on the grid of the CT
- AMOS22 (https://zenodo.org/records/7262581, CC BY 4.0):
  ``dataset.json``, ``imagesTr/amos_0001.nii.gz``, ``labelsTr``, ``imagesVa``, ``labelsVa``
- Medical Segmentation Decathlon (http://medicaldecathlon.com, CC BY-SA 4.0):
  ``Task02_Heart/dataset.json``, ``imagesTr/la_003.nii.gz``, ``labelsTr``
- VerSe 2019 and 2020 (https://github.com/anjany/verse, CC BY-SA 4.0):
  ``dataset-01training/rawdata/sub-verse004/sub-verse004_ct.nii.gz``,
  ``derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz``
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import InputError, UnreadableFileError
from ...io import read_labels, read_volume, stem_of
from ...types import Volume
from .case import Case, centroids, existing_folder, merged_masks, natural, shortened

__all__ = ["find_amos22", "find_hanseg", "find_msd", "find_totalsegmentator", "find_verse"]

Structures = Mapping[str, Sequence[str]] | Sequence[str]

Split = Literal["train", "test"]
_SPLITS: dict[str, Split] = {"training": "train", "validation": "test", "test": "test"}

# Hippocampus images numbered 2n - 1 and 2n are alike in scanner, grey values and volume, while
# neighbours 2n and 2n + 1 are not: they are the two sides of one person (394 of 197).
_SIDES = "Hippocampus"
# Numbers of AMOS22 from here on are MR.
_FIRST_MR = 501
# The file itself says "arota".
_AMOS_NAMES = {8: "aorta", 9: "postcava"}

# What was published of HaN-Seg; an eyeball is two masks, its anterior and its posterior segment.
_VISUAL_PATHWAY: Mapping[str, tuple[str, ...]] = {
    "eye_left": ("Eye_AL", "Eye_PL"),
    "eye_right": ("Eye_AR", "Eye_PR"),
    "optic_nerve_left": ("OpticNrv_L",),
    "optic_nerve_right": ("OpticNrv_R",),
    "optic_chiasm": ("OpticChiasm",),
}

_VERTEBRAE = {
    **{value: f"C{value}" for value in range(1, 8)},
    **{value: f"T{value - 7}" for value in range(8, 20)},
    **{value: f"L{value - 19}" for value in range(20, 26)},
    26: "sacrum",
    27: "coccyx",
    28: "T13",
}


def find_msd(root: Path, *, task: str = "", channel: int | None = None) -> list[Case]:
    """Find the labelled cases of a task of the Medical Segmentation Decathlon.

    ``root`` is the folder of the task, or the one that holds it; then ``task`` names it, such as
    ``Task02_Heart``, where there are several. ``channel`` counts the images of 4D files from 0.
    """
    folder, content = _described(root, task)
    cases = _listed(folder, content, "training", channel=channel)
    if _SIDES not in f"{folder.name} {content.get('name', '')}":
        return cases
    numbers = {case.name: _number(case.name) for case in cases}
    groups = {name: f"person {(n + 1) // 2}" if n else name for name, n in numbers.items()}
    return [replace(case, group=groups[case.name]) for case in cases]


def find_amos22(root: Path, *, modality: Literal["ct", "mr", "all"] = "ct") -> list[Case]:
    """Find the labelled cases of AMOS22: training is the split "train", validation "test".

    ``root`` holds ``dataset.json``, or is the folder above it. Cases up to 0500 are CT, those above
    MR.
    """
    if modality not in ("ct", "mr", "all"):
        raise InputError("modality", "be ct, mr or all", modality)
    folder, content = _described(root, "")
    cases = [
        replace(case, split=_SPLITS[part])
        for part in ("training", "validation")
        for case in _listed(folder, content, part, _AMOS_NAMES, labelled=True)
    ]
    kinds = {case.name: "mr" if _number(case.name) >= _FIRST_MR else "ct" for case in cases}
    chosen = [case for case in cases if modality in ("all", kinds[case.name])]
    if not chosen:
        raise InputError(str(folder), f"hold labelled cases of {modality}", f"{len(cases)} others")
    return chosen


def find_totalsegmentator(
    root: Path, *, structures: Sequence[str] = ("liver",), study_type: str = ""
) -> list[Case]:
    """Find the cases of TotalSegmentator, with the masks of structures as labels 1, 2, and so on.

    ``study_type`` is a pattern of that column of ``meta.csv``, such as ``ct *abdomen*``: only these
    cases. The masks of structures outside the field of view are empty, which the names of files do
    not tell.
    """
    existing_folder(root, "the folder of the TotalSegmentator data set")
    structures = (structures,) if isinstance(structures, str) else structures
    if not structures:
        raise InputError("structures", "name at least one", "none")
    folders = [path.parent for path in root.glob("s*/segmentations") if path.is_dir()]
    folders.sort(key=lambda path: natural(path.name))
    if not folders:
        below = sorted(path.parent.parent.name for path in root.glob("*/s*/segmentations"))
        hint = f"Give the folder {below[0]} in it." if below else "Is the archive unpacked?"
        raise InputError(str(root), "hold folders such as s0000 with segmentations", "none", hint)
    about = _meta(root / "meta.csv", needed=bool(study_type))
    if study_type:
        types = {path: about.get(path.name, {}).get("study_type", "") for path in folders}
        folders = [path for path in folders if fnmatch(types[path], study_type)]
        if not folders:
            known = shortened(sorted(set(types.values())))
            raise InputError("study_type", f"match cases, such as {known}", study_type)
    return [_segmented(folder, structures, about.get(folder.name, {})) for folder in folders]


def find_hanseg(
    root: Path, *, structures: Structures | None = None, complete: bool = True
) -> list[Case]:
    """Find the CT of HaN-Seg: structures are labels 1, 2, ..., and landmarks their centroids.

    ``root`` is the folder ``HaN-Seg``, its ``set_1``, or one that holds ``case_01`` and the others.
    ``structures`` are names with the organs that each is made of, or names of organs; None: both
    eyes, both optic nerves and the chiasm, as published. ``complete`` leaves out cases in which an
    organ has no file: whether it is absent, or was not drawn, is not known.
    """
    existing_folder(root, "the folder of the HaN-Seg data set")
    wanted = _organs(structures)
    folders = [path for path in root.glob("case_*") if path.is_dir()]
    folders = folders or [path for path in root.glob("set_*/case_*") if path.is_dir()]
    if not folders:
        below = "Is the archive unpacked? Give the folder HaN-Seg or its set_1."
        raise InputError(str(root), "hold folders such as set_1/case_01", "none", below)
    folders.sort(key=lambda path: natural(path.name))
    for organ in [organ for organs in wanted.values() for organ in organs]:
        if not any(_organ(folder, organ).is_file() for folder in folders):
            start, ending = _organ(folders[0], "*").name.split("*")
            files = sorted(path.name for path in folders[0].glob(f"{start}*{ending}"))
            known = shortened([name.removeprefix(start).removesuffix(ending) for name in files])
            raise InputError("structures", f"be organs of the set, such as {known}", organ)
    cases = []
    for folder in folders:
        image = folder / f"{folder.name}_IMG_CT.nrrd"
        if not image.is_file():
            raise InputError(str(folder), f"hold {image.name}", "no such file")
        masks = {name: [_organ(folder, one) for one in organs] for name, organs in wanted.items()}
        there = {name: [path for path in paths if path.is_file()] for name, paths in masks.items()}
        if there == masks or not complete:
            cases.append(_case_of_masks(folder.name, image, there, as_points=True))
    if not cases:
        raise InputError(str(root), "hold cases with all structures", "none", "Name fewer of them.")
    return cases


def find_verse(root: Path, *, one_label: bool = True) -> list[Case]:
    """Find the labelled images of VerSe below a folder, however deep ``rawdata`` lies in it.

    Images of one subject are of one group. The split is "train" below a folder with *training* in
    its name, and "test" below one with *validation* or *test*. With ``one_label`` all vertebrae are
    label 1; else each has a value: 1-7 cervical, 8-19 thoracic, 20-25 lumbar, 28 T13.
    """
    existing_folder(root, "the folder of the VerSe data set")
    ending = "_ct.nii.gz"
    images = {
        image.name.removesuffix(ending): image
        for image in root.rglob(f"rawdata/*/*{ending}")
        if not image.name.startswith(".")
    }
    if not images:
        remedy = "Give the folder of the layout by subject (rawdata and derivatives), unpacked."
        raise InputError(str(root), f"hold rawdata/sub-.../sub-...{ending}", "none", remedy)
    cases, missing = [], []
    for name, image in sorted(images.items(), key=lambda item: natural(item[0])):
        part, subject = image.parents[2], image.parent.name
        mask = part / "derivatives" / subject / f"{name}_seg-vert_msk.nii.gz"
        if not mask.is_file():
            missing.append(mask.relative_to(root).as_posix())
        words = part.relative_to(root.parent).as_posix().lower()
        cases.append(
            Case(
                name.removeprefix("sub-"),
                image=partial(read_volume, image),
                truth=partial(_vertebrae, mask, one_label),
                split=next((split for word, split in _SPLITS.items() if word in words), None),
                group=subject,
                files=(image, mask),
            )
        )
    if missing:
        raise InputError(str(root), "hold a mask for every image", f"no {shortened(missing)}")
    return cases


def _described(root: Path, task: str) -> tuple[Path, dict[str, Any]]:
    """Folder of a task, and its ``dataset.json``."""
    existing_folder(root, "the folder of a task")
    if task and (root / task).is_dir():
        root = root / task
    path = root / "dataset.json"
    if not path.is_file() or task not in ("", root.name):
        below = sorted(path.parent.name for path in root.glob("*/dataset.json"))
        if task or len(below) != 1:
            wanted = f"{task}/dataset.json" if task else "a dataset.json, or one folder with it"
            remedy = "Is it the folder that the archive unpacks to?"
            if below:
                remedy = f"Name the task: there are {shortened(below)}."
            given = "others" if below else "no such file"
            raise InputError(str(root), f"hold {wanted}", given, remedy)
        path = root / below[0] / "dataset.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UnreadableFileError(str(path), "be a JSON file", str(error)) from None
    if not isinstance(content, dict) or not isinstance(content.get("training"), list):
        raise InputError(str(path), 'have a list "training"', "another content")
    return path.parent, content


def _listed(
    folder: Path,
    content: Mapping[str, Any],
    part: str,
    names: Mapping[int, str] | None = None,
    *,
    channel: int | None = None,
    labelled: bool = False,
) -> list[Case]:
    """Cases that ``dataset.json`` lists; ``names`` go before its own."""
    names = {**_label_names(content, folder / "dataset.json"), **(names or {})}
    pairs: list[tuple[Path, Path | None]] = []
    for entry in content.get(part, []):
        given = {"image": entry} if isinstance(entry, str) else entry
        image, label = folder / given.get("image", ""), given.get("label", "")
        if given.get("image") and not image.name.startswith("._"):
            pairs.append((image, folder / label if label else _label_beside(image)))
    if labelled:
        pairs = [pair for pair in pairs if pair[1] is not None]
    pairs.sort(key=lambda pair: natural(pair[0].name))
    missing = [path for pair in pairs for path in pair if path is not None and not path.is_file()]
    if missing:
        wanted = f'hold the files that dataset.json lists under "{part}"'
        listed = shortened([path.relative_to(folder).as_posix() for path in missing])
        raise InputError(str(folder), wanted, f"no {listed}")
    return [
        Case(
            stem_of(image),
            image=partial(read_volume, image, frame=channel),
            truth=None if label is None else partial(_named_labels, label, names),
            files=(image,) if label is None else (image, label),
        )
        for image, label in pairs
    ]


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


def _label_beside(image: Path) -> Path | None:
    """Labels that are there, though the list does not name them: labelsVa beside imagesVa."""
    label = image.parent.with_name(image.parent.name.replace("images", "labels")) / image.name
    return label if label != image and label.is_file() else None


def _number(name: str) -> int:
    """Return the number at the end of a name; 0 where there is none."""
    match = re.search(r"(\d+)$", name)
    return int(match.group(1)) if match else 0


def _segmented(folder: Path, structures: Sequence[str], about: Mapping[str, str]) -> Case:
    """Return a case of TotalSegmentator; the image is ``mri.nii.gz`` in the MR set."""
    images = (folder / name for name in ("ct.nii.gz", "mri.nii.gz"))
    image = next((path for path in images if path.is_file()), None)
    if image is None:
        raise InputError(str(folder), "hold ct.nii.gz or mri.nii.gz", "neither")
    below = folder / "segmentations"
    found = {name: [below / f"{name}.nii.gz"] for name in structures}
    for name, masks in found.items():
        if not masks[0].is_file():
            known = sorted(path.name.removesuffix(".nii.gz") for path in below.glob("*.gz"))
            remedy = f"There are {shortened(known)}." if known else "The folder is empty."
            raise InputError("structures", f"be masks of {below}", name, remedy)
    splits: dict[str | None, Split] = {"train": "train", "test": "test"}
    case = _case_of_masks(folder.name, image, found)
    return replace(case, split=splits.get(about.get("split")))


def _meta(path: Path, needed: bool) -> dict[str, dict[str, str]]:
    """Rows of ``meta.csv`` by case: image_id, study_type, split (train, val, test), ..."""
    if not path.is_file():
        if needed:
            raise InputError(str(path), "be there to choose by study_type", "no such file")
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter=";"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(str(path), "be a CSV file in UTF-8", str(error)) from None
    if rows and "image_id" not in rows[0]:
        raise InputError(str(path), "have a column image_id, separated by ;", ", ".join(rows[0]))
    return {row["image_id"]: row for row in rows}


def _organs(structures: Structures | None) -> dict[str, Sequence[str]]:
    """Organs of each structure of HaN-Seg."""
    if structures is None:
        return dict(_VISUAL_PATHWAY)
    names = (structures,) if isinstance(structures, str) else structures
    given = names if isinstance(names, Mapping) else {name: name for name in names}
    return {name: (one,) if isinstance(one, str) else one for name, one in given.items()}


def _organ(folder: Path, organ: str) -> Path:
    return folder / f"{folder.name}_OAR_{organ}.seg.nrrd"


def _case_of_masks(
    name: str, image: Path, structures: Mapping[str, Sequence[Path]], *, as_points: bool = False
) -> Case:
    read = partial(read_volume, image)
    truth = partial(merged_masks, structures, read)
    files = (image, *(path for paths in structures.values() for path in paths))
    points = partial(centroids, truth) if as_points else None
    return Case(name, image=read, truth=truth, landmarks=points, files=files)


def _named_labels(path: Path, names: Mapping[int, str]) -> Volume:
    return replace(read_labels(path), names=names)


def _vertebrae(path: Path, one_label: bool) -> Volume:
    if one_label:
        mask = read_labels(path)
        return mask.with_data((mask.data > 0).astype(np.uint8), names={1: "vertebrae"})
    return _named_labels(path, _VERTEBRAE)


ENTRIES = {
    "totalsegmentator": find_totalsegmentator,
    "hanseg": find_hanseg,
    "amos22": find_amos22,
    "msd": find_msd,
    "verse20": find_verse,
}
