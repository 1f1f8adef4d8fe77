from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.config import ExtractionConfig
from napari_fewshot.errors import Cancelled, FewShotError, InputError
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.store import FeatureStore

CONFIG = ExtractionConfig(min_tokens=8, batch=2, precision="float32")
SCRIPT = Path(__file__).with_name("interrupted.py")


@pytest.fixture(autouse=True)
def _one_worker():
    """Slices in turn: how many are begun ahead of an error depends on the number of threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


def collect(backbone, source, indices=None, store=None, config=CONFIG, **kwargs):
    extractor = FeatureExtractor(backbone, config, store=store)
    return dict(
        extractor.maps(source, range(len(source)) if indices is None else indices, **kwargs)
    )


def same(a, b):
    return (
        a.keys() == b.keys()
        and all(a[k].data.dtype == b[k].data.dtype for k in a)
        and all(np.array_equal(a[k].data, b[k].data) for k in a)
        and all((a[k].shape, a[k].extent) == (b[k].shape, b[k].extent) for k in a)
    )


def alike(a, b):
    """Two roundings to float16 apart at most: of other batches, the last bits may differ."""
    return a.keys() == b.keys() and all(
        a[k].data.dtype == b[k].data.dtype
        and np.allclose(a[k].data, b[k].data, rtol=2e-3, atol=1e-4)
        and (a[k].shape, a[k].extent) == (b[k].shape, b[k].extent)
        for k in a
    )


def test_maps_come_in_the_order_asked_for(tiny):
    source = tiny.random_source(5)
    extractor = FeatureExtractor(tiny.ConvBackbone(), CONFIG)
    wanted = [3, 0, 4, 3]
    assert [k for k, _ in extractor.maps(source, wanted)] == wanted
    one = extractor.map(source, 3)
    assert one.data.shape == (5, 10, 12)
    assert (one.shape, one.extent) == ((40, 48), (40.0, 48.0))
    assert one.data.dtype == np.float16


def test_stored_and_fresh_maps_are_identical(tiny, store):
    source = tiny.random_source()
    bare = collect(tiny.ConvBackbone(), source)
    first = collect(tiny.ConvBackbone(), source, store=store)
    again = tiny.ConvBackbone()
    second = collect(again, source, store=store)
    assert again.encoded == 0
    assert same(bare, first)
    assert same(first, second)


def test_huge_and_tiny_features_survive_float16(tiny, store):
    source = tiny.random_source(2)
    normal = collect(tiny.ConvBackbone(), source)[0].data.astype(np.float32)
    for gain in (2.0**20, 2.0**-30):
        fresh = collect(tiny.ConvBackbone(gain=gain), source, store=store)
        stored = collect(tiny.ConvBackbone(gain=gain), source, store=store)
        assert same(fresh, stored)
        assert stored[0].data.dtype == np.float32
        assert np.allclose(stored[0].data / gain, normal, rtol=2e-3, atol=2e-3)


def test_slices_in_common_are_shared_between_volumes_and_runs(tiny, store):
    source = tiny.random_source(6)
    collect(tiny.ConvBackbone(), source, [1, 4], store=store)
    other = tiny.ArraySource(source.array[[4, 0, 1, 1]])
    backbone = tiny.ConvBackbone()
    maps = collect(backbone, other, store=store)
    assert backbone.encoded == 1
    assert np.array_equal(maps[2].data, maps[3].data)


def test_equal_slices_of_one_batch_are_encoded_once(tiny, store):
    source = tiny.ArraySource(np.zeros((6, 1, 32, 32)))
    backbone = tiny.ConvBackbone()
    assert len(collect(backbone, source, store=store)) == 6
    assert backbone.encoded == 1


def test_context_slices_are_part_of_what_an_entry_stands_for(tiny, store):
    source = tiny.random_source(3)
    kind = {"context": 1, "prep": {"channels": 1}}
    collect(tiny.ConvBackbone(**kind), source, [1], store=store)
    other = tiny.ArraySource(source.array.copy())
    other.array[2] += 0.1
    backbone = tiny.ConvBackbone(**kind)
    collect(backbone, other, [1], store=store)
    assert backbone.encoded == 1


@pytest.mark.parametrize(
    ("backbone", "config"),
    [
        ({"name": "other"}, {}),
        ({"gain": 2.0}, {}),
        ({"prep": {"mean": (0.5,)}}, {}),
        ({}, {"min_tokens": 9}),
        ({}, {"max_side": 64}),
        ({}, {"overlap": 0.5}),
        ({}, {"blocks": 2}),
        ({}, {"precision": "bfloat16"}),
    ],
)
def test_whatever_changes_features_changes_the_entry(tiny, store, backbone, config):
    source = tiny.random_source(2)
    collect(tiny.ConvBackbone(), source, store=store)
    changed = tiny.ConvBackbone(**backbone)
    collect(changed, source, store=store, config=CONFIG.model_copy(update=config))
    assert changed.encoded == 2


def test_the_batch_size_does_not_change_the_entry(tiny, store):
    source = tiny.random_source(3)
    collect(tiny.ConvBackbone(), source, store=store)
    backbone = tiny.ConvBackbone()
    collect(backbone, source, store=store, config=CONFIG.model_copy(update={"batch": 3}))
    assert backbone.encoded == 0


def test_backbones_that_are_cheaper_than_reading_bypass_the_store(tiny, store):
    source = tiny.random_source(2)
    dense = tiny.ConvBackbone(stride=1, store=False, prep={"resize": "none"})
    maps = collect(dense, source, store=store)
    assert maps[0].is_dense
    assert maps[0].data.dtype == np.float32
    assert store.size() == 0
    assert not store.root.exists()


def test_progress_follows_the_slices(tiny, store):
    source = tiny.random_source(5)
    calls = []
    collect(tiny.ConvBackbone(), source, store=store, progress=lambda *call: calls.append(call))
    assert calls == [(done, 5, "features") for done in range(1, 6)]
    calls.clear()
    collect(tiny.ConvBackbone(), source, store=store, progress=lambda *call: calls.append(call))
    assert calls[-1] == (5, 5, "features")


def test_cancelling_ends_within_one_slice_and_keeps_what_is_finished(tiny, store):
    source = tiny.random_source(9)
    backbone = tiny.ConvBackbone()

    def progress(done, total, what):
        if done >= 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        collect(backbone, source, store=store, progress=progress)
    assert backbone.encoded == 4
    rest = tiny.ConvBackbone()
    assert alike(collect(rest, source, store=store), collect(tiny.ConvBackbone(), source))
    assert rest.encoded == 5


def test_cancelling_in_the_midst_of_the_tiles_of_a_slice(tiny, store):
    source = tiny.random_source(2, (100, 100))
    config = CONFIG.model_copy(update={"max_side": 64})
    calls = []

    def progress(done, total, what):
        calls.append(done)
        if len(calls) == 6:  # one slice of four tiles is finished, the next has begun
            raise Cancelled("enough")

    backbone = tiny.ConvBackbone()
    with pytest.raises(Cancelled):
        collect(backbone, source, store=store, config=config, progress=progress)
    assert calls == [0, 0, 0, 0, 1, 1]
    assert backbone.encoded == 5
    rest = tiny.ConvBackbone()
    collect(rest, source, store=store, config=config)
    assert rest.encoded == 4


def test_no_more_slices_are_read_than_are_encoded(tiny):
    source = tiny.random_source(50)
    reads = []
    source.slice = lambda k: reads.append(k) or source.array[k]
    maps = FeatureExtractor(tiny.ConvBackbone(), CONFIG).maps(source, range(50))
    next(maps)
    assert reads == [0]


@pytest.mark.parametrize("bad", [[-1], [0, 3]])
def test_an_index_outside_is_refused_before_any_work(tiny, bad):
    backbone = tiny.ConvBackbone()
    with pytest.raises(InputError, match=r"indices must be within 0\.\.2"):
        FeatureExtractor(backbone, CONFIG).maps(tiny.random_source(3), bad)
    assert backbone.encoded == 0


def test_the_estimate_is_close_to_what_is_used(tiny, store):
    source = tiny.random_source(4, (128, 128))
    extractor = FeatureExtractor(tiny.ConvBackbone(features=256), CONFIG, store=store)
    before = extractor.stored_bytes(source, 4)
    assert extractor.seconds_per_slice is None
    list(extractor.maps(source, range(4)))
    assert store.size() <= before <= 1.1 * store.size()
    assert 0 < extractor.seconds_per_slice < 15
    assert FeatureExtractor(tiny.ConvBackbone(), CONFIG).stored_bytes(source, 4) == 0


@pytest.mark.parametrize("channels", [5, None])
def test_too_small_a_disk_is_a_clear_error_before_much_is_done(tiny, tmp_path, channels):
    store = FeatureStore(tmp_path / "new" / "store", free_bytes=lambda folder: 200_000)
    backbone = tiny.ConvBackbone(channels=channels)
    with pytest.raises(FewShotError, match=r"need about .* MB .*0\.2 MB are free"):
        collect(backbone, tiny.random_source(20), store=store)
    assert backbone.encoded == (0 if channels else 1)
    assert store.size() == 0


def test_slices_that_are_stored_need_no_room(tiny, tmp_path):
    room = [10**9]
    store = FeatureStore(tmp_path, free_bytes=lambda folder: room[0])
    source = tiny.random_source(20)
    collect(tiny.ConvBackbone(), source, range(18), store=store)
    room[0] = 100_000
    assert len(collect(tiny.ConvBackbone(), source, store=store)) == 20


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_goes_on_where_it_was(tiny, tmp_path):
    log = tmp_path / "encoded.txt"
    store = FeatureStore(tmp_path / "store")
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(store.root), str(log)])
    try:
        deadline = time.monotonic() + 120
        while not (log.exists() and len(log.read_text().split()) >= 9):
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    encoded = len(log.read_text().split())

    source = tiny.random_source(40)
    rest = tiny.ConvBackbone()
    resumed = collect(rest, source, store=store)
    # At most the batch in which it died is encoded again.
    assert 40 - encoded <= rest.encoded <= 40 - encoded + CONFIG.batch
    assert rest.encoded < 40
    undisturbed = FeatureStore(tmp_path / "undisturbed")
    assert alike(resumed, collect(tiny.ConvBackbone(), source, store=undisturbed))
    assert store.size() == undisturbed.size()
