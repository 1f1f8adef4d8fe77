"""Smoothing over a sliding window, and the way back to the original grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_fewshot.backbones import get_backbone
from napari_fewshot.config import ExtractionConfig, IntensityConfig, ResamplingConfig
from napari_fewshot.errors import Cancelled
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.predict.probabilities import AdapterPredictor, slice_probabilities
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.augmentation import FeatureRequirements
from napari_fewshot.types import FeatureMap, Volume


class GreyExtractor:
    """The grey value itself as the only feature; the rest of the pipeline is real."""

    def parts(self, source, window=None):
        return 1

    def maps(self, source, indices, *, padding=False, window=None):
        for k in indices:
            plane = source.slice(k)
            yield k, FeatureMap(plane, plane.shape[1:], tuple(float(n) for n in plane.shape[1:]))


class GreyAdapter:
    """The grey value is the probability of the only label."""

    requirements = FeatureRequirements()

    def __init__(self):
        self.places = []

    def predict(self, features, place, rows=slice(None)):
        self.places.append(place)
        return np.concatenate([1 - features.data, features.data])[:, rows]


def grey(adapter=None):
    return AdapterPredictor(adapter or GreyAdapter(), GreyExtractor())


def stack_of(data, spacing=(1.0, 1.0, 1.0), axis=0, resampling=None):
    return SliceStack(
        Volume(data, spacing),
        axis,
        IntensityConfig(mode="window", low=0, high=1),
        resampling,
    )


def predicted(stack, smoothing, progress=lambda *_: None):
    planes = slice_probabilities(stack, grey(), smoothing, progress)
    numbers, found = zip(*planes, strict=True)
    assert list(numbers) == list(range(stack.grid.shape[0]))
    return np.stack(found, axis=1)


def noise(shape=(9, 16, 18)):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def renormalised(plane_wise, sigma, reach):
    """Gaussian over axis 0; at the ends the weights inside the volume sum to one."""
    result = np.zeros_like(plane_wise)
    for k in range(len(plane_wise)):
        near = np.arange(max(0, k - reach), min(len(plane_wise), k + reach + 1))
        weight = np.exp(-0.5 * ((near - k) / sigma) ** 2)
        result[k] = np.tensordot(weight / weight.sum(), plane_wise[near], 1)
    return result


@pytest.mark.parametrize("count", [1, 2, 3, 9])
@pytest.mark.parametrize(("spacing", "sigma"), [(1.5, 0.8), (3.0, 0.4), (1.2, 1.0), (0.8, 1.0)])
def test_smoothing_is_as_wide_in_mm_across_slices_but_one_slice_at_most(count, spacing, sigma):
    data = noise((count, 16, 18))
    found = predicted(stack_of(data, (spacing, 1.0, 1.0)), 1.2)
    plane_wise = np.stack([gaussian_filter(p, 1.2, mode="nearest", truncate=3.0) for p in data])
    expected = renormalised(plane_wise, sigma, int(np.ceil(2.5 * sigma)))
    np.testing.assert_allclose(found[1], expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_inside_it_is_the_filter_of_scipy():
    data = noise((15, 16, 18))
    found = predicted(stack_of(data), 1.0)[1]
    whole = gaussian_filter(data, 1.0, truncate=3.0, mode="nearest")
    np.testing.assert_allclose(found[3:-3], whole[3:-3], atol=0.005)


def test_thick_slices_do_not_mix():
    data = noise()
    found = predicted(stack_of(data, (20.0, 1.0, 1.0)), 1.0)[1]
    plane_wise = np.stack([gaussian_filter(p, 1.0, mode="nearest", truncate=3.0) for p in data])
    np.testing.assert_allclose(found, plane_wise, atol=1e-6)


@pytest.mark.parametrize(("across", "mixes"), [(0.05, False), (0.2499, False), (0.25, True)])
@pytest.mark.parametrize("smoothing", [1.0, 5.0])
def test_slices_that_are_said_to_be_too_thin_do_not_mix(across, mixes, smoothing):
    """Nobody cuts sections of a quarter of a pixel: one of the tags is wrong."""
    stack = stack_of(noise((30, 6, 6)), (across, 1.0, 4.0))
    assert stack.is_spacing_plausible is mixes
    found = predicted(stack, smoothing)
    plane_wise = np.stack(
        [gaussian_filter(p, smoothing, mode="nearest", truncate=3.0) for p in noise((30, 6, 6))]
    )
    expected = renormalised(plane_wise, 1.0, 3) if mixes else plane_wise
    np.testing.assert_allclose(found[1], expected, atol=1e-5)


def test_distance_of_slices():
    assert stack_of(noise(), (3.0, 2.0, 1.5)).slice_distance == pytest.approx(2.0)
    assert stack_of(noise(), (0.2, 2.0, 1.5)).slice_distance == 1.0  # not believed
    half = stack_of(
        noise((9, 16, 18)), (3.0, 1.0, 1.0), 0, ResamplingConfig(mode="inplane", spacing=2.0)
    )
    assert half.slice_distance == pytest.approx(1.5)
    flat = SliceStack(Volume(noise()[0], (5.0, 5.0)), 0, IntensityConfig())
    assert flat.is_spacing_plausible


def test_without_smoothing_nothing_changes():
    np.testing.assert_allclose(predicted(stack_of(noise()), 0.0)[1], noise(), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_slice_has_its_place(axis):
    adapter = GreyAdapter()
    stack = stack_of(noise(), axis=axis)
    list(slice_probabilities(stack, grey(adapter), 1.0))
    assert [p.index for p in adapter.places] == list(range(noise().shape[axis]))
    assert all(p.axis == axis and p.stack_shape == stack.grid.working for p in adapter.places)
    assert not any(p.flat for p in adapter.places)


def test_flat_images():
    adapter = GreyAdapter()
    stack = SliceStack(Volume.of(noise()[0]), 0, IntensityConfig())
    ((index, plane),) = slice_probabilities(stack, grey(adapter), 1.0)
    assert (index, plane.shape) == (0, (2, 16, 18))
    assert adapter.places[0].flat


def sphere(shape, spacing, centre, radius):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm((grid - centre) * spacing, axis=-1)
    return np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    ("mode", "target"), [("inplane", 1.7), ("inplane", 0.6), ("isotropic", 1.6), ("isotropic", 0.7)]
)
def test_resampled_probabilities_return_to_the_original_grid(mode, target, axis):
    shape, spacing, centre = (17, 31, 40), (2.0, 1.0, 0.8), (7.0, 18.0, 15.0)
    data = sphere(shape, spacing, centre, 8.0)
    stack = stack_of(data, spacing, axis, ResamplingConfig(mode=mode, spacing=target))
    assert stack.grid.changes_plane
    assert stack.grid.changes_slices is (mode == "isotropic")
    found = predicted(stack, 0.0)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    ball = np.moveaxis(found[1], 0, axis)
    assert ball.shape == shape
    place = [
        float((ball.sum(axis=tuple(a for a in range(3) if a != d)) * np.arange(shape[d])).sum())
        / float(ball.sum())
        for d in range(3)
    ]
    np.testing.assert_allclose(place, centre, atol=0.15)
    both, sizes = ((ball > 0.5) & (data > 0.5)).sum(), (ball > 0.5).sum() + (data > 0.5).sum()
    assert 2 * both / sizes > 0.9


def test_progress_counts_slices_and_may_cancel():
    seen = []
    predicted(stack_of(noise()), 1.0, lambda *report: seen.append(report))
    assert seen == [(k + 1, 9, "slices") for k in range(9)]

    def stop(done, total, what):
        seen.append(done)
        raise Cancelled

    seen.clear()
    with pytest.raises(Cancelled):
        predicted(stack_of(noise()), 1.0, stop)
    assert seen == [1]


def test_with_a_real_extractor():
    stack = stack_of(noise((3, 20, 22)))
    extractor = FeatureExtractor(get_backbone("multiscale", None, 1), ExtractionConfig(), "cpu")

    class First(GreyAdapter):
        def predict(self, features, place, rows):
            return super().predict(FeatureMap(features.data[:1], (20, 22), (20.0, 22.0)), place)

    found = [
        plane for _, plane in slice_probabilities(stack, AdapterPredictor(First(), extractor), 0.0)
    ]
    np.testing.assert_allclose(np.stack(found)[:, 1], noise((3, 20, 22)), atol=1e-6)


@pytest.mark.parametrize("mode", ["off", "isotropic"])
def test_any_order_gives_what_all_slices_in_turn_give(mode):
    stack = stack_of(noise((9, 16, 18)), (1.5, 1.0, 1.0), 0, ResamplingConfig(mode=mode))
    whole = predicted(stack, 1.0)
    order = [5, 6, 7, 8, 4, 3, 2, 1, 0]
    planes = list(slice_probabilities(stack, grey(), 1.0, order=order))
    assert [index for index, _ in planes] == order
    for index, plane in planes:
        np.testing.assert_allclose(plane, whole[:, index], atol=1e-6)


def test_neighbours_of_a_run_are_predicted_once():
    adapter = GreyAdapter()
    stack = stack_of(noise((30, 8, 8)))
    order = [*range(10, 30), *range(9, -1, -1)]
    list(slice_probabilities(stack, grey(adapter), 1.0, order=order))
    assert len(adapter.places) <= 30 + 2 * 7  # once each, and the windows at the two starts


def test_one_slice_needs_its_neighbours_only():
    adapter = GreyAdapter()
    stack = stack_of(noise((30, 8, 8)))
    list(slice_probabilities(stack, grey(adapter), 1.0, order=[12]))
    assert [place.index for place in adapter.places] == list(range(9, 16))
