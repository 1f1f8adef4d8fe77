"""``predict`` never replaces what its model learned from, not with ``--overwrite`` either."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, InputError, Template, predict_many
from napari_fewshot.io import read_labels, read_volume

from .conftest import files_below

QUICK = "--backbone multiscale --adapter cosine --no-score --no-store"


@pytest.fixture
def folder(run, patients, tmp_path, monkeypatch):
    """An image with its paint, named as ``predict`` names results, and the model that learned."""
    one, other = patients
    shutil.copy(one.image, tmp_path / "img.nii.gz")
    shutil.copy(one.painted, tmp_path / "img_labels.nii.gz")
    shutil.copy(other.image, tmp_path / "other.nii.gz")
    monkeypatch.chdir(tmp_path)
    command = f"train --image img.nii.gz --labels img_labels.nii.gz {QUICK} -o m.fewshot"
    assert run(*command.split()).code == 0
    return tmp_path


def test_paint_stays_wherever_the_results_go(run, folder):
    (folder / "results").mkdir()
    shutil.copy("img_labels.nii.gz", "results/other_labels.nii.gz")  # by another name too
    for image, out in (("img.nii.gz", "."), ("other.nii.gz", "results")):
        before = {name: (folder / name).read_bytes() for name in files_below(folder)}
        for more in ((), ("--overwrite",)):
            said = run("predict", "m.fewshot", image, "-o", out, "--no-store", *more)
            assert said.code == 2
            assert said.err.count("\n") == 1
        assert "not overwrite what the model has learned from" in said.err
        assert {name: (folder / name).read_bytes() for name in files_below(folder)} == before
    with pytest.raises(InputError, match="learned from"):
        predict_many("m.fewshot", ["img.nii.gz"], ".", overwrite=True)


def test_results_and_other_files_are_replaced_as_before(run, folder):
    command = ("predict", "m.fewshot", "img.nii.gz", "-o", "out", "--no-store", "--overwrite")
    assert run(*command).code == 0
    assert run(*command).code == 0
    (folder / "out" / "img_labels.nii.gz").write_bytes(b"something else")
    assert run(*command).code == 0


def test_points_are_known_too(run, folder):
    labels = read_labels(folder / "img_labels.nii.gz").data
    z, y, x = (int(n) for n in np.argwhere(labels)[0])
    table = folder / "img_landmarks.csv"
    table.write_text(f"name,label,z,y,x\ntip,1,{z},{y},{x}\n")
    command = f"train --image img.nii.gz --points img_landmarks.csv {QUICK} -o p.fewshot"
    assert run(*command.split()).code == 0
    before = table.read_bytes()
    shutil.move("img_labels.nii.gz", "paint.nii.gz")
    said = run("predict", "p.fewshot", "img.nii.gz", "-o", ".", "--landmarks", "--overwrite")
    assert said.code == 2
    assert "learned from; got img_landmarks.csv" in said.err
    assert table.read_bytes() == before


def test_the_card_has_digests_and_no_names(run, folder):
    card = json.loads(run("info", "m.fewshot", "--json").out)["card"]
    assert len(card["files"]) == 1
    assert len(card["files"][0]) == 64
    assert b"img_labels" not in (folder / "m.fewshot").read_bytes()


def test_an_updated_model_still_knows_them(folder):
    image, labels = read_volume(folder / "img.nii.gz"), read_labels(folder / "img_labels.nii.gz")
    model = FewShotSegmenter(backbone="multiscale", adapter="cosine", device="cpu")
    template = Template(image, labels)
    known = model.fit(template).with_card(files=[folder / "img_labels.nii.gz"])
    assert len(known.card_.files) == 1
    assert known.updated(template).card_.files == known.card_.files
    more = known.with_card(note="all", files=[folder / "img.nii.gz", folder / "none.csv"]).card_
    assert len(more.files) == 2
    assert not model.fit(template).card_.files
