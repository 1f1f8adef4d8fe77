"""Python examples of the pages run as they stand, on small images of the names that they use.

Not run: examples that need a SAM, those that go on from another example, and that of the page on
landmarks, which learns from three whole phantoms.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, read_labels, read_volume
from napari_fewshot.io import write_image, write_labels
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.types import Volume

SHAPE = (8, 24, 24)


def examples(repository: Path, page: str) -> list[str]:
    text = (repository / "docs" / page).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def run(example: str, page: str, **names: Any) -> dict[str, Any]:
    exec(compile(example, page, "exec"), names)
    return names


class Quick(FewShotSegmenter):
    """The segmenter, which learns for a few steps only: what the examples give is not scored."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"contrastive": {"steps": 20}, **settings})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("napari_fewshot.FewShotSegmenter", Quick)
    return tmp_path


def patient(seed: int, image: str, painted: str = "") -> Any:
    """Write a small phantom, and some painted slices of it."""
    phantom = make_phantom("joint", seed, SHAPE)
    write_image(image, phantom.image.data, phantom.image)
    if painted:
        some = painted_labels(phantom, template_slices(phantom, 3))
        write_labels(painted, some.data, phantom.image, phantom.labels.names)
    return phantom


def test_series_to_nifti(repository, folder):
    sitk = pytest.importorskip("SimpleITK")
    series = folder / "series"
    series.mkdir()
    pixels = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    for k, plane in enumerate(pixels):
        image = sitk.GetImageFromArray(plane[None])
        image.SetMetaData("0020|0032", f"0\\0\\{k}")
        image.SetMetaData("0020|0037", "1\\0\\0\\0\\1\\0")
        image.SetMetaData("0020|000e", "1.2.3")
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(series / f"{k}.dcm"))
        writer.Execute(image)
    run(examples(repository, "files.md")[-1], "files.md")
    np.testing.assert_array_equal(read_volume("series.nii.gz").data, pixels)


@pytest.mark.viewer
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_image_as_labels(repository, folder, make_napari_viewer, dtype):
    from npe2 import PluginManager

    PluginManager.instance().discover()
    labels = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    nib.Nifti1Image(labels.T, np.eye(4)).to_filename("knee.nii.gz")
    viewer = make_napari_viewer()
    run(examples(repository, "files.md")[0], "files.md", viewer=viewer)
    (layer,) = viewer.layers
    assert layer._type_string == "labels"
    assert set(np.unique(layer.data)) == {0, 1, 2}


def test_organ_in_ct(repository, folder):
    patient(0, "image.nii.gz", "painted.nii.gz")
    (example,) = examples(repository, "tasks/organ-in-ct.md")
    names = run(example, "organ-in-ct.md")
    assert names["model"].config.intensity.low == -160
    np.testing.assert_array_equal(read_labels("organ.nii.gz").data, names["prediction"].labels)


def test_cells_in_2d(repository, folder):
    rng = np.random.default_rng(0)
    rows, columns = np.indices((32, 40))
    for number in (1, 2):
        cell = np.hypot(rows - 14 - number, columns - 20) < 8
        image = (cell * 120 + rng.normal(60, 4, cell.shape)).astype(np.uint8)
        write_labels(f"cells_{number}.tif", image, Volume.of(image))
    scribbles = np.where(cell, 1, 255).astype(np.uint8)
    scribbles[::2] = 0
    write_labels("scribbles_1.tif", scribbles, Volume.of(scribbles))
    (example,) = examples(repository, "tasks/cells-in-2d.md")
    labels = run(example, "cells-in-2d.md")["labels"]
    assert set(np.unique(labels)) <= {0, 1}


def test_many_volumes(repository, folder):
    for seed, name in enumerate("ab"):
        patient(seed, f"{name}.nii.gz", f"{name}_painted.nii.gz")
    (folder / "patients").mkdir()
    patients = {name: patient(seed, f"patients/{name}") for seed, name in [(2, "c.nii.gz")]}
    (example,) = examples(repository, "tasks/many-volumes.md")
    run(example, "many-volumes.md")
    for name, phantom in patients.items():
        result = read_labels(folder / "results" / name)
        assert result.shape == SHAPE
        assert set(result.names.items()) <= set(phantom.labels.names.items())
