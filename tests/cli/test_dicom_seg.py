"""DICOM segmentations through train, predict, evaluate, measure and refine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_fewshot.io import read_labels_on, read_volume, write_labels
from napari_fewshot.jobs import TABLE

from .conftest import QUICK, files_below
from .test_formats import write_series

pytest.importorskip("SimpleITK")
pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom", reason="the extra dicom-seg is not installed")

BONE = {"type": ["272673000", "SCT", "Bone"]}


def test_a_series_is_labelled_with_codes(run, model, patients, tmp_path):
    series, out, codes = tmp_path / "MR.knee", tmp_path / "out", tmp_path / "codes.json"
    write_series(series, read_volume(patients[1].image))
    said = run("predict", model, series, "-o", tmp_path / "plain", "--no-store")
    assert said.code == 0, said.err
    plain = read_labels_on(read_volume(series), tmp_path / "plain" / "MR.knee_labels.nii.gz")

    codes.write_text(json.dumps(dict.fromkeys(plain.names.values(), BONE)))
    segment = ("predict", model, series, "-o", out, "--no-store", "--format", "dicom-seg")
    for _ in range(2):
        said = run(*segment, "--codes", codes, "--confidence")
        assert said.code == 0, said.err
    assert files_below(out) == ["MR.knee_confidence.nii.gz", "MR.knee_labels.seg.dcm"]
    path = out / "MR.knee_labels.seg.dcm"
    made = pydicom.dcmread(path)
    for one in made.SegmentSequence:
        assert one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Bone"
    found = read_labels_on(read_volume(series), path)
    np.testing.assert_array_equal(found.data, plain.data)
    assert found.names == plain.names

    nifti = tmp_path / "plain" / "MR.knee_labels.nii.gz"
    for pred, truth in ((path, nifti), (nifti, path), (path, path)):
        said = run("evaluate", "--pred", pred, "--truth", truth, "--json", tmp_path / "s.json")
        assert said.code == 0, said.err
        scores = json.loads((tmp_path / "s.json").read_text())
        assert scores["mean"]["dice"] == 1
    said = run("measure", path, "-o", tmp_path / "sizes.csv")
    assert said.code == 0, said.err
    said = run("train", "--image", series, "--labels", path, *QUICK, "-o", tmp_path / "m.fewshot")
    assert said.code == 0, said.err
    better = tmp_path / "better.seg.dcm"
    said = run("refine", series, path, "--method", "random-walker", "-o", better)
    assert said.code == 0, said.err
    assert read_labels_on(read_volume(series), better).data.any()
    codes.write_text(json.dumps({"other": BONE}))
    said = run(*segment, "--codes", codes, "--overwrite")
    assert said.code == 2
    assert "codes must have one for each label of the model" in said.err


def test_what_is_wrong_is_said_before_the_work(run, model, patients, tmp_path, monkeypatch):
    series, out, codes = tmp_path / "MR.knee", tmp_path / "out", tmp_path / "codes.json"
    image = read_volume(patients[1].image)
    write_series(series, image)
    segment = ("predict", model, series, "-o", out, "--no-store", "--format", "dicom-seg")
    codes.write_text("{")
    said = run("predict", model, series, patients[1].image, "-o", out, "--format", "dicom-seg")
    assert said.code == 2
    assert "joint1.nii.gz must be DICOM for results in DICOM-SEG; got NIfTI" in said.err
    for more, what in (
        (("--codes", codes), "codes.json must be JSON such as"),
        (("--codes", tmp_path / "none.json"), "--codes must be an existing file"),
    ):
        said = run(*segment, *more)
        assert said.code == 2
        assert what in said.err
        assert len(said.err.splitlines()) == 1
    said = run("predict", model, series, "-o", out, "--codes", codes)
    assert "--codes must stand beside --format dicom-seg; got no --format" in said.err
    write_labels(tmp_path / "l.nii.gz", np.ones(image.shape, np.uint8), image)
    said = run("refine", patients[1].image, tmp_path / "l.nii.gz", "-o", tmp_path / "b.seg.dcm")
    assert said.code == 2
    assert "must be DICOM for results in DICOM-SEG" in said.err
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    said = run(*segment)
    assert said.code == 2
    assert 'pip install "napari-fewshot[dicom-seg]"' in said.err
    assert not out.exists() or not (out / TABLE).exists()
