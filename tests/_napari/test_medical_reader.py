"""NRRD and MetaImage in the viewer."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot._napari.readers import medical_reader
from napari_fewshot._napari.writers import write_labels_layer
from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io import read_volume, write_image, write_labels
from napari_fewshot.types import Volume

pytest.importorskip("SimpleITK")

AFFINE = np.array([[0, 0, 2.0, 1], [0, -3, 0, 5], [4, 0, 0, 9], [0, 0, 0, 1]])
LIKE = Volume(np.zeros((2, 3, 4)), (4.0, 3.0, 2.0), AFFINE)


def read(path: Path):
    reader = medical_reader(str(path))
    assert reader is not None
    return reader(str(path))


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_images_lie_in_the_patient(tmp_path, ending):
    data = np.arange(24.0).reshape(2, 3, 4)
    write_image(tmp_path / f"ct{ending}", data, LIKE)
    ((shown, options, kind),) = read(tmp_path / f"ct{ending}")
    assert kind == "image"
    np.testing.assert_allclose(options["scale"], (4, 3, 2))
    assert options["name"] == "ct"
    np.testing.assert_array_equal(shown, data[:, ::-1])  # S, A, R


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("knee.seg.nrrd", 3, "labels"),
        ("knee_labels.mha", 3, "labels"),
        ("knee_labels.nrrd", 0.5, "image"),
        ("knee.mha", 3, "image"),
    ],
)
def test_names_say_what_labels_are(tmp_path, name, values, kind):
    write = write_image if values == 0.5 else write_labels
    write(tmp_path / name, np.full((2, 3, 4), values), LIKE)
    ((_, _, found),) = read(tmp_path / name)
    assert found == kind


def test_labels_of_a_layer_return_to_the_grid_of_the_file(tmp_path):
    write_labels(tmp_path / "a.seg.nrrd", np.arange(24).reshape(2, 3, 4), LIKE, {2: "femur"})
    ((data, options, _),) = read(tmp_path / "a.seg.nrrd")
    write_labels_layer(str(tmp_path / "b.nii.gz"), data, options)
    written = nib.load(tmp_path / "b.nii.gz")
    stored = read_volume(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, stored.data)
    np.testing.assert_allclose(written.affine[:, [2, 1, 0, 3]], AFFINE)


def test_other_files_are_left_to_others(tmp_path):
    (tmp_path / "a.nrrd").write_text("no image")
    assert medical_reader(str(tmp_path / "a.nrrd")) is None
    assert medical_reader([str(tmp_path / "none.mha")]) is None
    (tmp_path / "b.nrrd").write_bytes(b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9 9 9\n\n")
    with pytest.raises(UnreadableFileError):
        read(tmp_path / "b.nrrd")
