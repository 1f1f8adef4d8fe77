"""Patches of slices: where they are read, and what is known of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.config import SegmenterConfig
from napari_fewshot.config.augmentation import AugmentationConfig
from napari_fewshot.templates import Template
from napari_fewshot.templates.patches import NOTHING, PatchSampler
from napari_fewshot.templates.training_set import TrainingSet

EXACT = SegmenterConfig(intensity={"mode": "window", "low": 0.0, "high": 1.0})
TURNED = AugmentationConfig(brightness=0, contrast=0, gamma=0, noise=0)


def training(shape=(40, 56), seed=0):
    rng = np.random.default_rng(seed)
    image = rng.random((3, *shape)).astype(np.float32)
    labels = np.zeros((3, *shape), np.uint8)
    labels[1, 5:12, 20:30], labels[1, 30:33, 40:50] = 1, 4
    return TrainingSet.of(Template(image, labels), EXACT), image[1], labels[1]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_patch_larger_than_the_slice_has_all_of_it(mirrored):
    known, image, labels = training()
    patch = PatchSampler((48, 64), NOTHING, mirrored).draw(known, 0, np.random.default_rng(0))
    np.testing.assert_allclose(patch.image[0, 4:44, 4:60], image, atol=1e-5)
    np.testing.assert_array_equal(patch.classes[4:44, 4:60], np.array([0, 1, 0, 0, 2])[labels])
    assert (patch.classes[:4] == -1).all()
    assert (patch.classes[:, -4:] == -1).all()
    outside = patch.image[0, :4, 4:60]
    expected = image[3::-1] if mirrored else np.zeros((4, 56))
    np.testing.assert_allclose(outside, expected, atol=1e-5)
    np.testing.assert_allclose(patch.places[4, 4], [0, 0])
    np.testing.assert_allclose(patch.places[43, 59], [39, 55])


@pytest.mark.parametrize("mirrored", [False, True])
def test_what_is_read_of_a_large_slice_does_not_change_the_patch(mirrored, monkeypatch):
    known, _, _ = training((200, 300))
    sampler = PatchSampler((32, 48), TURNED, mirrored)
    patches = [sampler.draw(known, 0, np.random.default_rng(k)) for k in range(20)]
    windows = []
    whole = TrainingSet.image

    def image(self, number, window):
        windows.append(window)
        return whole(self, number)[:, *window]

    monkeypatch.setattr(TrainingSet, "image", image)
    for k, patch in enumerate(patches):
        again = sampler.draw(known, 0, np.random.default_rng(k))
        np.testing.assert_array_equal(again.image, patch.image)
        rows, columns = windows[-1]
        assert rows.stop - rows.start <= 80
        assert columns.stop - columns.start <= 90
        inside = np.rint(patch.places).astype(int)
        there = (inside >= 0).all(-1) & (inside < (200, 300)).all(-1)
        np.testing.assert_array_equal(patch.classes.numpy() >= 0, there)
        labels = known.examples[0].labels[tuple(inside[there].T)]
        np.testing.assert_array_equal(np.array([0, 1, 0, 0, 2])[labels], patch.classes[there])


def test_patches_of_large_slices_lie_where_they_are_wanted():
    known, _, _ = training((200, 300))
    sampler = PatchSampler((32, 32), NOTHING)
    for k in range(10):
        rng = np.random.default_rng(k)
        patch = sampler.draw(known, 0, rng, np.array([[150, 250]]))
        np.testing.assert_allclose(patch.places.mean(axis=(0, 1)), [150, 250])
    painted = [
        (sampler.draw(known, 0, np.random.default_rng(k)).classes > 0).any() for k in range(40)
    ]
    assert 15 <= np.sum(painted) < 40  # half of them, and some by chance


def test_unknown_pixels_stay_unknown():
    known, _, _ = training()
    labels = known.examples[0].labels.copy()
    labels[:, 28:] = -1
    known = replace(known, examples=(replace(known.examples[0], labels=labels),))
    patch = PatchSampler((32, 64), NOTHING).draw(known, 0, np.random.default_rng(0))
    seen = np.rint(patch.places).astype(int)
    there = (seen >= 0).all(-1) & (seen < (40, 56)).all(-1)
    np.testing.assert_array_equal(patch.classes.numpy() >= 0, there & (seen[..., 1] < 28))
