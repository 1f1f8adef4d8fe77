from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import PromptConfig
from napari_fewshot.sam import load_sam
from napari_fewshot.sam.prompts import (
    box_of,
    components_of,
    deepest_pixel,
    region_prompts,
)

SHAPE = (40, 56)


@pytest.fixture(scope="module")
def sam(tiny_sam):
    return load_sam("sam-vit-b", weights=tiny_sam).predictor


@pytest.fixture
def region():
    """A large rectangle and a small one."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:15, 10:30] = True
    mask[30:33, 40:43] = True
    return mask


def prompts(region, sam, seed=0, outside=None, **settings):
    outside = ~region if outside is None else outside
    return region_prompts(
        region, outside, PromptConfig(**settings), sam, np.random.default_rng(seed)
    )


def test_ten_random_pixels_of_the_region_are_the_default(region, sam):
    ((part, prompt),) = prompts(region, sam)
    assert part is region
    assert prompt.points.shape == (1, 10, 2)
    assert (prompt.point_labels == 1).all()
    rows, columns = prompt.points[0].astype(int).T
    assert region[rows, columns].all()
    assert len(np.unique(prompt.points[0], axis=0)) == 10
    again = prompts(region, sam)[0][1].points
    np.testing.assert_array_equal(again, prompt.points)
    assert not np.array_equal(prompts(region, sam, seed=1)[0][1].points, prompt.points)


def test_a_region_of_few_pixels_gives_as_many_points(sam):
    region = np.zeros(SHAPE, dtype=bool)
    region[3, 4:7] = True
    ((_, prompt),) = prompts(region, sam)
    assert sorted(prompt.points[0].tolist()) == [[3, 4], [3, 5], [3, 6]]


def test_one_point_for_each_component_lies_deepest_in_it(region, sam):
    ((_, prompt),) = prompts(region, sam, strategy="components")
    first, second = prompt.points[0]
    assert 9 <= first[0] <= 10
    assert 14 <= first[1] <= 25
    assert second.tolist() == [31, 41]


def test_small_components_get_no_prompt_but_the_largest_always_does(region, sam):
    ((_, prompt),) = prompts(region, sam, strategy="components", min_area=10)
    assert prompt.points.shape == (1, 1, 2)
    ((_, prompt),) = prompts(region, sam, strategy="components", min_area=10_000)
    assert prompt.points.shape == (1, 1, 2)


def test_boxes_lie_round_the_region_or_each_component(region, sam):
    ((_, prompt),) = prompts(region, sam, strategy="box", margin=0)
    assert prompt.boxes.tolist() == [[5, 10, 32, 42]]
    assert prompt.points is None
    parts = prompts(region, sam, strategy="boxes", margin=0)
    assert [prompt.boxes[0].tolist() for _, prompt in parts] == [[5, 10, 14, 29], [30, 40, 32, 42]]
    assert [int(part.sum()) for part, _ in parts] == [200, 9]


def test_components_that_are_too_small_for_a_box_of_their_own_stay(region, sam):
    (large, prompt), (small, nothing) = prompts(region, sam, strategy="boxes", min_area=10)
    assert prompt.boxes is not None
    assert nothing is None
    np.testing.assert_array_equal(large | small, region)
    assert small.sum() == 9


def test_the_margin_is_a_share_of_the_box_and_stays_in_the_slice(region):
    assert box_of(region, 0.1).tolist() == pytest.approx([2.2, 6.7, 34.8, 45.3])
    assert box_of(region, 1.0).tolist() == [0, 0, 39, 55]


def test_box_and_points_and_negatives_go_together(region, sam):
    outside = np.zeros(SHAPE, dtype=bool)
    outside[20, :5] = True
    ((_, prompt),) = prompts(
        region, sam, outside=outside, strategy="box-points", points=3, negatives=8
    )
    assert prompt.boxes.shape == (1, 4)
    assert prompt.point_labels.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0]]
    assert (prompt.points[0, 3:, 0] == 20).all()


def test_the_region_itself_is_a_prompt(region, sam):
    ((_, prompt),) = prompts(region, sam, strategy="mask")
    np.testing.assert_array_equal(prompt.masks[0], sam.to_low(region))
    assert prompt.points.shape == (1, 1, 2)


def test_medsam_gets_boxes_alone(region, tiny_sam):
    medsam = load_sam("medsam", weights=tiny_sam).predictor
    for strategy in ("random", "components", "mask", "box-points", "box"):
        ((_, prompt),) = prompts(region, medsam, strategy=strategy, negatives=3)
        assert prompt.boxes is not None
        assert prompt.points is None
        assert prompt.masks is None


def test_components_that_touch_at_a_corner_are_one():
    region = np.eye(4, dtype=bool)
    assert len(components_of(region)) == 1


def test_the_deepest_pixel_of_a_region_at_the_edge_is_not_on_the_edge():
    region = np.zeros((20, 20), dtype=bool)
    region[:9, :9] = True
    assert deepest_pixel(region).tolist() == [4, 4]
