"""Frames: file order to canonical order and back."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.geometry import Frame
from napari_fewshot.slices.axis import resolve_axis
from napari_fewshot.types import Array

SHAPE = (4, 5, 6)
STORAGE_ORDERS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def stored(
    canonical: Array, affine: Array, order: tuple[int, ...], signs: tuple[int, ...]
) -> tuple[Array, Array]:
    """Store a canonical array with its axes in another order and direction, voxel by voxel.

    Returns the array and the affine of its index; written without the frame under test.
    """
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for axis, (source, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[source, axis] = sign
        matrix[source, 3] = 0 if sign > 0 else canonical.shape[source] - 1
    shape = tuple(canonical.shape[source] for source in order)
    array = np.empty(shape, canonical.dtype)
    for index in np.ndindex(*shape):
        source_index = matrix @ (*index, 1)
        array[index] = canonical[tuple(source_index[:3].astype(int))]
    return array, affine @ matrix


def rotation(degrees: float, axis: int) -> Array:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = (i for i in range(3) if i != axis)
    matrix = np.eye(4)
    matrix[a, a] = matrix[b, b] = c
    matrix[a, b], matrix[b, a] = -s, s
    return matrix


def canonical_affine(turn: Array | None = None) -> Array:
    """Index (s, a, r) to (R, A, S) with spacing 3, 1.5, 0.5 mm, perhaps turned."""
    straight = np.zeros((4, 4))
    straight[2, 0], straight[1, 1], straight[0, 2] = 3, 1.5, 0.5
    straight[:, 3] = (-10, 20, 30, 1)
    return straight if turn is None else turn @ straight


@pytest.mark.parametrize("turn", [None, rotation(20, 2) @ rotation(-25, 0)])
@pytest.mark.parametrize(("order", "signs"), STORAGE_ORDERS)
def test_all_storage_orders_give_the_same_canonical_volume(
    order: tuple[int, ...], signs: tuple[int, ...], turn: Array | None
) -> None:
    truth = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    affine = canonical_affine(turn)
    array, file_affine = stored(truth, affine, order, signs)
    frame = Frame.of(file_affine, 3)

    np.testing.assert_array_equal(frame.to_canonical(array), truth)
    np.testing.assert_array_equal(frame.from_canonical(truth), array)
    np.testing.assert_allclose(frame.canonical_affine(file_affine, array.shape), affine, atol=1e-9)
    spacing = tuple(np.linalg.norm(file_affine[:3, :3], axis=0))
    np.testing.assert_allclose(frame.canonical_spacing(spacing), (3, 1.5, 0.5))
    assert frame.canonical_shape(array.shape) == SHAPE
    for axis, source in enumerate(order):
        assert frame.canonical_axis(axis) == source
        assert frame.file_axis(source) == axis


@pytest.mark.parametrize(("order", "signs"), STORAGE_ORDERS[::5])
def test_points_move_with_the_voxels(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    truth = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    array, affine = stored(truth, canonical_affine(), order, signs)
    frame = Frame.of(affine, 3)
    points = np.argwhere(array >= 0)
    moved = frame.points_to_canonical(points, array.shape)
    np.testing.assert_array_equal(truth[tuple(moved.astype(int).T)], array.ravel())
    np.testing.assert_array_equal(frame.points_from_canonical(moved, array.shape), points)


@pytest.mark.parametrize("turn", [rotation(45, axis) for axis in range(3)])
def test_axes_at_45_degrees_do_not_depend_on_the_storage_order(turn: Array) -> None:
    truth = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    results = []
    for order, signs in STORAGE_ORDERS:
        array, affine = stored(truth, canonical_affine(turn), order, signs)
        results.append(Frame.of(affine, 3).to_canonical(array))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_channels_stay_last() -> None:
    _, affine = stored(np.zeros(SHAPE), canonical_affine(), (2, 0, 1), (-1, 1, -1))
    colour = np.random.default_rng(0).random((6, 4, 5, 3))
    frame = Frame.of(affine, 3)
    canonical = frame.to_canonical(colour, channels=True)
    assert canonical.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(frame.from_canonical(canonical, channels=True), colour)
    np.testing.assert_array_equal(canonical[..., 1], frame.to_canonical(colour[..., 1]))


def test_no_orientation_is_the_identity() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    frame = Frame.of(None, 3)
    assert not frame.oriented
    np.testing.assert_array_equal(frame.to_canonical(array), array)
    assert Frame.of(canonical_affine(), 2) == Frame((0, 1), (False, False))


def test_array_of_another_dimension_is_refused() -> None:
    with pytest.raises(InputError, match=r"have 3 axes; got shape \(2, 3\)"):
        Frame.of(None, 3).to_canonical(np.zeros((2, 3)))


@pytest.mark.parametrize("broken", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_unusable_affine_is_refused(broken: Array) -> None:
    with pytest.raises(InputError, match="affine must be finite and invertible"):
        Frame.of(broken, 3)


def test_resolve_axis_counts_in_the_file_and_names_in_the_patient() -> None:
    # File axes run along A, R, S.
    _, affine = stored(np.zeros(SHAPE), canonical_affine(), (1, 2, 0), (1, -1, 1))
    frame = Frame.of(affine, 3)
    assert [resolve_axis(axis, frame, 3) for axis in (0, 1, 2)] == [1, 2, 0]
    assert resolve_axis("2", frame, 3) == 0
    planes = ("axial", "coronal", "sagittal")
    assert [resolve_axis(plane, frame, 3) for plane in planes] == [0, 1, 2]


@pytest.mark.parametrize("axis", [-1, 3, "-1", "3", True, 1.0, "frontal"])
def test_unknown_axes_are_refused(axis: int | str) -> None:
    with pytest.raises(InputError, match=r"axis must be a number 0\.\.2 or one of axial"):
        resolve_axis(axis, Frame.of(canonical_affine(), 3), 3)


def test_plane_without_orientation_names_the_way_on() -> None:
    with pytest.raises(InputError, match=r"number 0\.\.2 for a file without.*Count the axes"):
        resolve_axis("axial", Frame.of(None, 3), 3)
