"""DICOM segmentations: read back frame by frame with pydicom, and those of others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io import (
    FORMATS,
    holds_dicom,
    output_path,
    read_labels,
    read_labels_on,
    read_volume,
    sniff_format,
    stem_of,
    write_labels,
)
from napari_fewshot.io.dicom.codes import SegmentCode
from napari_fewshot.io.dicom.segmentation import with_codes
from napari_fewshot.io.formats import check_image
from napari_fewshot.io.outputs import Outputs
from napari_fewshot.metrics.files import LabelMapPair
from napari_fewshot.types import Array, Volume

pytest.importorskip("SimpleITK")
pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom", reason="the extra dicom-seg is not installed")

from .test_format import AXIAL, CORONAL, OBLIQUE, slice_values, write_series, write_slice  # noqa: E402

NAMES = {1: "liver", 5: "Milz (groß)"}
LIVER = SegmentCode(
    ("10200004", "SCT", "Liver"),
    modifier=("7771000", "SCT", "Left"),
    name="Liver",
    color=(221, 130, 101),
)


def painted(shape: tuple[int, ...] = (5, 3, 4)) -> Array:
    """Two labels, on slices 1 and 3 of five."""
    labels = np.zeros(shape, np.uint8)
    labels[1, 0, :3] = 1
    labels[1, 2, 1:] = 5
    labels[3, 1, 2] = 5
    return labels


def masks_by_hand(path: Path) -> dict[int, dict[str, Array]]:
    """Masks of each segment by the slice that its frames refer to, and check where these lie."""
    dataset = pydicom.dcmread(path)
    frames = np.atleast_3d(dataset.pixel_array).reshape(-1, dataset.Rows, dataset.Columns)
    assert len(frames) == int(dataset.NumberOfFrames)
    found: dict[int, dict[str, Array]] = {}
    for pixels, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        found.setdefault(number, {})[source.ReferencedSOPInstanceUID] = pixels
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        found[number][f"at {source.ReferencedSOPInstanceUID}"] = np.array(position, float)
    return found


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, OBLIQUE])
def test_an_independent_reader_finds_each_mask_on_its_slice(tmp_path, orientation):
    write_series(tmp_path / "ct", orientation=orientation, SeriesNumber=4)
    image, labels = read_volume(tmp_path / "ct"), painted()
    path = output_path(tmp_path / "ct", tmp_path, choice="dicom-seg")
    assert path.name == "ct_labels.seg.dcm"
    coded = with_codes(image, {1: LIVER, 5: SegmentCode(("78961009", "SCT", "Spleen"))})
    write_labels(path, labels, coded, NAMES)
    assert not (tmp_path / "ct_labels.json").exists()  # names are within

    slices = [pydicom.dcmread(file) for file in image.header.files]
    places = [np.array(one.ImagePositionPatient, float) for one in slices]
    found = masks_by_hand(path)
    assert set(found) == {1, 2}
    for number, value in ((1, 1), (2, 5)):
        for k, (one, place) in enumerate(zip(slices, places, strict=True)):
            mask = labels[k] == value
            if not mask.any():
                assert one.SOPInstanceUID not in found[number]
                continue
            np.testing.assert_array_equal(found[number][one.SOPInstanceUID] > 0, mask)
            np.testing.assert_allclose(found[number][f"at {one.SOPInstanceUID}"], place, atol=1e-6)

    made = pydicom.dcmread(path)
    assert (made.Modality, made.StudyInstanceUID) == ("SEG", "1.2.4")
    assert made.SeriesInstanceUID != "1.2.3"
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3"
    assert made.SeriesNumber == 1004
    liver, spleen = made.SegmentSequence
    assert (liver.SegmentLabel, spleen.SegmentLabel) == ("Liver", NAMES[5])
    kind = liver.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("10200004", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert liver.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
    assert len(liver.RecommendedDisplayCIELabValue) == 3
    shared = made.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(2.5)
    turned = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    np.testing.assert_allclose(turned, orientation, atol=1e-6)

    again = read_labels_on(image, path)
    np.testing.assert_array_equal(again.data, labels)
    assert again.names == {1: "Liver", 5: NAMES[5]}
    np.testing.assert_array_equal(again.affine, image.affine)


def test_without_codes_a_label_is_tissue(tmp_path):
    write_series(tmp_path / "ct")
    write_labels(tmp_path / "a.seg.dcm", painted(), read_volume(tmp_path / "ct"))
    made = pydicom.dcmread(tmp_path / "a.seg.dcm")
    for segment, name in zip(made.SegmentSequence, ("1", "5"), strict=True):
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
        assert segment.SegmentLabel == name


def test_a_tilted_gantry_a_single_painted_slice_and_no_paint(tmp_path):
    for k in range(5):
        write_slice(tmp_path / "ct" / f"{k}", slice_values(k), np.array([0, 0.7 * k, 3.0 * k]))
    image = read_volume(tmp_path / "ct")
    for slices in ([1, 3], [3], []):
        labels = np.zeros(image.shape, np.uint8)
        labels[slices, 1, 1:3] = 1
        write_labels(tmp_path / "a.seg.dcm", labels, image, {1: "x"})
        np.testing.assert_array_equal(read_labels_on(image, tmp_path / "a.seg.dcm").data, labels)


def test_a_radiograph_is_flat(tmp_path):
    kind = pydicom.uid.ComputedRadiographyImageStorage
    write_slice(tmp_path / "xray.dcm", slice_values(0), None, SOPClassUID=kind, Modality="CR")
    image = read_volume(tmp_path / "xray.dcm")
    labels = np.array([[0, 1, 1, 0], [2, 2, 0, 0], [0, 0, 0, 0]], np.uint8)
    write_labels(tmp_path / "xray_labels.seg.dcm", labels, image, {1: "a", 2: "b"})
    found = read_labels_on(image, tmp_path / "xray_labels.seg.dcm")
    np.testing.assert_array_equal(found.data, labels)
    assert found.names == {1: "a", 2: "b"}


def test_segmentations_are_no_images_of_their_folder(tmp_path):
    write_series(tmp_path / "ct")
    image = read_volume(tmp_path / "ct")
    write_labels(tmp_path / "ct" / "ct_labels.seg.dcm", painted(), image)
    write_labels(tmp_path / "only" / "ct_labels.seg.dcm", painted(), image)
    assert read_volume(tmp_path / "ct").shape == image.shape
    assert not holds_dicom(tmp_path / "only")
    path = tmp_path / "ct" / "ct_labels.seg.dcm"
    path.rename(tmp_path / "ct" / "seg.dcm")  # as others call it
    path = tmp_path / "ct" / "seg.dcm"
    assert sniff_format(path) is FORMATS.get("dicom-seg")
    np.testing.assert_array_equal(read_labels_on(image, path).data, painted())
    assert stem_of(Path("ct_labels.seg.dcm")) == "ct_labels"
    Outputs("-o", [tmp_path / "ct"], overwrite=True).check([path])  # of a series, it is no slice
    assert output_path(path, tmp_path, "_instances").name == "seg_instances.nii.gz"


def test_segmentations_of_unlike_slices_are_compared(tmp_path):
    write_series(tmp_path / "ct")
    image, first, second = read_volume(tmp_path / "ct"), painted(), painted()
    first[3] = 0
    second[4, 0, 0] = 1
    for name, labels in (("a", first), ("b", second)):
        write_labels(tmp_path / f"{name}.seg.dcm", labels, image, NAMES)
    scores = LabelMapPair(tmp_path / "a.seg.dcm", tmp_path / "b.seg.dcm").score()
    assert [one.dice for one in scores.labels] == pytest.approx([2 * 3 / 7, 2 * 3 / 7])


def of_others(path: Path, image: Volume, masks: Array, **changes: Any) -> Path:
    """Write segments, the last axis of masks, as other programs do."""
    sources = [pydicom.dcmread(file) for file in image.header.files]
    for source in sources:
        source.FrameOfReferenceUID = "1.2.9"
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
            setattr(source, keyword, None)
        for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
            setattr(source, keyword, None)
    code = highdicom.sr.CodedConcept("85756007", "SCT", "Tissue")
    count = masks.shape[-1] if masks.ndim == 4 else int(masks.max())
    made = highdicom.seg.Segmentation(
        sources,
        masks,
        **{"segmentation_type": "BINARY", **changes},
        segment_descriptions=[
            highdicom.seg.SegmentDescription(k, f"part {k}", code, code, "MANUAL")
            for k in range(1, count + 1)
        ],
        series_instance_uid="1.2.10",
        series_number=1,
        sop_instance_uid="1.2.11",
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="y",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(path)
    return path


def test_files_of_others(tmp_path):
    write_series(tmp_path / "ct", count=7)
    image = read_volume(tmp_path / "ct")
    labels = np.zeros(image.shape, np.uint8)
    labels[[1, 3, 5], 1] = 1  # every second slice, as painted for a few shots
    labels[3, 2, 2:] = 2
    # Series tell no distance of slices, and so do segmentations that are made of them.
    path = of_others(tmp_path / "a.dcm", image, labels)
    found = read_labels_on(image, path)
    np.testing.assert_array_equal(found.data, labels)
    assert found.names == {1: "part 1", 2: "part 2"}
    labels[:] = 0
    labels[[0, 6], 0, 0] = 1
    path = of_others(tmp_path / "b.dcm", image, labels, omit_empty_frames=False)
    np.testing.assert_array_equal(read_labels(path).data, labels)


def test_label_maps_of_the_newer_kind(tmp_path):
    write_series(tmp_path / "ct")
    image, labels = read_volume(tmp_path / "ct"), painted()
    labels[labels == 5] = 2
    path = of_others(tmp_path / "a.dcm", image, labels, segmentation_type="LABELMAP")
    np.testing.assert_array_equal(read_labels_on(image, path).data, labels)


def test_what_is_no_label_map_is_said(tmp_path):
    write_series(tmp_path / "ct")
    image = read_volume(tmp_path / "ct")
    masks = np.zeros((*image.shape, 2), np.uint8)
    masks[2, 1, 1:3, 0] = masks[2, 1, 2:, 1] = 1
    path = of_others(tmp_path / "a.dcm", image, masks)
    with pytest.raises(InputError, match="part 1 and part 2, which share 1 voxels"):
        read_labels(path)
    soft = np.zeros(image.shape, np.float32)
    soft[2, 1, 1] = 0.5
    path = of_others(tmp_path / "b.dcm", image, soft[..., None], segmentation_type="FRACTIONAL")
    with pytest.raises(InputError, match="hold whole segments; got fractional ones"):
        read_labels(path)
    path.write_bytes(path.read_bytes()[:-8])
    whole = of_others(tmp_path / "c.dcm", image, masks[..., :1])
    whole.write_bytes(whole.read_bytes()[:-2])
    with pytest.raises(InputError, match="be a whole DICOM-SEG file"):
        read_labels(whole)


def test_it_is_for_dicom_alone(tmp_path):
    plain = Volume(np.zeros((5, 3, 4)), (1.0, 1.0, 1.0))
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(InputError, match=r"a\.nii\.gz must be DICOM for results in DICOM-SEG"):
        output_path(tmp_path / "gone" / "a.nii.gz", tmp_path, choice="dicom-seg")
    with pytest.raises(InputError, match="be written for a DICOM series; got another image"):
        write_labels(tmp_path / "b.seg.dcm", painted(), plain)
    write_series(tmp_path / "ct")
    image = read_volume(tmp_path / "ct")
    part = Volume(image.data[1:], image.spacing, image.affine, header=image.header)
    with pytest.raises(InputError, match="be written for a DICOM series"):
        write_labels(tmp_path / "b.seg.dcm", painted()[1:], part)
    assert not (tmp_path / "b.seg.dcm").exists()


def test_slices_that_nothing_can_refer_to(tmp_path):
    write_series(tmp_path / "ct", StudyInstanceUID="")
    image = read_volume(tmp_path / "ct")
    for act in (
        lambda: write_labels(tmp_path / "a.seg.dcm", painted(), image),
        lambda: check_image(tmp_path / "a.seg.dcm", image),
    ):
        with pytest.raises(InputError, match="without StudyInstanceUID.*--format nii.gz"):
            act()


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    write_series(tmp_path / "ct")
    path = tmp_path / "a.seg.dcm"
    write_labels(path, painted(), read_volume(tmp_path / "ct"))
    missing = r'install "napari-fewshot\[dicom-seg\]"'
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=missing):
        Outputs("-o").check([tmp_path / "b.seg.dcm"])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=missing):
        read_labels(path)
