"""Registration of whole volumes with SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_fewshot import Cancelled
from napari_fewshot.slices.coarse import CoarseVolume
from napari_fewshot.slices.registration import register

pytest.importorskip("SimpleITK")

SHAPE = (24, 32, 28)


def head(seed=0):
    """Blobs of different brightness, as a smooth image."""
    rng = np.random.default_rng(seed)
    planes = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for _ in range(14):
        centre = [rng.uniform(5, side - 5) for side in SHAPE]
        radius, value = rng.uniform(2, 5), rng.uniform(60, 255)
        distance = np.sqrt(sum((p - c) ** 2 for p, c in zip(planes, centre, strict=True)))
        image[distance < radius] = value
    return ndimage.gaussian_filter(image, 0.7)


def volume(image, spacing=(2.0, 1.0, 1.5)):
    return CoarseVolume(np.clip(image, 0, 255).astype(np.uint8), spacing)


def shifted(image, by):
    return ndimage.shift(image, by, order=1)


def test_a_shift_is_found():
    """Places are voxels of the moving volume, in the order of its array."""
    moving = head()
    found = register(volume(shifted(moving, (2, -3, 1))), volume(moving))
    inner = found.places[:, 6:-6, 8:-8, 7:-7]
    own = np.indices(SHAPE)[:, 6:-6, 8:-8, 7:-7]
    moved = np.median((inner - own).reshape(3, -1), axis=1)
    np.testing.assert_allclose(moved, (-2, 3, -1), atol=0.4)
    assert found.similarity > 0.4


def test_a_bend_is_found():
    moving = head()
    rows = np.indices(SHAPE)
    rows[1] = rows[1] + np.round(2 * np.sin(rows[2] / 5)).astype(int)
    fixed = ndimage.map_coordinates(moving, rows, order=1)
    found = register(volume(fixed), volume(moving))
    again = ndimage.map_coordinates(moving, found.places, order=1)
    assert np.abs(again - fixed).mean() < 0.5 * np.abs(moving - fixed).mean()
    assert found.similarity > 0.4


def test_what_is_different_is_not_alike():
    assert register(volume(head()), volume(head(1))).similarity < 0.35
    noise = np.random.default_rng(0).uniform(0, 255, SHAPE)
    assert register(volume(head()), volume(noise)).similarity < 0.2


def test_other_voxels_and_shapes():
    moving = head()
    fixed = ndimage.zoom(moving, (1, 0.75, 1), order=1)
    found = register(volume(fixed, (2.0, 4 / 3, 1.5)), volume(moving))
    assert found.places.shape == (3, 24, 24, 28)
    middle = found.places[:, 12, 12, 14]
    np.testing.assert_allclose(middle, (12, 16, 14), atol=1.5)
    assert found.similarity > 0.4


def test_the_same_again():
    one, other = (register(volume(head()), volume(head(1))) for _ in range(2))
    np.testing.assert_array_equal(one.places, other.places)


@pytest.mark.parametrize("image", [np.zeros(SHAPE), np.zeros((4, 30, 30))], ids=["empty", "thin"])
def test_what_cannot_be_registered(image):
    found = register(volume(head()), volume(image))
    assert found.similarity < 0.2
    assert found.places.shape == (3, *SHAPE)


@pytest.mark.parametrize("calls", [1, 20, 120])
def test_it_stops_when_asked(calls):
    count = 0

    def check():
        nonlocal count
        count += 1
        if count >= calls:
            raise Cancelled

    with pytest.raises(Cancelled):
        register(volume(head()), volume(shifted(head(), (1, 0, 0))), check)
    assert count == calls
