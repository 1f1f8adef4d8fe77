"""Images and labels on one grid, or a message that says how they differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io import check_match
from napari_fewshot.types import Volume

AFFINE = np.array([[0, 0, 0.5, 3], [0, 1, 0, 4], [2, 0, 0, 5], [0, 0, 0, 1.0]])
IMAGE = Volume(np.zeros((3, 4, 5)), (2, 1, 0.5), AFFINE, source=Path("image.nii"))


def labels(shape: tuple[int, ...] = (3, 4, 5)) -> Volume:
    return Volume(np.zeros(shape, int), (1.0,) * len(shape), source=Path("labels.nii"))


def test_equal_grids_match() -> None:
    check_match(IMAGE, labels())
    check_match(IMAGE, replace(labels(), affine=AFFINE))
    colour = Volume(np.zeros((4, 5, 3), np.uint8), (1, 1), has_channels=True)
    check_match(colour, labels((4, 5)))


def test_other_shape_names_both() -> None:
    with pytest.raises(
        InputError,
        match=r"labels.nii must have the shape \(3, 4, 5\) of image.nii; got shape \(3, 4, 6\)",
    ):
        check_match(IMAGE, labels((3, 4, 6)))


def test_transposed_labels_are_recognised() -> None:
    with pytest.raises(InputError, match=r"axes in the order \(2, 0, 1\).*transposed"):
        check_match(IMAGE, labels((4, 5, 3)))


def test_axis_of_one_is_recognised() -> None:
    with pytest.raises(InputError, match="only by an axis of one"):
        check_match(Volume.of(np.zeros((4, 5))), labels((1, 4, 5)))


def test_rounding_of_a_header_is_no_difference() -> None:
    rounded = AFFINE.astype(np.float32) * np.float32(1 + 1e-6)
    check_match(IMAGE, replace(labels(), affine=rounded.astype(float)))


@pytest.mark.parametrize("shift", [0.02, 30.0])
def test_other_position_tells_the_distance(shift: float) -> None:
    moved = AFFINE.copy()
    moved[1, 3] += shift
    with pytest.raises(InputError, match=rf"corners up to {shift:g} mm apart.*Resample"):
        check_match(IMAGE, replace(labels(), affine=moved))


def test_mirrored_labels_are_refused() -> None:
    mirrored = AFFINE.copy()
    mirrored[0] = (0, 0, -0.5, 3)
    with pytest.raises(InputError, match="corners up to 4 mm apart"):
        check_match(IMAGE, replace(labels(), affine=mirrored))


def test_single_slice_of_another_direction_is_refused() -> None:
    image = Volume(np.zeros((1, 4, 5)), (2, 1, 0.5), AFFINE)
    other = AFFINE.copy()
    other[2, 0] = -2
    with pytest.raises(InputError, match="corners up to 4 mm apart"):
        check_match(image, replace(labels((1, 4, 5)), affine=other))
