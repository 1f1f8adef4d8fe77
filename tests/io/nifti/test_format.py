"""NIfTI: values, geometry in mm, and the way back to the same header."""

from __future__ import annotations

import gzip
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.geometry import Frame
from napari_fewshot.io import check_match, read_labels, read_volume, write_image, write_labels
from napari_fewshot.types import Array, Volume

SHAPE = (3, 4, 5)
AXES = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def save(
    path: Path, data: Array, affine: Array | None = None, kind: Any = nib.Nifti1Image, **fields: Any
) -> Path:
    image = kind(data, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units(fields.pop("units", "mm"))
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def permuted_affine(order: tuple[int, ...], signs: tuple[int, ...]) -> Array:
    affine = np.zeros((4, 4))
    for axis, (target, sign, spacing) in enumerate(zip(order, signs, (0.5, 1.25, 3), strict=True)):
        affine[target, axis] = sign * spacing
    affine[:, 3] = (-7.5, 11.25, 3, 1)
    return affine


def oblique_affine() -> Array:
    a, b = np.radians(17), np.radians(-31)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.diag([0.7, 0.7, 5.0])
    affine[:3, 3] = (-101.3, 55.5, 0.25)
    return affine


def geometry(path: Path) -> dict[str, Any]:
    header = nib.load(path).header
    keys = ("dim", "pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z")
    keys += ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    return {key: header[key].tolist() for key in (*keys, "xyzt_units", "sizeof_hdr")}


@pytest.mark.parametrize(("order", "signs"), AXES)
def test_geometry_returns_exactly(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    affine = permuted_affine(order, signs)
    source = save(tmp_path / "image.nii", np.arange(60, dtype=np.int16).reshape(SHAPE), affine)
    volume = read_volume(source)
    np.testing.assert_array_equal(volume.data, np.arange(60).reshape(SHAPE).T)
    assert volume.spacing == (3, 1.25, 0.5)
    np.testing.assert_array_equal(np.asarray(volume.affine) @ (2, 1, 0, 1), affine @ (0, 1, 2, 1))

    write_labels(tmp_path / "out.nii.gz", volume.data % 3, volume)
    assert geometry(tmp_path / "out.nii.gz") == geometry(source)
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.affine, nib.load(source).affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.arange(60).reshape(SHAPE) % 3)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("units", ["mm", "micron", "meter", "unknown"])
def test_oblique_files_of_any_unit_and_version(tmp_path: Path, units: str, kind: Any) -> None:
    data = np.zeros(SHAPE, np.float32)
    source = save(tmp_path / "image.nii.gz", data, oblique_affine(), kind, units=units)
    factor = {"micron": 1e-3, "meter": 1e3}.get(units, 1.0)
    volume = read_volume(source)
    np.testing.assert_allclose(volume.spacing, np.array((5.0, 0.7, 0.7)) * factor, rtol=1e-6)
    expected = nib.load(source).affine
    np.testing.assert_allclose(
        np.asarray(volume.affine)[:3], expected[:3][:, [2, 1, 0, 3]] * factor, rtol=1e-12
    )
    write_image(tmp_path / "out.nii.gz", np.ones(volume.shape), volume)
    assert geometry(tmp_path / "out.nii.gz") == geometry(source)
    assert nib.load(tmp_path / "out.nii.gz").get_data_dtype() == np.float32


def test_codes_and_both_forms_are_kept(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), None)
    image.header.set_sform(oblique_affine(), code="mni")
    image.header.set_qform(np.diag([1.0, 2, 3, 1]), code="scanner")
    image.header["pixdim"][4] = 2.5
    image.header["cal_max"] = 400
    image.to_filename(tmp_path / "image.nii")
    volume = read_volume(tmp_path / "image.nii")
    np.testing.assert_allclose(volume.spacing, (5.0, 0.7, 0.7), rtol=1e-6)  # the sform comes first
    write_labels(tmp_path / "out.nii", np.ones(volume.shape, int), volume)
    assert geometry(tmp_path / "out.nii") == geometry(tmp_path / "image.nii")
    assert nib.load(tmp_path / "out.nii").header["cal_max"] == 0


def test_big_endian(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    nib.Nifti1Image(data, np.diag([2.0, 3, 4, 1]), header).to_filename(tmp_path / "image.nii")
    volume = read_volume(tmp_path / "image.nii")
    assert volume.data.dtype == np.dtype(np.int16)
    np.testing.assert_array_equal(volume.data, data.T)
    write_labels(tmp_path / "out.nii", volume.data.astype(int) * 1000, volume)
    np.testing.assert_array_equal(read_labels(tmp_path / "out.nii").data, data.T.astype(int) * 1000)


def test_two_storage_orders_of_one_patient(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    original = nib.Nifti1Image(data, oblique_affine())
    original.to_filename(tmp_path / "a.nii.gz")
    target = nib.orientations.axcodes2ornt(("P", "S", "L"))
    start = nib.io_orientation(original.affine)
    turned = original.as_reoriented(nib.orientations.ornt_transform(start, target))
    turned.to_filename(tmp_path / "b.nii.gz")
    canonical = []
    for name in ("a.nii.gz", "b.nii.gz"):
        volume = read_volume(tmp_path / name)
        frame = Frame.of(volume.affine, 3)
        canonical.append(
            (
                frame.to_canonical(volume.data),
                frame.canonical_spacing(volume.spacing),
                frame.canonical_affine(np.asarray(volume.affine), volume.shape),
            )
        )
    assert read_volume(tmp_path / "b.nii.gz").shape != read_volume(tmp_path / "a.nii.gz").shape
    np.testing.assert_array_equal(canonical[0][0], canonical[1][0])
    np.testing.assert_allclose(canonical[0][1], canonical[1][1], rtol=1e-6)
    np.testing.assert_allclose(canonical[0][2], canonical[1][2], atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32])
def test_dtypes_without_scaling_are_kept(tmp_path: Path, dtype: type) -> None:
    source = save(tmp_path / "image.nii", np.ones(SHAPE, dtype))
    assert read_volume(source).data.dtype == dtype


def test_doubles_become_single(tmp_path: Path) -> None:
    assert read_volume(save(tmp_path / "i.nii", np.ones(SHAPE))).data.dtype == np.float32


def test_slope_and_intercept(tmp_path: Path) -> None:
    stored = np.arange(60, dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(0.5, -100)
    image.to_filename(tmp_path / "image.nii")
    volume = read_volume(tmp_path / "image.nii")
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, (stored * 0.5 - 100).T)
    write_labels(tmp_path / "out.nii.gz", stored.T, volume)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj), stored)


@pytest.mark.parametrize(
    ("high", "dtype"), [(255, "uint8"), (256, "uint16"), (65536, "int32"), (2**31 - 1, "int32")]
)
def test_labels_take_the_smallest_dtype_and_stay_exact(
    tmp_path: Path, high: int, dtype: str
) -> None:
    volume = read_volume(save(tmp_path / "image.nii", np.zeros(SHAPE, np.float32)))
    labels = np.zeros(volume.shape, np.int64)
    labels[1, 2, 1] = high
    write_labels(tmp_path / "out.nii.gz", labels, volume)
    assert nib.load(tmp_path / "out.nii.gz").get_data_dtype() == dtype
    np.testing.assert_array_equal(read_labels(tmp_path / "out.nii.gz").data, labels)


def test_large_labels_stored_as_doubles_are_exact(tmp_path: Path) -> None:
    source = save(tmp_path / "labels.nii", np.full(SHAPE, 2.0**31 - 1))
    assert read_labels(source).data.max() == 2**31 - 1


def test_equal_results_are_equal_bytes(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "image.nii", np.zeros(SHAPE, np.float32)))
    for name in ("first.nii.gz", "second.nii.gz"):
        write_labels(tmp_path / name, np.ones(volume.shape, int), volume)
    first = (tmp_path / "first.nii.gz").read_bytes()
    assert first == (tmp_path / "second.nii.gz").read_bytes()
    assert first[4:8] == bytes(4)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 6, 1), (4, 5, 1, 1), (4, 5, 6, 1, 1)])
def test_axes_of_one_are_restored(tmp_path: Path, shape: tuple[int, ...]) -> None:
    source = save(tmp_path / "image.nii", np.arange(np.prod(shape), dtype=np.int16).reshape(shape))
    volume = read_volume(source)
    assert volume.shape == shape[:3][::-1]
    write_labels(tmp_path / "out.nii", volume.data, volume)
    assert geometry(tmp_path / "out.nii") == geometry(source)
    np.testing.assert_array_equal(
        np.asarray(nib.load(tmp_path / "out.nii").dataobj), np.asarray(nib.load(source).dataobj)
    )


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 1, 5)])
@pytest.mark.parametrize("slope", [None, 2.0])
def test_frames_need_a_choice(tmp_path: Path, shape: tuple[int, ...], slope: float | None) -> None:
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = nib.Nifti1Image(data, np.eye(4))
    image.header.set_slope_inter(slope, None if slope is None else 0)
    image.to_filename(tmp_path / "image.nii.gz")
    with pytest.raises(InputError, match=r"hold one volume; got shape .* with 5 frames.*--frame N"):
        read_volume(tmp_path / "image.nii.gz")
    with pytest.raises(InputError, match=r"frame must be within 0\.\.4 .*; got 5"):
        read_volume(tmp_path / "image.nii.gz", frame=5)
    volume = read_volume(tmp_path / "image.nii.gz", frame=3)
    expected = data.reshape(2, 3, 4, 5)[..., 3].T * (slope or 1)
    np.testing.assert_array_equal(volume.data, expected)
    assert volume.data.dtype == (np.int16 if slope is None else np.float32)
    write_labels(tmp_path / "out.nii.gz", np.ones(volume.shape, int), volume)
    assert nib.load(tmp_path / "out.nii.gz").shape == (2, 3, 4)


def test_two_axes_of_frames_are_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "image.nii", np.zeros((2, 2, 2, 3, 4), np.uint8))
    with pytest.raises(InputError, match="have one axis of frames"):
        read_volume(source, frame=0)


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colours_become_channels(tmp_path: Path, names: str) -> None:
    values = np.random.default_rng(0).integers(0, 255, (*SHAPE, len(names)), dtype=np.uint8)
    dtype = np.dtype([(name, np.uint8) for name in names])
    source = save(tmp_path / "image.nii", values.view(dtype)[..., 0])
    volume = read_volume(source)
    assert volume.has_channels
    np.testing.assert_array_equal(volume.data, values[..., :3].transpose(2, 1, 0, 3))
    write_labels(tmp_path / "out.nii", np.ones(volume.shape, int), volume)
    assert geometry(tmp_path / "out.nii") == geometry(source)
    with pytest.raises(InputError, match="got a colour image of 3 channels"):
        read_labels(source)


def test_file_without_codes_has_no_orientation(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), None)
    image.header.set_zooms((1, 2, 3))
    image.to_filename(tmp_path / "image.nii")
    volume = read_volume(tmp_path / "image.nii")
    assert volume.affine is None
    assert volume.spacing == (3, 2, 1)
    write_labels(tmp_path / "out.nii", np.ones(volume.shape, int), volume)
    assert geometry(tmp_path / "out.nii") == geometry(tmp_path / "image.nii")


def test_singular_affine_is_read_without_orientation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), None)
    image.header.set_zooms((1, 2, 3))
    image.header["sform_code"] = 1
    image.to_filename(tmp_path / "image.nii")
    volume = read_volume(tmp_path / "image.nii")
    assert volume.affine is None
    assert volume.spacing == (3, 2, 1)
    assert "singular affine" in caplog.text


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    data = np.random.default_rng(0).integers(0, 30000, (20, 20, 20)).astype(np.int16)
    source = save(tmp_path / name, data)
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UnreadableFileError, match="truncated"):
        read_volume(source)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_check_sum_at_the_end_is_compared(tmp_path: Path, damage: str) -> None:
    source = save(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.uint8))
    content = bytearray(source.read_bytes())
    content[-6] ^= 1
    source.write_bytes(content if damage == "changed" else content[:-4])
    with pytest.raises(UnreadableFileError, match="truncated or damaged"):
        read_volume(source)


def test_header_that_claims_too_much_takes_no_memory(tmp_path: Path) -> None:
    source = save(tmp_path / "image.nii", np.zeros(SHAPE, np.uint8))
    content = bytearray(source.read_bytes())
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    for name, packed in (("a.nii", bytes(content)), ("a.nii.gz", gzip.compress(bytes(content)))):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(UnreadableFileError, match="header tells of 27000000000000"):
            read_volume(tmp_path / name)


def test_empty_axis_is_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "image.nii", np.zeros(SHAPE, np.uint8))
    content = bytearray(source.read_bytes())
    content[42:44] = bytes(2)
    source.write_bytes(content)
    with pytest.raises(InputError, match="none empty"):
        read_volume(source)


def test_complex_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hold real numbers; got .*complex64.*magnitude"):
        read_volume(save(tmp_path / "image.nii", np.zeros(SHAPE, np.complex64)))


def test_volume_that_was_cut_is_written_from_its_affine(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "image.nii", np.zeros((4, 5, 6), np.uint8)))
    moved = np.array(volume.affine)
    moved[2, 3] += 2
    cut = Volume(volume.data[2:], volume.spacing, moved, header=volume.header)
    write_labels(tmp_path / "out.nii", np.ones(cut.shape, int), cut)
    again = read_volume(tmp_path / "out.nii")
    assert again.shape == (4, 5, 4)
    np.testing.assert_array_equal(np.asarray(again.affine), moved)


@pytest.mark.parametrize("affine", [None, permuted_affine((2, 0, 1), (1, -1, 1))])
def test_arrays_are_written_from_their_geometry(tmp_path: Path, affine: Array | None) -> None:
    volume = Volume(np.zeros(SHAPE), (0.5, 1.25, 3.0), affine)
    write_labels(tmp_path / "out.nii.gz", np.ones(SHAPE, int), volume)
    again = read_volume(tmp_path / "out.nii.gz")
    assert again.spacing == (0.5, 1.25, 3.0)
    assert again.header.header.get_xyzt_units()[0] == "mm"
    if affine is None:
        assert again.affine is None
    else:
        np.testing.assert_array_equal(np.asarray(again.affine), affine)


def test_real_volumes_return_exactly(tmp_path: Path, shared_data: Path) -> None:
    for folder, name in (
        ("ct_torso", "{}.nii.gz"),
        ("mr_cardiac", "SCD0000101_{}.nii.gz"),
        ("mr_spine", "t2_{}.nii.gz"),
    ):
        source = shared_data / folder / name.format("image")
        image = read_volume(source)
        labels = read_labels(shared_data / folder / name.format("labels"))
        check_match(image, labels)
        assert bool(labels.names) == (folder != "mr_spine")  # names there differ by image
        write_labels(tmp_path / "out.nii.gz", labels.data, image)
        assert geometry(tmp_path / "out.nii.gz") == geometry(source)
        np.testing.assert_array_equal(read_labels(tmp_path / "out.nii.gz").data, labels.data)
