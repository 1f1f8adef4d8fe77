"""A flipped bit of compressed pixels gives an error or the right image, never another image."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_volume, write_labels
from napari_fewshot.types import Array, Volume

LABELS = np.zeros((4, 20, 24), np.uint8)
LABELS[1:3, 4:15, 5:20] = 3
LABELS[2, 8:12, 8:12] = 5

Made = tuple[Path, Path, int, Array]
"""The file to read, the one that has its pixels, where these begin, and what they are."""


def nifti(folder: Path) -> Made:
    path = folder / "a.nii.gz"
    write_labels(path, LABELS, Volume.of(LABELS))
    return path, path, 0, LABELS


def png(folder: Path) -> Made:
    path = folder / "a.png"
    Image.fromarray(LABELS[2]).save(path)
    return path, path, 0, LABELS[2]


def palette(folder: Path) -> Made:
    path = folder / "a.png"
    image = Image.fromarray(LABELS[2])
    image.putpalette(list(range(18)))
    image.save(path)
    return path, path, 0, LABELS[2]


def tiff(folder: Path) -> Made:
    path = folder / "a.tif"
    tifffile.imwrite(path, LABELS[2:3], compression="zlib", predictor=True)
    with tifffile.TiffFile(path) as tif:
        start, size = tif.pages.first.dataoffsets[0], tif.pages.first.databytecounts[0]
    # Pixels last, so that all behind their start is theirs.
    assert start + size == path.stat().st_size
    return path, path, start, LABELS[2]


def itk(ending: str, data: str = "") -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        sitk = pytest.importorskip("SimpleITK")
        path = folder / f"a{ending}"
        sitk.WriteImage(sitk.GetImageFromArray(LABELS), str(path), useCompression=True)
        if data:
            return path, folder / data, 0, LABELS
        end = {".mha": b"LOCAL\n", ".nrrd": b"\n\n"}[ending]
        return path, path, path.read_bytes().index(end) + len(end), LABELS

    return make


MAKERS = {
    "nifti": nifti,
    "png": png,
    "palette": palette,
    "tiff": tiff,
    "mha": itk(".mha"),
    "mhd": itk(".mhd", "a.zraw"),
    "nrrd": itk(".nrrd"),
    "nhdr": itk(".nhdr", "a.raw.gz"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_flipped_bit_is_noticed(tmp_path: Path, kind: str) -> None:
    path, holder, start, truth = MAKERS[kind](tmp_path)
    whole = holder.read_bytes()
    np.testing.assert_array_equal(read_labels(path).data, truth)
    bits = range(8 * start, 8 * len(whole))
    noticed = 0
    for bit in random.Random(0).sample(bits, min(120, len(bits))):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        holder.write_bytes(damaged)
        try:
            found = read_labels(path).data
        except InputError:
            noticed += 1
        else:
            np.testing.assert_array_equal(found, truth, err_msg=f"bit {bit} of {path.name}")
    assert noticed > 60


@pytest.mark.parametrize("kind", MAKERS)
def test_files_that_end_too_soon(tmp_path: Path, kind: str) -> None:
    path, holder, start, _ = MAKERS[kind](tmp_path)
    whole = holder.read_bytes()
    for left in (start, start + (len(whole) - start) // 2, len(whole) - 1):
        holder.write_bytes(whole[:left])
        with pytest.raises(InputError):
            read_volume(path)
