"""Several peaks of one map."""

from __future__ import annotations

import numpy as np

from napari_fewshot.predict.landmarks import find_peaks

WANTED = {"count": 8, "min_score": 0.05, "distance": 4.0, "spacing": (1, 1, 1)}


def blob(shape, *peaks):
    grid = np.indices(shape)
    whole = np.zeros(shape)
    for *place, height in peaks:
        square = sum((g - c) ** 2 for g, c in zip(grid, place, strict=True))
        whole = np.maximum(whole, height * np.exp(-square / 12))
    return np.round(255 * whole).astype(np.uint8)


def test_the_highest_peaks_come_first():
    found = [(8, 9, 10, 0.5), (20, 9, 30, 0.9), (3, 30, 3, 0.2)]
    places, scores = find_peaks(blob((26, 36, 40), *found), **WANTED)
    np.testing.assert_allclose(places, [p[:3] for p in sorted(found, key=lambda p: -p[3])])
    assert (np.diff(scores) < 0).all()
    np.testing.assert_allclose(scores, [0.9, 0.5, 0.2], rtol=0.15)
    one, _ = find_peaks(blob((26, 36, 40), *found), **{**WANTED, "count": 1})
    assert one.tolist() == [[20, 9, 30]]


def test_what_is_too_low_or_too_near_is_no_peak():
    plane = blob((1, 40, 40), (0, 10, 10, 0.8), (0, 10, 13, 0.7), (0, 30, 30, 0.03))
    places, _ = find_peaks(plane, **WANTED)
    assert len(places) == 1
    assert find_peaks(np.zeros((3, 4, 5), np.uint8), **WANTED)[0].shape == (0, 3)


def test_the_middle_of_a_flat_top_is_its_place():
    plane = np.zeros((1, 20, 20), np.uint8)
    plane[0, 5:12, 7:12] = 255
    places, scores = find_peaks(plane, **WANTED)
    np.testing.assert_allclose(places, [[0, 8, 9]], atol=0.3)
    assert scores[0] > 0.95
