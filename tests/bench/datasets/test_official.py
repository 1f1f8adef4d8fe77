"""TotalSegmentator, HaN-Seg and VerSe in miniature folders of their own layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot.bench.datasets import find_hanseg, find_totalsegmentator, find_verse
from napari_fewshot.errors import InputError
from napari_fewshot.io import check_match
from napari_fewshot.types import Array


def totalsegmentator(root: Path, nifti) -> Path:
    for name in ("s0010", "s0002", "s0000"):
        nifti(root / name / "ct.nii.gz", np.zeros((4, 5, 6), np.int16))
        for structure, corner in (("liver", 0), ("aorta", 2), ("spleen", 1)):
            mask = np.zeros((4, 5, 6), np.uint8)
            mask[corner : corner + 2, 1:3, 1:3] = 1
            nifti(root / name / "segmentations" / f"{structure}.nii.gz", mask)
    (root / "meta.csv").write_text(
        "\ufeffimage_id;age;study_type;split\n"
        "s0000;60;ct abdomen-pelvis;train\n"
        "s0002;61;ct thorax;val\n"
        "s0010;62;ct thorax-abdomen-pelvis;test\n",
        encoding="utf-8",
    )
    return root


def test_totalsegmentator(tmp_path: Path, nifti) -> None:
    root = totalsegmentator(tmp_path, nifti)
    cases = find_totalsegmentator(root)
    assert [(case.name, case.split) for case in cases] == [
        ("s0000", "train"),
        ("s0002", None),
        ("s0010", "test"),
    ]
    truth = cases[0].truth()
    check_match(cases[0].image(), truth)
    assert truth.names == {1: "liver"}
    assert truth.data.sum() == 8

    case = find_totalsegmentator(root, structures=["spleen", "aorta"], study_type="ct *abdomen*")[1]
    assert case.name == "s0010"
    truth = case.truth()
    assert truth.names == {1: "spleen", 2: "aorta"}
    assert (truth.data == 1).sum() == 8  # the first one named has what both claim
    assert (truth.data == 2).sum() == 4


def test_totalsegmentator_names_what_is_missing(tmp_path: Path, nifti) -> None:
    root = totalsegmentator(tmp_path / "set", nifti)
    with pytest.raises(InputError, match=r"got lever\. There are aorta, liver, spleen"):
        find_totalsegmentator(root, structures=["lever"])
    with pytest.raises(InputError, match="study_type must match cases, such as ct abdomen-pelvis"):
        find_totalsegmentator(root, study_type="mr*")
    with pytest.raises(InputError, match="Give the folder set in it"):
        find_totalsegmentator(tmp_path)
    (root / "s0002" / "ct.nii.gz").unlink()
    with pytest.raises(InputError, match=r"s0002 must hold ct\.nii\.gz"):
        find_totalsegmentator(root)
    (root / "meta.csv").unlink()
    with pytest.raises(InputError, match=r"meta\.csv must be there"):
        find_totalsegmentator(root, study_type="ct*")


ORGANS = {
    "Eye_AL": 0, "Eye_PL": 1, "Eye_AR": 6, "Eye_PR": 7,
    "OpticNrv_L": 2, "OpticNrv_R": 5, "OpticChiasm": 4, "Parotid_L": 3,
}  # fmt: skip


def save_nrrd(path: Path, data: Array) -> None:
    sitk: Any = pytest.importorskip("SimpleITK")
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(data)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetOrigin((-10, -20, 30))
    sitk.WriteImage(image, str(path))


def hanseg(root: Path) -> Path:
    """Each organ is a bar of three voxels at a column of its own."""
    for number in (1, 2):
        folder = root / "set_1" / f"case_{number:02}"
        save_nrrd(folder / f"{folder.name}_IMG_CT.nrrd", np.zeros((3, 4, 8), np.int16))
        save_nrrd(folder / f"{folder.name}_IMG_MR_T1.nrrd", np.zeros((2, 2, 2), np.int16))
        for organ, column in ORGANS.items():
            mask = np.zeros((3, 4, 8), np.uint8)
            mask[:, 1, column] = 1
            save_nrrd(folder / f"{folder.name}_OAR_{organ}.seg.nrrd", mask)
    return root


def test_hanseg_landmarks_are_centroids(tmp_path: Path) -> None:
    root = hanseg(tmp_path / "HaN-Seg")
    cases = find_hanseg(root)
    assert [case.name for case in cases] == ["case_01", "case_02"]
    assert len(find_hanseg(root / "set_1")) == 2
    truth = cases[0].truth()
    check_match(cases[0].image(), truth)
    assert truth.names[1] == "eye_left"
    marks = {mark.name: mark for mark in cases[0].landmarks()}
    assert list(marks) == [
        "eye_left",
        "eye_right",
        "optic_nerve_left",
        "optic_nerve_right",
        "optic_chiasm",
    ]
    assert marks["eye_left"].position == (1.0, 1.0, 0.5)  # both segments of the eyeball
    assert marks["optic_chiasm"].position == (1.0, 1.0, 4.0)
    assert marks["optic_chiasm"].label == 5


def test_hanseg_structures_and_missing_organs(tmp_path: Path) -> None:
    root = hanseg(tmp_path)
    (root / "set_1" / "case_01" / "case_01_OAR_OpticChiasm.seg.nrrd").unlink()
    assert [case.name for case in find_hanseg(root)] == ["case_02"]
    case = find_hanseg(root, complete=False)[0]
    assert [mark.name for mark in case.landmarks()][-1] == "optic_nerve_right"
    assert find_hanseg(root, structures=["Parotid_L"])[0].truth().names == {1: "Parotid_L"}
    absent = find_hanseg(root, structures=["OpticChiasm"], complete=False)[0]
    assert not absent.truth().data.any()
    with pytest.raises(InputError, match=r"structures must be organs of the set.*got Nose"):
        find_hanseg(root, structures={"nose": ["Nose"]})
    (root / "set_1" / "case_02" / "case_02_IMG_CT.nrrd").unlink()
    with pytest.raises(InputError, match="case_02 must hold case_02_IMG_CT.nrrd"):
        find_hanseg(root)


def verse(root: Path, nifti) -> Path:
    subjects = {
        "dataset-01training": {"sub-verse401": ["_split-verse253", "_split-verse262"]},
        "dataset-02validation": {"sub-gl003": ["_dir-ax"], "sub-verse014": [""]},
    }
    for part, found in subjects.items():
        for subject, endings in found.items():
            for ending in endings:
                name = f"{subject}{ending}"
                nifti(root / part / "rawdata" / subject / f"{name}_ct.nii.gz")
                mask = root / part / "derivatives" / subject / f"{name}_seg-vert_msk.nii.gz"
                nifti(mask, value=20)
    return root


def test_verse(tmp_path: Path, nifti) -> None:
    root = verse(tmp_path, nifti)
    cases = find_verse(root)
    assert [(case.name, case.split, case.group) for case in cases] == [
        ("gl003_dir-ax", "test", "sub-gl003"),
        ("verse014", "test", "sub-verse014"),
        ("verse401_split-verse253", "train", "sub-verse401"),
        ("verse401_split-verse262", "train", "sub-verse401"),
    ]
    truth = cases[0].truth()
    assert truth.names == {1: "vertebrae"}
    assert np.unique(truth.data).tolist() == [0, 1]
    each = find_verse(root / "dataset-01training", one_label=False)
    assert len(each) == 2
    assert each[0].split == "train"
    assert each[0].truth().names[20] == "L1"
    assert np.unique(each[0].truth().data).tolist() == [0, 20]


def test_verse_names_what_is_missing(tmp_path: Path, nifti) -> None:
    root = verse(tmp_path, nifti)
    part = root / "dataset-02validation" / "derivatives"
    (part / "sub-gl003" / "sub-gl003_dir-ax_seg-vert_msk.nii.gz").unlink()
    with pytest.raises(InputError, match="no dataset-02validation/derivatives/sub-gl003"):
        find_verse(root)
    with pytest.raises(InputError, match="layout by subject"):
        find_verse(root / "dataset-02validation" / "derivatives")


def test_configurations_fit_these_layouts(tmp_path: Path, nifti, prepared) -> None:
    case = prepared("totalsegmentator", totalsegmentator(tmp_path / "t", nifti))
    assert case.name == "s0010"
    assert case.truth.names == {1: "liver"}
    case = prepared("verse20", verse(tmp_path / "v", nifti))
    assert case.truth.names == {1: "vertebrae"}
    assert case.image.shape == case.truth.shape
    case = prepared("hanseg", hanseg(tmp_path / "h"))
    assert case.name == "case_02"
    assert len(case.landmarks) == 5
    assert case.truth is not None  # shown as regions, scored as points
