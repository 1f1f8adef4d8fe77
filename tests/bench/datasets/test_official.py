"""Published data sets in miniature folders of their own layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot.bench.datasets.official import (
    find_amos22,
    find_hanseg,
    find_msd,
    find_totalsegmentator,
    find_verse,
)
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


def test_configurations_fit_sets_of_masks(tmp_path: Path, nifti, prepared) -> None:
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


def entry(part: str, name: str) -> dict[str, str]:
    return {"image": f"./images{part}/{name}.nii.gz", "label": f"./labels{part}/{name}.nii.gz"}


def describe(folder: Path, **content) -> None:
    (folder / "dataset.json").write_text(json.dumps(content))


def heart(root: Path, nifti, task: str = "Task02_Heart") -> Path:
    folder = root / task
    names = ["la_014", "la_003"]
    for name in names:
        nifti(folder / "imagesTr" / f"{name}.nii.gz")
        nifti(folder / "labelsTr" / f"{name}.nii.gz")
    nifti(folder / "imagesTs" / "la_001.nii.gz")
    describe(
        folder,
        name="LeftAtrium",
        labels={"0": "background", "1": "left atrium"},
        training=[entry("Tr", name) for name in names],
        test=["./imagesTs/la_001.nii.gz"],
    )
    return folder


def test_decathlon(tmp_path: Path, nifti) -> None:
    folder = heart(tmp_path, nifti)
    for root, task in ((folder, ""), (tmp_path, ""), (tmp_path, "Task02_Heart")):
        cases = find_msd(root, task=task)
        assert [case.name for case in cases] == ["la_003", "la_014"]
    truth = cases[0].truth()
    assert truth.names == {1: "left atrium"}
    assert truth.shape == cases[0].image().shape == (6, 5, 4)
    assert {case.group for case in cases} == {""}
    assert {case.split for case in cases} == {None}


def test_sides_of_hippocampi_share_a_group(tmp_path: Path, nifti) -> None:
    folder = tmp_path / "Task04_Hippocampus"
    names = ["hippocampus_001", "hippocampus_003", "hippocampus_004", "hippocampus_006"]
    for name in names:
        nifti(folder / "imagesTr" / f"{name}.nii.gz")
        nifti(folder / "labelsTr" / f"{name}.nii.gz")
    labels = {"background": 0, "Anterior": 1, "Posterior": 2}
    describe(folder, labels=labels, training=[entry("Tr", name) for name in names])
    cases = find_msd(folder)
    assert [case.group for case in cases] == ["person 1", "person 2", "person 2", "person 3"]
    assert cases[0].truth().names == {1: "Anterior", 2: "Posterior"}


def test_one_channel_of_several(tmp_path: Path, nifti) -> None:
    folder = tmp_path / "Task05_Prostate"
    data = np.stack([np.full((4, 5, 6), value, np.int16) for value in (3, 8)], -1)
    nifti(folder / "imagesTr" / "p_1.nii.gz", data)
    nifti(folder / "labelsTr" / "p_1.nii.gz")
    describe(folder, labels={"1": "zone"}, training=[entry("Tr", "p_1")])
    (case,) = find_msd(folder, channel=1)
    assert (case.image().data == 8).all()
    (case,) = find_msd(folder)
    with pytest.raises(InputError, match="must hold one volume"):
        case.image()


def test_several_tasks_want_a_name(tmp_path: Path, nifti) -> None:
    heart(tmp_path, nifti)
    heart(tmp_path, nifti, "Task09_Spleen")
    with pytest.raises(InputError, match="there are Task02_Heart, Task09_Spleen"):
        find_msd(tmp_path)
    with pytest.raises(InputError, match="hold Task03_Liver/dataset.json"):
        find_msd(tmp_path, task="Task03_Liver")
    assert len(find_msd(tmp_path, task="Task09_Spleen")) == 2


def test_missing_files_are_named(tmp_path: Path, nifti) -> None:
    folder = heart(tmp_path, nifti)
    (folder / "labelsTr" / "la_014.nii.gz").unlink()
    with pytest.raises(InputError, match=r"no labelsTr/la_014\.nii\.gz"):
        find_msd(folder)
    describe(folder, labels=["heart"], training=[])
    with pytest.raises(InputError, match='have "labels"'):
        find_msd(folder)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="be a JSON file"):
        find_msd(folder)
    describe(folder, nothing=1)
    with pytest.raises(InputError, match='have a list "training"'):
        find_msd(folder)


def amos(root: Path, nifti, with_labels: bool) -> Path:
    folder = root / "amos22"
    parts = {"Tr": ["amos_0001", "amos_0507"], "Va": ["amos_0008", "amos_0541"]}
    for part, names in parts.items():
        for name in names:
            nifti(folder / f"images{part}" / f"{name}.nii.gz")
            nifti(folder / f"labels{part}" / f"{name}.nii.gz", value=8)
    nifti(folder / "imagesTs" / "amos_0002.nii.gz")
    validation = [entry("Va", name) for name in parts["Va"]]
    if not with_labels:
        validation = [{"image": one["image"]} for one in validation]
    describe(
        folder,
        labels={"0": "background", "6": "liver", "8": "arota", "9": "postcava"},
        training=[entry("Tr", name) for name in parts["Tr"]],
        validation=validation,
        test=[{"image": "./imagesTs/amos_0002.nii.gz"}],
    )
    return folder


@pytest.mark.parametrize("with_labels", [True, False])
def test_amos(tmp_path: Path, nifti, with_labels: bool) -> None:
    folder = amos(tmp_path, nifti, with_labels)
    cases = find_amos22(folder)
    assert [(case.name, case.split) for case in cases] == [
        ("amos_0001", "train"),
        ("amos_0008", "test"),
    ]
    assert cases[1].truth().names == {6: "liver", 8: "aorta", 9: "postcava"}
    assert [case.name for case in find_amos22(tmp_path, modality="mr")] == [
        "amos_0507",
        "amos_0541",
    ]
    assert len(find_amos22(folder, modality="all")) == 4
    with pytest.raises(InputError, match="modality must be ct, mr or all"):
        find_amos22(folder, modality="pet")


def test_configurations_fit_sets_that_describe_themselves(tmp_path: Path, nifti, prepared) -> None:
    case = prepared("amos22", amos(tmp_path, nifti, False))
    assert case.name == "amos_0008"
    assert case.truth.names == {8: "aorta", 9: "postcava"}
    assert set(np.unique(case.truth.data)) == {0, 8}
    case = prepared("msd_heart", heart(tmp_path / "msd", nifti).parent)
    assert case.truth.names == {1: "left atrium"}
    assert case.image.shape[0] == 12  # 2 mm slices, resampled to 1 mm
