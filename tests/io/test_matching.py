"""Whether labels lie on their image, also where programs place it in another way."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io import check_match, read_labels, read_labels_on, read_volume
from napari_fewshot.io.matching import in_units_of
from napari_fewshot.types import Array, Volume

AFFINE = np.array([[0, 0, 0.5, 3], [0, 1, 0, 4], [2, 0, 0, 5], [0, 0, 0, 1.0]])
MATCHED = Volume(np.zeros((3, 4, 5)), (2, 1, 0.5), AFFINE, source=Path("image.nii"))


def labels_of(shape: tuple[int, ...] = (3, 4, 5)) -> Volume:
    return Volume(np.zeros(shape, int), (1.0,) * len(shape), source=Path("labels.nii"))


def test_equal_grids_match() -> None:
    check_match(MATCHED, labels_of())
    check_match(MATCHED, replace(labels_of(), affine=AFFINE))
    colour = Volume(np.zeros((4, 5, 3), np.uint8), (1, 1), has_channels=True)
    check_match(colour, labels_of((4, 5)))


def test_other_shape_names_both() -> None:
    with pytest.raises(
        InputError,
        match=r"labels.nii must have the shape \(3, 4, 5\) of image.nii; got shape \(3, 4, 6\)",
    ):
        check_match(MATCHED, labels_of((3, 4, 6)))


def test_transposed_labels_are_recognised() -> None:
    with pytest.raises(InputError, match=r"axes in the order \(2, 0, 1\).*transposed"):
        check_match(MATCHED, labels_of((4, 5, 3)))


def test_axis_of_one_is_recognised() -> None:
    with pytest.raises(InputError, match="only by an axis of one"):
        check_match(Volume.of(np.zeros((4, 5))), labels_of((1, 4, 5)))


def test_rounding_of_a_header_is_no_difference() -> None:
    rounded = AFFINE.astype(np.float32) * np.float32(1 + 1e-6)
    check_match(MATCHED, replace(labels_of(), affine=rounded.astype(float)))


@pytest.mark.parametrize("shift", [0.02, 30.0])
def test_other_position_tells_the_distance(shift: float) -> None:
    moved = AFFINE.copy()
    moved[1, 3] += shift
    with pytest.raises(InputError, match=rf"corners up to {shift:g} mm apart.*Resample"):
        check_match(MATCHED, replace(labels_of(), affine=moved))


def test_mirrored_labels_are_refused() -> None:
    mirrored = AFFINE.copy()
    mirrored[0] = (0, 0, -0.5, 3)
    with pytest.raises(InputError, match="corners up to 4 mm apart"):
        check_match(MATCHED, replace(labels_of(), affine=mirrored))


def test_single_slice_of_another_direction_is_refused() -> None:
    image = Volume(np.zeros((1, 4, 5)), (2, 1, 0.5), AFFINE)
    other = AFFINE.copy()
    other[2, 0] = -2
    with pytest.raises(InputError, match="corners up to 4 mm apart"):
        check_match(image, replace(labels_of((1, 4, 5)), affine=other))


def test_the_remedy_does_not_resample_equal_grids() -> None:
    moved = AFFINE.copy()
    moved[1, 3] += 5
    labels = replace(labels_of(), spacing=(2, 1, 0.5), affine=moved)
    with pytest.raises(InputError, match="their voxels are the same: give the labels its header"):
        check_match(MATCHED, labels)


def test_the_thickness_of_a_single_slice_does_not_matter() -> None:
    image = Volume(np.zeros((1, 4, 5)), (2, 1, 0.5), AFFINE)
    other = AFFINE.copy()
    other[2, 0] = 0.3
    check_match(image, replace(labels_of((1, 4, 5)), affine=other))
    with pytest.raises(InputError, match="corners up to"):  # of two slices it does
        check_match(
            Volume(np.zeros((2, 4, 5)), (2, 1, 0.5), AFFINE),
            replace(labels_of((2, 4, 5)), affine=other),
        )


def test_slices_that_were_saved_as_channels() -> None:
    image = Volume(np.zeros((4, 5, 12), np.uint8), (1, 1), has_channels=True)
    with pytest.raises(InputError, match="12 channels, which may be its slices"):
        check_match(image, labels_of((12, 4, 5)))


def save(path: Path, data: Array, affine: Array, **header: Any) -> Path:
    image = nib.Nifti1Image(data.T.astype(np.int16), affine)
    if "units" in header:
        image.header.set_xyzt_units(header["units"])
    if "qform" in header:
        image.set_sform(affine, header.get("code", 2))
        image.set_qform(header["qform"], 1)
    nib.save(image, path)
    return path


DATA = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
DISK = np.diag([-1.0, 1.0, 3.0, 1.0])


def turned(degrees: float) -> Array:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0, 4], [s, c, 0, -2], [0, 0, 1, 7], [0, 0, 0, 1]])
    return np.asarray(turn @ DISK)


@pytest.mark.parametrize("code", [1, 2, 4])
def test_labels_on_the_qform(tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int) -> None:
    """Programs take one or the other; the voxels are the same."""
    image = read_volume(save(tmp_path / "i.nii", DATA, DISK, qform=turned(8), code=code))
    by_the_qform = save(tmp_path / "l.nii", DATA > 30, turned(8))
    with caplog.at_level(logging.WARNING):
        labels = read_labels_on(image, by_the_qform)
    np.testing.assert_array_equal(labels.data, DATA > 30)
    assert "placed by its qform, which differs from its sform" in caplog.text
    caplog.clear()
    read_labels_on(image, save(tmp_path / "s.nii", DATA > 30, DISK))
    assert not caplog.text
    with pytest.raises(InputError, match="The sform and the qform of .*i.nii differ"):
        read_labels_on(image, save(tmp_path / "o.nii", DATA > 30, turned(20)))


@pytest.mark.parametrize("unit", ["micron", "meter"])
def test_units_that_one_file_does_not_say(tmp_path: Path, unit: str) -> None:
    image = read_volume(save(tmp_path / "i.nii", DATA, DISK, units=unit))
    labels = read_labels(save(tmp_path / "l.nii", DATA > 30, DISK, units="unknown"))
    check_match(image, labels)
    check_match(labels, image)
    scaled = in_units_of(labels, image)
    assert scaled.spacing == image.spacing
    np.testing.assert_allclose(scaled.affine, image.affine)
    assert in_units_of(image, labels) is image
    in_mm = np.diag([*(0.001 if unit == "micron" else 1000.0) * np.diag(DISK)[:3], 1.0])
    check_match(image, read_labels(save(tmp_path / "n.nii", DATA > 30, in_mm, units="unknown")))
    said = read_labels(save(tmp_path / "m.nii", DATA > 30, DISK, units="mm"))
    with pytest.raises(InputError, match="Resample"):
        check_match(image, said)


def test_labels_without_the_shear_of_their_image() -> None:
    """As programs on ITK write them for a tilted gantry."""
    shape = (12, 64, 64)
    tilt = np.radians(15)
    affine = np.eye(4)
    affine[:3, 0] = (0, 0, 3)
    affine[:3, 1] = (0, np.cos(tilt), -np.sin(tilt))
    affine[:3, 2] = (1, 0, 0)
    image = Volume(np.zeros(shape, np.uint8), (3, 1, 1), affine)
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    for length in (3.0, 3 * np.cos(tilt)):
        square = affine.copy()
        square[:3, 0] = normal * length
        check_match(image, Volume(np.zeros(shape, np.uint8), (3, 1, 1), square))
    moved = affine.copy()
    moved[:3, 0] = normal * 3
    moved[0, 3] += 2
    with pytest.raises(InputError, match="lie where"):
        check_match(image, Volume(np.zeros(shape, np.uint8), (3, 1, 1), moved))


def test_labels_of_time_points(tmp_path: Path) -> None:
    one, four = DATA > 30, np.stack([DATA > 50, DATA > 30])
    image = read_volume(save(tmp_path / "i.nii", np.stack([DATA, DATA]), DISK), frame=1)
    single = save(tmp_path / "s.nii", one, DISK)
    several = save(tmp_path / "t.nii", four, DISK)
    for frame in (0, 1):
        np.testing.assert_array_equal(read_labels_on(image, single, frame).data, one)
        np.testing.assert_array_equal(read_labels_on(image, several, frame).data, four[frame])
    with pytest.raises(InputError, match="--frame N"):
        read_labels_on(image, several)
    with pytest.raises(InputError, match=r"be within 0\.\.1"):
        read_labels_on(image, several, 2)
