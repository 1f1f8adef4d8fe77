"""Arrays in memory or in a nameless file."""

from __future__ import annotations

import errno
import gc
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from napari_fewshot import scratch
from napari_fewshot.arrays import release
from napari_fewshot.errors import InputError
from napari_fewshot.scratch import bands, contiguous, scratch_array
from napari_fewshot.types import Array


@pytest.mark.parametrize(("limit", "mapped"), [(2 * 60, False), (2 * 60 - 1, True)])
def test_where_an_array_lives(
    limit: int, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "IN_MEMORY", limit)
    array = scratch_array((3, 4, 5), np.float16)
    assert isinstance(array, np.memmap) is mapped
    assert array.dtype == np.float16
    assert not array.any()
    array[1] += 2.5
    release(array)
    gc.collect()
    assert float(array.sum()) == 20 * 2.5
    del array
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "IN_MEMORY", 1)
    message = r"folder for temporary files must have room for 4194304\.00 GiB more; got .*TMPDIR\.$"
    with pytest.raises(InputError, match=message):
        scratch_array((2**52,), np.uint8)
    if hasattr(os, "posix_fallocate"):  # others took the room in the meantime
        full = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=full))
        with pytest.raises(InputError, match="have room"):
            scratch_array((9,), np.uint8)
        unable = OSError(errno.EOPNOTSUPP, "Operation not supported")
        monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=unable))
        assert scratch_array((9,), np.uint8).sum() == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=8))
    with pytest.raises(InputError, match="have room"):
        scratch_array((9,), np.uint8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [10**9, 1])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flip", [False, True])
def test_contiguous(
    limit: int, order: tuple[int, ...], flip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", limit)
    monkeypatch.setattr(scratch, "_RUN", 4)
    monkeypatch.setattr(scratch, "_AT_ONCE", 50)
    whole = scratch_array((5, 9, 11), np.int32)
    whole[:] = np.arange(whole.size).reshape(whole.shape)
    view: Array = whole.transpose(order)
    if flip:
        view = view[::-1, :, ::-1]
    found = contiguous(view)
    assert found.flags.c_contiguous
    assert isinstance(found, np.memmap) is (limit == 1)
    assert np.shares_memory(found, whole) is (order == (0, 1, 2) and not flip)
    np.testing.assert_array_equal(found, np.array(view))


def test_bands() -> None:
    assert bands(7, 10, 30) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert bands(2, 100, 30) == [slice(0, 1), slice(1, 2)]
    assert bands(0, 0) == []
