"""Training from files: what is learned, what is written, what repeats."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from napari_fewshot import FewShotSegmenter
from napari_fewshot.cli import build_parser
from napari_fewshot.cli.train import settings_of
from napari_fewshot.config import IntensityConfig
from napari_fewshot.io import read_labels, read_volume, write_labels

from .conftest import QUICK, files_below


def content(model):
    """What a model file says about itself."""
    with safe_open(model, "numpy") as file:
        return json.loads(file.metadata()["content"])


def test_pair_gives_a_model_and_a_report(run, patients, tmp_path):
    one = patients[0]
    out = tmp_path / "new" / "folder" / "joint.fewshot"
    said = run(
        "train", "--image", one.image, "--labels", one.painted, *QUICK[:2], "--no-store", "-o", out
    )
    assert said.code == 0
    assert said.err == ""
    assert "1 template(s), 3 known slices (sagittal)" in said.out
    assert "1 femur, 2 tibia" in said.out
    assert str(out) in said.out
    estimate = "an estimate: too high if slices are alike, too low if few are painted"
    assert f"held-out Dice ({estimate}; 3 folds" in said.out
    assert files_below(tmp_path) == ["new/folder/joint.fewshot"]
    assert FewShotSegmenter.load(out).names_[1] == "femur"


def test_several_pairs_and_points(run, patients, tmp_path):
    one, other = patients
    both, order = tmp_path / "both", tmp_path / "order"
    pairs = ("--image", one.image, "--labels", one.painted)
    more = ("--image", other.image, "--labels", other.painted)
    assert run("train", *pairs, *more, *QUICK, "-o", both).code == 0
    grouped = ("--image", one.image, other.image, "--labels", one.painted, other.painted)
    assert run("train", *grouped, *QUICK, "-o", order).code == 0
    assert both.read_bytes() == order.read_bytes()
    points = tmp_path / "points"
    said = run("train", "--image", one.image, "--points", one.points, *QUICK, "-o", points)
    assert said.code == 0
    assert content(points)["point_labels"] == [1, 2, 3, 4, 5, 6]


def test_labels_and_points_of_one_image(run, patients, tmp_path):
    one, out = patients[0], tmp_path / "model"
    marks = tmp_path / "marks.csv"
    text = one.points.read_text().splitlines()
    rows = [row.split(",") for row in text[1:]]
    marks.write_text(
        "\n".join([text[0], *(",".join([r[0], str(int(r[1]) + 10), *r[2:]]) for r in rows)])
    )
    files = ("--image", one.image, "--labels", one.painted, "--points", marks)
    assert run("train", *files, *QUICK, "-o", out).code == 0
    assert content(out)["point_labels"] == [11, 12, 13, 14, 15, 16]
    assert {1, 2, 16} <= set(content(out)["label_values"])


@pytest.mark.parametrize(
    ("labels", "slices", "known"),
    [
        ("painted", (), 3),
        ("painted", ("--slices", "painted"), 3),
        ("painted", ("--slices", "4,8"), 2),
        ("painted", ("--slices", "2-5,11"), 5),
        ("painted", ("--axis", "0", "--slices", "all"), 16),
        ("truth", ("--axis", "0", "--slices", "3-6"), 4),
    ],
)
def test_slices_that_are_known(run, patients, tmp_path, labels, slices, known):
    one = patients[0]
    files = ("--image", one.image, "--labels", getattr(one, labels))
    said = run("train", *files, *slices, "--adapter", "cosine", *QUICK, "-o", tmp_path / "m")
    assert said.code == 0
    assert f"{known} known slices (sagittal)" in said.out


@pytest.mark.parametrize(
    ("axis", "name"),
    [
        ("0", "sagittal"),
        ("1", "axial"),
        ("2", "coronal"),
        ("axial", "axial"),
        ("coronal", "coronal"),
        ("sagittal", "sagittal"),
        ("auto", "sagittal"),
    ],
)
def test_axis_in_file_order_or_in_the_patient(run, patients, tmp_path, axis, name):
    one = patients[0]  # stored as (L, I, P)
    files = ("--image", one.image, "--labels", one.painted)
    quick = ("--adapter", "cosine", *QUICK, "-o", tmp_path / "m")
    said = run("train", *files, "--axis", axis, "--slices", "painted", *quick)
    assert said.code == 0
    assert f"({name})" in said.out


@pytest.mark.parametrize("axis", ["2", "coronal"])
def test_an_axis_across_the_painted_slices_needs_a_word(run, patients, tmp_path, axis):
    """Who counts axes as nibabel does would teach that nearly everything is background."""
    files = ("--image", patients[0].image, "--labels", patients[0].painted)
    said = run("train", *files, "--axis", axis, *QUICK, "-o", tmp_path / "m")
    assert said.code == 2
    assert f"--axis must be the one along which slices are painted; got {axis}" in said.err
    assert "slices along coronal, but on 3 of 16 slices along sagittal" in said.err
    assert not (tmp_path / "m").exists()


def test_scribbles(run, patients, tmp_path):
    one = patients[0]
    truth = read_labels(one.truth)
    marks = np.zeros(truth.shape, np.uint8)
    marks[8] = np.where(truth.data[8] == 0, 255, truth.data[8])
    marks[8, ::2] = 0
    image = read_volume(one.image)
    write_labels(tmp_path / "scribbles.nii.gz", marks, image)
    files = ("--image", one.image, "--labels", tmp_path / "scribbles.nii.gz")
    kind = ("--template", "scribble", "--background", "255")
    said = run("train", *files, *kind, *QUICK, "-o", tmp_path / "m")
    assert said.code == 0
    assert set(content(tmp_path / "m")["label_values"]) == set(np.unique(truth.data[8, 1::2])) - {0}


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("--window -160 240", {"intensity": {"mode": "window", "low": -160.0, "high": 240.0}}),
        ("--spacing 2", {"resampling": {"mode": "inplane", "spacing": 2.0}}),
        ("--spacing 2 --isotropic", {"resampling": {"mode": "isotropic", "spacing": 2.0}}),
        ("--position off", {"position": {"use": False}}),
        ("--seed 7 --adapter cosine", {"seed": 7, "adapter": "cosine"}),
        ("--preset published", {"preset": "published"}),
        (
            "--position on --set position.weight=0.5",
            {"position": {"use": True, "weight": 0.5}},
        ),
        (
            "--set contrastive.steps=5 --set contrastive.head=concat",
            {"contrastive": {"steps": 5, "head": "concat"}},
        ),
    ],
)
def test_options_become_settings(words, settings):
    line = f"train --image I --labels L -o M {words}"
    assert settings_of(build_parser().parse_args(line.split())) == settings


def test_settings_are_saved_with_the_model(run, patients, tmp_path):
    one, out = patients[0], tmp_path / "m"
    words = "--window 0 900 --spacing 4 --isotropic --position off --seed 5 --preset published"
    words += " --backbone embedded"
    files = ("--image", one.image, "--labels", one.painted)
    assert run("train", *files, *words.split(), *QUICK, "-o", out).code == 0
    config = FewShotSegmenter.load(out).config
    assert config.intensity == IntensityConfig(mode="window", low=0, high=900)
    assert config.resampling.model_dump() == {"mode": "isotropic", "spacing": 4.0}
    assert (config.position.use, config.seed, config.contrastive.steps) == (False, 5, 60)
    assert config.contrastive.head == "concat"
    assert config.propagation.cleanup.min_fraction == 0.1
    assert config.propagation.landmarks.source == "labels"


def test_seed_decides(run, patients, model, tmp_path):
    one = patients[0]
    files = ("--image", one.image, "--labels", one.painted)
    again, other = tmp_path / "again", tmp_path / "other"
    assert run("train", *files, *QUICK, "--seed", 0, "-o", again).code == 0
    assert run("train", *files, *QUICK, "--seed", 1, "-o", other).code == 0
    assert again.read_bytes() == model.read_bytes()
    assert other.read_bytes() != model.read_bytes()


def test_known_labels_and_only(run, patients, tmp_path):
    one = patients[0]
    files = ("--image", one.image, "--labels", one.painted)
    cosine = ("--adapter", "cosine", *QUICK)
    every = ("--known-labels", "1,2,3,4,5,6")
    assert run("train", *files, *every, *cosine, "-o", tmp_path / "a").code == 0
    assert 4 not in content(tmp_path / "a")["label_values"]  # looked for, not there
    assert run("train", *files, "--only", "2", *cosine, "-o", tmp_path / "b").code == 0
    assert content(tmp_path / "b")["label_values"] == [2]


def test_position_chosen_by_held_out_score(run, patients, tmp_path):
    one = patients[0]
    files = ("--image", one.image, "--labels", one.painted)
    said = run(
        "train", *files, "--position", "auto", "--adapter", "cosine", *QUICK, "-o", tmp_path / "m"
    )
    assert said.code == 0
    assert "held-out Dice with position: 0." in said.out
    assert "held-out Dice without position: 0." in said.out


def test_the_score_of_the_chosen_position_is_computed_once(run, patients, tmp_path, monkeypatch):
    scores = []

    def score(self, *arguments, **options):
        scores.append(held_out_score(self, *arguments, **options))
        return scores[-1]

    held_out_score = FewShotSegmenter.held_out_score
    monkeypatch.setattr(FewShotSegmenter, "held_out_score", score)
    one = patients[0]
    files = ("--image", one.image, "--labels", one.painted, "--no-store", "-o", tmp_path / "m")
    said = run("train", *files, "--position", "auto", "--adapter", "cosine")
    assert said.code == 0
    assert len(scores) == 2
    best = max(score.mean for score in scores)
    assert ["mean", f"{best:.3f}"] in [line.split() for line in said.out.splitlines()]


def test_one_slice_has_no_held_out_score(run, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    labels = np.zeros((30, 40), np.uint8)
    labels[5:20, 5:20] = 1
    Image.fromarray(labels).save(tmp_path / "a_labels.png")
    files = ("--image", tmp_path / "a.png", "--labels", tmp_path / "a_labels.png")
    said = run("train", *files, "--adapter", "cosine", "--no-store", "-o", tmp_path / "m")
    assert said.code == 0
    assert "1 known slices (2D)" in said.out
    assert "needs at least two template slices" in said.err


def test_a_label_that_cannot_be_held_out_is_marked(run, patients, tmp_path):
    one = patients[0]
    labels = read_labels(one.painted)
    data = labels.data.copy()
    data[8, :4, :4] = 77
    image = read_volume(one.image)
    write_labels(tmp_path / "labels.nii.gz", data, image, {77: "corner"})
    files = ("--image", one.image, "--labels", tmp_path / "labels.nii.gz")
    said = run("train", *files, "--adapter", "cosine", "--no-store", "-o", tmp_path / "m")
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines()]
    assert ["corner", "-"] in rows
    assert "could not be held out" in said.out


def test_each_template_has_its_axis(run, patients, tmp_path):
    one, other = patients
    files = ("--image", one.image, "--labels", one.painted, "--axis", "0")
    more = ("--image", other.image, "--labels", other.truth, "--axis", "axial", "--slices", "8")
    said = run("train", *files, *more, "--adapter", "cosine", *QUICK, "-o", tmp_path / "m")
    assert said.code == 0, said.err
    assert "sagittal" in said.out
    assert "axial" in said.out
    assert sorted(content(tmp_path / "m")["axes"]) == [0, 2]


def test_what_is_not_known_yet_is_said(capsys):
    from types import SimpleNamespace

    from napari_fewshot import HeldOutScore
    from napari_fewshot.cli.train import _report_score

    dice = {1: 0.8, 2: float("nan")}
    score = HeldOutScore(dice, 3, "neighbouring slices", too_few={2: 0.0})
    _report_score(SimpleNamespace(names_={1: "femur", 2: "patella"}), score)
    said = capsys.readouterr().out
    assert "patella      -" in said
    assert "patella: not known yet" in said
    assert "0.000" not in said
    assert "could not be held out" not in said
