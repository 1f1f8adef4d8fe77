"""Displacements through a stack, to chosen slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_fewshot.config import IntensityConfig, ResamplingConfig
from napari_fewshot.slices import motion
from napari_fewshot.slices.flow import FLOW_METHODS, OpticalFlow
from napari_fewshot.slices.grid import resize_plane
from napari_fewshot.slices.motion import Motion, enlarged
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume


def drifting(count=8, shape=(64, 80), step=2, seed=0, sigma=2.0):
    """Slices of a texture, each of which lies ``step`` columns further than the one before."""
    wide = gaussian_filter(np.random.default_rng(seed).random((shape[0], shape[1] + 200)), sigma)
    planes = [wide[:, 100 - step * k : 100 - step * k + shape[1]] for k in range(count)]
    return np.stack(planes).astype(np.float32)


def stack_of(volume, **settings):
    return SliceStack(Volume.of(volume), 0, IntensityConfig(), **settings)


def motion_of(volume, chosen, method="lucas-kanade"):
    return Motion(stack_of(volume), OpticalFlow(method), chosen)


@pytest.mark.parametrize("method", FLOW_METHODS)
def test_displacements_are_composed_on_both_sides(method):
    if method == "dis":
        pytest.importorskip("cv2")
    way = motion_of(drifting(), [1, 6], method)
    found = way.to_chosen(4)
    assert set(found) == {1, 6}
    inside = slice(16, -16)
    assert np.median(found[1][1, inside, inside]) == pytest.approx(-6, abs=0.4)
    assert np.median(found[6][1, inside, inside]) == pytest.approx(4, abs=0.4)
    assert np.abs(np.median(found[1][0, inside, inside])) < 0.2
    assert set(way.to_chosen(0)) == {1}
    assert set(way.to_chosen(7)) == {6}


def test_the_order_of_slices_makes_no_difference():
    volume = drifting()
    forth, back = motion_of(volume, [0, 7]), motion_of(volume, [0, 7])
    one = {k: forth.to_chosen(k) for k in range(1, 7)}
    other = {k: back.to_chosen(k) for k in reversed(range(1, 7))}
    for k, fields in one.items():
        for source, field in fields.items():
            np.testing.assert_array_equal(field, other[k][source])


def test_motion_that_is_found_side_by_side_is_the_same():
    volume = drifting(14)
    volume[4] = 0  # damaged: the next one is compared with the one before it
    lazily, ahead = motion_of(volume, [0, 9]), motion_of(volume, [0, 9])
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        order = [8, 3, 12, 9, 5, 1, 4, 13]
        assert list(ahead.ready(order)) == order
    finally:
        torch.set_num_threads(before)
    ahead._flow = None  # nothing is left to find
    for k in order:
        one, other = lazily.to_chosen(k), ahead.to_chosen(k)
        assert one.keys() == other.keys()
        for source, field in one.items():
            np.testing.assert_array_equal(field, other[source])


def test_nothing_leads_over_a_cut():
    volume = np.concatenate([drifting(7, step=1, seed=k, sigma=0.8) for k in (0, 5)])
    way = motion_of(volume, [2, 11])
    for index in range(14):
        if index not in (2, 11):
            assert set(way.to_chosen(index)) == ({2} if index < 7 else {11}), index


@pytest.mark.parametrize("damage", [0.0, "noise"])
def test_damaged_slices_are_left_out_and_passed_over(damage):
    volume = drifting(9)
    hurt = volume.copy()
    hurt[3:5] = np.random.default_rng(9).random(hurt[3:5].shape) if damage == "noise" else damage
    way = motion_of(hurt, [1])
    assert set(way.to_chosen(2)) == {1}
    assert not way.to_chosen(3)
    assert not way.to_chosen(4)
    found = way.to_chosen(5)[1][1, 16:-16, 20:-20]
    assert np.median(found) == pytest.approx(-8, abs=1)


def test_no_more_than_some_slices_are_passed_over():
    volume = drifting(12, step=0)
    volume[3:8] = 0
    way = motion_of(volume, [1])
    assert way.to_chosen(2)
    assert not any(way.to_chosen(k) for k in range(3, 12))


def test_a_displacement_has_an_end(monkeypatch):
    monkeypatch.setattr(motion, "_REACH", 3)
    way = motion_of(drifting(8, step=1), [0])
    assert [bool(way.to_chosen(k)) for k in range(1, 8)] == [True] * 3 + [False] * 4


def test_what_is_kept_does_not_grow_with_chosen_slices(monkeypatch):
    volume = drifting(41, shape=(24, 24), step=1)
    way = motion_of(volume, list(range(0, 41, 2)))
    first = {k: way.to_chosen(k) for k in range(1, 40, 2)}
    assert len(way._chains) == motion._CHAINS
    again = way.to_chosen(1)
    for source, field in first[1].items():
        np.testing.assert_array_equal(field, again[source])


def test_large_slices_are_made_smaller_in_bands(monkeypatch):
    monkeypatch.setattr(motion, "_LARGEST", 40)
    volume = drifting(4, shape=(90, 120), step=6)
    stack = stack_of(volume)
    whole = resize_plane(stack.slice(1)[0], (30, 40))
    monkeypatch.setattr(motion, "_AT_ONCE", 120 * 7)
    way = Motion(stack, OpticalFlow("lucas-kanade"), [0])
    np.testing.assert_allclose(way._slice(1), whole, atol=1e-5)
    field = way.to_chosen(2)[0]
    assert field.shape == (2, 30, 40)
    full = enlarged(field, (90, 120), slice(0, 90))
    assert np.median(full[1, 20:-20, 30:-30]) == pytest.approx(-12, abs=1.5)
    for rows in (slice(0, 1), slice(13, 50), slice(89, 90)):
        np.testing.assert_array_equal(enlarged(field, (90, 120), rows), full[:, rows])


def test_colour_and_resampled_slices():
    grey = drifting(5, shape=(40, 48))
    colour = np.stack([grey, 1 - grey, grey**2], axis=-1)
    settings = ResamplingConfig(mode="isotropic", spacing=0.5)
    stack = SliceStack(Volume.of(colour), 0, IntensityConfig(), settings)
    found = Motion(stack, OpticalFlow("lucas-kanade"), [0]).to_chosen(3)
    assert found[0].shape == (2, 80, 96)
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 40)])
def test_slices_too_thin_for_motion_stay_in_place(shape):
    plane = np.random.default_rng(0).random(shape).astype(np.float32)
    way = motion_of(np.stack([plane] * 3), [0])
    found = way.to_chosen(2)
    if min(shape) * max(shape) > 1:  # one grey is like nothing
        assert not found[0].any()


def test_one_slice():
    assert motion_of(drifting(1), [0]).to_chosen(0) == {}
