"""JPEG images are read, not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import output_path, read_labels, read_volume, write_labels


def test_grey_and_colour(tmp_path: Path) -> None:
    grey = np.full((6, 9), 100, np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.jpg")
    volume = read_volume(tmp_path / "a.jpg")
    np.testing.assert_array_equal(volume.data, grey)
    assert not volume.has_channels
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "b.jpeg")
    assert read_volume(tmp_path / "b.jpeg").has_channels
    assert output_path(tmp_path / "a.jpg", "out") == Path("out/a_labels.png")
    assert output_path(tmp_path / "a.jpg", "out", "_c", "image") == Path("out/a_c.tif")


def test_labels_are_no_jpeg(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="changed by compression"):
        read_labels(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="must be PNG or TIFF"):
        write_labels(tmp_path / "b.jpg", np.zeros((6, 9), int), read_volume(tmp_path / "a.jpg"))


def test_damaged(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFileError, match="must be a whole JPEG file"):
        read_volume(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="frame must be 0"):
        read_volume(tmp_path / "a.jpg", frame=1)
