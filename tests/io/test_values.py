"""Which numbers are labels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io.checks import as_image, as_labels, fitting_dtype
from napari_fewshot.types import Array


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32])
def test_small_integers_are_kept(dtype: type) -> None:
    assert as_labels(np.array([[0, 3]], dtype), "labels").dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64, np.float32, np.float64])
def test_others_become_int32(dtype: type) -> None:
    result = as_labels(np.array([[0, 70000]], dtype), "labels")
    assert result.dtype == np.int32
    assert result.tolist() == [[0, 70000]]


def test_truth_values_and_equal_channels() -> None:
    assert as_labels(np.array([[True, False]]), "labels").tolist() == [[1, 0]]
    grey = np.array([[1, 2], [3, 4]])
    stacked = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(as_labels(stacked, "labels", has_channels=True), grey)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, np.nan], "hold finite labels; got 1 values that are NaN.*Replace them by 0"),
        ([0.0, np.inf], "hold finite labels"),
        ([0.0, 1.25], r"hold whole numbers as labels; got values such as 1\.25.*nearest"),
        ([0, -3], "hold labels of at least 0; got values down to -3.*0 is the background"),
        ([0.0, -1.0], "hold labels of at least 0"),
        ([0, 2**31], "hold labels up to 2147483647; got 2147483648.*Renumber"),
        ([0.0, 1e30], "hold labels up to 2147483647"),
        ([1j, 0], "hold whole numbers as labels; got values of type complex128"),
    ],
)
def test_other_values_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=f"^mask.nii must {message}"):
        as_labels(np.array([values]), "mask.nii")


def test_colours_are_no_labels() -> None:
    colour = np.zeros((2, 2, 3), np.uint8)
    colour[0, 0, 1] = 9
    with pytest.raises(InputError, match=r"a colour image of 3 channels.*grey or palette"):
        as_labels(colour, "labels", has_channels=True)


@pytest.mark.parametrize(
    ("high", "dtype"),
    [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "int32")],
)
def test_fitting_dtype(high: int, dtype: str) -> None:
    assert fitting_dtype(np.array([0, high])) == dtype


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([True]), "uint8"),
        (np.array([1], ">i2"), "int16"),
        (np.array([1.5], np.float16), "float32"),
        (np.array([1e300]), "float32"),
    ],
)
def test_image_dtypes(array: Array, dtype: str) -> None:
    assert as_image(array, "image").dtype == np.dtype(dtype)
