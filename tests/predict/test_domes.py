"""Peaks that stand out, found quickly and in parts, against those found by reconstruction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_fewshot import scratch
from napari_fewshot.config import LandmarkConfig
from napari_fewshot.predict import centres, components, domes
from napari_fewshot.predict.landmarks import component_centres, find_landmarks, find_peaks
from napari_fewshot.types import Array, Landmark

SHAPES = [(14, 30, 28), (1, 60, 50), (70, 64)]


def random_map(shape: tuple[int, ...], seed: int, sigma: float = 2.0) -> Array:
    """Many regions, most of them with several peaks, some of them saturated; uint8."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, sigma)
    return np.rint(255 * np.clip(0.4 + 0.4 * smooth / smooth.std(), 0, 1)).astype(np.uint8)


def find(probability: Array, **config: object) -> list[Landmark]:
    settings = LandmarkConfig.of({"per_label": 5, **config}, "landmarks")
    spacing = (2.0, 1.0, 1.0)[-probability.ndim :]
    return find_landmarks(probability, label=3, name="tip", config=settings, spacing=spacing)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 4.0])
def test_domes_are_those_of_the_reconstruction(
    shape: tuple[int, ...], sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        probability = random_map(shape, seed, sigma)
        quickly = find(probability)
        with monkeypatch.context() as patch:
            patch.setattr(domes, "_unsettled", lambda *_: None)
            assert find(probability) == quickly


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("at_once", [40, 300, 3000])
def test_large_maps_are_read_in_blocks(
    shape: tuple[int, ...], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, sigma in enumerate((0.7, 2.0, 3.0)):
        probability = random_map(shape, seed, sigma)
        labels = (probability > 128).astype(np.uint8) * 3
        confidence = (probability / 255).astype(np.float32)
        spacing = (2.0, 1.0, 1.0)[-len(shape) :]
        peaks = {"count": 9, "min_score": 0.1, "distance": 4.0, "spacing": spacing}

        def middles(labels: Array = labels, confidence: Array = confidence) -> list[Landmark]:
            settings = LandmarkConfig(per_label=4)
            volume = labels.reshape(shape if len(shape) == 3 else (1, *shape))
            return component_centres(
                volume,
                confidence.reshape(volume.shape),
                label=3,
                name="tip",
                config=settings,
                spacing=(2.0, 1.0, 1.0),
            )

        expected = find(probability), find_peaks(probability, **peaks), middles()
        with monkeypatch.context() as patch:
            patch.setattr(components, "AT_ONCE", at_once)
            patch.setattr(scratch, "IN_MEMORY", 1)
            mapped = scratch.duplicate(probability)
            found = find(mapped), find_peaks(mapped, **peaks), middles()
        for one, other in zip(found[0] + found[2], expected[0] + expected[2], strict=True):
            assert one.position == pytest.approx(other.position, abs=1e-9)
            assert one.score == pytest.approx(other.score, abs=1e-6)
        np.testing.assert_allclose(found[1][0], expected[1][0])
        np.testing.assert_array_equal(found[1][1], expected[1][1])


def test_a_large_region_of_several_peaks_is_divided_in_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = np.indices((90, 120))
    places = np.array([[30.0, 30.0], [55.0, 85.0]])
    blobs = [np.exp(-((grid.T - place) ** 2).sum(-1).T / 700) for place in places]
    probability = np.maximum(blobs[0], 0.9 * blobs[1]).astype(np.float32)
    expected = find(probability)
    monkeypatch.setattr(domes, "AT_ONCE", 3000)
    monkeypatch.setattr(domes, "_CELLS", 800)
    found = find(probability)
    assert len(found) == len(expected) == 2
    for one, other, place in zip(found, expected, places, strict=True):
        assert one.position == pytest.approx(other.position, abs=0.5)
        assert one.position[1:] == pytest.approx(place, abs=1.5)
        assert one.score == other.score


@pytest.mark.parametrize("width", [2, 14])
def test_the_middle_of_a_large_ring_is_in_it(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With cells that lie wholly in it, and without one."""
    radius = np.hypot(*(np.indices((120, 120)) - 60))
    ring = np.abs(radius - 45) <= width / 2
    monkeypatch.setattr(centres, "AT_ONCE", 2000)
    monkeypatch.setattr(domes, "AT_ONCE", 2000)
    middle, size = centres.centre_of(
        ring.__getitem__, ring.__getitem__, ring.shape, np.array([1.0, 1.0])
    )
    assert ring[tuple(np.round(middle).astype(int))]
    assert abs(np.hypot(*(middle - 60)) - 45) <= 3
    assert size == ring.sum()
