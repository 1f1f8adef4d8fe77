"""NRRD, MetaImage and DICOM through train, predict and evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.io import check_match, read_labels, read_volume, write_image, write_labels
from napari_fewshot.jobs import TABLE
from napari_fewshot.types import Volume

from .conftest import QUICK, files_below

sitk = pytest.importorskip("SimpleITK")
pydicom = pytest.importorskip("pydicom")


def write_series(folder: Path, image: Volume) -> None:
    """Write a volume as DICOM, a file for each slice of the first axis."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    affine = np.diag([-1.0, -1, 1, 1]) @ np.asarray(image.affine)  # LPS
    values = np.asarray(image.data, np.float32)
    stored = np.clip((values - values.min()) / np.ptp(values) * 4000, 0, 4000).astype(np.uint16)
    series, study = generate_uid(), generate_uid()
    folder.mkdir()
    for k, plane in enumerate(stored):
        own = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=bytes(128))
        own.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        own.file_meta.MediaStorageSOPClassUID = own.SOPClassUID = MRImageStorage
        own.file_meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID = generate_uid()
        own.Modality, own.SeriesInstanceUID, own.InstanceNumber = "MR", series, k
        own.StudyInstanceUID = study
        own.Rows, own.Columns = plane.shape
        own.SamplesPerPixel, own.PhotometricInterpretation = 1, "MONOCHROME2"
        own.BitsAllocated, own.BitsStored, own.HighBit, own.PixelRepresentation = 16, 16, 15, 0
        own.PixelSpacing = [f"{v:.10g}" for v in image.spacing[1:]]
        own.ImagePositionPatient = [f"{v:.8g}" for v in (affine @ (k, 0, 0, 1))[:3]]
        along = [affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (2, 1)]
        own.ImageOrientationPatient = [f"{v:.8g}" for v in np.concatenate(along)]
        own.PixelData = plane.tobytes()
        own.save_as(folder / f"IM{(k * 5) % 16:04}", enforce_file_format=True)


def test_dicom_in_nifti_out(run, patients, tmp_path):
    image = read_volume(patients[0].image)
    write_series(tmp_path / "MR.knee", image)
    series = read_volume(tmp_path / "MR.knee")
    # Slices of a series run along their normal, which may be the other way round.
    painted = read_labels(patients[0].painted)
    moved = np.allclose(np.asarray(series.affine), np.asarray(image.affine), atol=1e-4)
    data = painted.data if moved else painted.data[::-1]
    write_labels(tmp_path / "painted.nii.gz", data, series, painted.names)

    model, out = tmp_path / "m.fewshot", tmp_path / "out"
    said = run(
        "train", "--image", tmp_path / "MR.knee", "--labels", tmp_path / "painted.nii.gz",
        *QUICK, "-o", model,
    )  # fmt: skip
    assert said.code == 0, said.err
    said = run(
        "predict", model, tmp_path / "MR.knee", tmp_path / "MR.knee" / "IM0005", "-o", out,
        "--confidence", "--landmarks", "--no-store",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert files_below(out) == [
        f"{stem}_{what}"
        for stem in ("IM0005", "MR.knee")
        for what in ("confidence.nii.gz", "labels.json", "labels.nii.gz", "landmarks.csv")
    ] + [TABLE]
    found = read_labels(out / "MR.knee_labels.nii.gz")
    check_match(series, found)
    check_match(series, read_labels(out / "IM0005_labels.nii.gz"))
    assert set(np.unique(found.data)) > {0, 1}
    flipped = read_labels(patients[0].truth)
    truth = flipped.data if moved else flipped.data[::-1]
    write_labels(tmp_path / "truth.nii.gz", truth, series, painted.names)
    said = run(
        "evaluate", "--pred", out / "MR.knee_labels.nii.gz", "--truth", tmp_path / "truth.nii.gz"
    )
    assert said.code == 0, said.err


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_same_format_in_and_out(run, patients, tmp_path, ending):
    image, painted = read_volume(patients[0].image), read_labels(patients[0].painted)
    write_image(tmp_path / f"knee{ending}", image.data, image)
    write_labels(tmp_path / f"painted{ending}", painted.data, image, painted.names)
    model, out = tmp_path / "m.fewshot", tmp_path / "out"
    said = run(
        "train", "--image", tmp_path / f"knee{ending}", "--labels", tmp_path / f"painted{ending}",
        *QUICK, "-o", model,
    )  # fmt: skip
    assert said.code == 0, said.err
    said = run("predict", model, tmp_path / f"knee{ending}", "-o", out, "--no-store")
    assert said.code == 0, said.err
    assert files_below(out) == ["knee_labels.json", f"knee_labels{ending}"]
    check_match(image, read_labels(out / f"knee_labels{ending}"))
    said = run("evaluate", "--pred", out / f"knee_labels{ending}", "--truth", patients[0].truth)
    assert said.code == 0, said.err


def test_folders_without_dicom_are_refused(run, model, tmp_path):
    (tmp_path / "empty").mkdir()
    said = run("predict", model, tmp_path / "empty", "-o", tmp_path / "out")
    assert said.code == 2
    assert "a folder without images" in said.err
