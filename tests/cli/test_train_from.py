"""``train --from``: a model learns on, and says what it knows."""

from __future__ import annotations

import json

from napari_fewshot import FewShotSegmenter

from .conftest import QUICK


def test_it_learns_on(run, patients, tmp_path):
    one, other = patients
    first, both = tmp_path / "one.fewshot", tmp_path / "both.fewshot"
    pair = ("--image", one.image, "--labels", one.painted)
    said = run("train", *pair, *QUICK, "-o", first)
    assert "features of" in said.out
    more = ("--image", other.image, "--labels", other.painted)
    said = run("train", "--from", first, *more, "--no-score", "-o", both)
    assert (said.code, said.err) == (0, "")
    assert "known slices of 2 images in all" in said.out
    before, after = (FewShotSegmenter.load(path) for path in (first, both))
    assert after.config == before.config
    assert after.names_ == before.names_
    about = json.loads(run("info", both, "--json").out)
    assert 0 < about["holds"]["remembered_pixels"] <= 10_000
    assert "pixels to learn on from" in run("info", both).out


def test_settings_are_those_of_the_model(run, patients, tmp_path):
    one = patients[0]
    pair = ("--image", one.image, "--labels", one.painted)
    first, out = tmp_path / "one.fewshot", tmp_path / "two.fewshot"
    assert run("train", *pair, *QUICK, "--no-score", "-o", first).code == 0
    said = run("train", "--from", first, *pair, "--position", "auto", "--seed", "3", "-o", out)
    assert said.code == 2
    assert "--from must stand without settings" in said.err
    assert "got seed, position" in said.err
    said = run("train", "--from", tmp_path / "none", *pair, "-o", out)
    assert (said.code, out.exists()) == (2, False)
    said = run("train", "--from", first, *pair, "--overwrite", "-o", first)
    assert said.code == 2
    assert FewShotSegmenter.load(first).card_.images == 1


def test_a_model_that_keeps_nothing_is_refused(run, patients, tmp_path):
    one = patients[0]
    pair = ("--image", one.image, "--labels", one.painted)
    first, out = tmp_path / "one.fewshot", tmp_path / "two.fewshot"
    kept = ("--set", "sampling.remembered=0")
    assert run("train", *pair, *QUICK, *kept, "--no-score", "-o", first).code == 0
    said = run("train", "--from", first, *pair, "-o", out)
    assert (said.code, out.exists()) == (2, False)
    assert "model must keep pixels of its templates" in said.err
