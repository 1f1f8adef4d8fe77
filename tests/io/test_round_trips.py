"""Where results lie, as nibabel and SimpleITK see it: the same place as their image."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.io import check_match, read_labels, read_volume, write_labels
from napari_fewshot.types import Array, Volume

sitk = pytest.importorskip("SimpleITK")

SHAPE = (4, 5, 6)  # (k, j, i)
DATA = np.arange(120, dtype=np.int16).reshape(SHAPE)
SPACING = np.array([0.7, 1.25, 3.0])


def turned(*degrees: float) -> Array:
    result = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        first, second = [k for k in range(3) if k != axis]
        turn[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        result = turn @ result
    return result


def affine_of(turn: Array) -> Array:
    """RAS affine of (i, j, k)."""
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING
    affine[:3, 3] = (-101.3, 55.5, 0.25)
    return affine


PLACES = {
    "straight": affine_of(np.diag([-1.0, -1.0, 1.0])),
    "mirrored": affine_of(np.diag([1.0, -1.0, 1.0])),
    "permuted": affine_of(np.array([[0, 0, 1.0], [-1, 0, 0], [0, 1, 0]])),
    "oblique": affine_of(turned(17, -31, 8)),
}


def corners_by_nibabel(path: Path, affine: Array | None = None) -> Array:
    """RAS mm of all corners of (i, j, k)."""
    affine = nib.load(path).affine if affine is None else affine
    return np.array([affine @ (*corner, 1) for corner in _corners()])[:, :3]


def corners_by_itk(path: Path) -> Array:
    image = sitk.ReadImage(str(path))
    found = [image.TransformIndexToPhysicalPoint(corner) for corner in _corners()]
    return np.array(found) * (-1, -1, 1)


def _corners() -> list[tuple[int, ...]]:
    return list(product(*((0, n - 1) for n in SHAPE[::-1])))


def write(path: Path, affine: Array, forms: str) -> None:
    if path.name.endswith((".nii", ".nii.gz", ".img")):
        image = nib.Nifti1Image(np.ascontiguousarray(DATA.T), affine)
        image.set_sform(affine if "s" in forms else None, 1 if "s" in forms else 0)
        image.set_qform(affine if "q" in forms else None, 1 if "q" in forms else 0)
        nib.save(image, path)
        return
    image = sitk.GetImageFromArray(DATA)
    image.SetOrigin((np.diag([-1, -1, 1]) @ affine[:3, 3]).tolist())
    image.SetSpacing(SPACING.tolist())
    image.SetDirection((np.diag([-1, -1, 1]) @ affine[:3, :3] / SPACING).ravel().tolist())
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("source", "forms"),
    [
        ("a.nii", "s"),
        ("a.nii.gz", "q"),
        ("a.nii", "sq"),
        ("a.img", "sq"),
        ("a.nrrd", ""),
        ("a.mha", ""),
        ("a.mhd", ""),
    ],
)
@pytest.mark.parametrize("target", ["o.nii.gz", "o.nrrd", "o.mha"])
def test_results_lie_where_their_image_lies(
    tmp_path: Path, place: str, source: str, forms: str, target: str
) -> None:
    affine = PLACES[place]
    path, out = tmp_path / source, tmp_path / target
    write(path, affine, forms)
    image = read_volume(path)
    write_labels(out, DATA, image)
    np.testing.assert_allclose(corners_by_itk(out), corners_by_itk(path), atol=2e-4)
    np.testing.assert_allclose(corners_by_itk(out), corners_by_nibabel(out, affine), atol=2e-4)
    if target.endswith(".nii.gz"):
        np.testing.assert_allclose(
            corners_by_nibabel(out), corners_by_nibabel(out, affine), atol=2e-4
        )
        if source.startswith("a.nii"):
            before, after = nib.load(path).header, nib.load(out).header
            for field in ("sform_code", "qform_code", "quatern_b", "srow_x", "pixdim"):
                np.testing.assert_array_equal(before[field], after[field])
    back = read_labels(out)
    np.testing.assert_array_equal(back.data, DATA)
    check_match(image, back)


@pytest.mark.parametrize("target", ["o.nii.gz", "o.nrrd", "o.mha"])
def test_results_of_a_series_lie_where_its_slices_lie(tmp_path: Path, target: str) -> None:
    pytest.importorskip("pydicom")
    from .dicom.test_format import OBLIQUE, write_series

    write_series(tmp_path / "ct", orientation=OBLIQUE)
    reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    image = read_volume(tmp_path / "ct")
    write_labels(tmp_path / target, image.data % 3, image)
    found = sitk.ReadImage(str(tmp_path / target))
    assert found.GetSize() == reference.GetSize()
    for corner in product(*((0, n - 1) for n in reference.GetSize())):
        np.testing.assert_allclose(
            found.TransformIndexToPhysicalPoint(corner),
            reference.TransformIndexToPhysicalPoint(corner),
            atol=2e-4,
        )


@pytest.mark.parametrize("shear", [0.004, 0.02, 0.2])
def test_shear_is_exact_in_the_sform_and_readable_in_the_qform(
    tmp_path: Path, shear: float
) -> None:
    affine = PLACES["oblique"].copy()
    affine[:3, 2] += shear * affine[:3, 0]
    of_arrays = affine[:, [2, 1, 0, 3]]
    spacing = np.linalg.norm(of_arrays[:3, :3], axis=0)
    volume = Volume(DATA, tuple(float(size) for size in spacing), of_arrays)
    out = tmp_path / "o.nii.gz"
    write_labels(out, DATA, volume)
    header: Any = nib.load(out).header
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-4)
    off = np.abs(corners_by_itk(out) - corners_by_nibabel(out, affine)).max()
    assert off <= shear * 3 * SPACING[0] + 1e-3  # three slices of that shear
    image = sitk.ReadImage(str(out))
    sitk.WriteImage(image, str(tmp_path / "painted.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / "painted.nrrd"))
    for name in ("o.nii.gz", "painted.nii.gz", "painted.nrrd"):
        check_match(volume, read_labels(tmp_path / name))
