"""The network of the model is trained too, behind what a person does."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import InputError, NotFittedError
from napari_fewshot._napari.layers import image_volume
from napari_fewshot.adapters.polishing.trainer import Polishing
from napari_fewshot.segmenter import polishing

from .conftest import MINUTE

STEPS = 3


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(polishing, "STEPS", STEPS)
    monkeypatch.setattr(polishing, "MORE_STEPS", 1)


@pytest.fixture
def embedded(session):
    session.configure(
        backbone="embedded",
        adapter="classification",
        of_adapter={"hidden": 32, "steps": 80, "batch": 256, "update_steps": 20},
    )
    return session


@pytest.fixture
def shown(embedded):
    """A result that can be renewed."""
    embedded.train(score=False).wait(MINUTE)
    embedded.propagate("image").wait(MINUTE)
    return embedded


def idle(session, qtbot):
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)


def slow_steps(monkeypatch, act):
    """Polishing of very many steps; ``act`` is called after each."""
    step = Polishing._step

    def slowly(self, *given):
        step(self, *given)
        act(self.steps)

    monkeypatch.setattr(polishing, "STEPS", 10**6)
    monkeypatch.setattr(Polishing, "_step", slowly)


def begun_polishing(session, monkeypatch, qtbot):
    """A polishing of very many steps that has made the first of them."""
    begun = []
    slow_steps(monkeypatch, begun.append)
    job = session.polish()
    qtbot.waitUntil(lambda: bool(begun), timeout=1000 * MINUTE)
    return job


def test_the_result_is_renewed_by_the_polished_model(shown, viewer, qtbot):
    before, layer = shown.model, shown.result_layer("image")
    first, steps = layer.data.copy(), len(layer._undo_history)
    told = []
    shown.events.trained.connect(lambda: told.append(shown.model.polished_steps_))
    polished = shown.polish().wait(MINUTE)
    assert shown.model is polished
    assert before.polished_steps_ == 0
    assert told == [STEPS]
    idle(shown, qtbot)
    assert len(layer._undo_history) == steps + 1
    axis = shown.templates[0].slicing.axis
    new = polished.predict(image_volume(viewer.layers["image"], ()), axis=axis).labels
    untaught = [s.index for s in shown.slices("image") if s.status == "predicted"]
    assert untaught
    for index in untaught:
        one, other = (np.moveaxis(array, axis, 0)[index] for array in (layer.data, new))
        np.testing.assert_array_equal(one, other)
    layer.undo()
    np.testing.assert_array_equal(layer.data, first)
    assert shown.polish().wait(MINUTE).polished_steps_ == STEPS + 1


def test_cancelled_it_keeps_the_best_so_far(shown, monkeypatch, qtbot):
    job = None

    def act(steps):
        if steps == 2:
            job.cancel()

    slow_steps(monkeypatch, act)
    job = shown.polish()
    assert job.wait(MINUTE).polished_steps_ == 2
    assert job.state == "done"
    assert shown.model.polished_steps_ == 2
    idle(shown, qtbot)


def test_what_is_asked_for_meanwhile_ends_it(shown, monkeypatch, qtbot):
    job = begun_polishing(shown, monkeypatch, qtbot)
    shown.update("image").wait(MINUTE)
    assert job.state == "done"
    assert shown.model.polished_steps_ >= 1  # the update goes on from it
    idle(shown, qtbot)


def test_it_goes_on_with_other_settings_and_a_new_model_is_not_replaced(shown, monkeypatch, qtbot):
    job = begun_polishing(shown, monkeypatch, qtbot)
    shown.configure(seed=3)
    assert job.state == "running"
    shown.train(score=False).wait(MINUTE)
    assert job.state == "done"
    assert shown.model.polished_steps_ == 0
    idle(shown, qtbot)


def test_a_score_goes_on_after_it(embedded, qtbot):
    embedded.train().wait(MINUTE)
    embedded.polish().wait(MINUTE)
    qtbot.waitUntil(lambda: embedded.scores is not None, timeout=1000 * MINUTE)
    idle(embedded, qtbot)
    assert embedded.model.polished_steps_ == STEPS
    assert embedded.model.weights_ == embedded.scores.weights


def test_what_is_missing_is_said_at_once(session, tmp_path):
    with pytest.raises(NotFittedError, match="no model yet"):
        session.polish()
    session.train(score=False).wait(MINUTE)
    with pytest.raises(InputError, match="backbone must be embedded to be polished"):
        session.polish()
    session.save_model(tmp_path / "model")
    session.load_model(tmp_path / "model")
    for ask in (session.polish, lambda: session.estimate("polish")):
        with pytest.raises(NotFittedError, match="loaded model"):
            ask()
