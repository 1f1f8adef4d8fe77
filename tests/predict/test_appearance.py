"""What pixels look like beside the pixels round them."""

from __future__ import annotations

import numpy as np

from napari_fewshot.predict.random_walker import (
    grey_scales,
    joined_with_appearance,
    noise_level,
    similarity,
)


def test_likeness_against_a_slow_sum():
    rng = np.random.default_rng(0)
    looks = rng.random((2, 9, 11)).astype(np.float32)
    odds = rng.dirichlet((1, 1, 1), (9, 11)).transpose(2, 0, 1).astype(np.float32)
    wanted = rng.random((9, 11)) < 0.3
    mass, alike = similarity(looks, odds, wanted, 1.5, 0.2)
    for number, (row, column) in enumerate(np.argwhere(wanted)):
        some, like = np.zeros(3), np.zeros(3)
        for y in range(9):
            for x in range(11):
                square = (y - row) ** 2 + (x - column) ** 2
                if square == 0 or square > 4:  # 4/3 of 1.5 is 2
                    continue
                near = odds[:, y, x] * np.exp(-square / (2 * 1.5**2))
                gap = ((looks[:, y, x] - looks[:, row, column]) ** 2).mean()
                some += near
                like += near * np.exp(-gap / (2 * 0.2**2))
        np.testing.assert_allclose(mass[:, number], some, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(alike[:, number], like, rtol=1e-4, atol=1e-6)


def test_an_unsure_pixel_takes_after_those_that_look_like_it():
    image = np.full((1, 9, 9), 0.2, np.float32)
    image[:, :, 5:] = 0.8
    odds = np.zeros((2, 9, 9), np.float32)
    odds[0], odds[1, :, 4:] = 1, 1  # the label starts a column before the edge
    odds[0, :, 4:] = 0
    unsure = np.zeros((9, 9), bool)
    unsure[:, 4] = True
    odds[:, unsure] = np.array([0.45, 0.55])[:, None]
    found = joined_with_appearance(odds, image, unsure, 0.3, 3.0, 0.05)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert (found[0] > 0.6).all()
    same = joined_with_appearance(odds, image, unsure, 0.0, 3.0, 0.05)
    np.testing.assert_allclose(same, odds[:, unsure], atol=1e-2)


def test_scales():
    image = np.random.default_rng(0).random((3, 16, 16)).astype(np.float32)
    found = grey_scales(image, (0, 2))
    assert found.shape == (6, 16, 16)
    np.testing.assert_array_equal(found[0], image[0])
    assert found[1].std() < 0.3 * image[0].std()


def test_noise_is_told_from_structure():
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 96))
    shapes = (np.hypot(rows - 40, columns - 50) < 25) * 0.6 + rows / 200
    for sigma in (0.0, 0.05, 0.2):
        noisy = (shapes + rng.normal(0, sigma, (2, 96, 96))).astype(np.float32)
        assert abs(noise_level(noisy) - sigma) < 0.1 * sigma + 1e-3
