"""Scores of files: which slices count, what the JSON holds."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_fewshot.io import read_labels, read_volume, write_labels, write_points
from napari_fewshot.types import Landmark, Volume

from .conftest import PAINTED


@pytest.fixture
def wrong(patients, tmp_path):
    """The truth of patient 0 with femur (1) missing on one unpainted slice, right elsewhere."""
    truth = read_labels(patients[0].truth)
    data = truth.data.copy()
    data[7][data[7] == 1] = 0
    path = tmp_path / "wrong.nii.gz"
    write_labels(path, data, read_volume(patients[0].image))
    return path


def scores(run, *arguments, json_file):
    said = run("evaluate", *arguments, "--json", json_file)
    assert said.code == 0, said.err
    return said.out, json.loads(json_file.read_text(encoding="utf-8"))


def test_labels_against_labels(run, patients, wrong, tmp_path):
    table, found = scores(
        run, "--pred", wrong, "--truth", patients[0].truth, json_file=tmp_path / "new" / "s.json"
    )
    truth, pred = (read_labels(p).data == 1 for p in (patients[0].truth, wrong))
    row = found["labels"][0]
    assert row["name"] == "femur"
    assert row["dice"] == pytest.approx(2 * (truth & pred).sum() / (truth.sum() + pred.sum()))
    assert row["precision"] == 1.0
    assert [r["dice"] for r in found["labels"][1:]] == [1.0] * 5
    assert found["compared_voxels"] == truth.size
    assert f"{row['dice']:.3f}" in table


def test_painted_slices_are_left_out_along_their_axis(run, patients, wrong, tmp_path):
    one = patients[0]
    files = ("--pred", wrong, "--truth", one.truth, "--exclude-slices-of", one.painted)
    _, found = scores(run, *files, json_file=tmp_path / "s.json")
    rest = [k for k in range(16) if k not in PAINTED]
    truth, pred = (read_labels(p).data[rest] == 1 for p in (one.truth, wrong))
    assert found["compared_voxels"] == truth.size
    assert found["labels"][0]["dice"] == pytest.approx(
        2 * (truth & pred).sum() / (truth.sum() + pred.sum())
    )


@pytest.mark.parametrize(("axis", "slices"), [("0", 16), ("sagittal", 16), ("axial", 48)])
def test_axis_of_the_empty_slices(run, patients, tmp_path, axis, slices):
    truth = patients[0].truth
    files = ("--pred", truth, "--truth", truth, "--axis", axis)
    _, found = scores(run, *files, json_file=tmp_path / "s.json")
    data = np.moveaxis(read_labels(truth).data, {16: 0, 48: 1}[slices], 0)
    assert found["labels"][3]["empty_slices"] == slices - (data == 4).any(axis=(1, 2)).sum()


def test_undefined_scores_are_null(run, patients, tmp_path):
    truth = patients[0].truth
    files = ("--pred", truth, "--truth", truth, "--labels", "1,90")
    table, found = scores(run, *files, json_file=tmp_path / "s.json")
    assert [row["label"] for row in found["labels"]] == [1, 90]
    assert found["labels"][1]["dice"] is None
    assert "NaN" not in (tmp_path / "s.json").read_text()
    assert "-" in table.splitlines()[2].split()


def test_shapes_that_differ(run, patients, tmp_path):
    small = tmp_path / "small.nii.gz"
    image = read_volume(patients[0].image)
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.zeros((5, 6, 7), np.uint8), np.eye(4)), small)
    said = run(
        "evaluate", "--pred", small, "--truth", patients[0].truth, "--json", tmp_path / "s.json"
    )
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert f"must have the shape {image.shape}" in said.err
    assert not (tmp_path / "s.json").exists()


@pytest.fixture
def shifted(patients, tmp_path):
    """The landmarks of patient 0, each 2 voxels further along x, without the last one."""
    from napari_fewshot.io import read_points

    image = read_volume(patients[0].image)
    points = [
        Landmark(p.name, p.label, (*p.position[:2], p.position[2] + 2), 0.5)
        for p in read_points(patients[0].points, image)
    ]
    write_points(tmp_path / "shifted.csv", points[:-1], image)
    return tmp_path / "shifted.csv"


@pytest.mark.parametrize("with_image", [True, False])
def test_landmarks(run, patients, shifted, tmp_path, with_image):
    one = patients[0]
    image = ("--image", one.image) if with_image else ()
    files = ("--pred", shifted, "--truth", one.points, *image, "--axis", "0")
    table, found = scores(run, *files, json_file=tmp_path / "s.json")
    spacing = read_volume(one.image).spacing
    assert found["mean_error_mm"] == pytest.approx(2 * spacing[2], rel=1e-5)
    assert found["missing"] == 1
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert found["landmarks"][-1]["error_mm"] is None
    assert found["landmarks"][0]["error_px"] == pytest.approx(2, rel=1e-5)
    assert "missing" in table


def test_landmarks_of_a_named_plane_need_the_image(run, patients):
    points = patients[0].points
    files = ("--pred", points, "--truth", points, "--axis", "axial")
    assert run("evaluate", *files, "--image", patients[0].image).code == 0
    said = run("evaluate", *files)
    assert said.code == 2
    assert said.err == ("napari-fewshot: --axis must be a number without --image; got axial.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--pred {truth} --truth {points}", "--pred must be of the kind of --truth"),
        ("--pred none --truth {truth}", "--pred must be an existing file"),
        ("--pred {truth} --truth none", "--truth must be an existing file"),
        ("--pred {truth} --truth {truth} --exclude-slices-of none", "--exclude-slices-of must be"),
        (
            "--pred {truth} --truth {truth} --exclude-slices-of {truth}",
            "must leave slices to score",
        ),
        ("--pred {truth} --truth {truth} --labels 0", "--labels must be at least 1"),
        ("--pred {truth} --truth {truth} --labels 1,x", "--labels must be numbers"),
        ("--pred {truth} --truth {truth} --axis front", "--axis must be one of auto"),
        ("--pred {truth} --truth {truth} --image {image}", "--image must stand beside landmarks"),
        ("--pred {truth} --truth {truth} --json {truth}", "--json must not overwrite an input"),
        ("--pred {points} --truth {points} --labels 1", "--labels must stand beside label maps"),
        (
            "--pred {points} --truth {points} --exclude-slices-of {truth}",
            "--exclude-slices-of must",
        ),
        ("--pred {points} --truth {points} --image none", "--image must be an existing file"),
    ],
)
def test_bad_input(run, patients, words, message):
    before = {path: path.read_bytes() for path in patients[0].image.parent.iterdir()}
    said = run("evaluate", *words.format(**vars(patients[0])).split())
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert message in said.err
    assert before == {path: path.read_bytes() for path in patients[0].image.parent.iterdir()}


@pytest.fixture
def folders(patients, wrong, tmp_path):
    """Predictions of two images, one below, and of a third; truths of these two and of a fourth."""
    pred, truth = tmp_path / "pred", tmp_path / "truth"
    for source, target in (
        (wrong, pred / "a_labels.nii.gz"),
        (patients[1].truth, pred / "sub" / "b_labels.nii.gz"),
        (wrong, pred / "other_labels.nii.gz"),
        (patients[0].truth, truth / "a.nii.gz"),
        (patients[0].truth, truth / "gone.nii.gz"),
        (patients[1].truth, truth / "sub" / "b_labels.nii.gz"),
        (patients[0].painted, tmp_path / "painted" / "a_labels.nii.gz"),
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    shutil.copy(patients[0].truth, pred / "a_confidence.nii.gz")
    return pred, truth


def test_folders(run, wrong, folders, tmp_path):
    pred, truth = folders
    files = ("--pred", pred, "--truth", truth, "--json", tmp_path / "all.json")
    said = run("evaluate", *files)
    assert said.code == 2
    assert said.err.splitlines() == [
        "napari-fewshot: without prediction: gone",
        "napari-fewshot: without truth: other",
    ]
    rows = said.out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["image", "a", "sub/b", "mean"]
    assert [row.split()[0] for row in rows[5:7]] == ["label", "1"]
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    alone = tmp_path / "one.json"
    _, one = scores(run, "--pred", wrong, "--truth", truth / "a.nii.gz", json_file=alone)
    assert found["images"]["a"] == one
    assert found["images"]["sub/b"]["mean"]["dice"] == 1.0
    assert found["mean"]["dice"] == pytest.approx((one["mean"]["dice"] + 1) / 2)
    assert found["mean"]["images"] == 2
    assert found["labels"][0]["dice"] == pytest.approx((one["labels"][0]["dice"] + 1) / 2)
    assert (found["without_prediction"], found["without_truth"]) == (["gone"], ["other"])
    assert found["failed"] == []
    (truth / "gone.nii.gz").unlink()
    said = run("evaluate", *files, "--exclude-slices-of", tmp_path / "painted", "--labels", "1,2")
    assert said.code == 0
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    compared = [scores["compared_voxels"] for scores in found["images"].values()]
    assert compared == [48 * 48 * (16 - len(PAINTED)), 48 * 48 * 16]
    assert [row["label"] for row in found["labels"]] == [1, 2]


def test_a_pair_of_folders_that_does_not_match(run, folders, tmp_path):
    pred, truth = folders
    write_labels(pred / "a_labels.nii.gz", np.zeros((2, 3, 4), int), Volume.of(np.zeros((2, 3, 4))))
    said = run("evaluate", "--pred", pred, "--truth", truth, "--json", tmp_path / "s.json")
    assert said.code == 2
    assert "a_labels.nii.gz must have the shape" in said.err
    found = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert (found["failed"], list(found["images"])) == (["a"], ["sub/b"])


def test_folders_without_a_pair(run, patients, folders, tmp_path):
    pred, truth = folders
    said = run("evaluate", "--pred", pred / "sub", "--truth", truth)
    assert said.code == 2
    assert "--pred must have names of label maps that --truth has; got" in said.err
    said = run("evaluate", "--pred", pred, "--truth", patients[0].truth)
    assert said.code == 2
    assert "--truth must be a folder of label maps, as the other is; got" in said.err
