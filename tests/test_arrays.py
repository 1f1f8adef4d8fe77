"""Arrays that are read as they are indexed: what is wrapped, and how much is read at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot import Template, Volume, arrays, scratch
from napari_fewshot.arrays import block_shape, blocks, is_lazy, lazy_array, read, release, wrapped
from napari_fewshot.scratch import scratch_array

DATA = np.arange(7 * 30 * 40, dtype=np.int16).reshape(7, 30, 40)


class Counted:
    """An array that tells what was read of it."""

    def __init__(self, data: Any = DATA) -> None:
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.found: list[Any] = []

    def __getitem__(self, index: Any) -> Any:
        part = self.data[index]
        if part.size:  # dask asks for nothing to learn what it is given
            self.found.append(index)
        return part


def test_arrays_in_memory_stay_what_they_are():
    assert wrapped(DATA) is DATA
    assert read(DATA) is DATA
    assert wrapped([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert wrapped(np.float32(1)).shape == ()


@pytest.mark.parametrize("take", [Volume.of, lambda array: Volume(array, (1, 1, 1))])
def test_nothing_is_read_of_what_can_be_indexed(take):
    source = Counted()
    volume = take(source)
    assert is_lazy(volume.data)
    assert (volume.shape, volume.data.dtype) == (DATA.shape, DATA.dtype)
    assert not source.found
    np.testing.assert_array_equal(read(volume.data[3]), DATA[3])
    np.testing.assert_array_equal(volume.loaded().data, DATA)
    assert volume.loaded().loaded().data is not None
    again = Volume.of(volume.data)
    assert again.data is volume.data


def test_a_slice_is_read_alone():
    source = Counted()
    read(lazy_array(source)[3, 5:9])
    assert len(source.found) == 1
    assert np.empty(DATA.shape)[source.found[0]].shape == (4, 40)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[::-1, 3],
        np.s_[5:1:-2, :, ::2],
        np.s_[[1, 4, 2], ::-3],
        np.s_[-2, 4:4],
        np.s_[:, [], 2],
    ],
)
def test_sources_are_asked_for_slices_of_positive_steps(index):
    source = Counted()
    np.testing.assert_array_equal(read(lazy_array(source)[index]), DATA[index])
    for found in source.found:
        assert all(isinstance(one, int) or (one.step or 1) > 0 for one in found)


@pytest.mark.parametrize("chunks", [(2, 10, 10), (7, 30, 40), (1, 1, 40), ((3, 4), 7, (39, 1))])
@pytest.mark.parametrize("at_once", [1, 900, 10**6])
def test_each_block_is_read_once(monkeypatch, chunks, at_once):
    monkeypatch.setattr(arrays, "_AT_ONCE", at_once)
    da = pytest.importorskip("dask.array")
    source = Counted()
    found = np.full(DATA.shape, -1)
    lazy = da.from_array(source, chunks=chunks)
    for place, part in blocks(lazy):
        assert (found[place] == -1).all()
        found[place] = part
        assert part.nbytes <= max(at_once, 2 * np.prod([max(c) for c in lazy.chunks]))
    np.testing.assert_array_equal(found, DATA)
    assert len(source.found) == lazy.npartitions


@pytest.mark.parametrize("at_once", [1, 300, 10**6])
def test_blocks_of_memory_are_views(monkeypatch, at_once):
    monkeypatch.setattr(arrays, "_AT_ONCE", at_once)
    data = DATA[:3, :5, :4].copy()
    for place, part in blocks(data):
        assert part.base is data
        part += 1
        assert (data[place] == part).all()
    np.testing.assert_array_equal(data, DATA[:3, :5, :4] + 1)


def test_blocks_are_whole_rows_and_slices_first():
    assert block_shape((100, 512, 512), 2, size=4 * 2**20) == (8, 512, 512)
    assert block_shape((100, 5000, 6000), 2, size=4 * 2**20) == (1, 349, 6000)
    assert block_shape((3, 4), 1, size=1) == (1, 1)
    assert block_shape((100, 512, 512), 2, (64, 64, 64), 4 * 2**20) == (64, 64, 512)
    assert block_shape((10, 90, 90), 1, (32, 32, 32), 2**20) == (10, 90, 90)
    assert block_shape((64, 9000, 9000), 1, (64, 2048, 2048), 2**20) == (64, 2048, 2048)


def test_arrays_of_libraries(tmp_path):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(tmp_path / "a.zarr", data=DATA, chunks=(2, 10, 10))
    np.testing.assert_array_equal(read(Volume.of(stored).data), DATA)
    assert is_lazy(Volume.of(stored).data)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, chunks in (("a", None), ("b", (3, 10, 40))):
            lazy = wrapped(file.create_dataset(name, data=DATA, chunks=chunks))
            assert is_lazy(lazy)
            np.testing.assert_array_equal(read(lazy), DATA)


def test_data_of_an_array_with_names():
    class Named:
        dims = ("z", "y", "x")
        data = DATA

    assert wrapped(Named()) is DATA


def test_colours_are_found_by_shape():
    source = Counted(np.zeros((20, 20, 3), np.uint8))
    assert Volume.of(source).has_channels
    assert Template(source, np.ones((20, 20), int)).volume.ndim == 2


def _resident() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_released_pages_are_no_longer_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", 1)
    array = scratch_array((40, 2**20), np.uint8)
    view = np.asarray(array[1:, ::2].T)  # neither a map nor an owner itself
    before = _resident()
    array[:] = np.arange(40, dtype=np.uint8)[:, None]
    full = _resident()
    release(view)
    assert full - before > 30 * 2**20
    assert full - _resident() > 30 * 2**20
    assert array[:, 0].tolist() == list(range(40))


def test_what_must_not_be_released_stays(tmp_path: Path) -> None:
    path = tmp_path / "image.raw"
    path.write_bytes(bytes(9000))
    private = np.memmap(path, np.uint8, mode="c")
    private[:] = 7
    release(private[5:])
    assert (private == 7).all()
    plain = np.ones(5)
    release(plain)
    release(None)
    assert plain.all()


def test_blocks_of_a_mapped_array_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", 1)
    monkeypatch.setattr(arrays, "_AT_ONCE", 2**20)
    released: list[Any] = []
    monkeypatch.setattr(arrays, "release", released.append)
    array = scratch_array((8, 2**19), np.uint8)
    assert sum(part.size for _, part in blocks(array)) == array.size
    assert len(released) == 4
    assert all(one is array for one in released)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 0), (0,)])
def test_an_empty_array_has_no_blocks(shape):
    assert list(blocks(np.zeros(shape, np.uint8))) == []
