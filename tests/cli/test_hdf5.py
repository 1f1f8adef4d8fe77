"""HDF5 through train, predict and evaluate, by the path of a data set in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import arrays
from napari_fewshot.io import read_labels, read_volume

from .conftest import QUICK

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize("lazy", [False, True])
def test_hdf5_in_every_place(run, patients, tmp_path, monkeypatch, lazy):
    if lazy:
        monkeypatch.setattr(arrays, "LARGE", 0)
    image, painted = read_volume(patients[0].image), read_labels(patients[0].painted)
    file, model, out = tmp_path / "knee.h5", tmp_path / "m.fewshot", tmp_path / "out"
    with h5py.File(file, "w") as opened:
        for name, volume in (("raw", image), ("labels", painted)):
            node = opened.create_dataset(f"volumes/{name}", data=arrays.read(volume.data))
            node.attrs["element_size_um"] = np.multiply(volume.spacing, 1000)
    paths = ("--image", file / "volumes/raw", "--labels", file / "volumes/labels")
    said = run("train", *paths, *QUICK, "-o", model)
    assert said.code == 0, said.err
    said = run("predict", model, tmp_path / "*.h5/volumes/raw", "-o", out, "--no-store")
    assert said.code == 0, said.err
    found = out / "knee_volumes_raw_labels.nii.gz"
    assert read_labels(found).spacing == pytest.approx(image.spacing)
    said = run("evaluate", "--pred", found, "--truth", file / "volumes/labels")
    assert said.code == 0, said.err
    said = run("predict", model, file, "-o", out)
    assert said.code == 2
    assert "Give one, such as" in said.err
    said = run("predict", model, Path(tmp_path, "none.h5/raw"), "-o", out)
    assert said.code == 2
    assert "no such file" in said.err
