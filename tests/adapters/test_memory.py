"""Pixels that a model keeps: how many, of what, and as they were."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.adapters.memory import Remembered
from napari_fewshot.templates.pixels import Samples


def samples(counts, label_values=(2, 5), known=1000):
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(len(counts)), counts)
    possible = np.eye(len(counts), dtype=bool)[classes]
    features = rng.normal(3, 2, (len(classes), 4)).astype(np.float32)
    places = np.zeros((len(classes), 3), np.float32)
    frequency = np.array(counts) / sum(counts)
    return Samples(features, classes, possible, places, label_values, frequency, known=known)


@pytest.mark.parametrize(
    ("counts", "most", "kept"),
    [
        ((500, 300, 200), 100, (50, 25, 25)),
        ((500, 300, 4), 100, (50, 46, 4)),
        ((10, 300, 200), 100, (10, 25, 25)),
        ((5, 3, 2), 100, (5, 3, 2)),
        ((500, 0, 200), 100, (50, 0, 50)),
    ],
)
def test_half_is_background_and_labels_have_like_parts(counts, most, kept):
    found = Remembered.of(samples(counts), most, seed=0)
    assert tuple(np.bincount(found.classes, minlength=3)) == kept


def test_none_is_kept_of_none():
    assert Remembered.of(samples((50, 30, 20)), 0, seed=0) is None


def test_they_come_back_as_they_were():
    kept = Remembered.of(samples((50, 30, 20)), 40, seed=1)
    mean, scale = np.full(4, 3, np.float32), np.array([0.5, 0.5, 0.5, 0], np.float32)
    tensors, values = kept.packed(mean, scale)
    back = Remembered.unpacked(tensors, values, mean, scale)
    np.testing.assert_allclose(back.features[:, :3], kept.features[:, :3], atol=5e-3)
    np.testing.assert_array_equal(back.features[:, 3], 3)  # it did not vary: nothing is lost
    np.testing.assert_array_equal(back.classes, kept.classes)
    np.testing.assert_array_equal(back.possible, kept.possible)
    assert (back.known, list(back.frequency)) == (1000, list(kept.frequency))
    with pytest.raises(ValueError, match="remembered pixels"):
        Remembered.unpacked(tensors, values, mean[:3], scale[:3])


def test_behind_new_samples_a_label_that_is_new_is_unknown():
    kept = Remembered.of(samples((50, 30, 20), known=3000), 40, seed=1)
    new = samples((6, 0, 3, 2), label_values=(2, 3, 5), known=1000)
    both = kept.joined(new, (2, 5))
    assert len(both.features) == 11 + 40
    old = slice(11, None)
    assert set(both.classes[old]) == {0, 1, 3}
    background = both.classes[old] == 0
    np.testing.assert_array_equal(both.possible[old][background], [[True, False, True, False]] * 20)
    assert (both.possible[old][~background].sum(axis=1) == 1).all()
    assert both.known == 4000
    np.testing.assert_allclose(
        both.frequency, (1 * new.frequency + 3 * np.array([0.5, 0.3, 0, 0.2])) / 4
    )
