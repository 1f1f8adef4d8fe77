"""Prediction into files: names, geometry, several inputs, bad ones among them."""

from __future__ import annotations

import csv
import gzip

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot.io import read_labels, read_volume
from napari_fewshot.jobs import TABLE, read_table

from .conftest import QUICK, files_below


def labels_in(path):
    return {int(v) for v in np.unique(read_labels(path).data)}


def test_outputs_of_several_images(run, model, patients, tmp_path):
    said = run(
        "predict",
        model,
        *(p.image for p in patients),
        "-o",
        tmp_path / "out",
        "--confidence",
        "--landmarks",
    )
    assert said.code == 0
    assert said.err == ""
    assert said.out.splitlines() == [f"{tmp_path}/out/joint{n}_labels.nii.gz" for n in (0, 1)]
    assert files_below(tmp_path / "out") == [
        f"joint{n}_{what}"
        for n in (0, 1)
        for what in ("confidence.nii.gz", "labels.json", "labels.nii.gz", "landmarks.csv")
    ] + [TABLE]
    found = read_labels(tmp_path / "out" / "joint0_labels.nii.gz")
    truth = read_labels(patients[0].truth)
    overlap = 2 * ((found.data == 1) & (truth.data == 1)).sum()
    assert overlap > 0.7 * ((found.data == 1).sum() + (truth.data == 1).sum())
    assert found.names[1] == "femur"
    confidence = nib.load(tmp_path / "out" / "joint0_confidence.nii.gz")
    assert confidence.get_data_dtype() == np.float32
    assert 0 <= confidence.get_fdata().min() < confidence.get_fdata().max() <= 1
    with (tmp_path / "out" / "joint0_landmarks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "label", "z", "y", "x", "score", "R", "A", "S"]


def test_only_labels_unless_asked(run, model, patients, tmp_path):
    assert run("predict", model, patients[0].image, "-o", tmp_path).code == 0
    assert files_below(tmp_path) == ["joint0_labels.json", "joint0_labels.nii.gz"]


def test_the_same_again(run, model, patients, tmp_path):
    for name in "ab":
        out = ("-o", tmp_path / name, "--confidence", "--landmarks")
        assert run("predict", model, patients[1].image, *out).code == 0
    names = files_below(tmp_path / "a")
    assert names == files_below(tmp_path / "b")
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("axis", ["0", "axial", "coronal", "sagittal"])
def test_axis(run, model, patients, tmp_path, axis):
    assert run("predict", model, patients[0].image, "-o", tmp_path, "--axis", axis).code == 0
    assert read_labels(tmp_path / "joint0_labels.nii.gz").shape == (16, 48, 48)


def test_fused_learns_planes_that_nobody_painted(run, model, patients, tmp_path):
    found = {}
    for axis in ("sagittal", "fused"):
        said = run("predict", model, patients[0].image, "-o", tmp_path / axis, "--axis", axis)
        assert said.code == 0
        found[axis] = read_labels(tmp_path / axis / "joint0_labels.nii.gz").data
    assert (found["fused"] != found["sagittal"]).any()
    assert (found["fused"] == found["sagittal"]).mean() > 0.9


def test_fused_needs_an_adapter_that_can_learn_them(run, patients, tmp_path):
    one, cosine = patients[0], tmp_path / "cosine.fewshot"
    images = ("--image", one.image, "--labels", one.painted)
    assert run("train", *images, "--adapter", "cosine", *QUICK, "-o", cosine).code == 0
    said = run("predict", cosine, one.image, "-o", tmp_path / "out", "--axis", "fused")
    assert said.code == 2
    assert "--axis must be fused only for a model whose templates are painted along two" in said.err
    assert "with templates painted along sagittal alone" in said.err
    assert not (tmp_path / "out").exists() or files_below(tmp_path / "out") == []


def test_axes_give_different_results(run, patients, tmp_path, assert_same_labels):
    one, found = patients[0], {}
    twice = ("--image", one.image, "--labels", one.painted)
    twice = (*twice, "--axis", "0", *twice, "--axis", "1", "--slices", "painted")
    model = tmp_path / "twice.fewshot"
    assert run("train", *twice, "--adapter", "cosine", *QUICK, "-o", model).code == 0
    for axis in ("0", "sagittal", "axial", "fused"):
        assert run("predict", model, one.image, "-o", tmp_path, "--axis", axis).code == 0
        found[axis] = read_labels(tmp_path / "joint0_labels.nii.gz").data
    assert_same_labels(found["0"], found["sagittal"])
    assert (found["axial"] != found["sagittal"]).any()
    assert (found["fused"] != found["sagittal"]).any()


def test_settings_of_the_propagation(run, model, patients, tmp_path):
    keep = ("--set", "propagation.cleanup.min_size=400")
    assert run("predict", model, patients[0].image, "-o", tmp_path / "a").code == 0
    assert run("predict", model, patients[0].image, "-o", tmp_path / "b", *keep).code == 0
    assert labels_in(tmp_path / "b" / "joint0_labels.nii.gz") < labels_in(
        tmp_path / "a" / "joint0_labels.nii.gz"
    )


def oblique(path, image):
    """The image with its axes in another order, in an oblique position, in a scaled type."""
    data = np.ascontiguousarray(np.transpose(image.data, (1, 2, 0)))
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = [
        [0, -np.sin(turn) * 3, np.cos(turn) * 3],
        [0, np.cos(turn) * 3, np.sin(turn) * 3],
        [6.6, 0, 0],
    ]
    affine[:3, 3] = (-31.5, 12.25, 7.125)
    made = nib.Nifti1Image(data, affine)
    made.header.set_xyzt_units("mm", "sec")
    made.header["descrip"] = b"oblique"
    nib.save(made, path)
    return made


def test_nifti_keeps_its_geometry(run, model, patients, tmp_path):
    made = oblique(tmp_path / "o.nii.gz", read_volume(patients[0].image))
    out = tmp_path / "out"
    assert run("predict", model, tmp_path / "o.nii.gz", "-o", out, "--confidence").code == 0
    for name in ("o_labels.nii.gz", "o_confidence.nii.gz"):
        found = nib.load(out / name)
        assert found.shape == made.shape
        np.testing.assert_array_equal(found.affine, nib.load(tmp_path / "o.nii.gz").affine)
        assert found.header.get_zooms() == made.header.get_zooms()
        assert found.header.get_xyzt_units()[0] == "mm"


def test_tiff_keeps_its_spacing(run, patients, tmp_path):
    image = read_volume(patients[0].image).data.astype(np.uint16)
    truth = read_labels(patients[0].truth).data
    about = {"spacing": 2.5, "unit": "um", "axes": "ZYX"}
    tifffile.imwrite(
        tmp_path / "cells.tif", image, imagej=True, resolution=(1 / 0.4, 1 / 0.5), metadata=about
    )
    painted = np.zeros_like(truth)
    painted[[4, 9]] = truth[[4, 9]]
    tifffile.imwrite(tmp_path / "painted.tif", painted)
    files = ("--image", tmp_path / "cells.tif", "--labels", tmp_path / "painted.tif")
    trained = run("train", *files, *QUICK, "-o", tmp_path / "m")
    assert trained.code == 0
    assert "(axis 0)" in trained.out
    out = tmp_path / "out"
    assert (
        run("predict", tmp_path / "m", tmp_path / "cells.tif", "-o", out, "--confidence").code == 0
    )
    assert files_below(out) == ["cells_confidence.tif", "cells_labels.tif"]
    with tifffile.TiffFile(out / "cells_labels.tif") as file:
        assert file.imagej_metadata["spacing"] == 2.5
        assert file.asarray().shape == image.shape
    for name in files_below(out):
        assert read_volume(out / name).spacing == read_volume(tmp_path / "cells.tif").spacing


def test_colour_png(run, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 56), np.uint8)
    labels[8:30, 10:34] = 7
    colours = rng.integers(0, 60, (40, 56, 3)) + np.where(labels == 7, 150, 0)[..., None]
    Image.fromarray(colours.astype(np.uint8)).save(tmp_path / "cell.png")
    Image.fromarray(labels).save(tmp_path / "truth.png")
    files = ("--image", tmp_path / "cell.png", "--labels", tmp_path / "truth.png")
    assert run("train", *files, *QUICK, "-o", tmp_path / "m").code == 0
    out = ("-o", tmp_path / "out", "--landmarks", "--confidence")
    assert run("predict", tmp_path / "m", tmp_path / "cell.png", *out).code == 0
    found = np.asarray(Image.open(tmp_path / "out" / "cell_labels.png"))
    assert found.shape == (40, 56)
    assert (found == labels).mean() > 0.95
    assert (tmp_path / "out" / "cell_confidence.tif").is_file()
    assert (tmp_path / "out" / "cell_landmarks.csv").read_text().startswith("name,label,z,y,x")


def test_equal_stems_keep_their_folders(run, model, patients, tmp_path):
    images = []
    for folder in ("ann/before", "bob/before"):
        images.append(tmp_path / "in" / folder / "knee.nii.gz")
        images[-1].parent.mkdir(parents=True)
        images[-1].write_bytes(patients[0].image.read_bytes())
    assert run("predict", model, *images, "-o", tmp_path / "out").code == 0
    assert files_below(tmp_path / "out") == [
        *(
            f"{who}/before/knee_labels.{end}"
            for who in ("ann", "bob")
            for end in ("json", "nii.gz")
        ),
        TABLE,
    ]


@pytest.mark.parametrize("place", [0, 1])
def test_a_bad_image_does_not_stop_the_others(run, model, patients, tmp_path, place):
    bad = tmp_path / "bad.nii.gz"
    whole = patients[1].image.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    images = [patients[0].image]
    images.insert(place, bad)
    said = run("predict", model, *images, "-o", tmp_path / "out", "--confidence", "--landmarks")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"napari-fewshot: {bad} must be a whole NIfTI file")
    assert said.out.splitlines() == [f"{tmp_path}/out/joint0_labels.nii.gz"]
    assert [n for n in files_below(tmp_path / "out") if "joint0" not in n] == [TABLE]
    failed, done = read_table(tmp_path / "out" / TABLE)
    assert (failed.status, failed.image) == ("failed", bad)
    assert failed.error.startswith(f"{bad} must be a whole NIfTI file")
    assert (done.status, done.image, done.slices) == ("done", patients[0].image, 16)
    assert 0.5 < done.mean_confidence < 1
    assert 0 < done.disagreement < 1


def test_a_disk_that_fails_leaves_nothing_half_written(run, model, patients, tmp_path, monkeypatch):
    def fail(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gzip.GzipFile, "write", fail)
    said = run("predict", model, patients[0].image, "-o", tmp_path / "out")
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "No space left on device" in said.err
    assert files_below(tmp_path / "out") == []


def test_interruption_between_slices_leaves_nothing(run, model, patients, tmp_path, monkeypatch):
    from napari_fewshot.cli import predict

    class Impatient(predict.ProgressBars):
        def __call__(self, done, total, what):
            if done == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(predict, "ProgressBars", Impatient)
    said = run("predict", model, patients[0].image, "-o", tmp_path / "out", "--confidence")
    assert said.code == 130
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists() or files_below(tmp_path / "out") == []
