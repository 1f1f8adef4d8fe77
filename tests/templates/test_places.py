"""Whether labels have their places."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Landmark, SegmenterConfig, Template
from napari_fewshot.templates import places
from napari_fewshot.templates.places import have_places, worth_of_place
from napari_fewshot.templates.training_set import TrainingSet

SHAPE = (9, 80, 96)
Y, X = np.mgrid[: SHAPE[1], : SHAPE[2]]


def organs():
    """Two discs that grow and move a little from slice to slice."""
    labels = np.zeros(SHAPE, np.uint8)
    for k in range(SHAPE[0]):
        labels[k][(Y - 30 - k) ** 2 + (X - 25) ** 2 < (10 + k) ** 2] = 1
        labels[k][(Y - 50) ** 2 + (X - 70 + k) ** 2 < 14**2] = 2
    return labels


def nuclei(seed=0):
    """Small discs anywhere, others on each slice."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    for k in range(SHAPE[0]):
        for y, x in rng.random((25, 2)) * SHAPE[1:]:
            labels[k][(Y - y) ** 2 + (X - x) ** 2 < 25] = 1
    return labels


def training(labels, painted=(1, 4, 7), **settings):
    image = np.random.default_rng(1).random(SHAPE, np.float32)
    kept = np.zeros_like(labels)
    kept[list(painted)] = labels[list(painted)]
    return TrainingSet.of(Template(image, kept, axis=0, **settings), SegmenterConfig())


def test_organs_have_places_and_nuclei_have_not():
    assert worth_of_place(training(organs())) > 0.3
    for seed in range(5):
        assert worth_of_place(training(nuclei(seed))) < 0.05
    assert have_places(training(organs()))
    assert not have_places(training(nuclei()))


def test_strokes_tell_it_too():
    for labels, have in ((organs(), True), (nuclei(), False)):
        strokes = np.zeros_like(labels)
        for k in (1, 4, 7):
            rows = slice(10 + k, None, 13)
            strokes[k, rows] = np.where(labels[k, rows] > 0, labels[k, rows], 9)
        own = training(strokes, kind="scribble", background=9)
        assert have_places(own) == have


def test_what_a_model_guesses_must_say_more(monkeypatch):
    """Guesses lie about strokes, so that some worth of place is theirs."""
    own = training(organs())
    monkeypatch.setattr(places, "worth_of_place", lambda _: 0.2)
    assert have_places(own)
    assert not have_places(own, guessed=True)
    monkeypatch.setattr(places, "worth_of_place", lambda _: 0.3)
    assert have_places(own, guessed=True)
    monkeypatch.setattr(places, "worth_of_place", lambda _: None)
    assert have_places(own)
    assert not have_places(own, guessed=True)


def test_places_are_compared_between_images():
    templates = [
        Template(np.random.default_rng(k).random(SHAPE[1:]), nuclei(k)[0]) for k in range(3)
    ]
    assert not have_places(TrainingSet.of(templates, SegmenterConfig()))
    templates = [
        Template(np.random.default_rng(k).random(SHAPE[1:]), organs()[k]) for k in range(3)
    ]
    assert have_places(TrainingSet.of(templates, SegmenterConfig()))


@pytest.mark.parametrize("labels", [organs, nuclei])
def test_one_slice_tells_nothing(labels):
    assert worth_of_place(training(labels(), painted=[4])) is None
    assert have_places(training(labels(), painted=[4]))


def test_points_tell_nothing():
    image = np.random.default_rng(1).random(SHAPE, np.float32)
    points = [Landmark("tip", 1, (2, 30, 30)), Landmark("rim", 2, (6, 60, 60))]
    own = TrainingSet.of(Template(image, points=points, axis=0), SegmenterConfig())
    assert worth_of_place(own) is None


def test_labels_of_one_slice_alone_tell_nothing():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1][organs()[1] == 1] = 1
    labels[7][organs()[7] == 2] = 2
    assert worth_of_place(training(labels, painted=(1, 7))) is None
    labels[4][organs()[4] == 1] = 1  # one more of label 1, nothing more of label 2
    assert worth_of_place(training(labels)) > 0.3
