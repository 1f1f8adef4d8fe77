"""Landmarks of templates as arrangements, through volumes of any orientation."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_fewshot import Landmark, Template, Volume
from napari_fewshot.config import IntensityConfig, LandmarkConfig
from napari_fewshot.predict.constellation import locate_landmarks
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.training_set import arrangements_of

SHAPE = (30, 36, 42)
# File order (x, y, z) with y from the front to the back and z downwards; 2 mm slices.
AFFINE = np.array([[1.0, 0, 0, 0], [0, -1, 0, 35], [0, 0, -2, 82], [0, 0, 0, 1]])
PLACES = np.random.default_rng(0).uniform(6, 24, (13, 3))


def volume(affine=None):
    data = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    spacing = (1, 1, 2) if affine is not None else (1, 1, 1)
    return Volume(data, spacing, affine)


def marks(places):
    return [Landmark(f"p{k}", k, tuple(place)) for k, place in enumerate(places, start=1)]


def blobs(stack, shown):
    """Probabilities with blobs at places in file order, {label: [(place, height)]}."""
    kept = np.zeros((len(PLACES), *stack.grid.shape), np.uint8)
    grid = np.indices(stack.grid.shape)
    for label, several in shown.items():
        whole = np.zeros(stack.grid.shape)
        for place, height in several:
            moved = stack.frame.points_to_canonical(np.array([place]), SHAPE)[0]
            at = np.insert(np.delete(moved, stack.axis), 0, moved[stack.axis])
            square = sum((g - c) ** 2 for g, c in zip(grid, at, strict=True))
            whole = np.maximum(whole, height * np.exp(-square / 8))
        kept[label - 1] = np.round(255 * whole)
    return kept


def learned(templates):
    labels = tuple(range(1, len(PLACES) + 1))
    return SimpleNamespace(
        label_values=labels,
        names={k: f"p{k}" for k in labels},
        point_labels=frozenset(labels),
        arrangements=arrangements_of(templates, range(len(templates))),
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("affine", [None, AFFINE])
def test_weak_peaks_in_their_places_win_over_strong_ones_elsewhere(axis, affine):
    image = volume(affine)
    model = learned([Template(image, points=marks(PLACES), axis=0)])
    moved = PLACES + np.array([2.0, 3.0, 4.0])
    shown = {k: [(place, 0.9)] for k, place in enumerate(moved, start=1)}
    shown[4] = [(moved[3], 0.2), (np.array([27.0, 33.0, 2.0]), 0.95)]
    del shown[7]  # seen nowhere
    stack = SliceStack(image, axis, IntensityConfig())
    kept = blobs(stack, shown)
    found = {
        p.label: stack.landmark_to_file(p)
        for p in locate_landmarks(kept, model, LandmarkConfig(), stack, model.label_values)
    }
    assert sorted(found) == list(range(1, 14))
    errors = [np.linalg.norm(np.array(found[k].position) - moved[k - 1]) for k in found]
    assert max(errors) < 1.5
    assert found[7].score < 0.1 < found[4].score < 0.3 < found[1].score
    free = locate_landmarks(
        kept, model, LandmarkConfig(arrangement=False), stack, model.label_values
    )
    alone = {p.label: stack.landmark_to_file(p) for p in free}
    assert 7 not in alone
    assert np.linalg.norm(np.array(alone[4].position) - [27, 33, 2]) < 1


def test_places_outside_of_the_image_are_left_out():
    image = volume()
    model = learned([Template(image, points=marks(PLACES), axis=0)])
    away = PLACES - np.array([0, 0, PLACES[:, 2].min() + 3])
    shown = {k: [(p, 0.9)] for k, p in enumerate(away, start=1) if p[2] > 1}
    lost = 1 + int(PLACES[:, 2].argmin())
    shown[lost] = [(np.array([20.0, 20.0, 20.0]), 0.8)]  # looks like it, but cannot be
    stack = SliceStack(image, 0, IntensityConfig())
    found = {
        p.label
        for p in locate_landmarks(
            blobs(stack, shown), model, LandmarkConfig(), stack, model.label_values
        )
    }
    assert set(shown) - {lost} <= found
    assert lost not in found


def test_arrangements_are_of_images_and_of_single_points():
    image, other = volume(AFFINE), volume()
    points = marks(PLACES)
    twice = [*points[:3], Landmark("p1", 1, (1.0, 2.0, 3.0))]
    first, second = arrangements_of(
        [
            Template(image, points=points[:5], axis=2),
            Template(image, points=points[5:], axis=2),
            Template(other, points=twice, axis=0),
        ],
        [0, 0, 1],
    )
    assert sorted(first) == list(range(1, 14))
    # Canonical order is (superior, anterior, right) in mm.
    x, y, z = PLACES[0]
    assert first[1] == pytest.approx((2 * (SHAPE[2] - 1 - z), SHAPE[1] - 1 - y, x))
    assert sorted(second) == [2, 3]
