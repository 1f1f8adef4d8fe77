"""Models of strokes: whether labels have places is told by what is sure, and trees teach."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Cancelled, NotFittedError, Template, Volume
from napari_fewshot.predict.learned import ExpertWeights
from napari_fewshot.segmenter import learning
from napari_fewshot.segmenter.self_training import self_labelled
from napari_fewshot.templates.known import UNKNOWN
from napari_fewshot.types import no_progress

SHAPE = (9, 64, 72)
BACKGROUND = 9
Y, X = np.mgrid[: SHAPE[1], : SHAPE[2]]


def discs(placed, seed=0):
    """One disc that hardly moves from slice to slice, or eight anywhere."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    for k, plane in enumerate(labels):
        places = [(30 + k / 2, 40)] if placed else rng.random((8, 2)) * (44, 52) + 10
        for y, x in places:
            plane[(Y - y) ** 2 + (X - x) ** 2 < (200 if placed else 25)] = 1
    return labels


def strokes(labels, painted=(1, 4, 7)):
    """Every sixth row of some slices."""
    found = np.zeros_like(labels)
    for k in painted:
        found[k, 2::6] = np.where(labels[k, 2::6] > 0, 1, BACKGROUND)
    return found


@pytest.fixture
def trees(monkeypatch):
    """How many trees learned."""
    grown, make = [], learning.trees_adapter

    def noted(labels, seed):
        grown.append((labels, seed))
        return make(labels, seed)

    monkeypatch.setattr(learning, "trees_adapter", noted)
    return grown


def scribbled(labels, distance=9.0):
    noise = np.random.default_rng(1).normal(0, 0.1, SHAPE)
    image = Volume((labels + noise).astype(np.float32), (distance, 1.0, 1.0))  # none is alike
    return Template(image, strokes(labels), axis=0, kind="scribble", background=BACKGROUND)


def dice(model, template, labels):
    found = np.asarray(model.predict(template.volume).labels) == 1
    return 2 * (found & (labels == 1)).sum() / (found.sum() + labels.sum())


def test_trees_teach_labels_that_lie_anywhere(quick, trees):
    labels = discs(placed=False)
    template = scribbled(labels)
    model = quick(seed=3).fit(template)
    assert trees == [(1, 3)]
    assert model._learned().knows_places is False
    assert model.weights_ == ExpertWeights.usual(places=False)
    assert dice(model, template, labels) > 0.8


def test_labels_with_places_learn_them(quick, trees):
    labels = discs(placed=True)
    template = scribbled(labels)
    model = quick().fit(template)
    assert not trees
    assert model._learned().knows_places is True
    assert model.weights_ == ExpertWeights()
    assert dice(model, template, labels) > 0.8


@pytest.mark.parametrize(
    ("placed", "distance", "beside"),
    [(True, 1.0, "hand_made"), (False, 1.0, "hand_made_3d"), (False, 9.0, "hand_made")],
)
def test_features_of_volumes_count_where_labels_lie_anywhere(quick, placed, distance, beside):
    template = scribbled(discs(placed), distance)
    model = quick().fit(template)
    assert list(model._learned().beside) == [beside]
    more = model.updated(template)
    assert list(more._learned().beside) == [beside]


def test_strokes_themselves_do_not_decide(quick, trees, monkeypatch):
    """What is sure of slices says whether labels have places, where strokes say otherwise."""
    asked, have = [], learning.have_places

    def told(training, *, guessed=False):
        asked.append(guessed)
        return have(training, guessed=guessed) if guessed else False

    monkeypatch.setattr(learning, "have_places", told)
    model = quick().fit(scribbled(discs(placed=True)))
    assert asked == [True]
    assert model._learned().knows_places is True
    assert not trees


def test_whole_slices_decide_themselves_and_need_no_trees(quick, trees):
    labels = discs(placed=False)
    painted = np.zeros_like(labels)
    painted[[1, 4, 7]] = labels[[1, 4, 7]]
    model = quick().fit(Template(scribbled(labels).volume, painted, axis=0))
    assert model._learned().knows_places is False
    assert not trees


def test_without_hand_made_features_there_are_no_trees(quick, trees):
    model = quick(experts={"hand_made": False}).fit(scribbled(discs(placed=False)))
    assert model._learned().knows_places is False
    assert not trees


def test_large_slices_would_take_trees_long(quick, trees, monkeypatch):
    template = scribbled(discs(placed=False))
    monkeypatch.setattr(learning, "_MOST_BY_TREES", template.volume.data.size - 1)
    model = quick().fit(template)
    assert model._learned().knows_places is False
    assert not trees


def test_updates_are_quick_and_go_on_without_trees(quick, trees):
    labels = discs(placed=False)
    template = scribbled(labels)
    model = quick().fit(template)
    trees.clear()
    more = Template(
        template.volume,
        strokes(labels, (1, 4, 6, 7)),
        axis=0,
        kind="scribble",
        background=BACKGROUND,
    )
    updated = model.updated(more)
    assert not trees
    assert updated._learned().knows_places is False
    assert updated.weights_ == model.weights_
    assert dice(updated, template, labels) > 0.8


def test_the_held_out_score_is_of_what_was_decided(quick, trees, monkeypatch):
    model = quick().fit(scribbled(discs(placed=False)))
    trees.clear()
    built, build = [], learning.build_adapter

    def noted(config, *rest):
        built.append(config.position.use)
        return build(config, *rest)

    monkeypatch.setattr(learning, "build_adapter", noted)
    score = model.held_out_score()
    assert score is not None
    assert set(built) == {False}
    assert not trees


def test_cancelled_while_trees_are_to_teach(quick, monkeypatch):
    """Nothing is half fitted."""
    model = quick()

    def stop(labels, seed):
        raise Cancelled

    monkeypatch.setattr(learning, "trees_adapter", stop)
    with pytest.raises(Cancelled):
        model.fit(scribbled(discs(placed=False)))
    with pytest.raises(NotFittedError):
        _ = model.weights_


def test_what_networks_alone_are_sure_of_is_not_learned(quick):
    """Half the pixels: the network says label, trees say half and half."""
    template = scribbled(discs(placed=False))
    model = quick(experts={"self_training": False}).fit(template)
    training, experts = model.training_set_, model.volume_predictor().experts

    class Doubtful:
        def planes(self, stack, indices):
            for _ in indices:
                plane = np.full((2, *SHAPE[1:]), 0.5, np.float32)
                plane[:, :, 36:] = [[[0.0]], [[1.0]]]  # and here they are sure of the label
                yield plane

    known = self_labelled(training, experts, no_progress, trees=Doubtful())
    alone = self_labelled(training, experts, no_progress)
    for before, after, without in zip(
        training.examples, known.examples, alone.examples, strict=True
    ):
        new = (before.labels == UNKNOWN) & (after.labels != UNKNOWN)
        assert not new[:, :36].any()
        assert set(np.unique(after.labels[:, 36:][new[:, 36:]])) == {1}
        assert ((before.labels == UNKNOWN) & (without.labels != UNKNOWN))[:, :36].any()
