"""HaN-Seg: organs at risk of the head and neck, as labels or as landmarks.

Layout of the public set (https://zenodo.org/records/7442914)::

    HaN-Seg/set_1/case_01/case_01_IMG_CT.nrrd case_01_IMG_MR_T1.nrrd
                          case_01_OAR_Eye_AL.seg.nrrd case_01_OAR_OpticNrv_L.seg.nrrd ...

Masks lie on the grid of the CT. An eyeball is two masks, its anterior and its posterior segment.
Organs that were not drawn in a case have no file there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...io import read_volume
from .case import LAYOUTS, Case, Layout
from .patterns import existing_folder, natural, shortened
from .truths import Structure, centroids, merged_masks

__all__ = ["VISUAL_PATHWAY", "find_hanseg"]

VISUAL_PATHWAY: Mapping[str, tuple[str, ...]] = {
    "eye_left": ("Eye_AL", "Eye_PL"),
    "eye_right": ("Eye_AR", "Eye_PR"),
    "optic_nerve_left": ("OpticNrv_L",),
    "optic_nerve_right": ("OpticNrv_R",),
    "optic_chiasm": ("OpticChiasm",),
}
"""The structures that were published as landmarks: our name to the organs of the set."""


def find_hanseg(
    root: Path,
    *,
    structures: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    complete: bool = True,
) -> list[Case]:
    """Find the CT images, with structures as labels 1, 2, ..., and their centroids as landmarks.

    Parameters
    ----------
    root : Path
        Folder ``HaN-Seg``, its ``set_1``, or one that holds ``case_01`` and the others.
    structures : mapping of str to sequence of str, or sequence of str, optional
        Name to the organs that it is made of, or names of organs; None: both eyes, both optic
        nerves and the chiasm, as published.
    complete : bool
        Leave out cases in which an organ has no file: whether it is absent, or was not drawn, is
        not known. False takes it for absent.

    Raises
    ------
    InputError
        If there are no cases, images are missing, or an organ has no file in any case.
    """
    existing_folder(root, "the folder of the HaN-Seg data set")
    wanted = _wanted(structures)
    folders = [path for path in root.glob("case_*") if path.is_dir()]
    if not folders:
        folders = [path for path in root.glob("set_*/case_*") if path.is_dir()]
    if not folders:
        below = "Is the archive unpacked? Give the folder HaN-Seg or its set_1."
        raise InputError(str(root), "hold folders such as set_1/case_01", "none", below)
    folders.sort(key=lambda path: natural(path.name))
    _check_organs(folders, wanted)
    found = [_case(folder, wanted) for folder in folders]
    cases = [case for case, whole in found if whole or not complete]
    if not cases:
        raise InputError(str(root), "hold cases with all structures", "none", "Name fewer of them.")
    return cases


def _wanted(
    structures: Mapping[str, Sequence[str]] | Sequence[str] | None,
) -> dict[str, tuple[str, ...]]:
    if structures is None:
        return dict(VISUAL_PATHWAY)
    if isinstance(structures, str):
        structures = (structures,)
    if not isinstance(structures, Mapping):
        return {name: (name,) for name in structures}
    return {
        name: (organs,) if isinstance(organs, str) else tuple(organs)
        for name, organs in structures.items()
    }


def _mask(folder: Path, organ: str) -> Path:
    return folder / f"{folder.name}_OAR_{organ}.seg.nrrd"


def _check_organs(folders: Sequence[Path], wanted: Mapping[str, Sequence[str]]) -> None:
    """Refuse an organ that no case has: its name is wrong."""
    for organ in [organ for organs in wanted.values() for organ in organs]:
        if not any(_mask(folder, organ).is_file() for folder in folders):
            start = f"{folders[0].name}_OAR_"
            files = sorted(path.name for path in folders[0].glob(f"{start}*.seg.nrrd"))
            known = [name.removeprefix(start).removesuffix(".seg.nrrd") for name in files]
            raise InputError(
                "structures", f"be organs of the set, such as {shortened(known)}", organ
            )


def _case(folder: Path, wanted: Mapping[str, Sequence[str]]) -> tuple[Case, bool]:
    image = folder / f"{folder.name}_IMG_CT.nrrd"
    if not image.is_file():
        raise InputError(str(folder), f"hold {image.name}", "no such file")
    masks = {name: [_mask(folder, organ) for organ in organs] for name, organs in wanted.items()}
    whole = all(path.is_file() for paths in masks.values() for path in paths)
    found: list[Structure] = [
        (name, tuple(path for path in paths if path.is_file())) for name, paths in masks.items()
    ]
    read = partial(read_volume, image)
    truth = partial(merged_masks, found, read)
    files = (image, *(path for _, paths in found for path in paths))
    case = Case(
        folder.name, image=read, truth=truth, landmarks=partial(centroids, truth), files=files
    )
    return case, whole


LAYOUTS.add(
    "hanseg",
    Layout(
        "hanseg",
        "HaN-Seg: 30 organs at risk of the head and neck in CT",
        find_hanseg,
        "https://zenodo.org/records/7442914",
        "CC BY-NC-ND 4.0",
    ),
)
