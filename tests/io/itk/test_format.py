"""NRRD and MetaImage: positions in mm as SimpleITK tells them, and the way back."""

from __future__ import annotations

import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import (
    check_match,
    output_path,
    read_labels,
    read_volume,
    write_image,
    write_labels,
)
from napari_fewshot.types import Array, Volume

sitk = pytest.importorskip("SimpleITK")

SHAPE = (3, 4, 5)  # (k, j, i)
ENDINGS = [".nrrd", ".mha", ".nhdr", ".mhd"]


def turn() -> Array:
    a, b = np.radians(17), np.radians(-31)
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return np.asarray(first @ second @ np.diag([1, -1, -1]))


def image_of(data: Array, is_vector: bool = False) -> Any:
    image = sitk.GetImageFromArray(data, isVector=is_vector)
    if image.GetDimension() == 3:
        image.SetDirection(turn().ravel())
        image.SetSpacing((0.7, 1.25, 5.0))
        image.SetOrigin((-101.3, 55.5, 0.25))
    return image


def save(path: Path, data: Array, **options: Any) -> Any:
    image = image_of(data, **options)
    sitk.WriteImage(image, str(path))
    return image


def positions(volume: Volume) -> Array:
    """RAS mm of the corners of the volume."""
    corners = [(*corner, 1) for corner in product(*((0, n - 1) for n in volume.shape))]
    return np.array([(np.asarray(volume.affine) @ corner)[:3] for corner in corners])


def positions_by_itk(image: Any) -> Array:
    size = image.GetSize()[::-1]
    corners = product(*((0, n - 1) for n in size))
    lps = [image.TransformIndexToPhysicalPoint([int(v) for v in c[::-1]]) for c in corners]
    return np.array(lps) * (-1, -1, 1)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_values_and_positions(tmp_path: Path, ending: str, dtype: Any) -> None:
    data = np.arange(60).reshape(SHAPE).astype(dtype)
    image = save(tmp_path / f"image{ending}", data)
    volume = read_volume(tmp_path / f"image{ending}")
    np.testing.assert_array_equal(volume.data, data)
    assert volume.data.dtype == dtype
    np.testing.assert_allclose(volume.spacing, (5.0, 1.25, 0.7), rtol=1e-12)
    np.testing.assert_allclose(positions(volume), positions_by_itk(image), atol=1e-9)


@pytest.mark.parametrize("ending", ENDINGS)
def test_results_lie_where_the_image_lies(tmp_path: Path, ending: str) -> None:
    image = save(tmp_path / f"image{ending}", np.zeros(SHAPE, np.int16))
    volume = read_volume(tmp_path / f"image{ending}")
    labels = np.arange(60).reshape(SHAPE) % 4
    target = output_path(tmp_path / f"image{ending}", tmp_path / "out")
    assert target.name == ("image_labels.nrrd" if ending in ENDINGS[::2] else "image_labels.mha")
    write_labels(target, labels, volume, {2: "knee"})
    written = sitk.ReadImage(str(target))
    assert written.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-12)
    assert written.GetSpacing() == pytest.approx(image.GetSpacing(), abs=1e-12)
    assert written.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-12)
    back = read_labels(target)
    np.testing.assert_array_equal(back.data, labels)
    assert back.data.dtype == np.uint8
    assert back.names == {2: "knee"}
    check_match(volume, back)
    np.testing.assert_allclose(np.asarray(back.affine), np.asarray(volume.affine), atol=1e-12)
    assert sorted(p.name for p in target.parent.iterdir()) == sorted(
        [target.name, "image_labels.json"]
    )


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_volumes_of_other_formats_and_confidence(tmp_path: Path, ending: str) -> None:
    """A sheared, flipped affine without a header of SimpleITK."""
    affine = np.array([[0, 0, -2.0, 5], [0.3, 1.5, 0, 7], [4, 0, 0, -9], [0, 0, 0, 1]])
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    volume = Volume(np.zeros(SHAPE), spacing, affine)
    write_image(tmp_path / f"c{ending}", np.full(SHAPE, 0.25), volume)
    back = read_volume(tmp_path / f"c{ending}")
    np.testing.assert_allclose(np.asarray(back.affine), affine, atol=1e-9)
    assert back.data.dtype == np.float32


def test_same_bytes_for_the_same_result(tmp_path: Path) -> None:
    save(tmp_path / "image.nrrd", np.zeros(SHAPE, np.int16))
    volume = read_volume(tmp_path / "image.nrrd")
    for name in ("a.nrrd", "b.nrrd"):
        write_labels(tmp_path / name, np.ones(SHAPE, int), volume)
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()


@pytest.mark.parametrize(
    ("space", "flip"),
    [("left-posterior-superior", (-1, -1, 1)), ("right-anterior-superior", (1, 1, 1))],
)
def test_nrrd_of_either_space(tmp_path: Path, space: str, flip: tuple[int, ...]) -> None:
    header = (
        f"NRRD0004\ntype: uint8\ndimension: 3\nspace: {space}\nsizes: 2 3 4\n"
        "space directions: (2,0,0) (0,3,0) (0,0.5,4)\nspace origin: (10,20,30)\n"
        "kinds: domain domain domain\nencoding: raw\nendian: little\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(range(24)))
    volume = read_volume(tmp_path / "a.nrrd")
    assert volume.shape == (4, 3, 2)
    got = np.asarray(volume.affine) @ (3, 2, 1, 1)
    lps_or_ras = np.array([10 + 2, 20 + 2 * 3 + 3 * 0.5, 30 + 3 * 4])
    np.testing.assert_allclose(got[:3], lps_or_ras * flip)


def test_files_without_orientation(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nspacings: 0.5 0.5 2\n"
        b"encoding: raw\n\n" + bytes(24)
    )
    volume = read_volume(tmp_path / "a.nrrd")
    assert volume.affine is None
    assert volume.spacing == (2, 0.5, 0.5)
    (tmp_path / "a.mha").write_bytes(
        b"NDims = 3\nDimSize = 2 3 4\nElementSpacing = 0.5 0.5 2\nElementType = MET_UCHAR\n"
        b"ElementDataFile = LOCAL\n" + bytes(24)
    )
    volume = read_volume(tmp_path / "a.mha")
    assert volume.affine is None
    assert volume.spacing == (2, 0.5, 0.5)


def test_two_axes_colours_and_frames(tmp_path: Path) -> None:
    save(tmp_path / "flat.mha", np.zeros((4, 5), np.uint8))
    flat = read_volume(tmp_path / "flat.mha")
    assert flat.shape == (4, 5)
    assert flat.affine is None
    save(tmp_path / "colour.nrrd", np.zeros((3, 4, 5, 3), np.uint8), is_vector=True)
    colour = read_volume(tmp_path / "colour.nrrd")
    assert colour.shape == SHAPE
    assert colour.has_channels
    assert colour.affine is not None

    series = np.arange(120, dtype=np.int16).reshape(2, *SHAPE)
    sitk.WriteImage(sitk.GetImageFromArray(series, isVector=False), str(tmp_path / "time.mha"))
    np.testing.assert_array_equal(read_volume(tmp_path / "time.mha", frame=1).data, series[1])
    with pytest.raises(InputError, match=r"must hold one volume.*frame=0\.\.1"):
        read_volume(tmp_path / "time.mha")
    with pytest.raises(InputError, match=r"frame must be within 0\.\.1"):
        read_volume(tmp_path / "time.mha", frame=2)


def test_names_of_segments(tmp_path: Path) -> None:
    image = image_of(np.eye(5, dtype=np.uint8)[None].repeat(2, 0) * 3)
    image.SetMetaData("Segment0_Name", "Eye_AL")
    image.SetMetaData("Segment0_LabelValue", "3")
    sitk.WriteImage(image, str(tmp_path / "case_OAR_Eye_AL.seg.nrrd"))
    labels = read_labels(tmp_path / "case_OAR_Eye_AL.seg.nrrd")
    assert labels.names == {3: "Eye_AL"}
    assert output_path(tmp_path / "a.seg.nrrd", "out", "_x") == Path("out/a_x.nrrd")


def test_damaged_files(tmp_path: Path) -> None:
    save(tmp_path / "a.nrrd", np.arange(60, dtype=np.int16).reshape(SHAPE))
    whole = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "cut.nrrd").write_bytes(whole[:-40])
    with pytest.raises(UnreadableFileError, match="must be a whole NRRD or MetaImage file"):
        read_volume(tmp_path / "cut.nrrd")
    save(tmp_path / "b.mhd", np.zeros(SHAPE, np.uint8))
    (tmp_path / "b.raw").unlink(missing_ok=True)
    (tmp_path / "b.zraw").unlink(missing_ok=True)
    with pytest.raises(UnreadableFileError, match="data file is missing"):
        read_volume(tmp_path / "b.mhd")


@pytest.mark.parametrize("ending", [".nhdr", ".mhd"])
def test_results_are_one_file(tmp_path: Path, ending: str) -> None:
    volume = Volume(np.zeros(SHAPE), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="must be one file"):
        write_labels(tmp_path / f"a{ending}", np.zeros(SHAPE, int), volume)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.nrrd", np.zeros(SHAPE, np.int16))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    message = 'SimpleITK is not installed. Install it: pip install "napari-fewshot[formats]".'
    with pytest.raises(InputError, match=re.escape(message)):
        read_volume(tmp_path / "a.nrrd")
    volume = Volume(np.zeros(SHAPE), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=re.escape(message)):
        write_labels(tmp_path / "b.mha", np.zeros(SHAPE, int), volume)
    assert not (tmp_path / "b.mha").exists()
