"""Segmentations that store a part of a grid, beside each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from napari_fewshot.io.parts import filled, widened
from napari_fewshot.types import Volume


@dataclass(frozen=True)
class Header:
    """What a reader says of a segmentation."""

    is_segmentation: bool = True
    is_loose: bool = False


def part(slices: slice, step: float = 2.0, *, is_loose: bool = False) -> Volume:
    """Slices of a grid of nine, with their number as labels."""
    data = np.broadcast_to(
        np.arange(1, 10, dtype=np.uint8)[slices, None, None], (len(range(9)[slices]), 4, 5)
    )
    affine = np.diag([step, 1.0, 1.0, 1.0])
    affine[0, 3] = 2.0 * (slices.start or 0)
    return Volume(data.copy(), (step, 1.0, 1.0), affine, header=Header(is_loose=is_loose))


WHOLE = replace(part(slice(0, 9)), header=None)


@pytest.mark.parametrize(
    ("first", "second", "from_to"),
    [
        (slice(3, 5), slice(1, 8), (1, 8)),
        (slice(1, 8), slice(3, 5), (1, 8)),
        (slice(5, 7), slice(0, 2), (0, 7)),
        (slice(2, 4), slice(3, 9), (2, 9)),
    ],
)
def test_room_for_another(first, second, from_to):
    found = widened(part(first), part(second))
    start, stop = from_to
    assert found.shape == (stop - start, 4, 5)
    np.testing.assert_array_equal(found.affine, part(slice(start, stop)).affine)
    expected = np.zeros(9, int)
    expected[first] = np.arange(1, 10)[first]
    np.testing.assert_array_equal(found.data[:, 0, 0], expected[start:stop])
    np.testing.assert_array_equal(filled(found, part(second)).shape, found.shape)


def test_others_stay(monkeypatch):
    first = part(slice(3, 5))
    assert widened(first, WHOLE) is first
    assert widened(WHOLE, first) is WHOLE
    turned = replace(part(slice(0, 2)), affine=np.diag([1.0, 1.5, 1.0, 1.0]))
    assert widened(first, turned) is first


def test_slices_of_which_nobody_says_how_far_they_are_apart():
    every_second = part(slice(1, 9, 2), 4.0, is_loose=True)
    found = filled(WHOLE, every_second)
    np.testing.assert_array_equal(found.data[:, 0, 0], [0, 2, 0, 4, 0, 6, 0, 8, 0])
    known = filled(part(slice(1, 8)), every_second)
    np.testing.assert_array_equal(known.data[:, 0, 0], [2, 0, 4, 0, 6, 0, 8])
