"""NIfTI of several time points, and files that say that they are labels."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import read_volume, write_image, write_labels
from napari_fewshot.io.nifti.format import NiftiHeader, read_nifti_frames, write_nifti
from napari_fewshot.types import Volume

AFFINE = np.array([[0, 0.8, 0.1, 3], [-0.9, 0, 0, 4], [0, 0.1, 5, -5], [0, 0, 0, 1]])


def series(path: Path, slope: float | None = None) -> Path:
    data = np.arange(5 * 4 * 3 * 6, dtype=np.int16).reshape(5, 4, 3, 6)
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 250.0))
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    image.to_filename(path)
    return path


@pytest.mark.parametrize("slope", [None, 0.5])
@pytest.mark.parametrize("name", ["heart.nii", "heart.nii.gz"])
def test_all_frames_are_those_that_can_be_read_one_by_one(tmp_path, name, slope):
    path = series(tmp_path / name, slope)
    frames = read_nifti_frames(path)
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        alone = read_volume(path, frame=number)
        np.testing.assert_array_equal(frame.data, alone.data)
        assert frame.data.dtype == alone.data.dtype
        np.testing.assert_array_equal(frame.affine, alone.affine)
    header = frames[0].header
    assert isinstance(header, NiftiHeader)
    assert header.frame_step_s == 0.25


def test_a_single_volume_is_one_frame(tmp_path):
    nib.Nifti1Image(np.ones((3, 4, 5, 1), np.uint8), np.eye(4)).to_filename(tmp_path / "a.nii")
    (frame,) = read_nifti_frames(tmp_path / "a.nii")
    assert frame.shape == (5, 4, 3)


def test_series_return_with_the_same_header(tmp_path):
    path = series(tmp_path / "heart.nii.gz")
    frames = read_nifti_frames(path)
    data = np.stack([frame.data for frame in frames])
    write_nifti(tmp_path / "again.nii.gz", data, frames[0])
    before, after = nib.load(path), nib.load(tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))
    for key in ("dim", "pixdim", "srow_x", "srow_y", "srow_z", "xyzt_units", "sform_code"):
        np.testing.assert_array_equal(before.header[key], after.header[key], err_msg=key)


def test_series_without_a_header_are_written_from_the_geometry(tmp_path):
    data = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    write_nifti(tmp_path / "a.nii.gz", data, Volume(data[0], (3.0, 2.0, 1.0)))
    frames = read_nifti_frames(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.stack([frame.data for frame in frames]), data)
    assert frames[0].spacing == (3, 2, 1)


def test_two_axes_of_frames_are_refused(tmp_path):
    nib.Nifti1Image(np.ones((3, 4, 5, 2, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match="one axis of frames"):
        read_nifti_frames(tmp_path / "a.nii")


def test_truncated_series_are_refused(tmp_path):
    path = series(tmp_path / "heart.nii.gz")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UnreadableFileError, match="truncated or damaged"):
        read_nifti_frames(path)


def test_label_maps_say_that_they_are_and_images_do_not(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    like = Volume(data, (1.0, 1.0, 1.0), np.eye(4))
    write_labels(tmp_path / "a.nii.gz", data, like)
    write_image(tmp_path / "b.nii.gz", data, like)
    labels, image = (read_volume(tmp_path / name).header for name in ("a.nii.gz", "b.nii.gz"))
    assert labels.says_labels
    assert not image.says_labels
    # Written over the header of a label map, an image is an image again.
    write_nifti(tmp_path / "c.nii.gz", data, read_volume(tmp_path / "a.nii.gz"))
    assert not read_volume(tmp_path / "c.nii.gz").header.says_labels
