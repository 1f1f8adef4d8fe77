"""Weights of the experts, chosen on slices that were left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.predict.learned import ExpertWeights
from napari_fewshot.segmenter.choice import HeldOutSlice, choose_weights
from napari_fewshot.slices.stack import SlicePosition
from napari_fewshot.templates.known import UNKNOWN, KnownSlice

USUAL = ExpertWeights()
SHAPE = (40, 44)


def held(number, *right, carried=None, known=(2, 5), share=1.0):
    """A slice; each expert gives the right class so much of its probability, the rest by chance."""
    rng = np.random.default_rng(number)
    labels = np.array([0, 2, 5])[rng.integers(0, 3, SHAPE)].astype(np.int32)

    def plane(good):
        truth = (labels == np.array([0, 2, 5])[:, None, None]).astype(float)
        noise = rng.dirichlet([1, 1, 1], SHAPE).transpose(2, 0, 1)
        return (good * truth + (1 - good) * noise).astype(np.float16)

    example = KnownSlice(labels, SlicePosition(number, (20, *SHAPE), 0), frozenset(known))
    likely = None if carried is None else plane(carried)
    planes = tuple(plane(good) for good in right)
    beside = ("hand_made", "grey")[: len(planes) - 1]
    return HeldOutSlice(example, planes, beside, likely, share, frozenset({0, 2, 5}))


def choose(slices, painted=True, usual=USUAL):
    """Weights alone, without the temperature."""
    found = choose_weights(slices, [2, 5], usual, painted)
    return replace(found, temperature=usual.temperature)


def test_the_better_expert_has_more_weight():
    assert choose([held(k, 0.1, 0.8) for k in range(5)]).hand_made == 0.8
    assert choose([held(k, 0.8, 0.0) for k in range(5)]).hand_made <= 0.2
    found = choose([held(k, 0.8, 0.0) for k in range(5)], painted=False)
    assert found == ExpertWeights(elsewhere=0.0)


def test_grey_has_more_weight_where_colours_mislead():
    assert choose([held(k, 0.1, 0.3, 0.8) for k in range(5)], painted=False).grey == 2 / 3
    assert choose([held(k, 0.8, 0.3, 0.0) for k in range(5)], painted=False).grey == 0
    assert choose([held(k, 0.5, 0.5, 0.5) for k in range(5)], painted=False) == USUAL


def test_shares_of_adapters():
    weights = ExpertWeights(hand_made=0.5, elsewhere=0.2, grey=0.25)
    assert weights.shares((), is_painted=True) == (1.0,)
    assert weights.shares(("hand_made",), is_painted=True) == (0.5, 0.5)
    assert weights.shares(("hand_made", "grey"), is_painted=False) == pytest.approx((0.6, 0.2, 0.2))
    assert weights.shares(("grey",), is_painted=False) == (0.75, 0.25)


def test_carried_labels_that_mislead_have_none():
    found = choose([held(k, 0.7, 0.7, carried=0.0) for k in range(5)])
    assert found.carried < USUAL.carried
    found = choose([held(k, 0.3, 0.3, carried=0.95) for k in range(5)])
    assert found.carried == USUAL.carried


def test_too_few_slices_or_too_little_gain_change_nothing():
    assert choose([held(k, 0.0, 0.9) for k in range(2)]) == USUAL
    assert choose([held(k, 0.5, 0.5) for k in range(8)]) == USUAL
    assert choose([]) == USUAL
    assert choose([held(k, 0.5) for k in range(5)], painted=False) == USUAL
    assert choose([held(k, 0.5) for k in range(5)]) == USUAL


def test_one_slice_that_differs_is_no_reason():
    slices = [held(k, 0.5, 0.5) for k in range(5)] + [held(9, 0.0, 0.9)]
    assert choose(slices) == USUAL


def test_too_much_confidence_is_no_fault():
    """An expert is compared at its best temperature."""
    slices = []
    for k in range(6):
        one = held(k, 0.6, 0.1)
        sharp = one.planes[0].astype(np.float32) ** 4
        sharp /= sharp.sum(axis=0)
        slices.append(
            replace(one, planes=(sharp, one.planes[1])),
        )
    assert choose(slices).hand_made <= USUAL.hand_made


@pytest.mark.parametrize("power", [0.25, 1.0, 3.0])
def test_the_temperature_that_makes_probabilities_right(power):
    """Each class is drawn with the probability that both experts give it, to a power."""
    slices = []
    for k in range(6):
        rng = np.random.default_rng(k)
        right = rng.dirichlet([0.5, 0.5, 0.5], SHAPE).transpose(2, 0, 1)
        drawn = (rng.random(SHAPE) > np.cumsum(right, axis=0)).sum(axis=0).clip(0, 2)
        labels = np.array([0, 2, 5])[drawn].astype(np.int32)
        known = KnownSlice(labels, SlicePosition(k, (20, *SHAPE), 0), frozenset({2, 5}))
        plane = np.maximum(right, 1e-3) ** power
        plane /= plane.sum(axis=0)
        own = (plane, plane), ("hand_made",), None, 0.0, frozenset({0, 2, 5})
        slices.append(HeldOutSlice(known, *own))
    found = choose_weights(slices, [2, 5], USUAL, True)
    assert found.temperature == {0.25: 0.6, 1.0: 1.0, 3.0: 2.5}[power]
    few = choose_weights(slices[:2], [2, 5], USUAL, True)
    assert few.temperature == USUAL.temperature


def test_pixels_and_labels_that_are_not_known_do_not_count():
    slices = []
    for k in range(5):
        one = held(k, 0.1, 0.8)
        one.known.labels[:] = np.where(one.known.labels == 0, 0, UNKNOWN)
        slices.append(one)
    assert choose(slices).hand_made == 0.8
    for one in slices:
        one.known.labels[:] = UNKNOWN
    assert choose(slices) == USUAL


def test_labels_that_were_not_looked_for_may_be_anything():
    """On background, label 5 is as right as background."""
    slices = []
    for k in range(5):
        one = held(k, 0.2, 0.2, known=(2,))
        background = one.known.labels == 0
        for plane, right in zip(one.planes, (0, 2), strict=True):
            plane[:, background] = np.eye(3)[right][:, None]
        slices.append(one)
    assert choose(slices) == USUAL


def test_the_same_seed_gives_the_same():
    slices = [held(k, 0.3, 0.5, carried=0.4) for k in range(5)]
    assert choose(slices) == choose(slices)


@pytest.mark.parametrize("painted", [True, False])
def test_fused_as_in_a_prediction(painted):
    one = held(0, 0.2, 0.6, carried=0.9, share=0.5)
    found = one.fused(ExpertWeights(0.5, 0.2, 2.0, 1.0), painted)
    a, b = (plane.astype(np.float32) for plane in one.planes)
    share = 0.5 if painted else 0.2
    expected = np.maximum(a, 1e-4) ** (1 - share) * np.maximum(b, 1e-4) ** share
    weight = 1.0 if painted else 0.5  # half of what is usual
    expected = expected * np.maximum(one.carried.astype(np.float32), 0.01) ** weight
    np.testing.assert_allclose(found, expected / expected.sum(axis=0), atol=1e-4)
    only = one.fused(ExpertWeights(1.0, 1.0, 0.0, 0.0), painted)
    assert only is one.planes[1]
