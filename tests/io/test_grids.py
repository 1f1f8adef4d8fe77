"""Affines with right angles for volumes without them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.io.grids import largest_distance, square_affines

TILT = np.radians(12)
SHEARED = np.array(
    [
        [0.1, 0, 0.5, 3],
        [0, np.cos(TILT), 0, -4],
        [2, -np.sin(TILT), 0, 5],
        [0, 0, 0, 1],
    ]
)


def test_right_angles_have_no_other() -> None:
    assert square_affines(np.diag([3.0, 2, 1, 1])) == []


def test_slices_keep_their_rows() -> None:
    by_centres, by_planes, nearest = square_affines(SHEARED)
    for affine in (by_centres, by_planes, nearest):
        columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-12)
        assert np.linalg.det(affine[:3, :3]) * np.linalg.det(SHEARED[:3, :3]) > 0
    np.testing.assert_allclose(by_centres[:, 1:], SHEARED[:, 1:], atol=1e-12)
    step = np.linalg.norm(SHEARED[:3, 0])
    assert np.linalg.norm(by_centres[:3, 0]) == pytest.approx(step)
    assert np.linalg.norm(by_planes[:3, 0]) < step


def test_the_nearest_is_that_of_nibabel() -> None:
    header = nib.Nifti1Header()
    header.set_qform(SHEARED[:, [2, 1, 0, 3]], 1)
    qform = header.get_qform()[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(square_affines(SHEARED)[2], qform, atol=1e-5)


def test_distance() -> None:
    other = SHEARED.copy()
    other[:3, 0] += (0, 0, 0.5)
    assert largest_distance(SHEARED, other, (5, 4, 3)) == pytest.approx(2)
    assert largest_distance(SHEARED, other, (1, 4, 3)) < 0.2  # longer, and a little turned
    assert largest_distance(SHEARED, other, (4, 3)) == largest_distance(SHEARED, other, (1, 4, 3))
