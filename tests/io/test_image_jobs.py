"""What is made of each image: time points and names of results."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_volume
from napari_fewshot.io.image_jobs import count_frames, image_jobs, write_results
from napari_fewshot.types import Landmark

SHAPE = (3, 4, 5)


@pytest.fixture
def images(tmp_path):
    """A NIfTI and a TIFF of two time points, one of one, a picture, and a damaged file."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 200, (2, *SHAPE)).astype(np.uint8)
    series = nib.Nifti1Image(data.T, np.diag([2.0, 3, 4, 1]))
    series.header.set_xyzt_units("mm", "sec")
    series.header.set_zooms((2, 3, 4, 1.5))
    nib.save(series, tmp_path / "time.nii.gz")
    nib.save(nib.Nifti1Image(data[0].T, np.eye(4)), tmp_path / "one.nii.gz")
    tifffile.imwrite(tmp_path / "cells.tif", data, imagej=True, metadata={"axes": "TZYX"})
    Image.fromarray(data[0, 0]).save(tmp_path / "photo.png")
    (tmp_path / "bad.nii.gz").write_bytes(b"\x1f\x8bnothing")
    return tmp_path


@dataclass
class Found:
    labels: np.ndarray
    confidence: np.ndarray
    names: dict[int, str] = field(default_factory=dict)
    landmarks: tuple[Landmark, ...] = ()


def test_how_many_time_points(images):
    names = ("time.nii.gz", "one.nii.gz", "cells.tif", "photo.png", "bad.nii.gz")
    assert [count_frames(images / name) for name in names] == [2, 1, 2, 1, 1]


def test_one_time_point_as_it_is_asked_for(images):
    (job,) = image_jobs([images / "time.nii.gz"], Path("out"), frame=1)
    assert (job.labels, job.frames) == (Path("out/time_labels.nii.gz"), (1,))
    (job,) = image_jobs([images / "photo.png"], Path("out"), frame="all", confidence=True)
    assert (job.labels, job.frames) == (Path("out/photo_labels.png"), (None,))
    assert [path.name for path in job.outputs] == [
        "photo_labels.png",
        "photo_labels.json",
        "photo_confidence.tif",
    ]


def test_all_time_points(images):
    files = [images / "time.nii.gz", images / "cells.tif"]
    made = image_jobs(files, Path("out"), frame="all", confidence=True, landmarks=True)
    assert [(job.labels.name, job.frames) for job in made] == [
        ("time_labels.nii.gz", (0, 1)),
        ("cells_t000_labels.tif", (0,)),
        ("cells_t001_labels.tif", (1,)),
    ]
    assert [path.name for path in made[0].landmarks] == [
        "time_t000_landmarks.csv",
        "time_t001_landmarks.csv",
    ]
    assert [path.name for path in made[2].outputs] == [
        "cells_t001_labels.tif",
        "cells_t001_labels.json",
        "cells_t001_confidence.tif",
        "cells_t001_landmarks.csv",
    ]


def test_a_name_that_another_image_has(images):
    (images / "cells_t001.tif").write_bytes((images / "cells.tif").read_bytes())
    files = [images / "cells.tif", images / "cells_t001.tif"]
    assert len(image_jobs(files, Path("out"), frame=0)) == 2
    tifffile.imwrite(files[1], np.zeros(SHAPE, np.uint8), imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"results of different names"):
        image_jobs(files, Path("out"), frame="all")


def test_results_of_a_series_are_one_file_on_its_grid(images, tmp_path):
    (job,) = image_jobs(
        [images / "time.nii.gz"], tmp_path / "out", frame="all", confidence=True, landmarks=True
    )
    found = [
        Found(
            np.full(SHAPE, 300 * t, np.uint16),
            np.full(SHAPE, t / 2, np.float32),
            {300: "cell"},
            (Landmark("tip", 1, (t, 1, 1), 0.5),),
        )
        for t in range(2)
    ]
    write_results(job, found, read_volume(job.image, frame=1))
    given, labels, sure = map(nib.load, (job.image, job.labels, job.confidence))
    assert labels.shape == sure.shape == given.shape
    assert labels.header.get_zooms() == given.header.get_zooms()
    assert labels.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(labels.affine, given.affine)
    assert labels.header.get_intent()[0] == "label"
    assert [int(np.asarray(labels.dataobj)[..., t].max()) for t in (0, 1)] == [0, 300]
    assert sure.get_data_dtype() == np.float32
    assert read_labels(job.labels, frame=1).names == {300: "cell"}
    rows = [path.read_text().splitlines()[1] for path in job.landmarks]
    assert [row.split(",")[2] for row in rows] == ["0", "1"]
