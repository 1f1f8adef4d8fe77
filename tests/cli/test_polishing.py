"""``train --polish``: the network learns too, for so long, or until Ctrl-C."""

from __future__ import annotations

import signal

import pytest

from napari_fewshot import FewShotSegmenter
from napari_fewshot.adapters.polishing.trainer import Polishing
from napari_fewshot.segmenter import polishing

from .conftest import QUICK

QUICKER = (*QUICK, "--set", "classification.steps=30")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(polishing, "STEPS", 4)


@pytest.fixture
def train(run, patients, tmp_path):
    one, out = patients[0], tmp_path / "model"
    files = ("--image", one.image, "--labels", one.painted, "-o", out)
    return lambda *more: (run("train", *files, *QUICKER, *more), out)


def test_the_model_is_polished(train):
    said, out = train("--polish")
    assert said.code == 0
    assert said.err == ""
    assert "4 steps; the network takes 8.3 MB of the model file" in said.out
    assert FewShotSegmenter.load(out).polished_steps_ == 4


def test_the_score_comes_after_it(run, patients, tmp_path):
    one, out = patients[0], tmp_path / "model"
    files = ("--image", one.image, "--labels", one.painted, "-o", out)
    options = [option for option in QUICKER if option != "--no-score"]
    said = run("train", *files, *options, "--polish", "--set", "contrastive.update_steps=5")
    assert said.code == 0
    assert said.out.index("polished in") < said.out.index("held-out Dice")
    assert FewShotSegmenter.load(out).polished_steps_ == 4


@pytest.mark.parametrize("after", [0, 2])
def test_an_interrupt_keeps_the_best_so_far(train, monkeypatch, after):
    step, handler = Polishing._step, signal.getsignal(signal.SIGINT)

    def interrupted(self, *given):
        step(self, *given)
        if self.steps == after:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Polishing, "_step", interrupted)
    if not after:
        fit = polishing.Head.fit
        monkeypatch.setattr(
            polishing.Head, "fit", lambda *given: (signal.raise_signal(signal.SIGINT), fit(*given))
        )
    said, out = train("--polish")
    assert said.code == 0
    kept = f"the best of {after} steps is kept" if after else "the model is as it was trained"
    assert f"polishing was interrupted: {kept}" in said.err
    assert FewShotSegmenter.load(out).polished_steps_ == after
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_interrupt_ends_all(train, monkeypatch):
    def interrupted(self, *given):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Polishing, "_step", interrupted)
    said, out = train("--polish")
    assert said.code == 130
    assert FewShotSegmenter.load(out).polished_steps_ == 0  # it was written before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--polish-minutes", "2"), "--polish-minutes must stand beside --polish"),
        (("--polish", "--polish-minutes", "0"), "--polish-minutes must be above 0"),
        (("--polish", "--backbone", "multiscale"), "--backbone must be embedded to be polished"),
        (("--polish", "--adapter", "cosine"), "--adapter must be contrastive or classification"),
    ],
)
def test_what_cannot_be_polished_is_said_before_the_training(train, options, message):
    said, out = train(*options)
    assert said.code == 2
    assert said.err.startswith(f"napari-fewshot: {message}")
    assert not out.exists()
