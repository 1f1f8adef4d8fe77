"""TotalSegmentator: a folder for each case, a binary mask for each structure.

Layout of the CT set, version 1 and 2, as it unpacks (https://zenodo.org/records/10047292)::

    meta.csv                      # ;-separated: image_id, study_type, split (train, val, test), ...
    s0000/ct.nii.gz               # mri.nii.gz in the MR set
    s0000/segmentations/liver.nii.gz ...
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Literal

from ...errors import InputError, UnreadableFileError
from ...io import read_volume
from .case import LAYOUTS, Case, Layout
from .patterns import existing_folder, natural, shortened
from .truths import Structure, merged_masks

__all__ = ["find_totalsegmentator"]

_IMAGES = ("ct.nii.gz", "mri.nii.gz")
_SPLITS: dict[str, Literal["train", "test"]] = {"train": "train", "test": "test"}


def find_totalsegmentator(
    root: Path, *, structures: Sequence[str] = ("liver",), study_type: str = ""
) -> list[Case]:
    """Find the cases, with the masks of some structures as labels 1, 2, and so on.

    Parameters
    ----------
    root : Path
        Folder that holds ``s0000`` and the others.
    structures : sequence of str
        Names of masks, such as ``liver``.
    study_type : str
        Pattern of ``study_type`` in ``meta.csv``, such as ``ct *abdomen*``: only these cases.
        The masks of structures outside the field of view are empty, which the names of files do
        not tell.

    Returns
    -------
    list of Case
        ``split`` is that of ``meta.csv``, where it says "train" or "test".

    Raises
    ------
    InputError
        If there are no cases, or masks or images of some are missing.
    """
    existing_folder(root, "the folder of the TotalSegmentator data set")
    if isinstance(structures, str):
        structures = (structures,)
    if not structures:
        raise InputError("structures", "name at least one", "none")
    folders = [path.parent for path in root.glob("s*/segmentations") if path.is_dir()]
    folders.sort(key=lambda path: natural(path.name))
    if not folders:
        raise InputError(
            str(root), "hold folders such as s0000 with segmentations", "none", _hint(root)
        )
    about = _meta(root / "meta.csv", needed=bool(study_type))
    if study_type:
        types = {path: about.get(path.name, {}).get("study_type", "") for path in folders}
        folders = [path for path in folders if fnmatch(types[path], study_type)]
        if not folders:
            known = shortened(sorted(set(types.values())))
            raise InputError("study_type", f"match cases, such as {known}", study_type)
    return [_case(folder, structures, about) for folder in folders]


def _case(folder: Path, structures: Sequence[str], about: dict[str, dict[str, str]]) -> Case:
    image = next((folder / name for name in _IMAGES if (folder / name).is_file()), None)
    if image is None:
        raise InputError(str(folder), "hold ct.nii.gz or mri.nii.gz", "neither")
    found: list[Structure] = []
    for name in structures:
        mask = folder / "segmentations" / f"{name}.nii.gz"
        if not mask.is_file():
            known = sorted(path.name.removesuffix(".nii.gz") for path in mask.parent.glob("*.gz"))
            raise InputError(
                "structures",
                f"be masks of {mask.parent}",
                name,
                f"There are {shortened(known)}." if known else "The folder is empty.",
            )
        found.append((name, (mask,)))
    split = about.get(folder.name, {}).get("split", "")
    return Case(
        folder.name,
        image=partial(read_volume, image),
        truth=partial(merged_masks, found),
        split=_SPLITS.get(split),
        files=(image, *(path for _, paths in found for path in paths)),
    )


def _meta(path: Path, needed: bool) -> dict[str, dict[str, str]]:
    """Rows of ``meta.csv`` by case."""
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


def _hint(root: Path) -> str:
    below = sorted(path.parent.parent.name for path in root.glob("*/s*/segmentations"))
    return f"Give the folder {below[0]} in it." if below else "Is the archive unpacked?"


LAYOUTS.add(
    "totalsegmentator",
    Layout(
        "totalsegmentator",
        "TotalSegmentator: 117 structures in 1228 CT (or 50 in MR)",
        find_totalsegmentator,
        "https://zenodo.org/records/10047292",
        "CC BY 4.0",
    ),
)
