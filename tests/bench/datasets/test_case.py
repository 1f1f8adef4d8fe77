"""Cohorts of images with labels or points beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench.datasets import LAYOUTS
from napari_fewshot.bench.datasets.case import find_folder
from napari_fewshot.errors import InputError
from napari_fewshot.io import check_match, write_image, write_labels
from napari_fewshot.types import Volume


def test_images_and_labels_by_the_name_of_the_case(tmp_path: Path, nifti) -> None:
    for name in ("knee_10", "knee_2", "knee_1"):
        nifti(tmp_path / "ct" / f"{name}.nii.gz", np.zeros((4, 5, 6), np.int16))
        nifti(tmp_path / "masks" / f"{name}_seg.nii.gz", value=2)
    cases = find_folder(tmp_path, images="ct/{case}.nii.gz", labels="masks/{case}_seg.nii.gz")
    assert [case.name for case in cases] == ["knee_1", "knee_2", "knee_10"]
    image, truth = cases[2].image(), cases[2].truth()
    check_match(image, truth)
    assert np.unique(truth.data).tolist() == [0, 2]
    assert [path.name for path in cases[0].files] == ["knee_1.nii.gz", "knee_1_seg.nii.gz"]
    assert cases[0].landmarks is None
    assert {case.group for case in cases} == {""}


def test_nothing_is_read_when_listing(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii.gz").write_bytes(b"no image")
    (case,) = find_folder(tmp_path, images="images/{case}.nii.gz", labels="labels/{case}.nii.gz")
    with pytest.raises(InputError):
        case.image()


def test_one_image_without_a_name(tmp_path: Path, nifti) -> None:
    nifti(tmp_path / "image.nii.gz")
    nifti(tmp_path / "labels.nii.gz")
    (case,) = find_folder(tmp_path, images="image.nii.gz", labels="labels.nii.gz")
    assert case.name == "image"
    assert case.truth().data.any()


def test_groups(tmp_path: Path, nifti) -> None:
    for name in ("sub-rat1_a", "sub-rat1_b", "sub-rat3_c"):
        nifti(tmp_path / "images" / f"{name}.nii")
        nifti(tmp_path / "labels" / f"{name}.nii")
    patterns = {"images": "images/{case}.nii", "labels": "labels/{case}.nii"}
    cases = find_folder(tmp_path, **patterns, group=r"sub-(rat\d+)")
    assert [case.group for case in cases] == ["rat1", "rat1", "rat3"]
    with pytest.raises(InputError, match="group must match the case"):
        find_folder(tmp_path, **patterns, group=r"mouse(\d+)")
    with pytest.raises(InputError, match="group must match numbers"):
        find_folder(tmp_path, **patterns, group=r"(rat\d+)", numbers_per_group=2)


def test_sides_of_one_person(tmp_path: Path, nifti) -> None:
    for number in (1, 2, 3, 12):
        nifti(tmp_path / f"h_{number:03}.nii")
    cases = find_folder(
        tmp_path, images="h_{case}.nii", labels="h_{case}.nii", group=r"(\d+)", numbers_per_group=2
    )
    assert [case.group for case in cases] == ["0", "0", "1", "5"]


def test_points_of_our_columns_and_of_others(tmp_path: Path, nifti) -> None:
    nifti(tmp_path / "m1.nii.gz")
    nifti(tmp_path / "m2.nii.gz")
    (tmp_path / "m1.csv").write_text("name,label,z,y,x\nnose,4,2,1,3\n")
    (tmp_path / "m2.csv").write_text("name,label,z,y,x\nnose,4,3,1,3\n")
    cases = find_folder(tmp_path, images="{case}.nii.gz", landmarks="{case}.csv")
    (mark,) = cases[1].landmarks()
    assert (mark.name, mark.label, mark.position) == ("nose", 4, (3.0, 1.0, 3.0))

    for name in ("m1", "m2"):
        text = "name,x_ras_mm,i_vox,j_vox,k_vox\neye,0,3,1,2\nnose,0,2,2,2\n"
        (tmp_path / f"{name}.csv").write_text(text)
    columns = {"z": "k_vox", "y": "j_vox", "x": "i_vox"}
    cases = find_folder(tmp_path, images="{case}.nii.gz", landmarks="{case}.csv", columns=columns)
    found = [case.landmarks() for case in cases]
    assert found[0] == found[1]
    assert found[0][0].position == (2.0, 1.0, 3.0)
    assert [mark.label for mark in found[0]] == [1, 2]
    wrong = find_folder(
        tmp_path, images="{case}.nii.gz", landmarks="{case}.csv", columns={"x": "col"}
    )
    with pytest.raises(InputError, match="must have the column col"):
        wrong[0].landmarks()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "none/{case}.nii", "labels": "*.nii"}, "images must match files below"),
        ({"images": "{case}.nii", "labels": "{case}_seg.nii"}, "labels must match files below"),
        ({"images": "{case}.nii", "labels": "b*.nii"}, "a file for each of 2 images; got 1 files"),
        ({"images": "{case}.nii", "labels": "b{case}.nii"}, "got none for a, b"),
        ({"images": "{case}.nii"}, "labels must be given, or landmarks"),
        ({"images": "{case}/{case}.nii", "labels": "*.nii"}, "at most one {case}"),
        ({"images": "../{case}.nii", "labels": "*.nii"}, "a path below the root"),
        ({"images": ["{case}.nii", "s/{case}.nii"], "labels": "*.nii"}, "one file for each case"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, nifti, options, message) -> None:
    for name in ("a", "b", "s/a"):
        nifti(tmp_path / f"{name}.nii")
    if "b{case}" in str(options):
        nifti(tmp_path / "bx.nii")
        (tmp_path / "b.nii").rename(tmp_path / "c.nii")
        nifti(tmp_path / "b.nii")
        options = {"images": ["a.nii", "b.nii"], "labels": "b{case}.nii"}
    with pytest.raises(InputError, match=message):
        find_folder(tmp_path, **options)


def test_no_folder(tmp_path: Path) -> None:
    for name in LAYOUTS:
        options = {"images": "*.nii", "labels": "*.nii"} if name == "folder" else {}
        with pytest.raises(InputError, match="root must be .* where nothing is"):
            LAYOUTS.get(name)(tmp_path / "none", **options)
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError):
            LAYOUTS.get(name)(tmp_path / "empty", **options)


def test_zarr_folders_are_images_and_hold_label_maps(tmp_path: Path) -> None:
    pytest.importorskip("ome_zarr")
    values = (np.arange(600).reshape(6, 10, 10) % 3).astype(np.uint8)
    like = Volume(values, (1.0, 1.0, 1.0))
    for name in ("a2", "a10"):
        write_image(tmp_path / f"{name}.ome.zarr", values, like)
        within = tmp_path / f"{name}.ome.zarr" / "labels" / "organ.ome.zarr"
        write_labels(within, values, like, {1: "liver"})
    labels = "{case}.ome.zarr/labels/organ.ome.zarr"
    cases = find_folder(tmp_path, images="{case}.ome.zarr", labels=labels)
    assert [case.name for case in cases] == ["a2", "a10"]
    assert cases[0].image().shape == (6, 10, 10)
    assert cases[0].truth().names == {1: "liver"}


def test_data_sets_within_files(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for name in ("a2", "a10"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("raw", data=np.zeros((6, 10, 10), np.uint8))
            file.create_dataset("labels", data=np.ones((6, 10, 10), np.uint8))
    cases = find_folder(tmp_path, images="{case}.h5/raw", labels="{case}.h5/labels")
    assert [case.name for case in cases] == ["a2", "a10"]
    assert cases[0].files[0] == tmp_path / "a2.h5"
    assert (cases[1].image().data.max(), cases[1].truth().data.min()) == (0, 1)


def test_segmentations_that_store_the_painted_box_alone(tmp_path: Path, nifti) -> None:
    pytest.importorskip("SimpleITK")
    nifti(tmp_path / "a.nii.gz", np.zeros((6, 8, 10), np.int16))  # RAS, voxels of a millimetre
    image = find_folder(tmp_path, images="a.nii.gz", labels="a.nii.gz")[0].image()
    first = np.asarray(image.affine) @ (2, 3, 2, 1)
    along = np.asarray(image.affine)[:3, 2::-1].T
    (tmp_path / "a.seg.nrrd").write_bytes(
        b"NRRD0004\ntype: uint8\ndimension: 3\nspace: right-anterior-superior\nsizes: 3 2 2\n"
        + f"space directions: {' '.join(str(tuple(map(float, v))) for v in along)}\n".encode()
        + f"space origin: {tuple(map(float, first[:3]))}\nencoding: raw\n".encode()
        + b"Segment0_ID:=x\nSegment0_Name:=bone\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n\n"
        + bytes([1] * 12)
    )
    (case,) = find_folder(tmp_path, images="{case}.nii.gz", labels="{case}.seg.nrrd")
    truth = case.truth()
    check_match(case.image(), truth)
    assert (truth.data.sum(), truth.data[2:4, 3:5, 2:5].sum()) == (12, 12)
