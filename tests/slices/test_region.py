"""Regions that callers give, and the boxes that they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig
from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.slices.region import PredictedRegion, checked_region, region_box
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

VOLUME = Volume(np.zeros((4, 5, 6)), (1.0, 1.0, 1.0), source=Path("a.nii"))
FLAT = Volume.of(np.zeros((5, 6)))


def test_whole_numbers_of_any_kind():
    given = [None, np.array([2, 4]), [np.int64(0), 1]]
    assert checked_region(given) == (None, (2, 4), (0, 1))


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ([], "have a part for each axis, or one alone; got none"),
        ([(3, 3)], r"with at least one number in them; got \(3, 3\)"),
        ([(4, 1), None], "at least one number"),
        ([(1, 2, 3)], "have pairs"),
        ([3], "have pairs"),
        ([(1.0, 2.5)], "have pairs"),
        (["ab"], "have pairs"),
    ],
)
def test_what_is_no_region(region, said):
    with pytest.raises(InputError, match=f"region must .*{said}"):
        checked_region(region)


def test_a_range_of_slices_is_none_of_fused_planes():
    with pytest.raises(InputError, match="for each axis where planes are fused"):
        checked_region([(1, 2)], fused=True)
    assert checked_region([(1, 2), None, None], fused=True) == ((1, 2), None, None)


def test_boxes():
    whole = slice(0, 4), slice(0, 5), slice(0, 6)
    assert region_box(VOLUME, None, 1) == whole
    assert region_box(VOLUME, ((1, 3),), 1) == (whole[0], slice(1, 3), whole[2])
    assert region_box(VOLUME, (None, None, (5, 6)), 1) == (*whole[:2], slice(5, 6))
    assert region_box(FLAT, ((0, 5), (2, 3)), 0) == (slice(0, 5), slice(2, 3))


@pytest.mark.parametrize(
    ("volume", "region", "said"),
    [
        (VOLUME, ((1, 7),), "lie within axis 0 of a.nii, whose numbers are 0..3; got 1..6"),
        (VOLUME, (None, (-1, 2), None), "lie within axis 1 of a.nii, .* 0..4; got -1..1"),
        (VOLUME, ((0, 1), None), "each of the 3 axes of a.nii, or one alone .*; got 2 parts"),
        (FLAT, ((0, 1),), "a part for each of the 2 axes; got 1 part"),
        (FLAT, ((0, 1), None, None), "got 3 parts"),
    ],
)
def test_what_is_not_in_the_image(volume, region, said):
    with pytest.raises(InputError, match=f"region must .*{said}"):
        region_box(volume, region, 0)


@pytest.mark.parametrize("storage", ["LPS", "SRA"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_of_the_file_is_one_of_the_stack(storage, axis):
    image = make_phantom("torso", shape=(8, 9, 10), storage=storage).image
    stack = SliceStack(image, axis, IntensityConfig())
    box = region_box(image, ((1, 3), (0, 7), (4, 6)), 0)
    marked = np.zeros(image.shape, bool)
    marked[box] = True
    found = np.zeros_like(stack.from_file(marked))
    found[stack.box_from_file(box)] = True
    np.testing.assert_array_equal(found, stack.from_file(marked))


def test_whole_slices_are_seen_where_they_are_refined():
    region = PredictedRegion.of(VOLUME, ((1, 3), (2, 4), (0, 2)), 1, whole_slices=True)
    assert region.kept == (slice(1, 3), slice(2, 4), slice(0, 2))
    assert region.seen == (slice(0, 4), slice(2, 4), slice(0, 6))
    assert PredictedRegion.of(FLAT, ((1, 3), None), whole_slices=True).seen == (
        slice(0, 5),
        slice(0, 6),
    )
