"""What a model file says of itself."""

from __future__ import annotations

import json
import re

import pytest

from napari_fewshot import FewShotSegmenter, __version__

from .conftest import PAINTED, QUICK


@pytest.fixture(scope="module")
def carded(patients, tmp_path_factory):
    """A model with all that a card can have."""
    from napari_fewshot.cli import main

    one, path = patients[0], tmp_path_factory.mktemp("info") / "knee.fewshot"
    steps = ("--set", "contrastive.steps=40", "--no-store")
    words = ("--author", "A lab", "--licence", "CC-BY-4.0", "--note", "Sagittal\nT1.")
    given = ("--image", f"{one.image}", "--labels", f"{one.painted}")
    assert main(["train", *given, *steps, *words, "-o", f"{path}"]) == 0
    return path


def test_for_people(run, carded):
    said = run("info", carded)
    assert said.code == 0, said.err
    first, *lines = said.out.splitlines()
    assert re.match(rf"{re.escape(str(carded))}: [0-2]\.\d MB", first)
    about = {line[:12].rstrip(): line[12:] for line in lines if not line.startswith(" ")}
    assert about["author"] == "A lab"
    assert about["licence"] == "CC-BY-4.0"
    assert about["note"] == "Sagittal T1."
    assert about["made with"] == f"napari-fewshot {__version__}"
    assert about["trained on"] == "1 image(s), 3 known slice(s)"
    assert about["backbone"].startswith("embedded, weights ")
    assert about["adapter"] == "contrastive"
    assert "hand-made features" in about["experts"]
    assert "carried labels" in about["experts"]
    assert about["holds"].startswith("the paint of 3 slice(s)")
    assert about["settings"] == "contrastive.steps=40"
    (femur,) = [line.split() for line in lines if "femur" in line]
    assert femur[-2] == str(len(PAINTED))
    assert 0 <= float(femur[-1]) <= 1
    assert "folds by neighbouring slices" in lines[-6]


def test_for_programs(run, carded):
    found = json.loads(run("info", carded, "--json").out)
    model = FewShotSegmenter.load(carded, device="cpu")
    assert found["labels"] == {str(value): name for value, name in model.names_.items()}
    assert found["weights_hash"] == model.weights_hash
    assert found["card"]["author"] == "A lab"
    assert found["card"]["score"]["folds"] == 3
    assert found["holds"].pop("remembered_pixels") > 1000
    assert found["holds"] == {"painted_slices": 3, "coarse_volumes": 0, "landmark_images": 0}
    assert found["settings"]["contrastive"]["steps"] == 40
    assert found["size_mb"] == pytest.approx(carded.stat().st_size / 1e6, abs=1e-3)


def test_a_model_without_words_and_score(run, model):
    said = run("info", model)
    assert said.code == 0
    assert "author" not in said.out
    assert "mean" not in said.out
    assert "trained on  1 image(s), 3 known slice(s)" in said.out


def test_no_model(run, tmp_path):
    (tmp_path / "text").write_text("no model")
    for path, message in (
        (tmp_path / "none", "MODEL must be an existing file"),
        (tmp_path, "MODEL must be an existing file"),
        (tmp_path / "text", "model must be a whole model file"),
    ):
        said = run("info", path)
        assert said.code == 2
        assert said.err.count("\n") == 1
        assert message in said.err


def test_words_that_are_too_long_are_said_before_the_training(run, patients, tmp_path):
    one, path = patients[0], tmp_path / "m.fewshot"
    said = run("train", "--image", one.image, "--labels", one.painted, *QUICK,
               "--note", "x" * 2001, "-o", path)  # fmt: skip
    assert said.code == 2
    assert said.err.startswith("napari-fewshot: --note must have at most 2000 characters")
    assert not path.exists()
