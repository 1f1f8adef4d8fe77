"""DICOM series that the tests write: order, geometry, values, and clear refusals."""

from __future__ import annotations

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
    output_paths,
    read_labels,
    read_volume,
    sniff_format,
    write_labels,
)
from napari_fewshot.io.find import find_images
from napari_fewshot.types import Array, Volume

sitk = pytest.importorskip("SimpleITK")
pytest.importorskip("pydicom")

from pydicom import dcmread  # noqa: E402
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import (  # noqa: E402
    CTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

AXIAL = (1.0, 0, 0, 0, 1, 0)
CORONAL = (1.0, 0, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0, 0, 0, -1)


def slice_values(k: int) -> Array:
    return (np.arange(12, dtype=np.int16).reshape(3, 4) + 100 * k).astype(np.int16)


def write_slice(
    path: Path,
    values: Array,
    position: Array | None,
    orientation: tuple[float, ...] = AXIAL,
    **tags: Any,
) -> None:
    """Write one file with pydicom; ``tags`` are its keywords."""
    own = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    own.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own.file_meta.MediaStorageSOPClassUID = own.SOPClassUID = CTImageStorage
    own.file_meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID = generate_uid()
    own.Modality, own.SeriesDescription = "CT", "abdomen"
    own.SeriesInstanceUID, own.StudyInstanceUID = "1.2.3", "1.2.4"
    own.Rows, own.Columns = values.shape[:2]
    own.SamplesPerPixel = 1 if values.ndim == 2 else 3
    own.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    if values.ndim == 3:
        own.PlanarConfiguration = 0
    own.BitsAllocated = own.BitsStored = 8 * values.dtype.itemsize
    own.HighBit = own.BitsStored - 1
    own.PixelRepresentation = int(values.dtype.kind == "i")
    own.SliceThickness = 2.5
    if position is not None:
        own.PixelSpacing = [0.5, 0.75]  # rows, columns
        own.ImagePositionPatient = [f"{v:.10g}" for v in position]
        own.ImageOrientationPatient = [f"{v:.10g}" for v in orientation]
    for key, value in tags.items():
        setattr(own, key, value)
    own.PixelData = values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    own.save_as(path, enforce_file_format=True)


def write_series(
    folder: Path,
    count: int = 5,
    orientation: tuple[float, ...] = AXIAL,
    step: float = 2.5,
    start: tuple[float, ...] = (-10.0, 20.0, 30.0),
    prefix: str = "s",
    **options: Any,
) -> Array:
    """Write slices under names that are not in their order; return their LPS positions."""
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.array(start) + np.arange(count)[:, None] * step * normal
    for k, position in enumerate(positions):
        name = f"{prefix}{(k * 3 + 1) % count}.dcm"
        write_slice(
            folder / name,
            slice_values(k),
            position,
            orientation,
            InstanceNumber=count - k,
            **options,
        )
    return positions


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, OBLIQUE])
@pytest.mark.parametrize("one_file", [False, True])
def test_positions_and_order(
    tmp_path: Path, orientation: tuple[float, ...], one_file: bool
) -> None:
    folder = tmp_path / "series.1.2"
    starts = write_series(folder, orientation=orientation)
    volume = read_volume(folder / "s0.dcm" if one_file else folder)
    assert volume.shape == (5, 3, 4)
    np.testing.assert_array_equal(volume.data, [slice_values(k) for k in range(5)])
    assert volume.data.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, (2.5, 0.5, 0.75), rtol=1e-6)
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    for k, j, i in product(range(5), range(3), range(4)):
        lps = starts[k] + along_row * 0.75 * i + along_column * 0.5 * j
        got = np.asarray(volume.affine) @ (k, j, i, 1)
        np.testing.assert_allclose(got[:3], lps * (-1, -1, 1), atol=1e-5)


def test_same_geometry_as_simpleitk_reads(tmp_path: Path) -> None:
    write_series(tmp_path, orientation=OBLIQUE)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = sitk.ReadImage(names)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.data, sitk.GetArrayFromImage(image))
    for index in product((0, 4), (0, 2), (0, 3)):
        lps = image.TransformIndexToPhysicalPoint([int(v) for v in index[::-1]])
        got = np.asarray(volume.affine) @ (*index, 1)
        np.testing.assert_allclose(got[:3], np.array(lps) * (-1, -1, 1), atol=1e-4)


def test_tilted_gantry_is_a_sheared_affine(tmp_path: Path) -> None:
    for k in range(4):
        write_slice(tmp_path / f"{k}", slice_values(k), np.array([0, 0.7 * k, 3.0 * k]))
    volume = read_volume(tmp_path)
    got = np.asarray(volume.affine) @ (3, 0, 0, 1)
    np.testing.assert_allclose(got[:3], (0, -2.1, 9), atol=1e-9)


def test_pixels_of_no_size_have_that_of_the_detector_or_one(tmp_path: Path) -> None:
    for name, tags, sizes in (
        ("a", {}, (1.0, 1.0)),
        ("b", {"ImagerPixelSpacing": [0.2, 0.3]}, (0.2, 0.3)),
    ):
        write_slice(tmp_path / name / "x.dcm", slice_values(0), None, PixelSpacing=[0, 0], **tags)
        assert read_volume(tmp_path / name).spacing == pytest.approx(sizes)


def test_copies_of_files_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_series(tmp_path)
    copy = tmp_path / "s1 (copy).dcm"
    copy.write_bytes((tmp_path / "s1.dcm").read_bytes())
    for given in (tmp_path, copy):
        np.testing.assert_array_equal(read_volume(given).data, [slice_values(k) for k in range(5)])
    assert "s1.dcm is left out: a copy of s1 (copy).dcm" in caplog.text
    for path in tmp_path.iterdir():  # as programs that anonymise without care leave them
        own = dcmread(path)
        own.SOPInstanceUID = "1.2.3.4"
        own.save_as(path)
    assert read_volume(tmp_path).shape == (5, 3, 4)


def test_results_are_nifti_on_the_grid(tmp_path: Path) -> None:
    folder = tmp_path / "CT.abdomen"
    write_series(folder, orientation=OBLIQUE)
    volume = read_volume(folder)
    target = output_path(folder, tmp_path / "out")
    assert target == tmp_path / "out" / "CT.abdomen_labels.nii.gz"
    write_labels(target, volume.data % 3, volume)
    back = read_labels(target)
    check_match(volume, back)
    np.testing.assert_allclose(np.asarray(back.affine), np.asarray(volume.affine), atol=1e-5)
    with pytest.raises(InputError, match=r"must be \.nii\.gz"):
        write_labels(tmp_path / "a.dcm", volume.data % 3, volume)
    write_series(tmp_path / "other")
    assert len(set(output_paths([folder, tmp_path / "other"], tmp_path / "out"))) == 2


def test_slope_and_intercept_of_each_file(tmp_path: Path) -> None:
    slopes = (2, 0.5, 1)
    for k, slope in enumerate(slopes):
        own = {"RescaleSlope": slope, "RescaleIntercept": -1024}
        write_slice(tmp_path / f"{k}.dcm", slice_values(k), np.array([0, 0, 2.0 * k]), **own)
    wanted = [slice_values(k) * slope - 1024.0 for k, slope in enumerate(slopes)]
    np.testing.assert_array_equal(read_volume(tmp_path).data, wanted)


def test_several_series_are_listed(tmp_path: Path) -> None:
    write_series(tmp_path, prefix="a")
    write_series(
        tmp_path, count=4, prefix="b", SeriesInstanceUID="1.2.9", SeriesDescription="scout"
    )
    with pytest.raises(InputError, match=r"must hold one DICOM series; got 2 series.*") as caught:
        read_volume(tmp_path)
    assert "abdomen (CT, 5 files, e.g. a0.dcm)" in str(caught.value)
    assert "scout (CT, 4 files" in str(caught.value)
    assert read_volume(tmp_path / "b1.dcm").shape == (4, 3, 4)


def test_gaps_turns_sizes(tmp_path: Path) -> None:
    write_series(tmp_path / "gap")
    (tmp_path / "gap" / "s2.dcm").unlink()
    with pytest.raises(InputError, match=r"must hold evenly spaced slices.*2\.5 to 5 mm apart"):
        read_volume(tmp_path / "gap")
    write_series(tmp_path / "turned", count=2)
    write_series(tmp_path / "turned", count=2, orientation=CORONAL, prefix="c")
    with pytest.raises(InputError, match="must hold slices of one orientation"):
        read_volume(tmp_path / "turned")
    write_series(tmp_path / "sizes", count=2)
    write_slice(tmp_path / "sizes" / "x", np.zeros((5, 5), np.int16), np.array([0, 0, 9.0]))
    with pytest.raises(InputError, match="must hold slices of one size"):
        read_volume(tmp_path / "sizes")


def test_rounded_positions_are_no_gaps(tmp_path: Path) -> None:
    for k in range(9):
        write_slice(tmp_path / f"{k}", slice_values(k), np.array([0, 0, round(0.625 * k, 1)]))
    assert read_volume(tmp_path).spacing[0] == pytest.approx(0.625)


def test_repetitions_are_frames(tmp_path: Path) -> None:
    for echo, k in product(range(2), range(3)):
        write_slice(
            tmp_path / f"{echo}{k}", slice_values(k) + 7 * echo, np.array([0, 0, 2.0 * k]),
            EchoNumbers=echo + 1, InstanceNumber=k,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"2 slices at each of 3 places.*frame=0\.\.1"):
        read_volume(tmp_path)
    for echo in range(2):
        wanted = [slice_values(k) + 7 * echo for k in range(3)]
        np.testing.assert_array_equal(read_volume(tmp_path, frame=echo).data, wanted)
    with pytest.raises(InputError, match="frame must be within"):
        read_volume(tmp_path, frame=2)
    (tmp_path / "11").unlink()
    with pytest.raises(InputError, match="must hold as many slices at each place"):
        read_volume(tmp_path)


def test_images_without_position(tmp_path: Path) -> None:
    write_slice(tmp_path / "one" / "x.dcm", slice_values(1), None, ImagerPixelSpacing=[0.1, 0.2])
    radiograph = read_volume(tmp_path / "one")
    np.testing.assert_array_equal(radiograph.data, slice_values(1))
    assert radiograph.affine is None
    assert radiograph.spacing == (0.1, 0.2)
    write_labels(tmp_path / "x.nii.gz", radiograph.data % 2, radiograph)
    for k in range(3):
        write_slice(tmp_path / "many" / f"{2 - k}", slice_values(k), None, InstanceNumber=k)
    stack = read_volume(tmp_path / "many")
    np.testing.assert_array_equal(stack.data, [slice_values(k) for k in range(3)])


def test_one_slice_and_colour(tmp_path: Path) -> None:
    write_slice(tmp_path / "one" / "x", slice_values(0), np.array([1.0, 2, 3]))
    one = read_volume(tmp_path / "one")
    assert one.shape == (1, 3, 4)
    assert one.spacing == (2.5, 0.5, 0.75)
    colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    write_slice(tmp_path / "rgb" / "x", colours, None)
    colour = read_volume(tmp_path / "rgb")
    assert colour.has_channels
    np.testing.assert_array_equal(colour.data, colours)


def test_what_else_lies_in_the_folder(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"\x04\x00\x00\x12")
    (tmp_path / "more").mkdir()
    assert read_volume(tmp_path).shape == (5, 3, 4)
    with pytest.raises(UnreadableFileError, match="must be a DICOM image"):
        read_volume(tmp_path / "DICOMDIR")


def write_header(path: Path) -> None:
    """Write the header of a slice alone, as exports without pixels have it."""
    write_slice(path, slice_values(0), np.array([0, 0, 99.0]))
    own = dcmread(path)
    del own.PixelData
    own.save_as(path)


def test_a_header_without_pixels_blocks_no_series(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path)
    write_header(tmp_path / "a.dcm")
    assert read_volume(tmp_path).shape == (5, 3, 4)
    assert "a.dcm is left out: a DICOM header without pixels" in caplog.text
    with pytest.raises(UnreadableFileError, match=r"a\.dcm must be a DICOM image.*without pixels"):
        read_volume(tmp_path / "a.dcm")


def test_a_header_without_pixels_blocks_no_other_images(tmp_path: Path) -> None:
    write_header(tmp_path / "a.dcm")
    data = np.ones((2, 3, 4), np.uint8)
    write_labels(tmp_path / "b.nii.gz", data, Volume(data, (1.0, 1.0, 1.0)))
    assert tmp_path / "b.nii.gz" in find_images("IMAGE", [tmp_path]).images


def test_frames_in_one_file_are_refused(tmp_path: Path) -> None:
    frames = np.stack([slice_values(k) for k in range(3)])
    write_slice(tmp_path / "x.dcm", frames[0], None, NumberOfFrames=3)
    own = dcmread(tmp_path / "x.dcm")
    own.PixelData = frames.tobytes()
    own.save_as(tmp_path / "x.dcm")
    with pytest.raises(InputError, match="a multi-frame file of 3 frames"):
        read_volume(tmp_path)


def test_damaged_and_empty(tmp_path: Path) -> None:
    write_series(tmp_path / "a", count=2)
    whole = (tmp_path / "a" / "s1.dcm").read_bytes()
    (tmp_path / "a" / "s1.dcm").write_bytes(whole[:-10])
    with pytest.raises(UnreadableFileError, match=r"s1\.dcm must be a whole DICOM file"):
        read_volume(tmp_path / "a")
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="a folder without either"):
        read_volume(tmp_path / "b")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path, count=2)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    assert sniff_format(tmp_path).title == "DICOM"
    with pytest.raises(InputError, match=r"pip install \"napari-fewshot\[formats\]\""):
        read_volume(tmp_path)


def test_compressed_slices(tmp_path: Path) -> None:
    values = (np.arange(64 * 48).reshape(64, 48) % 300).astype(np.int16)
    for k in range(2):
        path = tmp_path / f"{k}.dcm"
        write_slice(path, values + k, np.array([0, 0, 2.0 * k]))
        own = dcmread(path)
        own.compress(RLELossless, encoding_plugin="pydicom")
        own.save_as(path)
    np.testing.assert_array_equal(read_volume(tmp_path).data, [values, values + 1])


def test_slices_are_read_as_dicom_alone(tmp_path: Path) -> None:
    """The 128 bytes before the first tag may be a header of another format, with a file's name."""
    (tmp_path / "secret").write_bytes(bytes(range(12)))
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / "a.nrrd"
    write_slice(source, slice_values(1), np.zeros(3))
    other = (
        b"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 4 3\nencoding: raw\ndata file: ../secret\n\n"
    )
    source.write_bytes(other.ljust(128, b"\0") + source.read_bytes()[128:])
    volume = read_volume(tmp_path / "in")
    np.testing.assert_array_equal(volume.data[0], slice_values(1))


def test_mosaics_are_refused(tmp_path: Path) -> None:
    """Whether their type says so, or only the private part of Siemens."""
    typed = tmp_path / "typed"
    write_series(typed, count=1, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(InputError, match="hold one slice; got a Siemens mosaic.*dcm2niix"):
        read_volume(typed)
    for count, is_mosaic in ((24, True), (0, False)):
        entry = b"NumberOfImagesInMosaic".ljust(64, b"\0") + bytes(20)
        entry += bytes(16) + (b"%d" % count if count else b"").ljust(64, b"\0")
        folder = tmp_path / f"private{count}"
        write_series(folder, count=1, Modality="MR", ImageComments=entry.decode("latin-1")[:0])
        (file,) = folder.iterdir()
        own = dcmread(file)
        own.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
        own.add_new(0x00291010, "OB", b"SV10\4\3\2\1" + bytes(8) + entry)
        own.save_as(file)
        if is_mosaic:
            with pytest.raises(InputError, match="a Siemens mosaic"):
                read_volume(folder)
        else:
            assert read_volume(folder).shape == (1, 3, 4)


@pytest.mark.parametrize("jitter", [0.0, 0.002, 0.02, 0.05])
def test_repeats_that_lie_a_little_apart(tmp_path: Path, jitter: float) -> None:
    rng = np.random.default_rng(0)
    for repeat, k in product(range(3), range(4)):
        position = np.array([0, 0, 2.5 * k + jitter * rng.uniform(-0.5, 0.5)])
        write_slice(
            tmp_path / f"{repeat}-{k}.dcm",
            slice_values(k) + 1000 * repeat,
            position,
            AcquisitionNumber=repeat + 1,
            InstanceNumber=4 * repeat + k,
        )
    for repeat in range(3):
        volume = read_volume(tmp_path, frame=repeat)
        expected = np.stack([slice_values(k) + 1000 * repeat for k in range(4)])
        np.testing.assert_array_equal(volume.data, expected)
    with pytest.raises(InputError, match="3 slices at each of 4 places"):
        read_volume(tmp_path)


def test_thin_slices_of_small_voxels_are_no_repeats(tmp_path: Path) -> None:
    for k in range(5):
        write_slice(
            tmp_path / f"{k}.dcm", slice_values(k), [0, 0, 0.02 * k], PixelSpacing=[0.02] * 2
        )
    assert read_volume(tmp_path).shape == (5, 3, 4)


def test_shear_of_rounding_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    for k in range(8):
        write_slice(
            tmp_path / "in" / f"{k}.dcm",
            slice_values(k),
            np.round(np.array([-30, 40, -100]) + 1.25 * k * normal, 1),
            OBLIQUE,
        )
    volume = read_volume(tmp_path / "in")
    assert volume.affine is not None
    columns = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-9)
    write_labels(tmp_path / "o.nii.gz", np.zeros(volume.shape, int), volume)
    ours = sitk.ReadImage(str(tmp_path / "o.nii.gz"))  # which takes no shear at all
    series = sitk.ReadImage([str(tmp_path / "in" / f"{k}.dcm") for k in range(8)])
    sitk.WriteImage(sitk.Cast(series, sitk.sitkUInt8), str(tmp_path / "l.nrrd"))
    assert ours.GetSize() == series.GetSize()
    check_match(volume, read_labels(tmp_path / "l.nrrd"))


def test_results_of_a_tilted_gantry_open_elsewhere(tmp_path: Path) -> None:
    """The sform is exact; the qform is what programs without shear take."""
    import nibabel

    tilt = np.radians(15)
    leaning = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))
    for k in range(6):
        write_slice(tmp_path / "in" / f"{k}.dcm", slice_values(k), [-30, 40, 3.0 * k], leaning)
    volume = read_volume(tmp_path / "in")
    write_labels(tmp_path / "o.nii.gz", np.zeros(volume.shape, int), volume)
    header = nibabel.load(tmp_path / "o.nii.gz").header
    assert volume.affine is not None
    np.testing.assert_allclose(header.get_sform()[:, [2, 1, 0, 3]], volume.affine, atol=1e-4)
    image = sitk.ReadImage(str(tmp_path / "o.nii.gz"))
    direction = np.array(image.GetDirection()).reshape(3, 3)
    np.testing.assert_allclose(direction @ direction.T, np.eye(3), atol=1e-5)
    for name in ("o.nii.gz", "by_itk.nii.gz", "by_itk.nrrd"):
        if name != "o.nii.gz":
            sitk.WriteImage(image, str(tmp_path / name))
        check_match(volume, read_labels(tmp_path / name))
    series = sitk.ReadImage([str(tmp_path / "in" / f"{k}.dcm") for k in range(6)])
    sitk.WriteImage(sitk.Cast(series, sitk.sitkUInt8), str(tmp_path / "l.nrrd"))
    check_match(volume, read_labels(tmp_path / "l.nrrd"))


def test_sides_that_the_file_cannot_hold(tmp_path: Path) -> None:
    write_series(tmp_path, count=2, Rows=60000, Columns=60000)
    with pytest.raises(UnreadableFileError, match="whole DICOM file"):
        read_volume(tmp_path)
