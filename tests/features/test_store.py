from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_fewshot.errors import FewShotError, InputError
from napari_fewshot.features.store import FeatureStore, default_store_root, pack
from napari_fewshot.types import FeatureMap

SIGNATURE = json.dumps({"backbone": "timm:vit/tiny?"})
KEYS = [f"{n:040x}" for n in range(6)]


def packed(seed=0, shape=(3, 4, 5)):
    data = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return pack(FeatureMap(data, (40, 50), (40.5, 50.0)))


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "store")


@pytest.fixture
def entry(store):
    """Folder of the one entry of the store."""
    store.put(SIGNATURE, {KEYS[0]: packed()})
    (found,) = store.root.glob(f"features-v*/*/{KEYS[0]}")
    return found


def test_what_is_put_comes_back(store, entry):
    found = store.get(SIGNATURE, KEYS[0])
    assert np.array_equal(found.data, packed().data)
    assert found.data.dtype == np.float16
    assert (found.shape, found.extent, found.scale) == ((40, 50), (40.5, 50.0), 1.0)
    assert store.has(SIGNATURE, KEYS[0])
    assert store.get(SIGNATURE, KEYS[1]) is None
    assert store.get(json.dumps({"backbone": "b"}), KEYS[0]) is None
    assert not list((store.root / "staging").iterdir())


def test_it_is_plain_zarr_with_one_chunk_for_a_slice(store, entry):
    group = zarr.open_group(entry.parent, mode="r")
    assert group.attrs["signature"] == SIGNATURE
    array = group[KEYS[0]]
    assert array.shape == array.chunks == (3, 4, 5)
    assert array.dtype == np.float16
    assert np.array_equal(array[...], packed().data)


def test_features_of_zeros_are_an_entry_like_any_other(store):
    zeros = pack(FeatureMap(np.zeros((2, 3, 3), np.float32), (3, 3), (3.0, 3.0)))
    store.put(SIGNATURE, {KEYS[0]: zeros})
    assert not store.get(SIGNATURE, KEYS[0]).data.any()


@pytest.mark.parametrize("peak", [1e-20, 1e-3, 1.0, 65504.0, 65520.0, 1e6, 1e30])
def test_float16_keeps_three_digits_of_any_range(peak):
    data = np.random.default_rng(0).uniform(0.25, 1, (2, 3, 3)).astype(np.float32)
    data *= np.float32(peak) / data.max()
    one = pack(FeatureMap(data, (3, 3), (3.0, 3.0)))
    assert np.isfinite(one.data).all()
    assert np.allclose(one.unpack().data.astype(np.float32) / peak, data / peak, rtol=1e-3)
    assert (one.scale == 1) == (2.0**-8 <= peak <= 65504)


def test_a_scale_comes_back_from_the_store(store):
    data = np.full((1, 2, 2), 1e6, np.float32)
    store.put(SIGNATURE, {KEYS[0]: pack(FeatureMap(data, (2, 2), (2.0, 2.0)))})
    assert np.allclose(store.get(SIGNATURE, KEYS[0]).unpack().data, data, rtol=1e-3)


def truncate(entry):
    chunk = entry / "c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-7])


def flip_a_bit(entry):
    chunk = entry / "c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[17] ^= 4
    chunk.write_bytes(content)


def lose_the_chunk(entry):
    (entry / "c/0/0/0").unlink()


def lose_the_metadata(entry):
    (entry / "zarr.json").unlink()


def break_the_metadata(entry):
    (entry / "zarr.json").write_text("{")


def edit(change):
    def apply(entry):
        path = entry / "zarr.json"
        content = json.loads(path.read_text())
        change(content, content["attributes"]["napari_fewshot"])
        path.write_text(json.dumps(content))

    return apply


DAMAGES = {
    "truncated": truncate,
    "flipped": flip_a_bit,
    "no chunk": lose_the_chunk,
    "no metadata": lose_the_metadata,
    "broken metadata": break_the_metadata,
    "extent": edit(lambda content, ours: ours.update(extent=[1.0, 1.0])),
    "scale": edit(lambda content, ours: ours.update(scale=2.0)),
    "format": edit(lambda content, ours: ours.update(format=99)),
    "signature": edit(lambda content, ours: ours.update(signature="{}")),
    "foreign": edit(lambda content, ours: content.update(attributes={})),
    "huge": edit(lambda content, ours: content.update(shape=[10**6, 10**6, 10**3])),
    "transposed": edit(lambda content, ours: content.update(shape=[4, 3, 5])),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_not_trusted_and_is_replaced(store, entry, damage):
    damage(entry)
    assert store.get(SIGNATURE, KEYS[0]) is None
    store.put(SIGNATURE, {KEYS[0]: packed(1)})
    assert np.array_equal(store.get(SIGNATURE, KEYS[0]).data, packed(1).data)


def test_an_entry_in_the_wrong_place_is_not_trusted(store, entry):
    shutil.copytree(entry, entry.with_name(KEYS[1]))
    assert store.get(SIGNATURE, KEYS[1]) is None


def test_a_file_in_the_place_of_an_entry_is_replaced(store, entry):
    shutil.rmtree(entry)
    entry.write_text("foreign")
    assert store.get(SIGNATURE, KEYS[0]) is None
    store.put(SIGNATURE, {KEYS[0]: packed()})
    assert store.get(SIGNATURE, KEYS[0]) is not None


def test_a_sound_entry_of_a_faster_process_is_kept(store, entry):
    before = (entry / "zarr.json").stat().st_ino
    store.put(SIGNATURE, {KEYS[0]: packed()})
    assert (entry / "zarr.json").stat().st_ino == before


def test_leavings_of_killed_processes_are_swept_but_not_the_work_of_live_ones(store):
    old, young = store.root / "staging/old", store.root / "staging/young"
    for folder in (old, young):
        (folder / KEYS[0]).mkdir(parents=True)
    past = time.time() - 2 * 3600
    os.utime(old, (past, past))
    store.put(SIGNATURE, {KEYS[0]: packed()})
    assert not old.exists()
    assert young.exists()


def test_prune_removes_the_least_recently_used(store):
    store.put(SIGNATURE, {key: packed(n) for n, key in enumerate(KEYS)})
    for age, folder in enumerate(sorted(store.root.glob("features-v*/*/0*"))):
        past = time.time() - 1000 + age
        os.utime(folder, (past, past))
    assert store.get(SIGNATURE, KEYS[0]) is not None  # now the youngest
    whole = store.size()
    half = FeatureStore(store.root, limit_gb=whole / 2e9)
    removed = half.prune()
    assert store.size() == whole - removed <= whole // 2
    kept = [store.get(SIGNATURE, key) is not None for key in KEYS]
    assert kept == [True, False, False, False, True, True]
    assert half.prune() == store.prune() == 0


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_limit_below_zero_is_refused(tmp_path, limit):
    with pytest.raises(InputError, match="store_limit must be at least 0"):
        FeatureStore(tmp_path, limit_gb=limit)


def test_clear_leaves_what_is_not_ours(store, entry):
    notes = [store.root / "notes.txt", entry.parent / "notes.txt", store.root / "folder/data.txt"]
    for path in notes:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    store.put(json.dumps({"backbone": "other"}), {KEYS[0]: packed()})
    store.clear()
    assert store.size() == 0
    assert store.get(SIGNATURE, KEYS[0]) is None
    assert all(path.read_text() == "mine" for path in notes)
    assert [path.name for path in entry.parent.parent.iterdir()] == [entry.parent.name]


def test_a_store_that_does_not_exist_is_empty(store):
    assert store.size() == 0
    assert FeatureStore(store.root, limit_gb=0).prune() == 0
    store.clear()
    assert not store.root.exists()


def test_a_disk_that_fills_up_is_a_clear_error_that_leaves_nothing(store, entry, monkeypatch):
    from napari_fewshot.features import store as module

    calls = []

    def write(folder, one, names):
        folder.mkdir()
        calls.append(folder)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_entry", write)
    with pytest.raises(FewShotError, match=r"No space left on device.*NAPARI_FEWSHOT_CACHE"):
        store.put(SIGNATURE, {key: packed() for key in KEYS[1:]})
    assert not list((store.root / "staging").iterdir())
    assert not store.has(SIGNATURE, KEYS[1])


def test_space_is_asked_of_the_disk_of_the_nearest_folder(tmp_path):
    asked = []
    store = FeatureStore(tmp_path / "a/b/c", free_bytes=lambda p: asked.append(p) or 1_000_000)
    store.require_space(1_000_000)
    assert asked == [tmp_path]
    with pytest.raises(FewShotError, match=r"need about 1\.5 MB .* 1\.0 MB are free"):
        store.require_space(1_500_000)
    FeatureStore(tmp_path).require_space(1)
    with pytest.raises(FewShotError):
        FeatureStore(tmp_path).require_space(10**18)


def test_the_root_must_be_a_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InputError, match="store must be a folder"):
        FeatureStore(path)


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path))
    assert default_store_root() == FeatureStore().root == tmp_path / "features"
    monkeypatch.delenv("NAPARI_FEWSHOT_CACHE")
    assert "napari-fewshot" in default_store_root().parts


WRITER = """
import json, sys
import numpy as np
from pathlib import Path
from napari_fewshot.features.store import pack
from napari_fewshot.types import FeatureMap
from napari_fewshot.features.store import FeatureStore
store = FeatureStore(Path(sys.argv[1]))
signature = json.dumps({"backbone": "shared"})
for n in range(60):
    one = pack(FeatureMap(np.full((8, 8, 8), n, np.float32), (8, 8), (8.0, 8.0)))
    key = f"{n:040x}"
    store.put(signature, {key: one})
    found = store.get(signature, key)
    assert found is not None and (found.data == n).all(), n
"""


def test_processes_may_write_the_same_entries_at_once(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    store = FeatureStore(tmp_path)
    signature = json.dumps({"backbone": "shared"})
    for n in range(60):
        assert (store.get(signature, f"{n:040x}").data == n).all()
    assert not list((tmp_path / "staging").iterdir())


def test_the_store_needs_no_torch():
    code = "import sys, napari_fewshot.features.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_keys_fit_the_path_of_an_entry(store, entry):
    assert entry.parent.name.startswith("timm-vit-tiny-")
    assert Path(entry).name == KEYS[0]
