"""Points on synthetic probabilities whose centres are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import LandmarkConfig
from napari_fewshot.errors import InputError
from napari_fewshot.predict.landmarks import component_centres, find_landmarks
from napari_fewshot.types import Array, Landmark


def find(
    probability: Array, spacing: tuple[float, ...] | None = None, **config: object
) -> list[Landmark]:
    return find_landmarks(
        probability,
        label=3,
        name="tip",
        config=LandmarkConfig.of(config, "landmarks"),
        spacing=spacing or (1.0,) * probability.ndim,
    )


def distance(shape: tuple[int, ...], centre: Array, spacing: tuple[float, ...]) -> Array:
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    parts = [((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True)]
    return np.sqrt(sum(parts))


def gaussian(
    shape: tuple[int, ...], centre: Array, spacing: tuple[float, ...], sigma: float
) -> Array:
    return np.exp(-(distance(shape, centre, spacing) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.0, 0.7, 0.7), (1.0, 1.0)])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_centre_has_a_fraction_of_a_voxel(spacing: tuple[float, ...], noise: float) -> None:
    shape = (16, 34, 36)[-len(spacing) :]
    rng = np.random.default_rng(len(spacing))
    for sigma in (2.5, 4.0):
        centre = np.array(shape) / 2 + rng.uniform(-1, 1, len(shape))
        clean = 0.9 * gaussian(shape, centre, spacing, sigma)
        noisy = clean + noise * rng.standard_normal(shape)
        (found,) = find(np.clip(noisy, 0, 1), spacing)
        error = np.abs(np.array(found.position)[-len(shape) :] - centre)
        assert error.max() < 0.2
        assert 0.6 < found.score <= 1
        assert (found.name, found.label) == ("tip", 3)
        assert len(found.position) == 3


def test_2d_points_have_z_0() -> None:
    (found,) = find(gaussian((20, 20), np.array([7.3, 9.6]), (1, 1), 2.0))
    assert found.position == pytest.approx((0, 7.3, 9.6), abs=0.05)


def test_quantised_probability_gives_the_same_point() -> None:
    probability = 0.8 * gaussian((9, 20, 20), np.array([4.2, 7.3, 9.6]), (2, 1, 1), 2.5)
    (exact,) = find(probability, (2, 1, 1))
    (coarse,) = find(np.round(probability * 255).astype(np.uint8), (2, 1, 1))
    assert coarse.position == pytest.approx(exact.position, abs=0.02)
    assert coarse.score == pytest.approx(exact.score, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_plateau_of_an_organ_gives_its_centre(dtype: type) -> None:
    mask = distance((20, 40, 40), np.array([9, 18, 22]), (2, 1, 1)) <= 12
    probability = mask.astype(dtype) * (255 if dtype is np.uint8 else 1)
    for count in (1, 3):
        (found,) = find(probability, (2, 1, 1), per_label=count)
        assert found.position == pytest.approx((9, 18, 22), abs=0.05)
        assert found.score == pytest.approx(1.0, abs=1e-3)


def test_plateau_at_the_border_of_the_volume() -> None:
    probability = np.zeros((6, 20, 20), np.float32)
    probability[:, :5, :7] = 1
    (found,) = find(probability)
    assert found.position == pytest.approx((2.5, 2, 3), abs=0.3)
    assert found.score == pytest.approx(1.0, abs=1e-3)


def test_constant_probability_gives_the_centre() -> None:
    (found,) = find(np.full((5, 7, 9), 0.6, np.float32), min_score=0.6)
    assert found.position == pytest.approx((2, 3, 4))
    assert found.score == pytest.approx(0.6)


def test_point_of_a_ring_is_in_the_ring() -> None:
    radius = distance((40, 40), np.array([20, 20]), (1, 1))
    ring = (radius > 8) & (radius < 15)
    (found,) = find(ring.astype(np.float32))
    _, y, x = np.round(found.position).astype(int)
    assert ring[y, x]
    assert radius[y, x] == pytest.approx(11.5, abs=1.5)  # half-way between its borders


def test_absent_label_has_no_point() -> None:
    shape = (8, 20, 20)
    assert find(np.zeros(shape, np.float32)) == []
    assert find(np.zeros(shape, np.float32), min_score=0) == []
    assert find(np.zeros(shape, np.uint8)) == []
    assert find(0.29 * gaussian(shape, np.array([4, 9, 9]), (1, 1, 1), 3)) == []
    assert len(find(0.35 * gaussian(shape, np.array([4, 9, 9]), (1, 1, 1), 3))) == 1


def test_lone_hot_voxels_do_not_win() -> None:
    probability = 0.8 * gaussian((12, 30, 30), np.array([6, 20, 20]), (1, 1, 1), 2.5)
    probability[3, 4, 4] = 1
    points = find(probability, per_label=5)
    assert len(points) == 1
    assert points[0].position == pytest.approx((6, 20, 20), abs=0.05)


def test_several_points_the_best_first() -> None:
    shape, spacing = (10, 40, 40), (3.0, 1.0, 1.0)
    centres = np.array([[2.3, 8.0, 9.4], [7.1, 30.2, 8.8], [4.6, 20.3, 30.5]])
    heights = (0.6, 0.9, 0.75)
    probability = sum(
        h * gaussian(shape, c, spacing, 3.0) for h, c in zip(heights, centres, strict=True)
    )

    three = find(probability, spacing, per_label=3)
    assert len(find(probability, spacing, per_label=9)) == 3
    assert find(probability, spacing, per_label=1) == three[:1]

    for found, number in zip(three, (1, 2, 0), strict=True):
        assert found.position == pytest.approx(tuple(centres[number]), abs=0.2)
    scores = [found.score for found in three]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(0.9, abs=0.1)


def test_merged_blobs_are_told_apart() -> None:
    centres = np.array([[20, 15.0], [20, 23.0]])
    probability = np.maximum(
        gaussian((40, 40), centres[0], (1, 1), 3), 0.9 * gaussian((40, 40), centres[1], (1, 1), 3)
    )
    assert probability[20, 19] > 0.3  # one region
    first, second = find(probability, per_label=2)
    assert first.position[1:] == pytest.approx(centres[0], abs=0.7)
    assert second.position[1:] == pytest.approx(centres[1], abs=0.7)


def test_distance_between_points_is_in_mm() -> None:
    spacing = (4.0, 1.0, 1.0)
    probability = np.maximum(
        gaussian((12, 24, 24), np.array([4, 12, 12]), spacing, 2.0),
        0.8 * gaussian((12, 24, 24), np.array([7, 12, 12]), spacing, 2.0),
    )  # 3 voxels, 12 mm
    assert len(find(probability, spacing, per_label=2, min_distance=10)) == 2
    (best,) = find(probability, spacing, per_label=2, min_distance=14)
    assert best.position == pytest.approx((4, 12, 12), abs=0.1)


def test_of_saturated_regions_the_larger_wins() -> None:
    probability = np.zeros((30, 60), np.float32)
    probability[4:10, 4:10] = 1
    probability[10:25, 30:50] = 1
    (found,) = find(probability)
    assert found.position == pytest.approx((0, 17, 39.5), abs=0.1)


def test_nan_is_no_probability() -> None:
    probability = gaussian((20, 20), np.array([9.0, 9.0]), (1, 1), 2.0)
    probability[:3] = np.nan
    probability[9, 16] = np.nan
    (found,) = find(probability)
    assert found.position == pytest.approx((0, 9, 9), abs=0.1)


def centres(labels: Array, confidence: Array | None = None, **config: object) -> list[Landmark]:
    return component_centres(
        labels,
        np.full(labels.shape, 0.75, np.float32) if confidence is None else confidence,
        label=3,
        name="tip",
        config=LandmarkConfig.of({"source": "labels", **config}, "landmarks"),
        spacing=(2.0, 1.0, 1.0),
    )


def test_centres_of_the_parts_of_a_mask_the_largest_first() -> None:
    """By hand: three slices of a block, which another label touches, and a pixel far away."""
    labels = np.zeros((9, 12, 20), np.uint8)
    labels[2:5, 4:7, 10:14] = 3
    labels[2:5, 4:7, 14:18] = 5
    labels[8, 0, 0] = 3
    confidence = np.full(labels.shape, 0.1, np.float32)
    confidence[2:5, 4:7, 10:12] = 0.6
    confidence[2:5, 4:7, 12:14] = 0.8
    confidence[8, 0, 0] = 1.0
    block, pixel = centres(labels, confidence, per_label=9)
    assert (block.name, block.label, block.position) == ("tip", 3, (3.0, 5.0, 11.5))
    assert block.score == pytest.approx(0.7)
    assert (pixel.position, pixel.score) == ((8.0, 0.0, 0.0), 1.0)
    assert centres(labels, confidence) == [block]  # the largest, though another is surer
    assert centres(np.where(labels == 3, 0, labels), confidence) == []


def test_slices_that_touch_at_a_corner_make_one_landmark() -> None:
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[0, 2:4, 2:4] = labels[1, 4:6, 4:6] = 3
    (found,) = centres(labels, per_label=4)
    z, y, x = map(int, found.position)  # their common centre is in neither
    assert labels[z, y, x] == 3


def test_the_centre_of_a_ring_is_in_the_ring_and_no_score_is_too_low() -> None:
    radius = distance((1, 40, 40), np.array([0, 20, 20]), (1, 1, 1))
    ring = (radius > 8) & (radius < 15)
    (found,) = centres(ring.astype(np.uint8) * 3, np.full(ring.shape, 0.01, np.float32))
    z, y, x = np.round(found.position).astype(int)
    assert ring[z, y, x]
    assert found.score == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("probability", "spacing", "message"),
    [
        (np.zeros((3, 3), int), (1, 1), "probability must be floating or uint8"),
        (np.zeros((3, 3, 3, 3)), (1, 1, 1, 1), "probability must have two or three axes"),
        (np.zeros((3, 3)), (1, 1, 1), "spacing must be 2 finite values"),
        (np.zeros((3, 3)), (1, -1), "spacing must be 2 finite values"),
    ],
)
def test_bad_input(probability: Array, spacing: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find(probability, spacing)
