"""Clicks correct a label near them, and nowhere else."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_fewshot.config import WalkerConfig
from napari_fewshot.predict.clicks import corrected_by_clicks

CONFIG = WalkerConfig()


def discs(side=160, noise=0.05):
    """Two bright discs, and each of them alone."""
    y, x = np.mgrid[:side, :side]
    one = (y - 45) ** 2 + (x - 45) ** 2 < 20**2
    other = (y - 110) ** 2 + (x - 110) ** 2 < 24**2
    rng = np.random.default_rng(0)
    image = 0.3 + 0.4 * (one | other) + rng.normal(0, noise, (side, side))
    return image[None].astype(np.float32), one, other


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def clicked(image, label, probability, *points):
    places, inside = np.array([p[:2] for p in points], float), np.array([p[2] for p in points])
    return corrected_by_clicks(image, label, probability, places, inside, CONFIG)


def test_a_click_inside_fills_what_was_missed():
    image, one, other = discs()
    found = clicked(image, one, np.where(one, 0.9, 0.15), (110, 110, True))
    assert dice(found.added, other) > 0.9
    assert not found.removed.any()
    assert not (found.added & (np.hypot(*(np.mgrid[:160, :160] - 110)) > 60)).any()


def test_a_click_outside_takes_away_what_was_too_much():
    image, one, other = discs()
    found = clicked(image, one | other, np.where(one | other, 0.9, 0.1), (45, 45, False))
    assert dice(found.removed, one) > 0.9
    assert not (found.removed & other).any()
    assert not found.added.any()


def test_an_edge_that_was_missed_comes_back():
    """A leak beside the disc is cut by a click in it, while the disc stays."""
    image, one, _ = discs()
    leak = np.zeros_like(one)
    leak[40:52, 60:90] = True
    found = clicked(image, one | leak, None, (46, 80, False), (45, 45, True))
    after = (one | leak | found.added) & ~found.removed
    assert dice(after, one) > 0.95


def test_without_a_model_paint_is_what_is_known():
    image, _, other = discs()
    found = clicked(image, np.zeros_like(other), None, (110, 110, True), (110, 145, False))
    assert dice(found.added, other) > 0.85


def test_a_click_on_what_is_right_changes_nothing():
    image, one, _ = discs()
    found = clicked(image, one, np.where(one, 0.95, 0.05), (45, 45, True), (100, 20, False))
    assert found.added.sum() + found.removed.sum() < 0.05 * one.sum()


@pytest.mark.parametrize("at", [(0, 0), (159, 159), (0, 80)])
def test_clicks_at_the_edge(at):
    image, one, _ = discs()
    found = clicked(image, one, None, (*at, True))
    assert found.added[at]
    assert not (found.added & one).any()
    assert not (found.removed & ~one).any()


def test_a_large_slice_is_looked_at_in_part():
    image = np.zeros((1, 2000, 2000), np.float32)
    image[:, 500:1500, 500:1500] = 1
    label = image[0] > 0
    clicked(image, label, None, (600, 600, False))  # imports
    start = time.perf_counter()
    found = clicked(image, label, None, (600, 600, False))
    assert time.perf_counter() - start < 5
    assert found.removed.any()
