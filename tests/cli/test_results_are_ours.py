"""Commands replace results of commands, and what a person made or changed only when told to."""

from __future__ import annotations

import json
import shutil

import pytest

from .conftest import files_below

TRAIN = "train --image img.nii.gz --labels painted.nii.gz --backbone multiscale --adapter cosine"
TRAIN += " --no-score --no-store -o new.fewshot"
PREDICT = "predict model.fewshot img.nii.gz -o . --confidence --landmarks --no-store"

# Each command with a file that it would write.
CASES = [
    (PREDICT, "img_labels.nii.gz"),
    (PREDICT, "img_labels.json"),
    (PREDICT, "img_confidence.nii.gz"),
    (PREDICT, "img_landmarks.csv"),
    ("predict model.fewshot img.nii.gz other.nii.gz -o .", "other_labels.nii.gz"),
    ("refine img.nii.gz painted.nii.gz -o new.nii.gz", "new.nii.gz"),
    ("refine img.nii.gz painted.nii.gz -o new.nii.gz", "new_labels.json"),
    ("refine img.nii.gz painted.nii.gz -o new.nii.gz --output-confidence sure.tif", "sure.tif"),
    ("compare-refinement img.nii.gz painted.nii.gz --truth truth.nii.gz -o .", "plot.png"),
    ("compare-refinement img.nii.gz painted.nii.gz --truth truth.nii.gz -o .", "table.csv"),
    ("sam automatic img.nii.gz -o .", "img_instances.nii.gz"),
    ("sam automatic img.nii.gz -o .", "img_instances.csv"),
    ("sam automatic img.nii.gz -o . --truth truth.nii.gz", "img_labels.nii.gz"),
    ("sam boxes img.nii.gz -o . --labels truth.nii.gz", "img_labels.nii.gz"),
    ("sam points img.nii.gz -o . --labels truth.nii.gz --confidence", "img_confidence.nii.gz"),
    ("sam persam img.nii.gz -o . --reference other.nii.gz painted.nii.gz", "img_labels.json"),
    ("sam tune --image img.nii.gz --labels painted.nii.gz -o new.pth", "new.pth"),
    (TRAIN, "new.fewshot"),
    ("demo --out .", "torso1_labels.nii.gz"),
    ("demo --out . --kind joint", "joint0.png"),
    ("evaluate --pred painted.nii.gz --truth truth.nii.gz --json scores.json", "scores.json"),
]


@pytest.fixture
def folder(patients, model, tmp_path, monkeypatch):
    """An image with its labels, another image, and a model."""
    one, other = patients
    for source, name in (
        (one.image, "img.nii.gz"),
        (one.painted, "painted.nii.gz"),
        (one.truth, "truth.nii.gz"),
        (other.image, "other.nii.gz"),
        (model, "model.fewshot"),
    ):
        shutil.copy(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("command", "name"), CASES)
def test_a_file_that_somebody_made_stays(run, folder, command, name):
    (folder / name).write_text("mine")
    before = {path: (folder / path).read_bytes() for path in files_below(folder)}
    said = run(*command.split())
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert "must not replace a file that no run has written, or that was changed since" in said.err
    assert name in said.err
    assert "Choose another name or folder, or give --overwrite." in said.err
    assert before == {path: (folder / path).read_bytes() for path in files_below(folder)}


def test_results_are_replaced_until_somebody_changes_one(run, folder):
    for _ in range(2):
        assert run(*TRAIN.split()).code == 0
        assert run(*PREDICT.split()).code == 0
    found = (folder / "img_labels.nii.gz").read_bytes()
    shutil.copy("truth.nii.gz", "img_labels.nii.gz")  # corrected in a viewer
    assert run(*PREDICT.split()).code == 2
    assert (folder / "img_labels.nii.gz").read_bytes() == (folder / "truth.nii.gz").read_bytes()
    assert run(*PREDICT.split(), "--overwrite").code == 0
    assert (folder / "img_labels.nii.gz").read_bytes() == found
    assert run(*PREDICT.split()).code == 0


def test_labels_that_were_painted_are_predicted_elsewhere(run, folder):
    """The names of files that a person gives are those that results have."""
    shutil.move("painted.nii.gz", "img_labels.nii.gz")
    (folder / "img_labels.json").write_text('{"1": "mine"}')
    before = {path: (folder / path).read_bytes() for path in files_below(folder)}
    assert run("predict", "model.fewshot", "img.nii.gz", "-o", ".", "--no-store").code == 2
    assert run("predict", "model.fewshot", "img.nii.gz", "-o", "out", "--no-store").code == 0
    assert before == {path: (folder / path).read_bytes() for path in before}
    assert files_below(folder / "out") == ["img_labels.json", "img_labels.nii.gz"]


def test_a_benchmark_replaces_and_removes_nothing_of_others(run, folder):
    (folder / "b.toml").write_text(
        'shots = [1]\n[dataset]\nroot = "."\nimages = ["img.nii.gz"]\nlabels = ["truth.nii.gz"]\n'
        '[[methods]]\nname = "c"\nmethod = "fewshot"\nsettings = { backbone = "multiscale" }\n'
    )
    (folder / "out" / "figures").mkdir(parents=True)
    for name in ("report.html", "figures/worst-knee.png", "figures/shots.png"):
        (folder / "out" / name).write_text("mine")
    before = {path: (folder / path).read_bytes() for path in files_below(folder)}
    said = run("benchmark", "b.toml", "-o", "out")
    assert said.code == 2
    assert said.err.startswith("napari-fewshot: --out must not replace a file that no run has")
    assert "report.html and 1 more. Choose another name or folder, or give --ov" in said.err
    assert run("benchmark", "b.toml", "-o", "out", "--report-only").code == 2
    assert before == {path: (folder / path).read_bytes() for path in files_below(folder)}
    said = run("benchmark", "b.toml", "-o", "out", "--overwrite")
    assert said.code == 0
    assert (folder / "out" / "report.html").read_text() != "mine"
    assert (folder / "out" / "figures" / "worst-knee.png").read_text() == "mine"
    assert run("benchmark", "b.toml", "-o", "img.nii.gz").code == 2


def test_scores_are_written_again(run, folder):
    command = CASES[-1][0].split()
    (folder / "scores.json").write_text("mine")
    assert run(*command, "--overwrite").code == 0
    assert run(*command).code == 0
    assert json.loads((folder / "scores.json").read_text())
