"""The demo on a small phantom: what it prints and writes."""

from __future__ import annotations

import shlex

import pytest
from PIL import Image

import napari_fewshot.phantoms as phantoms
import napari_fewshot.segmenter as segmenter
from napari_fewshot.io import read_labels

from .conftest import files_below


@pytest.fixture
def small(monkeypatch):
    """Smaller phantoms and fewer steps."""
    made, built = phantoms.make_phantom, segmenter.FewShotSegmenter
    monkeypatch.setattr(
        phantoms, "make_phantom", lambda kind, patient: made(kind, patient, (16, 48, 48))
    )
    steps = {"contrastive": {"steps": 40}, "classification": {"steps": 40}}

    class Quick(built):
        def __init__(self, **settings):
            super().__init__(**{**steps, **settings})

    monkeypatch.setattr(segmenter, "FewShotSegmenter", Quick)


def test_scores_labels_landmarks_and_a_picture(run, small, tmp_path):
    said = run("demo", "--kind", "joint", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert said.err == ""
    assert files_below(tmp_path / "out") == sorted(
        [
            f"joint{n}{end}"
            for n in (0, 1)
            for end in (".nii.gz", "_labels.nii.gz", "_labels.json", "_landmarks.csv", ".png")
        ]
        + ["joint0_painted.nii.gz", "joint0_painted_labels.json"]
    )
    for words in (
        "painted slices of",
        "Patient 0 (its other slices)",
        "femur",
        "Patient 1",
        "localisation accuracy",
        "Results:",
    ):
        assert words in said.out
    labels = read_labels(tmp_path / "out" / "joint0_labels.nii.gz")
    assert labels.shape == (16, 48, 48)
    assert labels.data.any()
    with Image.open(tmp_path / "out" / "joint0.png") as picture:
        assert min(picture.size) > 100


def test_the_commands_at_its_end_run(run, small, tmp_path):
    out = tmp_path / "an out"
    lines = [line.strip() for line in run("demo", "--out", out).out.splitlines()[-3:]]
    look, train, predict = (shlex.split(line) for line in lines)
    assert look[0] == "napari"
    assert all((out / path).is_file() for path in look[1:])
    quick = ("--set", "contrastive.steps=40", "--no-score", "--no-store")
    assert run(*train[1:], *quick).code == 0
    said = run(*predict[1:], "--no-store")
    assert said.code == 0, said.err
    assert read_labels(out / "results" / "torso1_labels.nii.gz").data.any()


def test_bad_input_before_any_work(run, tmp_path, monkeypatch):
    def never(*arguments):
        raise AssertionError("worked before it checked")

    monkeypatch.setattr(phantoms, "make_phantom", never)
    (tmp_path / "file").touch()
    for words, message in (
        (("--out", tmp_path / "file"), "--out must be a folder"),
        (("--seed", "-3"), "--seed must be greater than or equal to 0"),
        (("--kind", "head"), "argument --kind: invalid choice"),
    ):
        said = run("demo", *words)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert message in said.err
    assert files_below(tmp_path) == ["file"]
