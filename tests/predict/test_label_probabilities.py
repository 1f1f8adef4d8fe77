"""Probabilities of all labels, from the chosen one and how sure it is."""

from __future__ import annotations

import numpy as np

from napari_fewshot.predict.random_walker import label_box, label_probabilities


def test_the_nearest_other_label_gets_the_rest_and_fades():
    numbers = np.array([[0, 0, 0, 1, 1, 2, 2, 2]])
    found = label_probabilities(numbers, np.full(numbers.shape, 0.7, np.float32), 3)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=0), numbers)
    np.testing.assert_allclose(found[:, 0, 2], [0.7, 0.3, 0], atol=1e-6)
    np.testing.assert_allclose(found[:, 0, 4], [0, 0.7, 0.3], atol=1e-6)
    rest = found[1, 0, :3] / found[0, 0, :3]
    np.testing.assert_allclose(rest, 0.3 / 0.7 * np.exp([-1.0, -0.5, 0.0]), rtol=1e-5)


def test_every_other_label_is_less_probable_than_the_chosen_one():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 5, (20, 24))
    found = label_probabilities(numbers, rng.random(numbers.shape).astype(np.float32), 5)
    chosen = np.take_along_axis(found, numbers[None], axis=0)[0]
    assert (found >= chosen).sum() == numbers.size


def test_nearest_is_nearest_of_all():
    """Against distances from every pixel to every other."""
    rng = np.random.default_rng(3)
    numbers = np.kron(rng.integers(0, 3, (4, 5)), np.ones((3, 4), int))
    found = label_probabilities(numbers, np.full(numbers.shape, 0.6, np.float32), 3)
    places = np.argwhere(numbers >= 0)
    for row, column in places:
        others = places[numbers[tuple(places.T)] != numbers[row, column]]
        gaps = np.hypot(*(others - (row, column)).T)
        nearest = {int(numbers[tuple(place)]) for place in others[gaps == gaps.min()]}
        second = int(np.argsort(found[:, row, column])[-2])
        assert second in nearest


def test_box_round_labels():
    labels = np.zeros((20, 30), int)
    labels[5:8, 28] = -3
    assert label_box(labels, 2) == (slice(3, 10), slice(26, 31))
