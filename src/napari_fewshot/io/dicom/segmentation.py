"""DICOM segmentations (DICOM-SEG): read through pydicom, written through highdicom.

Both come with the extra ``dicom-seg``. Segments become one label map with their names: of files of
ours with the values that labels had, else with their numbers. What is stored are the slices that
are painted, and where they lie; beside the image of the series they are put on its grid.

Written are binary segments for the slices of a DICOM series, to which each frame refers. A label
has the code that :func:`with_codes` gave, else that of any tissue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from ...errors import InputError
from ...types import Array, Volume
from ..checks import LARGEST_LABEL, fitting_dtype
from ..formats import Format
from ..outputs import replacing
from ..reading import check_room, telling_damage
from ..segments import overlapping
from .codes import UNCODED, Code, SegmentCode
from .frames import grid_of_frames, segments_of_frames
from .slices import DicomGeometry

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["ENTRIES", "is_dicom_seg", "with_codes"]

_TITLE = "DICOM-SEG"
_SEGMENTATIONS = (b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.7")
"""Of segments, and of label maps."""
_SOP_CLASS = b"\x02\x00\x02\x00UI"
"""The element of the kind of an object, before its length."""
_OURS = "napari-fewshot"
_LONGEST = 64
_MAX_SEGMENTS = 2**16 - 1
# What may be empty, but must be there.
_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, eq=False)
class _SegGeometry:
    """Such labels may cover a part of the image; see :class:`~.dicom_frames.FrameGrid`."""

    is_loose: bool
    is_segmentation: bool = True


def is_dicom_seg(head: bytes) -> bool:
    """Whether a file begins as a DICOM segmentation."""
    place = head.find(_SOP_CLASS, 132) if head[128:132] == b"DICM" else -1
    if place < 0:
        return False
    start = place + len(_SOP_CLASS) + 2
    length = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + length].rstrip(b"\0 ") in _SEGMENTATIONS


def _require_highdicom(path: Path, what: str) -> Any:
    """Return the module highdicom; if it is not installed, the error names the extra."""
    return _require("highdicom", path, what)


def with_codes(image: Volume, codes: Mapping[int, SegmentCode]) -> Volume:
    """An image whose labels are written with these codes, where it is of DICOM."""
    if not isinstance(image.header, DicomGeometry):
        return image
    return replace(image, header=replace(image.header, codes=MappingProxyType(dict(codes))))


def _require(name: str, path: Path, what: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            str(path),
            "be of another format than DICOM-SEG (.nii.gz)",
            f"{what}; {name} is not installed",
            'Install it: pip install "napari-fewshot[dicom-seg]".',
        ) from error


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    pydicom = _require("pydicom", path, "a DICOM segmentation")
    dataset = pydicom.dcmread(path)
    _check_kind(path, dataset)
    grid = grid_of_frames(path, dataset)
    segments = list(dataset.SegmentSequence)
    values = _values_of(dataset, segments)
    names = {
        values[int(one.SegmentNumber)]: str(getattr(one, "SegmentLabel", "") or one.SegmentNumber)
        for one in segments
    }
    shape = (grid.count, int(dataset.Rows), int(dataset.Columns))
    check_room(path, 4 * int(np.prod(shape, dtype=object)))
    labels = np.zeros(shape, np.int32)
    is_map = dataset.SegmentationType == "LABELMAP"
    numbers = [0] * len(grid.slices) if is_map else segments_of_frames(dataset)
    frames = pydicom.pixels.iter_pixels(dataset)
    for k, number, pixels in zip(grid.slices, numbers, frames, strict=True):
        if is_map:
            for one in np.unique(pixels[pixels > 0]):
                labels[k][pixels == one] = values[int(one)]
            continue
        inside = pixels > 0
        shared = labels[k][inside]
        if shared.any():
            other = names[int(shared[shared > 0][0])]
            count = int(np.count_nonzero(shared))
            raise overlapping(path, other, names[values[number]], count)
        labels[k][inside] = values[number]
    data = labels.astype(fitting_dtype(labels))
    is_flat = grid.affine is None
    return Volume(
        data=data[0] if is_flat else data,
        spacing=grid.spacing[1:] if is_flat else grid.spacing,
        affine=grid.affine,
        names=MappingProxyType(names),
        source=path,
        header=_SegGeometry(grid.is_loose),
    )


def _check_kind(path: Path, dataset: Dataset) -> None:
    """Refuse what is no label map on the planes of a patient."""
    if getattr(dataset, "SegmentationType", "") == "FRACTIONAL":
        remedy = "Threshold it, and export it as binary segments."
        raise InputError(str(path), "hold whole segments", "fractional ones", remedy)
    if "TotalPixelMatrixRows" in dataset:
        given = "a segmentation of a whole slide, in tiles"
        raise InputError(str(path), "hold slices", given, "Convert it to OME-TIFF or OME-Zarr.")


def _values_of(dataset: Dataset, segments: list[Dataset]) -> dict[int, int]:
    """Label of each segment number: that of which a file of ours was made, else the number."""
    numbers = [int(one.SegmentNumber) for one in segments]
    if str(getattr(dataset, "ManufacturerModelName", "")) == _OURS:
        said = [str(getattr(one, "SegmentDescription", "")) for one in segments]
        found = [re.fullmatch(r"label (\d{1,9})", text) for text in said]
        values = [int(one[1]) for one in found if one is not None]
        if len(set(values)) == len(numbers) and max(values) <= LARGEST_LABEL:
            return dict(zip(numbers, values, strict=True))
    return {number: number for number in numbers}


def _write(path: Path, data: Array, like: Volume) -> None:
    made = _made(path, data, like)
    with replacing(path, ending=".seg.dcm") as temporary:
        made.save_as(temporary)


def _check(path: Path, like: Volume) -> None:
    """Make a segmentation of one voxel: a series may lack what DICOM asks for."""
    data = np.zeros(like.shape, np.uint8)
    data.flat[0] = 1
    _made(path, data, replace(like, names={}))


def _made(path: Path, data: Array, like: Volume) -> Any:
    highdicom = _require_highdicom(path, "a file to write")
    header = like.header
    planes = 1 if like.ndim == 2 else like.shape[0]
    if not isinstance(header, DicomGeometry) or len(header.files) != planes:
        raise InputError(str(path), "be written for a DICOM series", "another image", _OTHERWISE)
    sources = [_source(path, file, like.spacing) for file in header.files]
    values, pixels = _numbered(path, data, like)
    uid = highdicom.UID
    try:
        return highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type="BINARY",
            segment_descriptions=[
                _described(
                    highdicom,
                    number,
                    value,
                    like.names.get(value, str(value)),
                    header.codes.get(value, UNCODED),
                )
                for number, value in enumerate(values, 1)
            ],
            series_instance_uid=uid(),
            series_number=int(getattr(sources[0], "SeriesNumber", None) or 0) + 1000,
            sop_instance_uid=uid(),
            instance_number=1,
            manufacturer=_OURS,
            manufacturer_model_name=_OURS,
            software_versions=__version__,
            device_serial_number=__version__,
            pixel_measures=_measures(highdicom, sources),
            series_description=f"Labels by {_OURS}",
            specific_character_set="ISO_IR 192",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        constraint = "be written for a series that DICOM segmentations can refer to"
        raise InputError(str(path), constraint, reason, _OTHERWISE) from error


_OTHERWISE = "Choose another format (--format nii.gz)."


def _numbered(path: Path, data: Array, like: Volume) -> tuple[list[int], Array]:
    """Label values in their order, and slices of segment numbers, which count them from 1."""
    planes = [data] if like.ndim == 2 else [data[k] for k in range(like.shape[0])]
    present = {int(value) for plane in planes for value in np.unique(np.asarray(plane))}
    values = sorted(value for value in present | set(like.names) if value > 0)
    if not 0 < len(values) <= _MAX_SEGMENTS:
        constraint = f"hold 1 to {_MAX_SEGMENTS} labels as a {_TITLE} file"
        raise InputError(str(path), constraint, len(values), _OTHERWISE)
    pixels = np.zeros((len(planes), *like.shape[-2:]), np.uint8 if len(values) < 256 else np.uint16)
    known = np.array([0, *values])
    for target, plane in zip(pixels, planes, strict=True):
        target[...] = np.searchsorted(known, np.asarray(plane))
    return values, pixels


def _described(highdicom: Any, number: int, value: int, name: str, code: SegmentCode) -> Any:
    def concept(one: Code) -> Any:
        return highdicom.sr.CodedConcept(one[0], one[1], one[2])

    color = None if code.color is None else highdicom.color.CIELabColor.from_rgb(*code.color)
    described = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=(code.name or name).replace("\\", "/")[:_LONGEST],
        segmented_property_category=concept(code.category),
        segmented_property_type=concept(code.type),
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_OURS,
            family=concept(("123110", "DCM", "Artificial Intelligence")),
            version=__version__,
        ),
        display_color=color,
    )
    described.SegmentDescription = f"label {value}"
    if code.modifier is not None:
        kind = described.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [concept(code.modifier)]
    return described


def _source(path: Path, file: Path, spacing: tuple[float, ...]) -> Dataset:
    """Header of a slice, with what must be there of patient and study."""
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    with telling_damage(file, "DICOM"):
        dataset = dcmread(file, stop_before_pixels=True, force=True)
    missing = [keyword for keyword in _NEEDED if not dataset.get(keyword)]
    if missing:
        constraint = "be written for slices that it can refer to"
        raise InputError(str(path), constraint, f"{file} without {missing[0]}", _OTHERWISE)
    for keyword in _EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if "ImagePositionPatient" not in dataset:
        return dataset
    if not dataset.get("FrameOfReferenceUID"):
        # The slices of one series lie in one frame of reference.
        dataset.FrameOfReferenceUID = generate_uid(
            entropy_srcs=[dataset.StudyInstanceUID, dataset.SeriesInstanceUID]
        )
    thickness, rows, columns = spacing
    dataset.PixelSpacing = dataset.get("PixelSpacing") or [rows, columns]
    dataset.SliceThickness = dataset.get("SliceThickness") or thickness
    return dataset


def _measures(highdicom: Any, sources: list[Dataset]) -> Any:
    """Distances of pixels and of slices, which many series leave to their positions."""
    first, last = sources[0], sources[-1]
    if "ImagePositionPatient" not in first:
        return None
    step = float(first.get("SpacingBetweenSlices") or first.SliceThickness)
    if len(sources) > 1:
        turn = np.array(first.ImageOrientationPatient, np.float64)
        normal = np.cross(turn[:3], turn[3:])
        ends = (np.array(one.ImagePositionPatient, np.float64) for one in (last, first))
        step = float(np.subtract(*ends) @ (normal / np.linalg.norm(normal))) / (len(sources) - 1)
    return highdicom.PixelMeasuresSequence(
        pixel_spacing=[float(size) for size in first.PixelSpacing],
        slice_thickness=float(first.SliceThickness),
        spacing_between_slices=abs(step),
    )


ENTRIES = {
    "dicom-seg": Format(
        _TITLE,
        (".seg.dcm",),
        is_dicom_seg,
        _read,
        None,
        labels_suffix=".seg.dcm",
        image_suffix=".nii.gz",
        write_labels=_write,
        not_written="a label map",
        choice="dicom-seg",
        require=_require_highdicom,
        only_for="dicom",
        check=_check,
        holds_names=True,
    )
}
