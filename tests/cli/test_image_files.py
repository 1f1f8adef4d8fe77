"""What of a file is meant: series, time points; and what it cannot hold, seen before the work."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot.io import read_labels
from napari_fewshot.memory import MAX_MEMORY

from .conftest import QUICK, files_below

RNG = np.random.default_rng(0)
LABELS = np.zeros((4, 24, 24), np.uint8)
LABELS[:, 6:14, 7:15] = 1
STACK = (RNG.normal(100, 5, LABELS.shape) + 80 * LABELS).astype(np.uint16)
PAINT = LABELS * (np.arange(4) == 1)[:, None, None].astype(np.uint8)
AFFINE = np.diag([-1.0, 1.0, 3.0, 1.0])


def nifti(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(np.ascontiguousarray(data.T), AFFINE), path)
    return path


@pytest.fixture
def positions(tmp_path: Path) -> Path:
    path = tmp_path / "plate.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for stack in (STACK[::-1] * 0 + 7, STACK):
            tif.write(stack, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "paint.tif", PAINT, photometric="minisblack")
    return path


def test_a_series_is_chosen(run, positions, tmp_path):
    paint, model = tmp_path / "paint.tif", tmp_path / "m.fewshot"
    given = ("train", "--image", positions, "--labels", paint, "-o", model, *QUICK)
    said = run(*given)
    assert said.code == 2
    assert "2 series" in said.err
    assert "--series N" in said.err
    assert run(*given, "--series", 1).code == 0
    said = run("predict", model, positions, "-o", tmp_path / "o", "--series", 1, "--no-store")
    assert said.code == 0, said.err
    labels = read_labels(tmp_path / "o" / "plate_1_labels.tif").data
    assert (labels == LABELS).mean() > 0.9
    said = run("predict", model, positions / "1", "-o", tmp_path / "p", "--no-store")
    assert said.code == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "p" / "plate_1_labels.tif").data, labels)
    for wrong, why in ((9, "be within 0..1"), (-1, "be at least 0")):
        said = run("predict", model, positions, "-o", tmp_path / "q", "--series", wrong)
        assert said.code == 2
        assert why in said.err
    photo = tmp_path / "photo.png"
    Image.fromarray(STACK[0].astype(np.uint8)).save(photo)
    said = run("predict", model, photo, "-o", tmp_path / "q", "--series", 0)
    assert said.code == 2
    assert "--series must stand beside TIFF files" in said.err


def test_time_points_of_label_maps(run, tmp_path):
    image = nifti(tmp_path / "i.nii.gz", np.stack([STACK // 2, STACK]))
    paint = nifti(tmp_path / "p.nii.gz", np.stack([PAINT * 0, PAINT]))
    truth = nifti(tmp_path / "t.nii.gz", LABELS)
    model = tmp_path / "m.fewshot"
    said = run("train", "--image", image, "--labels", paint, "--frame", 1, "-o", model, *QUICK)
    assert said.code == 0, said.err
    assert run("predict", model, image, "--frame", "all", "-o", tmp_path / "o").code == 0
    found = tmp_path / "o" / "i_labels.nii.gz"
    said = run("evaluate", "--pred", found, "--truth", truth)
    assert said.code == 2
    assert "--frame N" in said.err
    said = run("evaluate", "--pred", found, "--truth", truth, "--frame", 1)
    assert said.code == 0, said.err


def test_labels_that_a_format_cannot_hold_are_seen_before_the_work(run, tmp_path):
    Image.fromarray((STACK[1] // 2).astype(np.uint8)).save(tmp_path / "i.png")
    tifffile.imwrite(tmp_path / "p.tif", PAINT[1].astype(np.int32) * 100_000)
    model = tmp_path / "m.fewshot"
    given = ("--image", tmp_path / "i.png", "--labels", tmp_path / "p.tif", "-o", model)
    assert run("train", *given, *QUICK).code == 0
    out = tmp_path / "o"
    said = run("predict", model, tmp_path / "i.png", "-o", out, "--confidence", "--no-store")
    assert said.code == 2
    assert "hold labels up to 65535 as a PNG file; got the label 100000" in said.err
    assert not out.exists() or files_below(out) == []
    said = run("predict", model, tmp_path / "i.png", "-o", out, "--format", "tif", "--no-store")
    assert said.code == 0
    assert set(np.unique(read_labels(out / "i_labels.tif").data)) == {0, 100_000}


def test_memory_is_bounded(run, model, patients, tmp_path, monkeypatch):
    monkeypatch.delenv(MAX_MEMORY, raising=False)
    image = patients[0].image
    said = run("predict", model, image, "-o", tmp_path, "--max-memory", "1e-6")
    assert said.code == 2
    assert "fit into the memory of this machine" in said.err
    assert MAX_MEMORY not in os.environ
    for wrong in ("0", "-1", "inf", "nan"):
        said = run("predict", model, image, "-o", tmp_path, "--max-memory", wrong)
        assert said.code == 2
        assert "--max-memory must be GB, above 0" in said.err


def test_pipes_are_named(run, model, tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    said = run("predict", model, tmp_path / "pipe.nii", "-o", tmp_path / "o")
    assert said.code == 2
    assert "a pipe or a device" in said.err
    given = ("--labels", tmp_path / "pipe.nii", "-o", tmp_path / "m.fewshot")
    said = run("train", "--image", tmp_path / "pipe.nii", *given)
    assert said.code == 2
    assert "a pipe or a device" in said.err
