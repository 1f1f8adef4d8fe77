"""A run: it learns, stops and goes on to the bit, keeps the best, and tells its story."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.backbones import get_backbone
from napari_fewshot.errors import Cancelled, InputError, WeightsError
from napari_fewshot.finetuning import finetune
from napari_fewshot.finetuning.checkpoint import checkpoint_path
from napari_fewshot.finetuning.contrast import DenseContrast
from napari_fewshot.finetuning.group import Group
from napari_fewshot.finetuning.matching import relation_loss
from napari_fewshot.finetuning.probe import FewShotProbe, Judge, effective_rank
from napari_fewshot.finetuning.weights_file import Story, list_finetuned, read_story

from .conftest import QUICK, scene


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def stop_at(steps):
    def progress(done, total, what):
        if what == "fine-tuning" and done >= steps:
            raise Cancelled("enough")

    return progress


def last_weights(monkeypatch):
    """Whatever the score, the last weights count as the best."""
    scores = iter(range(1000))
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (float(next(scores)), 1.0))


def test_a_run_that_was_stopped_goes_on_to_the_last_bit(tiny, volumes, tmp_path, monkeypatch):
    last_weights(monkeypatch)
    straight = finetune(images=volumes, weights=tiny, config=QUICK)
    out = tmp_path / "own.safetensors"
    stopped = finetune(images=volumes, weights=tiny, config=QUICK, output=out, progress=stop_at(3))
    assert stopped.ended == "stopped"
    assert read_story(out).steps == 2
    assert checkpoint_path(out).is_file()
    resumed = finetune(images=volumes, weights=tiny, config=QUICK, output=out)
    assert resumed.ended == "steps"
    assert same(resumed.weights, straight.weights)
    losses = [row.get("loss") for row in straight.history.rows]
    assert [row.get("loss") for row in resumed.history.rows] == losses
    assert not checkpoint_path(out).exists()


def test_a_killed_run_goes_on_from_its_last_checkpoint(tiny, volumes, tmp_path, monkeypatch):
    last_weights(monkeypatch)
    config = {**QUICK, "checkpoint_minutes": 0}
    straight = finetune(images=volumes, weights=tiny, config=config)
    out = tmp_path / "own.safetensors"

    def killed(done, total, what):
        if done >= 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        finetune(images=volumes, weights=tiny, config=config, output=out, progress=killed)
    assert not out.exists()
    resumed = finetune(images=volumes, weights=tiny, config=config, output=out)
    assert same(resumed.weights, straight.weights)


def test_the_files_of_a_run_tell_its_story(tiny, volumes, tmp_path, monkeypatch):
    last_weights(monkeypatch)
    out = tmp_path / "own.safetensors"
    found = finetune(images=volumes, weights=tiny, config=QUICK, output=out)
    assert found.better
    assert found.verdict.startswith("better than the start by ")
    story = read_story(out)
    assert story == found.story
    assert (story.backbone, story.base, story.steps) == ("embedded", "tiny.safetensors", 4)
    assert story.base_hash == get_backbone("embedded", tiny).weights_hash
    assert story.data["images"] == 3
    assert story.settings["contrast"]["side"] == 32
    assert set(story.scores) == {"0", "2", "4"}
    assert list_finetuned(tmp_path) == [(out, story)]
    rows = list(csv.DictReader((tmp_path / "own.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert all(row["loss"] for row in rows[1:])
    for name in ("own.png", "own_views.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 50
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == [
        "own.csv",
        "own.png",
        "own.safetensors",
        "own_views.png",
    ]


def test_weights_that_are_no_better_are_those_of_the_start(tiny, volumes, tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (0.5, 1.0))
    out = tmp_path / "own.safetensors"
    found = finetune(images=volumes, weights=tiny, config=QUICK, output=out)
    assert not found.better
    assert found.verdict == (
        "no better than the start (rank of the features 0.500): the old weights are kept; the rank "
        "says little of labels: give labelled images as a probe"
    )
    before = get_backbone("embedded", tiny).network.state_dict()
    assert same(get_backbone("embedded", out).network.state_dict(), before)


def test_features_that_collapse_end_the_training(tiny, volumes, monkeypatch):
    ranks = iter((10.0, 9.0, 4.0))
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (0.5, next(ranks)))
    found = finetune(images=volumes, weights=tiny, config={**QUICK, "steps": 50})
    assert found.ended == "collapsed"
    assert found.history.rows[-1]["step"] == 4
    assert not found.better


def test_time_ends_it_too(tiny, volumes):
    config = {**QUICK, "steps": None, "minutes": 0.002}
    found = finetune(images=volumes, weights=tiny, config=config)
    assert found.ended == "minutes"


def test_labelled_images_judge_the_weights(tiny, volumes):
    pairs = [scene(seed) for seed in (7, 8)]
    probe = [Template(image, labels, slices=[1, 3]) for image, labels in pairs]
    found = finetune(images=volumes, weights=tiny, probe=probe,
                     config={**QUICK, "steps": 2, "probe_slices": 4, "probe_steps": 5})  # fmt: skip
    assert found.story.measure == "held-out Dice of the probe"
    assert all(0 <= score <= 1 for score in found.story.scores.values())


def test_a_probe_with_one_labelled_slice_is_refused(tiny, volumes):
    image, labels = scene(7)
    with pytest.raises(InputError, match="two labelled slices"):
        finetune(images=volumes, weights=tiny, probe=Template(image, labels, slices=[1]),
                 config=QUICK)  # fmt: skip


def test_outputs_and_checkpoints_of_other_runs_are_refused(tiny, volumes, tmp_path, monkeypatch):
    last_weights(monkeypatch)
    out = tmp_path / "own.safetensors"
    finetune(images=volumes, weights=tiny, config=QUICK, output=out, progress=stop_at(1))
    with pytest.raises(InputError, match="same images, weights and settings"):
        finetune(images=volumes[:2], weights=tiny, config=QUICK, output=out)
    checkpoint_path(out).write_bytes(b"nothing")
    with pytest.raises(InputError, match="whole checkpoint"):
        finetune(images=volumes, weights=tiny, config=QUICK, output=out)
    checkpoint_path(out).unlink()
    with pytest.raises(InputError, match="not be there already"):
        finetune(images=volumes, weights=tiny, config=QUICK, output=out)
    with pytest.raises(InputError, match="end in .safetensors"):
        finetune(images=volumes, weights=tiny, config=QUICK, output=tmp_path / "own.pth")
    with pytest.raises(InputError, match="fine-tuned"):
        finetune("multiscale", volumes)


def test_the_loss_falls_and_the_start_is_not_forgotten(tiny, volumes):
    from napari_fewshot.config import FinetuneConfig
    from napari_fewshot.finetuning.scans import Scans

    images = torch.rand(1, 1, 3, 64, 64)
    start = get_backbone("embedded", tiny).encode(images)
    moved = []
    for keep in (0.0, 20.0):
        changes = {"keep": keep, "relations": 1.0, "neighbour": 0}
        config = FinetuneConfig.of(
            {**QUICK, "learning_rate": 3e-3, "contrast": QUICK["contrast"] | changes}, "config"
        )
        base = get_backbone("embedded", tiny)
        before = {name: t.clone() for name, t in base.network.state_dict().items()}
        learner = DenseContrast(base, Scans.of(volumes, config), config, Group("cpu"))
        losses = [learner.step(0)["relations"] for _ in range(8)]
        assert keep or losses[-1] < losses[0]
        assert same(base.network.state_dict(), before)
        moved.append(float((learner.backbone().encode(images) - start).norm()))
    assert moved[1] < moved[0]


def test_synthetic_images_are_learned_from_and_keep_their_features(tiny, volumes):
    from napari_fewshot.config import FinetuneConfig
    from napari_fewshot.finetuning.scans import Scans

    changes = {"keep": 20.0, "relations": 0.0, "synthetic": 1.0}
    config = FinetuneConfig.of(
        {**QUICK, "learning_rate": 1e-3, "contrast": QUICK["contrast"] | changes}, "config"
    )
    learner = DenseContrast(
        get_backbone("embedded", tiny), Scans.of(volumes, config), config, Group("cpu")
    )
    first, again = learner.step(0), learner.step(0)
    assert first["synthetic change"] == pytest.approx(0, abs=1e-5)
    assert again["synthetic change"] > 0
    assert first["loss"] > first["synthetic"] > 0


def test_the_probe_chooses_between_what_was_learned_and_its_mean_with_the_start(
    tiny, volumes, tmp_path, monkeypatch
):
    given = []

    def score(self, path, progress):
        given.append(get_backbone("embedded", path).network.state_dict())
        return (0.5, 0.6, 0.7)[len(given) - 1]

    monkeypatch.setattr(FewShotProbe, "score", score)
    image, labels = scene(7)
    found = finetune(
        images=volumes, weights=tiny, probe=Template(image, labels, slices=[1, 3]),
        config={**QUICK, "steps": 2, "learning_rate": 1e-2}, output=tmp_path / "own.safetensors",
    )  # fmt: skip
    start, learned, mean = given
    assert not same(start, learned)
    for name, value in mean.items():
        torch.testing.assert_close(value, (start[name] + learned[name]) / 2, rtol=2e-3, atol=1e-4)
    assert found.story.share == read_story(tmp_path / "own.safetensors").share == 0.5
    assert "after 2 steps, in a mean with the start (50% learned)" in found.verdict
    assert found.history.column("share")[-1] == (2, 0.5)


def test_stopped_while_it_is_judged_it_keeps_the_best(tiny, volumes, monkeypatch):
    wanted = [True]

    def judge(self, weights, progress):
        if not wanted[0]:
            progress(0, 1, "probe")
        return 0.5, 1.0

    def progress(done, total, what):
        if what == "fine-tuning" and done == 2:
            raise Cancelled("enough")
        wanted[0] = done < 1

    monkeypatch.setattr(Judge, "judge", judge)
    found = finetune(images=volumes, weights=tiny, config=QUICK, progress=progress)
    assert (found.ended, found.better) == ("stopped", False)


def test_relations_are_right_where_features_are_as_wanted():
    wanted = torch.nn.functional.normalize(torch.randn(3, 20, 8), dim=-1)
    other = torch.nn.functional.normalize(torch.randn(3, 20, 8), dim=-1)
    right, wrong = (relation_loss(one, wanted, 0.1, 1.0) for one in (wanted, other))
    assert right < wrong
    turn = torch.linalg.qr(torch.randn(8, 8))[0]  # what is like what counts, not where it lies
    torch.testing.assert_close(relation_loss(wanted @ turn, wanted, 0.1, 1.0), right)


def test_the_rank_tells_how_many_directions_features_have():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 20))
    assert effective_rank(flat) < 3.01
    assert effective_rank(rng.normal(size=(500, 20))) > 18
    assert effective_rank(flat + 100) == pytest.approx(effective_rank(flat))


def test_models_name_the_weights_and_refuse_others(tiny, volumes, tmp_path, monkeypatch):
    last_weights(monkeypatch)
    own = tmp_path / "own.safetensors"
    finetune(images=volumes, weights=tiny, config=QUICK, output=own)
    image, labels = scene(7)
    settings = {"adapter": "classification", "classification": {"steps": 5},
                "experts": {"hand_made": False, "carried": False, "registered": False}}  # fmt: skip
    model = FewShotSegmenter(weights=own, **settings)
    model.fit(Template(image, labels, slices=[1, 3]))
    model.save(tmp_path / "m.fewshot")
    loaded = FewShotSegmenter.load(tmp_path / "m.fewshot", weights=own)
    assert loaded.predict(image).labels.shape == image.shape
    with pytest.raises(WeightsError, match=r"trained with \(own.safetensors, "):
        FewShotSegmenter.load(tmp_path / "m.fewshot", weights=tiny).predict(image)


def test_a_story_that_is_none_is_none(tiny, tmp_path):
    assert read_story(tiny) is None
    assert read_story(tmp_path / "none.safetensors") is None
    with pytest.raises((ValueError, TypeError)):
        Story.from_json("[]")


@pytest.mark.parametrize("ending", [".png", ".csv"])
def test_files_of_a_person_beside_the_output_stay(tiny, volumes, tmp_path, ending):
    mine = tmp_path / f"cells{ending}"
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=f"cells{ending}"):
        finetune(images=volumes, weights=tiny, config=QUICK, output=tmp_path / "cells.safetensors")
    assert mine.read_bytes() == b"mine"
