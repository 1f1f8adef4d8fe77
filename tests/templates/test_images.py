"""Which templates show one image."""

from __future__ import annotations

import dask.array
import numpy as np

from napari_fewshot import Volume, read_volume
from napari_fewshot.io import write_image
from napari_fewshot.templates.images import number_images

DATA = np.random.default_rng(0).integers(0, 900, (6, 10, 12)).astype(np.int16)


def volume(data):
    return Volume(data, (1.0, 1.0, 1.0))


def test_one_image_however_it_was_wrapped():
    holes = np.where(DATA == DATA[0, 0, 0], np.nan, DATA)
    other = DATA.copy()
    other[-1, -1, -1] += 1
    images = [
        volume(DATA),
        volume(other),
        volume(DATA[:]),  # a view, as the viewer takes of a layer
        volume(DATA.copy()),
        volume(DATA.astype(np.float32)),
        volume(dask.array.from_array(DATA, chunks=(1, 10, 12))),
        volume(DATA[::-1]),  # the same memory in another order
        volume(DATA[:, :, :6]),
        volume(holes),
        volume(holes.copy()),
    ]
    assert number_images(images) == [0, 1, 0, 0, 0, 0, 2, 3, 4, 4]


def test_a_file_read_twice_is_one_image(tmp_path):
    for name in ("a.nii.gz", "copy.tif"):
        write_image(tmp_path / name, DATA, volume(DATA))
    paths = [tmp_path / name for name in ("a.nii.gz", "a.nii.gz", "copy.tif")]
    assert number_images([read_volume(path) for path in paths]) == [0, 0, 0]


def test_channels_and_slices_are_told_apart():
    colour = Volume(DATA, (1.0, 1.0), has_channels=True)
    assert number_images([volume(DATA), colour, volume(DATA)]) == [0, 1, 0]


def test_of_a_long_lazy_image_some_slices_are_read():
    read = set()

    def note(block, block_info=None):
        read.add(block_info[0]["chunk-location"][0])
        return block

    long = np.random.default_rng(1).integers(0, 99, (200, 4, 4))
    lazy = dask.array.from_array(long, chunks=(1, 4, 4)).map_blocks(note, dtype=long.dtype)
    assert number_images([volume(long), volume(lazy)]) == [0, 0]
    assert 0 < len(read) < 20


def test_what_is_computed_alike_is_not_read():
    def read(block):
        raise AssertionError("a block was read")

    lazy = dask.array.from_array(DATA, chunks=(1, 10, 12)).map_blocks(read, dtype=np.int16)
    assert number_images([volume(lazy[1:]), volume(lazy[1:]), volume(lazy)]) == [0, 0, 1]
