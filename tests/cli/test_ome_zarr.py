"""OME-Zarr through train, predict, refine and evaluate, and the choice of a format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import arrays
from napari_fewshot.io import check_match, read_labels, read_volume, write_image, write_labels
from napari_fewshot.io.outputs import RECORD, is_ours
from napari_fewshot.jobs import TABLE

from .conftest import QUICK, labels_of

zarr = pytest.importorskip("zarr")
pytest.importorskip("ome_zarr")


def results_in(folder: Path) -> list[str]:
    """Files and folders of results."""
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD)


def write_as_users_have_it(path: Path, image: Path, painted: Path) -> None:
    """Write an OME-Zarr 0.4 image of two time points that holds its painted labels."""
    from ome_zarr.format import FormatV04
    from ome_zarr.writer import write_image as write
    from ome_zarr.writer import write_labels as add_labels

    grey, labels = read_volume(image), read_labels(painted)
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    scale = dict(zip("tczyx", (1.0, 1.0, *grey.spacing), strict=True))
    units = dict.fromkeys("zyx", "millimeter")
    whole = np.stack([np.zeros_like(grey.data), grey.data])[:, None]
    fmt = FormatV04()
    write(whole, group, axes=list("tczyx"), scale=scale, axes_units=units, fmt=fmt)
    properties = [{"label-value": value, "name": name} for value, name in labels.names.items()]
    add_labels(
        labels.data,
        group,
        name="bones",
        axes=list("zyx"),
        scale={axis: scale[axis] for axis in "zyx"},
        axes_units=units,
        fmt=fmt,
        scaler=None,
        scale_factors=[2],
        label_metadata={"properties": properties},
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_ome_zarr_in_and_out(run, patients, tmp_path, monkeypatch, lazy):
    if lazy:
        monkeypatch.setattr(arrays, "LARGE", 0)
    image, model, out = tmp_path / "knee.ome.zarr", tmp_path / "m.fewshot", tmp_path / "out"
    write_as_users_have_it(image, patients[0].image, patients[0].painted)
    said = run("train", "--image", image, "--frame", 1, "--labels", image, *QUICK, "-o", model)
    assert said.code == 0, said.err
    assert read_labels(patients[0].painted).names[1] in said.out
    for _ in range(2):  # its own results may be replaced
        said = run("predict", model, image, "-o", out, "--frame", 1, "--confidence", "--no-store")
        assert said.code == 0, said.err
    assert results_in(out) == ["knee_confidence.ome.zarr", "knee_labels.ome.zarr"]
    assert is_ours(out / "knee_labels.ome.zarr")
    found = read_labels(out / "knee_labels.ome.zarr")
    check_match(read_volume(image, frame=1), found)
    assert found.header.version == "0.4"
    assert found.names
    assert found.names.items() <= read_labels(patients[0].painted).names.items()
    # The orientation is lost, but not the order of the slices.
    truth = read_labels(patients[0].truth)
    assert float((np.asarray(found.data) == truth.data).mean()) > 0.8
    said = run("evaluate", "--pred", out / "knee_labels.ome.zarr", "--truth", patients[0].truth)
    assert said.code == 0, said.err

    said = run(
        "refine", image, out / "knee_labels.ome.zarr", "--frame", 1, "--method", "random-walker",
        "--confidence", out / "knee_confidence.ome.zarr", "-o", out / "better.ome.zarr",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert read_labels(out / "better.ome.zarr").names == found.names
    said = run("predict", model, image, "-o", image, "--frame", 1, "--overwrite", "--no-store")
    assert said.code == 2
    assert "must not overwrite an input" in said.err


def test_a_format_can_be_chosen(run, model, patients, tmp_path):
    image, out = patients[1].image, tmp_path / "out"
    for choice in ("auto", "tif", "ome-zarr"):
        said = run(
            "predict", model, image, "-o", out, "--format", choice, "--confidence", "--no-store"
        )
        assert said.code == 0, said.err
    assert results_in(out) == [
        f"joint1_{what}"
        for what in (
            "confidence.nii.gz", "confidence.ome.zarr", "confidence.tif",
            "labels.json", "labels.nii.gz", "labels.ome.zarr", "labels.tif",
        )
    ]  # fmt: skip
    nifti, folder = (read_labels(out / f"joint1_labels.{e}") for e in ("nii.gz", "ome.zarr"))
    np.testing.assert_array_equal(nifti.data, folder.data)
    np.testing.assert_array_equal(nifti.data, read_labels(out / "joint1_labels.tif").data)
    np.testing.assert_array_equal(nifti.affine, folder.affine)
    assert nifti.names == folder.names
    for ending in ("tif", "ome.zarr"):
        np.testing.assert_array_equal(
            read_volume(out / "joint1_confidence.nii.gz").data,
            read_volume(out / f"joint1_confidence.{ending}").data,
        )
    (out / "joint1_labels.ome.zarr" / "0" / "zarr.json").write_text("{}")
    said = run("predict", model, image, "-o", out, "--format", "ome-zarr", "--no-store")
    assert said.code == 2
    assert "joint1_labels.ome.zarr" in said.err
    said = run("predict", model, image, "-o", out, "--format", "png", "--no-store")
    assert said.code == 2
    assert "be one of dicom-seg, mha, nii.gz, nrrd, ome-zarr, tif; got png" in said.err


def test_a_plate_is_refused_by_one_line(run, model, tmp_path):
    from ome_zarr.writer import write_plate_metadata

    write_plate_metadata(
        zarr.open_group(str(tmp_path / "plate.zarr"), mode="w", zarr_format=2),
        ["A"], ["1"], ["A/1"],
    )  # fmt: skip
    said = run("predict", model, tmp_path / "plate.zarr", "-o", tmp_path / "out", "--no-store")
    assert said.code == 2
    assert "must be one image; got a plate" in said.err


def test_a_time_series_gives_a_folder_for_each(run, model, patients, tmp_path):
    image = tmp_path / "knee.zarr"
    write_as_users_have_it(image, patients[0].image, patients[0].painted)
    said = run("predict", model, image, "-o", tmp_path / "out", "--frame", "all", "--no-store")
    assert said.code == 0, said.err
    assert results_in(tmp_path / "out") == [
        "knee_t000_labels.ome.zarr", "knee_t001_labels.ome.zarr", TABLE
    ]  # fmt: skip


def test_confidence_of_an_image_is_written_where_labels_are(patients, tmp_path):
    image = read_volume(patients[0].image)
    truth = read_labels(patients[0].truth)
    write_labels(tmp_path / "a.ome.zarr", truth.data, image, truth.names)
    write_image(tmp_path / "b.ome.zarr", truth.data, image)
    assert labels_of(tmp_path / "a.ome.zarr") == labels_of(patients[0].truth)
    assert read_volume(tmp_path / "b.ome.zarr").data.dtype == np.float32
