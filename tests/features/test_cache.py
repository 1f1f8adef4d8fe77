"""Features in memory, up to a limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.features.store import pack
from napari_fewshot.types import FeatureMap

ENTRY = 2 * 4 * 5 * 5  # bytes


def entry(value):
    return pack(FeatureMap(np.full((4, 5, 5), value, np.float32), (5, 5), (5.0, 5.0)))


def test_what_was_put_is_found_under_its_signature():
    cache = FeatureCache()
    cache.put("a", {"k": entry(3.0)})
    assert cache.get("a", "k").unpack().data[0, 0, 0] == 3.0
    assert cache.get("b", "k") is None
    assert cache.get("a", "other") is None
    assert cache.has("a", "k")
    assert not cache.has("a", "other")
    assert (len(cache), cache.size) == (1, ENTRY)
    cache.clear()
    assert (len(cache), cache.size) == (0, 0)
    assert cache.get("a", "k") is None


def test_the_limit_holds_whatever_comes():
    cache = FeatureCache(3.5 * ENTRY / 1e6)
    for k in range(50):
        cache.put("a", {str(k): entry(k)})
        assert cache.size <= 3.5 * ENTRY
        assert cache.has("a", str(k))
    assert len(cache) == 3


def test_what_is_used_stays():
    cache = FeatureCache(10 * ENTRY / 1e6)
    cache.put("a", {f"template {k}": entry(k) for k in range(3)})
    for k in range(200):
        for template in range(3):
            assert cache.get("a", f"template {template}") is not None
        cache.put("a", {f"slice {k}": entry(k)})


def test_what_is_no_longer_used_goes():
    cache = FeatureCache(10 * ENTRY / 1e6)
    cache.put("a", {f"old {k}": entry(k) for k in range(10)})
    for _ in range(5):
        for k in range(10):
            cache.get("a", f"old {k}")
    for k in range(300):
        cache.put("a", {f"new {k % 10}": entry(k)})
        cache.get("a", f"new {k % 10}")
    assert sum(cache.has("a", f"old {k}") for k in range(10)) <= 2


def test_a_volume_larger_than_the_cache_is_found_in_part():
    cache = FeatureCache(10 * ENTRY / 1e6)
    hits = 0
    for _ in range(20):
        for k in range(20):
            if cache.get("a", str(k)) is None:
                cache.put("a", {str(k): entry(k)})
            else:
                hits += 1
    assert hits > 0.15 * 20 * 20


def test_entries_beyond_the_limit_are_not_kept():
    cache = FeatureCache(0.5 * ENTRY / 1e6)
    cache.put("a", {"k": entry(1)})
    assert len(cache) == 0
    with pytest.raises(InputError, match="limit_mb must be at least 0"):
        FeatureCache(-1)


def test_threads_may_share_it():
    cache = FeatureCache(20 * ENTRY / 1e6)

    def work(seed):
        for k in np.random.default_rng(seed).integers(0, 60, 300):
            found = cache.get("a", str(k))
            if found is None:
                cache.put("a", {str(k): entry(int(k))})
            else:
                assert found.data[0, 0, 0] == k

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert cache.size == ENTRY * len(cache) <= cache.limit
