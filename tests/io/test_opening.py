"""Files in gzip, of whatever format."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot import arrays
from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import output_path, read_labels, read_volume
from napari_fewshot.io.image_jobs import count_frames
from napari_fewshot.memory import MAX_MEMORY

DATA = np.random.default_rng(0).integers(0, 200, (3, 20, 24)).astype(np.uint8)


def tiff(path: Path) -> None:
    tifffile.imwrite(path, DATA, photometric="minisblack", metadata={"axes": "ZYX"})


def png(path: Path) -> None:
    Image.fromarray(DATA[0]).save(path)


def itk(path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    sitk.WriteImage(sitk.GetImageFromArray(DATA), str(path))


def hdf5(path: Path) -> None:
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["raw"] = DATA


MAKERS = {".ome.tif": tiff, ".tif": tiff, ".png": png, ".mha": itk, ".nrrd": itk, ".h5": hdf5}


def packed(path: Path, make: Callable[[Path], None]) -> Path:
    plain = path.with_name(f"plain-{path.name}")
    make(plain)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return path.with_name(f"{path.name}.gz")


@pytest.mark.parametrize("ending", MAKERS)
def test_gzip_is_taken_off(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = MAKERS[ending]
    path = packed(tmp_path / f"a{ending}", make)
    truth = DATA[0] if make is png else DATA
    monkeypatch.setattr(arrays, "LARGE", 100)  # what lies in a file that is gone is in memory
    volume = read_volume(path)
    assert volume.source == path
    assert not arrays.is_lazy(volume.data)
    np.testing.assert_array_equal(volume.data, truth)
    np.testing.assert_array_equal(read_labels(path).data, truth)
    assert output_path(path, tmp_path).name.startswith("a_labels.")


def test_what_leads_on(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        with tifffile.TiffWriter(path, ome=True) as tif:
            for k in range(2):
                tif.write(DATA + k, metadata={"axes": "ZYX"})

    path = packed(tmp_path / "a.ome.tif", make)
    np.testing.assert_array_equal(read_volume(path / "1").data, DATA + 1)
    with pytest.raises(InputError, match=rf"{path} must hold one image.*Choose one: {path}/N"):
        read_volume(path)


def test_time_points(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        tifffile.imwrite(path, DATA, imagej=True, metadata={"axes": "TYX"})

    path = packed(tmp_path / "a.tif", make)
    assert count_frames(path) == 3
    np.testing.assert_array_equal(read_volume(path, frame=2).data, DATA[2])


def test_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.tif", tiff)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(UnreadableFileError, match="a.tif.gz must be a whole TIFF file"):
        read_volume(path)
    path.write_bytes(content[:-8] + b"\0\0\0\0" + content[-4:])
    with pytest.raises(UnreadableFileError, match="CRC"):
        read_volume(path)
    path.write_bytes(content)
    monkeypatch.setenv(MAX_MEMORY, "1e-6")
    with pytest.raises(InputError, match="a.tif.gz must fit into the memory"):
        read_volume(path)
