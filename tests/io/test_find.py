"""Images by patterns and folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io import write_image, write_labels
from napari_fewshot.io.find import find_files, find_images, label_maps_in
from napari_fewshot.io.outputs import Outputs
from napari_fewshot.types import Volume

IMAGE = Volume.of(np.arange(64, dtype=np.float32).reshape(4, 4, 4))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images in a folder and below, of numbered names; the first one is copied."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "img10.nii.gz", IMAGE.data, IMAGE)
    for name in ("img2.nii.gz", "sub/img1.nii.gz", "sub/deep/B.nii.gz", "img1.nii"):
        copy(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    copy(tmp_path / "._img2.nii.gz")
    return tmp_path


def copy(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("img10.nii.gz", path)


def found(*given):
    return [str(path).replace(os.sep, "/") for path in find_images("IMAGE", given).images]


def dicom(path: Path) -> None:
    """The first bytes of a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM" + bytes(64))


def test_a_pattern_is_in_natural_order(folder):
    assert found("*.nii.gz") == ["img2.nii.gz", "img10.nii.gz"]
    assert found("img?.nii*") == ["img1.nii", "img2.nii.gz"]
    assert found("**/*.nii.gz") == [
        "img2.nii.gz",
        "img10.nii.gz",
        "sub/deep/B.nii.gz",
        "sub/img1.nii.gz",
    ]


def test_an_absolute_pattern(folder):
    pattern = folder / "**" / "*1.nii*"
    assert find_images("IMAGE", [pattern]).images == (
        folder / "img1.nii",
        folder / "sub" / "img1.nii.gz",
    )


def test_a_folder_gives_its_own_images(folder):
    assert found(".") == [
        "img1.nii",
        "img2.nii.gz",
        "img10.nii.gz",
    ]
    assert found("sub") == ["sub/img1.nii.gz"]


def test_arguments_keep_their_order_and_nothing_comes_twice(folder):
    assert found("img10.nii.gz", "*.nii.gz", ".") == ["img10.nii.gz", "img2.nii.gz", "img1.nii"]
    assert found("img2.nii.gz", "img2.nii.gz") == ["img2.nii.gz"] * 2  # as it is given


def test_a_name_that_looks_like_a_pattern(folder):
    copy(folder / "a[1].nii.gz")
    assert found("a[1].nii.gz") == ["a[1].nii.gz"]


def test_content_counts_where_the_ending_says_nothing(folder):
    copy(folder / "other" / "scan.dat")
    (folder / "other" / "table.csv").write_text("a,b\n")
    (folder / "other" / "broken.png").write_bytes(b"not an image")
    assert found("other") == ["other/broken.png", "other/scan.dat"]


def test_a_series_is_one_image(folder):
    for k in range(3):
        dicom(folder / "scans" / "ct" / f"slice{k}")
    copy(folder / "scans" / "ct" / "beside.nii.gz")
    copy(folder / "scans" / "mr.nii.gz")
    assert found("scans/ct") == ["scans/ct"]
    assert found("scans") == ["scans/ct", "scans/mr.nii.gz"]
    assert found("scans/*") == ["scans/ct", "scans/mr.nii.gz"]
    assert found("scans/**/slice*") == ["scans/ct"]
    assert found("scans/**/*.nii.gz") == ["scans/ct/beside.nii.gz", "scans/mr.nii.gz"]
    assert found("scans/ct/slice1") == ["scans/ct/slice1"]


def test_label_maps_and_results_are_left_out(folder):
    labels = np.ones((4, 4, 4), np.uint8)
    for name in ("img2_labels.nii.gz", "img2_t003_labels.nii.gz", "img1_confidence.nii"):
        copy(folder / name)
    copy(folder / "lone_labels.nii.gz")  # of no image here: somebody calls images so
    with Outputs("--output").writing():
        write_labels(folder / "elsewhere_labels.nii.gz", labels, IMAGE)
    given = find_images("IMAGE", ["."])
    assert [path.name for path in given.images] == [
        "img1.nii",
        "img2.nii.gz",
        "img10.nii.gz",
        "lone_labels.nii.gz",
    ]
    assert [path.name for path in given.left_out] == [
        "elsewhere_labels.nii.gz",
        "img1_confidence.nii",
        "img2_labels.nii.gz",
        "img2_t003_labels.nii.gz",
    ]
    assert found("img2_labels.nii.gz") == ["img2_labels.nii.gz"]  # as it is given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone.nii.gz", r"IMAGE must be an existing file; got gone\.nii\.gz \(no such file\)"),
        ("*.tif", r"or a pattern; got \*\.tif \(nothing matches\)\. Patterns: "),
        ("", r"a folder of images, or a pattern; got nothing"),
        ("empty", r"got empty \(a folder without images\)"),
        ("img2_l*", r"got img2_l\* \(only label maps and results of other images\)"),
    ],
)
def test_nothing_found(folder, given, message):
    (folder / "empty").mkdir()
    copy(folder / "img2_labels.nii.gz")
    with pytest.raises(InputError, match=message):
        find_images("IMAGE", [given])


def test_files_of_any_kind(folder):
    copy(folder / "img2_labels.nii.gz")
    assert [path.name for path in find_files("--labels", "*_labels*")] == ["img2_labels.nii.gz"]
    with pytest.raises(InputError, match="--labels must be"):
        find_files("--labels", "*.csv")


def test_label_maps_by_their_image(folder):
    for name in ("img2_labels.nii.gz", "img2_confidence.nii.gz", "new_labels.nii.gz"):
        copy(folder / name)
    assert {stem: path.name for stem, path in label_maps_in(folder).items()} == {
        "img1": "img1.nii",
        "img2": "img2_labels.nii.gz",
        "img10": "img10.nii.gz",
        "new": "new_labels.nii.gz",
    }


def test_data_sets_within_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("a10", "a2"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for data in ("raw", "labels"):
                file.create_dataset(f"volumes/{data}", data=np.zeros((3, 4, 5), np.uint8))
    for inner in ("volumes/raw", "volumes/labels"):
        expected = [tmp_path / f"{name}.h5" / inner for name in ("a2", "a10")]
        for given in ([tmp_path / "*.h5" / inner], expected):
            assert list(find_images("IMAGE", given).images) == expected
    assert find_files("--labels", tmp_path / "*.h5/volumes/labels") == expected
    assert find_files("--labels", expected[0]) == expected[:1]
    assert [one.name for one in find_images("IMAGE", [tmp_path]).images] == ["a2.h5", "a10.h5"]
    with pytest.raises(InputError, match="no such file"):
        find_images("IMAGE", [tmp_path / "b.h5" / "raw"])
