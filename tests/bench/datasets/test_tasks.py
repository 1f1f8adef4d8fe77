"""Decathlon and AMOS22: what dataset.json lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench.datasets import find_amos22, find_msd
from napari_fewshot.errors import InputError


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


def test_configurations_fit_these_layouts(tmp_path: Path, nifti, prepared) -> None:
    case = prepared("amos22", amos(tmp_path, nifti, False))
    assert case.name == "amos_0008"
    assert case.truth.names == {8: "aorta", 9: "postcava"}
    assert set(np.unique(case.truth.data)) == {0, 8}
    case = prepared("msd_heart", heart(tmp_path / "msd", nifti).parent)
    assert case.truth.names == {1: "left atrium"}
    assert case.image.shape[0] == 12  # 2 mm slices, resampled to 1 mm
