"""The facade: content decides, every bad path has its message; names; labels on their image."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import read_labels, read_volume, write_image, write_labels
from napari_fewshot.io.outputs import Outputs
from napari_fewshot.io.volumes import read_names, write_names
from napari_fewshot.types import Array, Volume

DATA = np.arange(12, dtype=np.uint8).reshape(3, 4)


def nifti(path: Path, data: Array) -> Path:
    nib.Nifti1Image(data, np.eye(4)).to_filename(path)
    return path


def test_content_decides_whatever_the_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DATA)
    Image.fromarray(DATA).save(tmp_path / "b.png")
    nifti(tmp_path / "c.nii", DATA.T)
    nifti(tmp_path / "d.nii.gz", DATA.T)
    names = {"a.tif": "e.nii", "b.png": "f.tif", "c.nii": "g.nii.gz", "d.nii.gz": "h.png"}
    for name, wrong in names.items():
        (tmp_path / name).rename(tmp_path / wrong)
        np.testing.assert_array_equal(read_volume(tmp_path / wrong).data, DATA)
        np.testing.assert_array_equal(read_labels(str(tmp_path / wrong)).data, DATA)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.nii must be an existing file; got nothing"):
        read_volume(tmp_path / "none.nii")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"got a folder without either\. Give the image file"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"", "got an empty file"),
        (b"hello, world", "begins with the bytes 68 65 6c 6c 6f 2c .*b'hello, world'"),
        (b"\x89PNG\r\n", "begins with the bytes 89 50 4e 47 0d 0a"),
        (gzip.compress(b"no image", mtime=0), "begins with the bytes 1f 8b"),
        (b"\x1f\x8b\x08broken", "begins with the bytes 1f 8b 08 62"),
    ],
)
def test_unknown_content_shows_its_bytes(tmp_path: Path, content: bytes, shown: str) -> None:
    (tmp_path / "image.nii.gz").write_bytes(content)
    with pytest.raises(UnreadableFileError, match=f"be one of NIfTI, TIFF, PNG, .*; .*{shown}"):
        read_volume(tmp_path / "image.nii.gz")


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_constant_and_empty_images_are_read(tmp_path: Path, value: float) -> None:
    source = nifti(tmp_path / "image.nii.gz", np.full((3, 4, 5), value, np.float32))
    np.testing.assert_array_equal(read_volume(source).data, np.full((5, 4, 3), value))


def test_nan_and_infinity_are_kept(tmp_path: Path) -> None:
    data = np.array([[1, np.nan], [np.inf, -np.inf]], np.float32)
    tifffile.imwrite(tmp_path / "image.tif", data)
    np.testing.assert_array_equal(read_volume(tmp_path / "image.tif").data, data)


def test_labels_are_checked_on_reading(tmp_path: Path) -> None:
    source = nifti(tmp_path / "labels.nii", np.full((2, 2, 2), 1.5))
    with pytest.raises(InputError, match=r"labels\.nii must hold whole numbers.*such as 1\.5"):
        read_labels(source)


def test_names_go_to_the_file_beside_and_back(tmp_path: Path) -> None:
    volume = Volume.of(np.zeros((2, 3, 4)))
    names = {2: "femur", 1: "tibia"}
    write_labels(tmp_path / "knee_labels.nii.gz", np.ones((2, 3, 4), int), volume, names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["knee_labels.json", "knee_labels.nii.gz"]
    assert read_labels(tmp_path / "knee_labels.nii.gz").names == names


def test_names_of_an_earlier_run_do_not_stay_beside_other_labels(tmp_path: Path) -> None:
    volume, path = Volume.of(np.zeros((2, 3, 4))), tmp_path / "cells_labels.nii.gz"
    labels = np.ones((2, 3, 4), int)
    with Outputs("-o").writing():
        write_labels(path, labels, volume, {1: "nucleus"})
    assert read_labels(path).names == {1: "nucleus"}
    with Outputs("-o").writing():
        write_labels(path, labels, volume)
    assert read_labels(path).names == {}
    names = tmp_path / "cells_labels.json"
    names.write_text('{"1": "mine"}')
    with Outputs("-o").writing():
        write_labels(path, labels, volume)
    assert read_labels(path).names == {1: "mine"}


@pytest.mark.parametrize("name", ["out.nii.gz", "out.tif", "out.png"])
def test_wrong_shape_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"labels must have shape \(3, 4\); got shape \(4, 3\)"):
        write_labels(tmp_path / name, DATA.T, Volume.of(DATA))
    with pytest.raises(InputError, match=r"data must have shape \(3, 4\)"):
        write_image(tmp_path / name, DATA.T, Volume.of(DATA))
    assert list(tmp_path.iterdir()) == []


def test_bad_label_values_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels must hold labels of at least 0"):
        write_labels(tmp_path / "out.nii.gz", DATA.astype(int) - 1, Volume.of(DATA))
    assert list(tmp_path.iterdir()) == []


def test_unknown_ending_lists_those_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end in one of \.nii\.gz, \.nii, .*; got out\.bmp"):
        write_labels(tmp_path / "out.bmp", DATA, Volume.of(DATA))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("o.nii.gz", "napari_fewshot.io.nifti.format.slabs"),
        ("o.tif", "tifffile.imwrite"),
        ("o.ome.zarr", "napari_fewshot.io.zarr.format.write_levels"),
    ],
)
def test_failure_while_writing_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    (tmp_path / name).write_bytes(b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, fail)
    with pytest.raises(InputError, match=f"{name} must be on a disk .*No space left"):
        write_labels(tmp_path / name, DATA, Volume.of(DATA))
    assert (tmp_path / name).read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_labels(tmp_path / "a" / "b" / "o.png", DATA, Volume.of(DATA))
    assert (tmp_path / "a" / "b" / "o.png").is_file()


def test_other_content_than_the_name_says_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(DATA).save(tmp_path / "image.tif", format="PNG")
    with caplog.at_level(logging.INFO):
        read_volume(tmp_path / "image.tif")
    assert "is read as PNG" in caplog.text


def test_own_file_comes_before_the_common_one(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"1": "common", "0": "background"}')
    assert read_names(tmp_path / "a.nii.gz") == {1: "common"}
    (tmp_path / "a_labels.json").write_text('{"1": "own"}')
    assert read_names(tmp_path / "a.nii.gz") == {1: "own"}
    assert read_names(tmp_path / "a_labels.nii.gz") == {1: "own"}
    assert read_names(tmp_path / "b.nii.gz") == {1: "common"}


def test_no_file_no_names(tmp_path: Path) -> None:
    assert read_names(tmp_path / "a.tif") == {}


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b'{"one": "x"}', b'{"1": 2}', b'{"t1": {"1": "x"}}', b"\xff\xfe"]
)
def test_malformed_file_is_ignored_with_a_warning(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "labels.json").write_bytes(content)
    assert read_names(tmp_path / "a.tif") == {}
    assert "labels.json is ignored" in caplog.text


def test_written_names_return(tmp_path: Path) -> None:
    write_names(tmp_path / "x_labels.tif", {3: "Hüfte", 1: "b"})
    assert read_names(tmp_path / "x_labels.tif") == {3: "Hüfte", 1: "b"}
