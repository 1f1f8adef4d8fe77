"""Rows of all kinds of files, opened and saved in their own format."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import read_labels, viewer_session, write_labels
from napari_fewshot._napari.session.review_list import ReviewList
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_volume
from napari_fewshot.io.image_jobs import image_jobs
from napari_fewshot.io.nifti.format import write_nifti
from napari_fewshot.jobs import TABLE, ImageResult, read_table, write_table
from napari_fewshot.types import Volume

pytestmark = pytest.mark.viewer

STACK = (np.arange(4 * 6 * 8).reshape(4, 6, 8) % 251).astype(np.uint8)
SERIES = np.stack([STACK, STACK + 1, STACK + 2])


def slices_in_time(path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(path, SERIES, imagej=True, metadata={"axes": "TZYX"})


def series(path):
    affine = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
    write_nifti(path, SERIES, Volume(STACK, (2.0, 1.0, 1.0), affine))


def flat(path):
    from PIL import Image

    Image.fromarray(np.stack([STACK[0]] * 3, axis=-1)).save(path)


def stack(path):
    from napari_fewshot import write_image

    write_image(path, STACK, Volume(STACK, (2.0, 0.5, 0.5)))


def lists(viewer):
    session = viewer_session(viewer)
    return session, ReviewList(session, viewer)


@pytest.mark.parametrize(
    ("name", "write", "frame", "shape"),
    [
        ("a.png", flat, None, (6, 8)),
        ("a.tif", stack, None, (4, 6, 8)),
        ("a.nrrd", stack, None, (4, 6, 8)),
        ("a.nii.gz", stack, None, (4, 6, 8)),
        ("a.nii.gz", series, "all", (3, 4, 6, 8)),
        ("a.nii.gz", series, 1, (4, 6, 8)),
        ("a.tif", slices_in_time, "all", (4, 6, 8)),
        ("a_t001.tif", stack, None, (4, 6, 8)),
        ("a.ome.zarr", stack, None, (4, 6, 8)),
    ],
)
def test_what_predict_writes_is_opened_and_written_back(
    make_napari_viewer, tmp_path, name, write, frame, shape
):
    if name.endswith(".nrrd"):
        pytest.importorskip("SimpleITK")
    if name.endswith(".zarr"):
        pytest.importorskip("ome_zarr")
    image, out = tmp_path / "in" / name, tmp_path / "out"
    image.parent.mkdir()
    write(image)
    job = image_jobs([image], out, frame=frame)[-1]
    if len(job.frames) > 1:
        write_nifti(job.labels, SERIES % 3, read_volume(image, frame=0), "label")
    else:
        like = read_volume(image, frame=job.frames[0])
        write_labels(job.labels, like.data.reshape(*like.shape, -1)[..., 0] % 3, like, {2: "two"})
    write_table(out / TABLE, [ImageResult(image, job.labels)])
    viewer = make_napari_viewer()
    session, found = lists(viewer)
    found.open(out / TABLE)
    found.show(0)
    shown, labels = viewer.layers[0], viewer.layers[-1]
    assert labels.data.shape == shape
    assert shown.data.shape[: shown.ndim] in (shape, SERIES.shape)
    if write is slices_in_time:  # the time point that the labels are of
        np.testing.assert_array_equal(shown.data, SERIES[2])
    before = job.labels.read_bytes() if job.labels.is_file() else b""
    names = None if frame else read_labels(job.labels).names
    assert not found.unsaved
    labels.data_setitem(tuple(np.array([0]) for _ in shape), 9)
    assert found.unsaved == [job.labels]
    found.save()
    assert not found.unsaved
    assert read_table(out / TABLE)[0].status == "reviewed"
    found.leave()
    assert not viewer.layers
    found.show(0)
    assert viewer.layers[-1].data.flat[0] == 9
    assert (viewer.layers[-1].data == 9).sum() == 1
    if job.labels.is_file():
        assert job.labels.read_bytes() != before
    if names is not None:
        assert read_labels(job.labels).names == names
    session.close()


def test_a_folder_that_cannot_be_written_loses_nothing(make_napari_viewer, tmp_path, monkeypatch):
    from napari_fewshot._napari.session import review_list

    image, labels = tmp_path / "a.tif", tmp_path / "a_labels.tif"
    stack(image)
    write_labels(labels, STACK % 3, read_volume(image))
    write_table(tmp_path / TABLE, [ImageResult(image, labels)])
    before = labels.read_bytes(), (tmp_path / TABLE).read_bytes()
    viewer = make_napari_viewer()
    session, found = lists(viewer)
    found.open(tmp_path / TABLE)
    found.show(0)
    viewer.layers[-1].data_setitem((np.array([0]),) * 3, 9)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(review_list, "write_labels_layer", full)
    with pytest.raises(InputError, match="No space left"):
        found.save()
    assert found.unsaved == [labels]
    assert (labels.read_bytes(), (tmp_path / TABLE).read_bytes()) == before
    session.close()
