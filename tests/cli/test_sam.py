"""The modes of ``sam``: files on the grid of the input, and what is refused before the work."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.io import read_labels, read_volume, write_labels

from .conftest import files_below, labels_of

QUICK = ("--axis", "sagittal", "--no-store")


@pytest.fixture
def sam(tiny_sam):
    return ("--sam-weights", tiny_sam, *QUICK)


def images_below(folder):
    """Files but for the names of labels, which stand beside label maps."""
    return [name for name in files_below(folder) if not name.endswith(".json")]


def empty_like(labels, folder):
    like = read_labels(labels)
    write_labels(folder / "empty.nii.gz", np.zeros_like(like.data), like)
    return folder / "empty.nii.gz"


def same_grid(path, like):
    found, image = read_labels(path), read_volume(like)
    assert found.shape == image.shape
    np.testing.assert_allclose(found.affine, image.affine)
    return found


def test_automatic_writes_instances_their_scores_and_matched_labels(run, patients, tmp_path, sam):
    one = patients[0]
    settings = ("--set", "points_per_side=3", "--set", "iou=0", "--set", "stability=0")
    said = run("sam", "automatic", one.image, "--truth", one.truth, "-o", tmp_path, *settings, *sam,
               "--max-area", "1e9", "--min-area", "0.001")  # fmt: skip
    assert (said.code, said.err) == (0, "")
    names = [f"joint0_{end}" for end in ("instances.csv", "instances.nii.gz", "labels.nii.gz")]
    assert images_below(tmp_path) == names
    assert said.out == f"{tmp_path / names[1]}\n"
    found = same_grid(tmp_path / names[1], one.image)
    with (tmp_path / names[0]).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers, areas = np.unique(found.data[found.data > 0], return_counts=True)
    assert [int(row["instance"]) for row in rows] == numbers.tolist()
    assert [int(row["pixels"]) for row in rows] == areas.tolist()
    assert set(rows[0]) == {"instance", "slice", "pixels", "predicted_iou", "stability"}
    assert labels_of(tmp_path / names[2]) <= labels_of(one.truth)


@pytest.mark.parametrize("mode", ["boxes", "points"])
@pytest.mark.parametrize("given", ["--truth", "--labels"])
def test_boxes_and_points_write_labels(run, patients, tmp_path, sam, mode, given):
    images = [one.image for one in patients]
    regions = [one.painted for one in patients]
    said = run("sam", mode, *images, given, *regions, "-o", tmp_path, "--confidence", *sam)
    assert (said.code, said.err) == (0, "")
    assert len(images_below(tmp_path)) == 4
    for number, one in enumerate(patients):
        found = same_grid(tmp_path / f"joint{number}_labels.nii.gz", one.image)
        painted = read_labels(one.painted)
        assert set(np.unique(found.data)) <= set(np.unique(painted.data))
        empty = ~painted.data.any(axis=(1, 2))  # sagittal slices lie along axis 0 of the file
        assert not found.data[empty].any()
        assert dict(found.names) == dict(painted.names)


def test_persam_segments_other_images(run, patients, tmp_path, sam):
    one, other = patients
    said = run("sam", "persam", other.image, "--reference", one.image, one.painted, "-o", tmp_path,
               "--fine-tune", "--set", "steps=3", *sam)  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert images_below(tmp_path) == ["joint1_labels.nii.gz"]
    found = same_grid(tmp_path / "joint1_labels.nii.gz", other.image)
    assert set(np.unique(found.data)) <= labels_of(one.painted)


def test_embeddings_are_kept_between_runs(run, patients, tmp_path, tiny_sam, assert_same_labels):
    one = patients[0]
    for part in ("first", "second"):
        said = run("sam", "boxes", one.image, "--truth", one.painted, "-o", tmp_path / part,
                   "--store", tmp_path / "store", "--sam-weights", tiny_sam,
                   "--axis", "sagittal")  # fmt: skip
        assert said.code == 0
    first, second = (
        read_labels(tmp_path / p / "joint0_labels.nii.gz") for p in ("first", "second")
    )
    assert_same_labels(first.data, second.data)
    assert any((tmp_path / "store").rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("automatic none.nii.gz", "IMAGE must be an existing file"),
        ("automatic IMAGE --sam sam-vit-x", "--sam must be one of sam-vit-b"),
        ("automatic IMAGE --set points=3", "--set must be one of"),
        ("automatic IMAGE --min-area -1", "--set min_area must be greater than or equal to 0"),
        ("automatic IMAGE --min-area 0.6", "--set min_area must be at most max_area (0.5); got"),
        ("automatic IMAGE --truth PAINTED PAINTED", "--truth must be given for each of the 1"),
        ("boxes IMAGE", "--labels must be given, or --truth; got neither"),
        ("boxes IMAGE --labels PAINTED --truth PAINTED", "--truth; got both"),
        ("boxes IMAGE --labels PAINTED --window 3 2", "--window must have LO below HI"),
        ("points IMAGE --labels PAINTED --axis front", "--axis must be one of"),
        ("persam IMAGE --reference IMAGE none.nii.gz", "--reference must be an existing file"),
        ("persam IMAGE --reference IMAGE PAINTED --sam medsam", "--sam must make three masks"),
        ("persam IMAGE --reference IMAGE EMPTY", "--reference must have at least one painted"),
        ("persam IMAGE", "the following arguments are required: --reference"),
        ("boxes IMAGE --labels OTHER", "other.nii.gz must have the shape"),
    ],
)
def test_what_does_not_fit_is_one_line(run, patients, tmp_path, tiny_sam, arguments, message):
    small = read_labels(patients[0].painted)
    other = tmp_path / "other.nii.gz"
    write_labels(other, small.data[:, :20], replace(small, data=small.data[:, :20], header=None))
    files = {
        "IMAGE": patients[0].image,
        "PAINTED": patients[0].painted,
        "OTHER": other,
        "EMPTY": empty_like(patients[0].painted, tmp_path),
    }
    words = [files.get(word, word) for word in arguments.split()]
    out = tmp_path / "out"
    said = run("sam", *words, "-o", out, "--sam-weights", tiny_sam, "--no-store")
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not out.exists() or not files_below(out)


def test_without_weights_it_says_where_they_would_be(run, patients, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = run("sam", "automatic", patients[0].image, "-o", tmp_path / "out", *QUICK)
    assert said.code == 2
    assert "sam_vit_b_01ec64.pth" in said.err
    assert "(--sam-weights FILE)" in said.err
    assert "backbone" not in said.err
    assert "random-walker" not in said.err, "these modes have no such method"


def test_wrong_weights_are_told_without_the_words_of_torch(run, patients, tmp_path):
    given = ("sam", "automatic", patients[0].image, "-o", tmp_path / "out", *QUICK)
    said = run(*given, "--sam-weights", patients[0].truth)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "must be a whole checkpoint (.safetensors, or .pth of tensors only)" in said.err
    assert "PyTorch" not in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("boxes IMAGE --labels EMPTY", "nothing was looked for, since EMPTY has no label."),
        ("points IMAGE --truth EMPTY", "nothing was looked for, since EMPTY has no label."),
        (
            "automatic IMAGE --set iou=1 --set points_per_side=2",
            "nothing was found that passes the limits: lower --set iou=1, --set stability=0.95, "
            "--min-area 10, or raise --max-area 0.5.",
        ),
        (
            "persam OTHER --reference IMAGE PAINTED --set min_similarity=1",
            "nothing was found that is like the reference. Lower --set min_similarity=1.",
        ),
    ],
)
def test_an_empty_result_is_written_with_a_warning(
    run, patients, tmp_path, sam, arguments, message
):
    one, other = patients
    empty = empty_like(one.painted, tmp_path)
    files = {"IMAGE": one.image, "PAINTED": one.painted, "OTHER": other.image, "EMPTY": empty}
    words = [files.get(word, word) for word in arguments.split()]
    said = run("sam", *words, "-o", tmp_path / "out", *sam)
    assert said.code == 0
    message = message.replace("EMPTY", str(empty))
    assert said.err == f"napari-fewshot: warning: {words[1]}: {message}\n"
    (result,) = (tmp_path / "out").glob("*.nii.gz")
    assert said.out == f"{result}\n"
    assert labels_of(result) == {0}
