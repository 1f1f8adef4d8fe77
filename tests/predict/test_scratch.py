"""Arrays in memory, or in a file that nobody has to remove."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from napari_fewshot.predict.scratch import scratch_array


@pytest.mark.parametrize(("limit", "mapped"), [(2 * 60, False), (2 * 60 - 1, True)])
def test_where_the_array_lives(limit, mapped, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch_array((3, 4, 5), np.float16, limit)
    assert isinstance(array, np.memmap) is mapped
    assert array.dtype == np.float16
    assert not array.any()
    array[1] += 2.5
    gc.collect()
    assert float(array.sum()) == 20 * 2.5
    del array
    assert list(tmp_path.iterdir()) == []
