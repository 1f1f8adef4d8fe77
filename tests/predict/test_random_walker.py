"""The refinement that needs no download."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_fewshot import Volume, get_refiner, refine_labels
from napari_fewshot.predict import random_walker
from napari_fewshot.predict.random_walker import random_walk
from napari_fewshot.predict.refine import LabelRefiner


def reference_walk(image, prior, hold, beta):
    """The same by the equations of Grady 2005, dense: (L + diag(hold)) x = hold * prior."""
    height, width = prior.shape[1:]
    steps = [((image[:, 1:] - image[:, :-1]) ** 2).sum(0)]
    steps.append(((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum(0))
    mean = np.mean([step.mean() for step in steps])
    system = np.diag(hold.ravel().astype(float))
    for row in range(height):
        for column in range(width):
            for down, right in ((1, 0), (0, 1)):
                if row + down == height or column + right == width:
                    continue
                one, two = row * width + column, (row + down) * width + column + right
                gap = ((image[:, row, column] - image[:, row + down, column + right]) ** 2).sum()
                weight = np.exp(-beta * gap / mean) + 1e-6
                system[[one, two], [one, two]] += weight
                system[[one, two], [two, one]] -= weight
    return np.array(
        [np.linalg.solve(system, hold.ravel() * p.ravel()).reshape(height, width) for p in prior]
    )


def test_it_solves_the_equations():
    rng = np.random.default_rng(1)
    image = rng.random((2, 7, 9)).astype(np.float32)
    prior = rng.dirichlet((1, 1, 1), (7, 9)).transpose(2, 0, 1).astype(np.float32)
    hold = rng.uniform(0.2, 3, (7, 9))
    found = random_walk(image, prior, hold, 2.0)
    np.testing.assert_allclose(found, reference_walk(image, prior, hold, 2.0), atol=5e-3)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_a_constant_image_and_a_line_have_no_edges():
    prior = np.zeros((2, 1, 9), np.float32)
    prior[0, 0, :4], prior[1, 0, 4:] = 1, 1
    found = random_walk(np.ones((1, 1, 9), np.float32), prior, np.full((1, 9), 0.1), 10.0)
    assert np.isfinite(found).all()
    assert (np.diff(found[1, 0]) > 0).all()


def iou(found, truth, label):
    found, truth = found == label, truth == label
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("given", [True, False])
def test_labels_come_nearer_to_the_truth(scene, given):
    confidence = scene.confidence if given else None
    found, _ = refine_labels(scene.image, scene.labels, confidence, method="random-walker")
    for label in (3, 200):
        before = iou(scene.labels, scene.truth, label)
        assert iou(found, scene.truth, label) > before + (0.01 if given else 0)


def test_sure_pixels_keep_their_label_and_confidence(scene):
    sure = scene.confidence >= 0.9
    found, confidence = refine_labels(
        scene.image, scene.labels, scene.confidence, method="random-walker"
    )
    np.testing.assert_array_equal(found[sure], scene.labels[sure])
    np.testing.assert_array_equal(confidence[sure], scene.confidence[sure])
    changed = found != scene.labels
    assert changed.any()
    assert (confidence[changed] != scene.confidence[changed]).any()
    np.testing.assert_array_equal(
        refine_labels(scene.image, scene.labels, np.ones_like(scene.confidence),
                      method="random-walker")[0],
        scene.labels,
    )  # fmt: skip


def test_settings_count(scene):
    def refined(**walker):
        refiner = get_refiner("random-walker", config={"walker": walker})
        return refine_labels(scene.image, scene.labels, scene.confidence, method=refiner)[0]

    default = refined()
    for change in ({"appearance": 2}, {"prior_weight": 0.05}, {"confidence": 0.5}):
        assert (refined(**change) != default).any(), change
    # Nobody moves where all hold to what they are and looks do not count.
    np.testing.assert_array_equal(refined(appearance=0, prior_weight=1e4), scene.labels)


def test_slices_without_a_solution_stay_as_they_were(scene, monkeypatch, caplog):
    monkeypatch.setattr(random_walker, "_MAX_STEPS", 1)
    given = scene.labels, scene.confidence
    found = refine_labels(scene.image, *given, method="random-walker")
    np.testing.assert_array_equal(found, given)
    (record,) = caplog.records
    assert "found no solution for slice 1: it stays as it was" in record.message


def test_slices_of_one_label_and_odd_images(scene):
    labels = np.full((1, 12, 12), 4, np.uint8)
    image = np.zeros((1, 12, 12), np.float32)
    unsure = np.full(labels.shape, 0.4, np.float32)
    found, _ = refine_labels(image, labels, unsure, method="random-walker")
    np.testing.assert_array_equal(found, labels)  # nothing else to be
    labels[0, :6] = 0
    for odd in (image, np.full_like(image, np.nan), image.astype(np.uint8)):
        found, confidence = refine_labels(odd, labels, unsure, method="random-walker")
        assert set(np.unique(found)) <= {0, 4}
        assert np.isfinite(confidence).all()
    narrow = refine_labels(image[:, :1], labels[:, 5:6], unsure[:, :1], method="random-walker")
    assert narrow[0].shape == (1, 1, 12)


def test_many_labels_in_one_slice():
    rng = np.random.default_rng(2)
    labels = np.kron(rng.permutation(64).reshape(8, 8), np.ones((6, 6), int)).astype(np.uint16)
    image = labels * 10.0 + rng.normal(0, 1, labels.shape)
    confidence = rng.uniform(0.3, 1, labels.shape).astype(np.float32)
    found, _ = refine_labels(image, labels * 7, confidence, method="random-walker")
    assert set(np.unique(found)) <= set(np.unique(labels * 7))
    assert (found == labels * 7).mean() > 0.95


@pytest.mark.slow
def test_a_large_slice_takes_seconds():
    rows, columns = np.indices((1024, 1024))
    truth = (np.hypot(rows - 500, columns - 480) < 350).astype(np.uint8)
    rng = np.random.default_rng(0)
    image = truth * 100 + rng.normal(0, 20, truth.shape)
    off = np.roll(truth, 4, axis=0)
    distance = np.abs(np.hypot(rows - 504, columns - 480) - 350)
    confidence = (0.5 + 0.5 * np.minimum(1, distance / 12)).astype(np.float32)
    work = LabelRefiner(Volume.of(image), off, confidence, get_refiner("random-walker"))
    start = time.perf_counter()
    (part,) = work.run()
    assert time.perf_counter() - start < 60
    assert (part.labels == truth).mean() > (off == truth).mean() - 1e-3  # and makes none worse
