"""The smallest size of objects that painted slices speak for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.objects.smallest import proposed_min_size


def squares(*sides, instances=False):
    """A slice with a square of each side."""
    plane = np.zeros((20, 20 * len(sides)), np.int32)
    for k, side in enumerate(sides):
        plane[1 : 1 + side, 20 * k : 20 * k + side] = k + 1 if instances else 1
    return plane


@pytest.mark.parametrize("instances", [False, True])
def test_a_share_of_the_median_outline(instances):
    planes = [squares(2, 10, 10, instances=instances), squares(10, 12, 14, instances=instances)]
    assert proposed_min_size(planes, (1.0, 1.0)) == 25


def test_in_a_volume_the_ball_with_this_outline():
    planes = [squares(10, 10, 10), squares(10, 10, 10)]
    ball = 4 / 3 * np.pi * (100 / np.pi) ** 1.5
    assert proposed_min_size(planes, (1.0, 1.0, 1.0), 0) == int(ball / 4)
    assert proposed_min_size(planes, (2.0, 1.0, 1.0), 0) == int(ball / 8)


def test_the_label_with_the_smallest_objects_counts():
    small, large = squares(4, 4, 4, 4, 4), 2 * squares(12, 12, 12, 12, 12)
    assert proposed_min_size([small, large], (1.0, 1.0)) == 4
    assert proposed_min_size([large, 3 * squares(4)], (1.0, 1.0)) == 0  # who knows of the third


@pytest.mark.parametrize("planes", [[], [squares(10, 10, 10, 10)], [squares(10) - 2]])
def test_few_outlines_tell_nothing(planes):
    assert proposed_min_size(planes, (1.0, 1.0)) == 0
