"""VerSe: vertebrae in CT, in the layout by subject that follows BIDS.

Layout (https://github.com/anjany/verse, https://osf.io/4skx2); the folders of the three archives
may lie side by side, and images of one subject share its number::

    dataset-01training/rawdata/sub-verse004/sub-verse004_ct.nii.gz
    dataset-01training/derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz
    .../sub-verse401_split-verse253_ct.nii.gz, .../sub-gl003_dir-ax_ct.nii.gz

Masks have a value for each vertebra: 1-7 cervical, 8-19 thoracic, 20-25 lumbar, 28 T13.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import InputError
from ...io import read_labels, read_volume
from ...types import Volume
from .case import LAYOUTS, Case, Layout
from .patterns import existing_folder, natural, shortened

__all__ = ["find_verse"]

_IMAGE, _MASK = "_ct.nii.gz", "_seg-vert_msk.nii.gz"
_NAMES = {
    **{value: f"C{value}" for value in range(1, 8)},
    **{value: f"T{value - 7}" for value in range(8, 20)},
    **{value: f"L{value - 19}" for value in range(20, 26)},
    26: "sacrum",
    27: "coccyx",
    28: "T13",
}


def find_verse(root: Path, *, one_label: bool = True) -> list[Case]:
    """Find the labelled images below a folder, however deep ``rawdata`` lies in it.

    Parameters
    ----------
    root : Path
        Folder that holds the unpacked archives, or one of them.
    one_label : bool
        All vertebrae are label 1, "vertebrae"; False keeps a label for each.

    Returns
    -------
    list of Case
        ``split`` is "train" below a folder with *training* in its name, and "test" below one
        with *validation* or *test*. Images of one subject are of one group.

    Raises
    ------
    InputError
        If there is no ``rawdata`` with images, or a mask is missing.
    """
    existing_folder(root, "the folder of the VerSe data set")
    images = {
        image.name.removesuffix(_IMAGE): image
        for image in root.rglob(f"rawdata/*/*{_IMAGE}")
        if not image.name.startswith(".")
    }
    if not images:
        raise InputError(
            str(root),
            f"hold rawdata/sub-.../sub-...{_IMAGE}",
            "none",
            "Give the folder of the layout by subject (rawdata and derivatives), unpacked.",
        )
    cases, missing = [], []
    for name, image in sorted(images.items(), key=lambda item: natural(item[0])):
        part = image.parents[2]
        mask = part / "derivatives" / image.parent.name / f"{name}{_MASK}"
        if not mask.is_file():
            missing.append(mask.relative_to(root).as_posix())
            continue
        cases.append(
            Case(
                name.removeprefix("sub-"),
                image=partial(read_volume, image),
                truth=partial(_vertebrae, mask, one_label),
                split=_split(part.relative_to(root.parent)),
                group=image.parent.name,
                files=(image, mask),
            )
        )
    if missing:
        raise InputError(str(root), "hold a mask for every image", f"no {shortened(missing)}")
    return cases


def _split(part: Path) -> Literal["train", "test"] | None:
    words = part.as_posix().lower()
    if "training" in words:
        return "train"
    return "test" if "validation" in words or "test" in words else None


def _vertebrae(path: Path, one_label: bool) -> Volume:
    mask = read_labels(path)
    if one_label:
        return mask.with_data((mask.data > 0).astype(np.uint8), names={1: "vertebrae"})
    return replace(mask, names=_NAMES)


LAYOUTS.add(
    "verse20",
    Layout(
        "verse20",
        "VerSe 2019 and 2020: vertebrae in CT",
        find_verse,
        "https://github.com/anjany/verse",
        "CC BY-SA 4.0",
    ),
)
