"""Motion that is kept."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.slices.flow import OpticalFlow
from napari_fewshot.slices.flow_cache import FlowCache


def planes(seed):
    rng = np.random.default_rng(seed)
    here = np.kron(rng.random((8, 8)), np.ones((4, 4))).astype(np.float32)
    return here, np.roll(here, 1, axis=0)


def test_what_is_kept_is_what_would_be_found(monkeypatch):
    method, cache = "lucas-kanade", FlowCache()
    kept = OpticalFlow(method, cache)
    here, there = planes(0)
    plain = OpticalFlow(method)(here, there)
    np.testing.assert_array_equal(kept(here, there), plain)
    assert len(cache) == 1
    monkeypatch.setattr("napari_fewshot.slices.flow._lucas_kanade", None)
    np.testing.assert_array_equal(kept(here.copy(), there), plain)
    with pytest.raises(TypeError):
        kept(there, here)


def test_memory_has_a_limit():
    field = np.ones((2, 10, 10), np.float32)
    cache = FlowCache(limit_mb=3 * 400 / 1e6)
    keys = [cache.key("dis", *planes(seed)) for seed in range(6)]
    for key in keys:
        cache.put(key, field)
    assert len(cache) == 3
    assert cache.get(keys[-1]) is not None
    cache.put(("dis", "a", "b"), np.ones((2, 100, 100), np.float32))
    assert cache.get(("dis", "a", "b")) is None
