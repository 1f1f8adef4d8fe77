"""Patterns and folders, time points, channels and regions of images that commands read."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest
import tifffile

from napari_fewshot.cli.inputs import label_maps_of, parse_region
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_volume

from .conftest import QUICK, files_below


@pytest.fixture
def folder(patients, tmp_path, monkeypatch):
    """Two images, one below the other, and the labels of one."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for source, name in (
        (patients[0].image, "in/a.nii.gz"),
        (patients[0].truth, "in/a_labels.nii.gz"),
        (patients[1].image, "in/sub/a.nii.gz"),
    ):
        shutil.copy(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pattern_of_images(run, model, folder):
    said = run("predict", model, "in/**/*.nii.gz", "-o", "out")
    assert said.code == 0
    assert said.out.splitlines() == ["out/a_labels.nii.gz", "out/sub/a_labels.nii.gz"]
    assert said.err == (
        "napari-fewshot: left out as label maps and results of images: in/a_labels.nii.gz\n"
    )


def test_a_folder_of_images_and_of_its_own_results(run, model, folder):
    (folder / "in" / "a_labels.nii.gz").unlink()
    for _ in range(2):
        said = run("predict", model, "in", "-o", "in", "--confidence")
        assert (said.code, said.out) == (0, "in/a_labels.nii.gz\n")
    assert said.err.endswith("of images: in/a_confidence.nii.gz and 1 more\n")


@pytest.mark.parametrize("given", ["in/*.tif", "nothing", "in/*_labels*"])
def test_nothing_found(run, model, folder, given):
    said = run("predict", model, given, "-o", "out")
    assert said.code == 2
    assert said.err.startswith("napari-fewshot: IMAGE must be ")
    assert f"got {given} (" in said.err
    assert not (folder / "out").exists()


def test_all_time_points(run, model, patients, tmp_path):
    first, second = (nib.load(patient.image) for patient in patients)
    data = np.stack([np.asarray(one.dataobj) for one in (first, second)], axis=-1)
    nib.save(nib.Nifti1Image(data, first.affine), tmp_path / "time.nii.gz")
    said = run("predict", model, tmp_path / "time.nii.gz", "-o", tmp_path / "out", "--frame", "all")
    assert said.code == 0
    assert files_below(tmp_path / "out") == ["time_labels.json", "time_labels.nii.gz"]
    assert nib.load(tmp_path / "out" / "time_labels.nii.gz").shape == data.shape
    for t in range(2):
        one = tmp_path / f"one{t}"
        assert run("predict", model, tmp_path / "time.nii.gz", "-o", one, "--frame", t).code == 0
        np.testing.assert_array_equal(
            read_labels(tmp_path / "out" / "time_labels.nii.gz", frame=t).data,
            read_labels(one / "time_labels.nii.gz").data,
        )


def test_a_time_point_that_is_none(run, model, patients, tmp_path):
    said = run("predict", model, patients[0].image, "-o", tmp_path, "--frame", "last")
    assert said.code == 2
    assert "argument --frame: invalid" in said.err


def test_regions():
    assert parse_region("--region", None) is None
    assert parse_region("--region", "10-40") == ((10, 41),)
    assert parse_region("--region", "7, 0-255,") == ((7, 8), (0, 256), None)


@pytest.mark.parametrize("text", ["", ",,", "a", "4-2", "-3", "1-2-3", "1:5"])
def test_regions_that_are_none(text):
    with pytest.raises(InputError, match="--region must"):
        parse_region("--region", text)


def test_label_maps_of_images(folder):
    images = [folder / "in" / "a.nii.gz"]
    (found,) = label_maps_of("--labels", [folder / "in"], images)
    assert found.name == "a_labels.nii.gz"
    with pytest.raises(InputError, match=r"--labels must hold b_labels for b\.nii"):
        label_maps_of("--labels", [folder / "in"], [folder.relative_to(folder) / "b.nii"])
    with pytest.raises(InputError, match="--labels must be given for each of the 1 images; got 2"):
        label_maps_of("--labels", [folder / "in" / "*.nii.gz"], images)


@pytest.fixture
def stained(patients, tmp_path):
    """Two images of four channels, of which the third is a phantom, and the others are noise."""
    rng = np.random.default_rng(0)
    for number, place in ((0, 2), (1, 1)):
        image = read_volume(patients[number].image).data.astype(np.uint16)
        data = rng.integers(0, 900, (*image.shape, 4)).astype(np.uint16)
        data[..., place] = image
        stacked = np.moveaxis(data, -1, 1)
        about = {"axes": "ZCYX"}
        tifffile.imwrite(tmp_path / f"stain{number}.tif", stacked, imagej=True, metadata=about)
        tifffile.imwrite(
            tmp_path / f"grey{number}.tif", image, imagej=True, metadata={"axes": "ZYX"}
        )
    tifffile.imwrite(
        tmp_path / "painted.tif", read_labels(patients[0].painted).data, metadata={"axes": "ZYX"}
    )
    return tmp_path


def test_channels(run, stained, monkeypatch):
    monkeypatch.chdir(stained)
    train = ("train", "--labels", "painted.tif", *QUICK)
    assert run(*train, "--image", "grey0.tif", "-o", "grey.fewshot").code == 0
    said = run(*train, "--image", "stain0.tif", "--channels", "2", "-o", "one.fewshot")
    assert said.code == 0
    assert "channels: 2, of images to label too\n" in said.out
    found = {}
    for name, model, image, more in (
        ("expected", "grey", "grey0.tif", ()),
        ("as trained", "one", "stain0.tif", ()),
        ("other expected", "grey", "grey1.tif", ()),
        ("other", "one", "stain1.tif", ("--channels", "1")),
        ("grey", "one", "grey1.tif", ("--channels", "0")),
    ):
        said = run("predict", f"{model}.fewshot", image, "-o", name, *more)
        assert said.code == 0, said.err
        found[name] = read_labels(stained / name / f"{image[:-4]}_labels.tif").data
    np.testing.assert_array_equal(found["as trained"], found["expected"])
    np.testing.assert_array_equal(found["other"], found["other expected"])
    np.testing.assert_array_equal(found["grey"], found["other expected"])
    assert found["expected"].any()
    said = run("predict", "one.fewshot", "grey1.tif", "-o", "out")
    assert said.code == 2
    assert "--channels must be within 0..0 for grey1.tif; got 2." in said.err
    said = run("predict", "one.fewshot", "stain1.tif", "-o", "out", "--channels", "0,1")
    assert said.code == 2
    assert "must have 1 channel(s), as the templates; got 2" in said.err


def test_channels_of_every_step(run, stained, monkeypatch):
    monkeypatch.chdir(stained)
    grey = run("refine", "grey0.tif", "painted.tif", "-o", "a.tif", "--method", "random-walker")
    one = run("refine", "stain0.tif", "painted.tif", "-o", "b.tif", "--method", "random-walker",
              "--channels", "2")  # fmt: skip
    assert (grey.code, one.code) == (0, 0)
    np.testing.assert_array_equal(
        *(read_labels(stained / name).data for name in ("a.tif", "b.tif"))
    )


def test_templates_by_patterns_and_folders(run, patients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paint").mkdir()
    for number, patient in enumerate(patients):
        shutil.copy(patient.image, f"joint{number}.nii.gz")
        shutil.copy(patient.painted, f"paint/joint{number}_labels.nii.gz")
        shutil.copy(patient.points, f"joint{number}.csv")
    made = {}
    for name, given in (
        ("one by one", ("--image", "joint0.nii.gz", "joint1.nii.gz", "--labels",
                        "paint/joint0_labels.nii.gz", "paint/joint1_labels.nii.gz")),
        ("patterns", ("--image", "j*.nii.gz", "--labels", "paint/*", "--axis", "0")),
        ("folders", ("--image", ".", "--labels", "paint")),
    ):  # fmt: skip
        said = run("train", *given, "--adapter", "cosine", *QUICK, "-o", f"{name}.fewshot")
        assert said.code == 0, said.err
        assert said.out.startswith("2 template(s)")
        made[name] = (tmp_path / f"{name}.fewshot").read_bytes()
    assert made["one by one"] == made["patterns"] == made["folders"]
    points = ("--image", "j*.nii.gz", "--points", "j*.csv", "--adapter", "cosine")
    assert run("train", *points, *QUICK, "-o", "points.fewshot").code == 0
    said = run("train", "--image", "j*.nii.gz", "--labels", "none*", *QUICK, "-o", "no.fewshot")
    assert said.code == 2
    assert "--labels must be an image, a folder of images, or a pattern; got none*" in said.err


def test_images_and_label_maps_for_sam(run, patients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "truth").mkdir()
    for number, patient in enumerate(patients):
        shutil.copy(patient.image, f"joint{number}.nii.gz")
    shutil.copy(patients[0].truth, "truth/joint0.nii.gz")
    said = run("sam", "boxes", "*.nii.gz", "--truth", "truth", "-o", "out")
    assert said.code == 2
    assert "--truth must hold joint1_labels for joint1.nii.gz; got truth." in said.err
