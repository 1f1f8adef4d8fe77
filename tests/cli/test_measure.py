"""Tables of measurements of files."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_fewshot.io import read_labels, read_volume, write_labels
from napari_fewshot.types import Volume

from .conftest import files_below


@pytest.fixture
def folder(patients, tmp_path, monkeypatch):
    """Two images and their label maps in one folder."""
    for number, patient in enumerate(patients):
        shutil.copy(patient.image, tmp_path / f"p{number}.nii.gz")
        shutil.copy(patient.truth, tmp_path / f"p{number}_labels.nii.gz")
        shutil.copy(
            patient.truth.with_name(f"truth{number}_labels.json"),
            tmp_path / f"p{number}_labels.json",
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_label_map_with_its_image(run, folder):
    said = run("measure", "p0_labels.nii.gz", "--image", "p0.nii.gz", "-o", "new/table.csv")
    assert (said.code, said.out) == (0, "new/table.csv\n")
    table = pd.read_csv("new/table.csv")
    labels, image = read_labels("p0_labels.nii.gz"), read_volume("p0.nii.gz")
    assert table["name"].tolist() == [labels.names[value] for value in table["label"]]
    for _, row in table.iterrows():
        mask = labels.data == row["label"]
        assert row["voxels"] == mask.sum()
        assert row["volume_mm3"] == pytest.approx(mask.sum() * np.prod(labels.spacing))
        assert row["mean_intensity"] == pytest.approx(image.data[mask].mean(), rel=1e-5)
        centre = np.argwhere(mask).mean(axis=0)
        patient = labels.affine @ [*centre, 1]
        np.testing.assert_allclose(row[["R", "A", "S"]].astype(float), patient[:3], rtol=1e-8)


@pytest.mark.parametrize(
    ("given", "images"),
    [([f"p{k}_labels.nii.gz" for k in (0, 1)], [f"p{k}.nii.gz" for k in (0, 1)]),
     (["."], ["."]), (["*_labels.nii.gz"], ["*.nii.gz"])],
)  # fmt: skip
def test_files_folders_and_patterns(run, folder, given, images):
    assert run("measure", *given, "--image", *images, "--objects", "-o", "t.csv").code == 0
    table = pd.read_csv("t.csv")
    assert table["file"].unique().tolist() == ["p0_labels.nii.gz", "p1_labels.nii.gz"]
    assert {"object", "mean_intensity"} <= set(table)


def test_a_folder_of_objects(run, folder):
    assert run("objects", ".", "-o", "objects").code == 0
    assert run("measure", "objects", "--image", ".", "-o", "t.csv").code == 0
    files = [f"objects/p{number}_instances.nii.gz" for number in (0, 1)]
    assert pd.read_csv("t.csv")["file"].str.replace("\\", "/").unique().tolist() == files


def test_a_bad_one_among_good_ones(run, folder):
    (folder / "p0_labels.nii.gz").write_text("none")
    said = run("measure", "p0_labels.nii.gz", "p1_labels.nii.gz", "-o", "t.csv")
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert pd.read_csv("t.csv")["file"].unique().tolist() == ["p1_labels.nii.gz"]


def test_one_unit_in_one_table(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = np.ones((4, 5), np.uint8)
    Image.fromarray(data).save("a.png")
    tifffile.imwrite("b.tif", data, imagej=True, resolution=(2, 2), metadata={"unit": "um"})
    grid = Volume(data, (0.5, 0.5))
    write_labels("c.tif", data, grid)
    assert run("measure", "a.png", "b.tif", "c.tif", "-o", "t.csv").code == 0
    table = pd.read_csv("t.csv")
    assert table["pixels"].tolist() == [20] * 3
    assert np.isnan(table["area_um2"][0])
    assert table["area_um2"][1:].tolist() == [5, 5e6]


def test_what_is_refused(run, folder):
    before = files_below(folder)
    for arguments, words in (
        (["p0_labels.nii.gz", "-o", "t.txt"], "--output must end in .csv"),
        (["none.nii.gz", "-o", "t.csv"], "LABELS must be an existing file"),
        (["p0_labels.nii.gz", "--image", "p0.nii.gz", "p1.nii.gz", "-o", "t.csv"],
         "--image must be given for each of the 1 label maps"),
        (["p0_labels.nii.gz", "--unit", "inch", "-o", "t.csv"], "invalid choice"),
        (["p0_labels.nii.gz", "--connectivity", "4", "-o", "t.csv"],
         "--connectivity must be within 1..3"),
    ):  # fmt: skip
        said = run("measure", *arguments)
        assert said.code == 2, arguments
        assert words in said.err
        assert len(said.err.splitlines()) == 1
    assert files_below(folder) == before


def test_a_table_of_somebody_else_is_kept(run, folder):
    (folder / "t.csv").write_text("mine\n")
    said = run("measure", "p0_labels.nii.gz", "-o", "t.csv")
    assert said.code == 2
    assert (folder / "t.csv").read_text() == "mine\n"
    assert run("measure", "p0_labels.nii.gz", "-o", "t.csv", "--overwrite").code == 0
