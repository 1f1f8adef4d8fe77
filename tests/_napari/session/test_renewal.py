"""Weights of the experts that held-out slices speak for: taken over behind what a person does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter
from napari_fewshot._napari.layers import image_volume
from napari_fewshot._napari.session.run import Run
from napari_fewshot._napari.session.teaching import provenance_of
from napari_fewshot.predict.learned import ExpertWeights

from .conftest import MINUTE, stroke

CHOSEN = ExpertWeights(carried=0.0)
SLICE = 4


@pytest.fixture
def chosen(monkeypatch):
    """Held-out slices speak against carried labels."""
    score = FewShotSegmenter.held_out_score

    def scored(self, *args):
        return replace(score(self, *args), weights=CHOSEN)

    monkeypatch.setattr(FewShotSegmenter, "held_out_score", scored)


@pytest.fixture
def stages(session):
    """Stages of the jobs that have ended, in their order."""
    found: list[str] = []
    session.events.job.connect(lambda job: found.append(job.stage) if job.is_over else None)
    return found


def settled(session, qtbot):
    qtbot.waitUntil(lambda: session.scores is not None, timeout=1000 * MINUTE)
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)


def predicted_keys(layer):
    return provenance_of(layer).slices_made("predicted")


def expected(session, image):
    axis = session.templates[0].slicing.axis
    return session.model.predict(image_volume(image, ()), axis=axis).labels


def test_a_result_is_renewed_with_the_weights_that_were_chosen(
    session, viewer, chosen, stages, qtbot
):
    session.train().wait(MINUTE)
    before = session.model
    session.propagate("image").wait(MINUTE)
    layer = session.result_layer("image")
    first, steps = layer.data.copy(), len(layer._undo_history)
    settled(session, qtbot)
    assert session.model is not before
    assert session.model.weights_ == session.scores.weights == CHOSEN
    assert stages[-2:] == ["score", "renew"] or stages[-3:-1] == ["score", "renew"]
    slicing = provenance_of(layer).slicing
    new = expected(session, viewer.layers["image"])
    keys = predicted_keys(layer)
    assert keys
    for key in keys:
        np.testing.assert_array_equal(slicing.plane(layer.data, key), slicing.plane(new, key))
    assert (layer.data != first).any()
    assert len(layer._undo_history) == steps + 1
    layer.undo()
    np.testing.assert_array_equal(layer.data, first)


def test_weights_stay_in_an_update_and_nothing_is_renewed_twice(
    session, viewer, chosen, stages, qtbot, truth
):
    session.train().wait(MINUTE)
    settled(session, qtbot)
    assert "renew" not in stages  # nothing was shown
    assert session.model.weights_ == CHOSEN
    session.propagate("image").wait(MINUTE)
    layer = session.result_layer("image")
    slicing = provenance_of(layer).slicing
    layer.data[slicing.index((SLICE,))] = slicing.plane(truth, (SLICE,))
    session.accept(SLICE, image="image")
    session.update("image").wait(MINUTE)
    assert session.model.weights_ == CHOSEN
    settled(session, qtbot)
    assert "renew" not in stages


def test_what_was_painted_since_is_not_touched(session, viewer, chosen, stages, qtbot):
    session.train().wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    layer = session.result_layer("image")
    key = predicted_keys(layer)[0]
    place = list(provenance_of(layer).slicing.plane_shape)
    centre = [side // 2 for side in place]
    centre.insert(provenance_of(layer).slicing.axis, key[-1])
    session.go_to(key[-1], "image")
    stroke(layer, centre, 9)
    settled(session, qtbot)
    assert "renew" in stages
    assert layer.data[tuple(centre)] == 9
    assert session.slices("image")[key[-1]].strokes


@pytest.mark.parametrize("what", ["undone", "refined", "in part", "not choosing", "one slice"])
def test_a_result_that_was_changed_since_is_left_alone(session, chosen, stages, qtbot, what):
    if what == "not choosing":
        session.configure(experts={"choose": False})
    session.train().wait(MINUTE)
    if what == "in part":
        session.propagate("image", slices=[3, 4, 5]).wait(MINUTE)
    else:
        session.propagate("image").wait(MINUTE)
    layer = session.result_layer("image")
    if what == "undone":
        layer.undo()
    elif what == "refined":
        session.refine("image", method="random-walker", slices=[SLICE]).wait(MINUTE)
    elif what == "one slice":
        session.propagate("image", into=layer, slices=[SLICE]).wait(MINUTE)
    before = layer.data.copy()
    settled(session, qtbot)
    assert "renew" not in stages
    assert (session.model.weights_ == CHOSEN) == (what != "not choosing")
    np.testing.assert_array_equal(layer.data, before)


def test_a_renewal_makes_way_for_what_a_person_asks_for(session, chosen, qtbot):
    jobs = []
    session.events.job.connect(lambda job: jobs.append(job) if job.stage == "renew" else None)
    session.train().wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    qtbot.waitUntil(lambda: bool(jobs), timeout=1000 * MINUTE)
    session.extract("image").wait(MINUTE)
    assert jobs[-1].is_over
    count = len({id(job) for job in jobs})
    settled(session, qtbot)
    assert len({id(job) for job in jobs}) == count  # it does not begin again


def test_carried_labels_are_seen_before_the_training(predicted, truth):
    layer = predicted.result_layer("image")
    slicing = provenance_of(layer).slicing
    key = predicted_keys(layer)[2]
    layer.data[slicing.index(key)] = slicing.plane(truth, key)
    predicted.accept(key[-1], image="image")
    predicted.go_to(key[-1] + 1, "image")
    order = []
    predicted.events.trained.connect(lambda: order.append("trained"))
    take = Run.take

    def taken(self, piece):
        order.append(piece.index)
        take(self, piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "take", taken)
        predicted.update("image").wait(MINUTE)
    assert order[:3] == [key[-1] + 1, "trained", key[-1] + 1]
