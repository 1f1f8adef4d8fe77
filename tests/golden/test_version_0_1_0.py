"""Files of version 0.1.0 are read and used: a model, a feature store, results of a benchmark."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, read_labels, read_volume

from .scenes import SMALL_SAM

DATA = Path(__file__).parents[1] / "data"
LONG_AGO = 1_700_000_000


def test_a_model_predicts(golden, tmp_path):
    model = FewShotSegmenter.load(DATA / "model_0.1.0.fewshot", device="cpu")
    y, x = np.indices((32, 40))
    grey = np.full((3, 32, 40), 10) + np.random.default_rng(1).integers(-6, 7, (3, 32, 40))
    grey[:, (y - 12) ** 2 + (x - 12) ** 2 < 49] += 60
    grey[:, (y - 20) ** 2 + (x - 28) ** 2 < 36] += 240
    found = model.predict(grey.astype(np.float32))
    assert set(np.unique(found.labels)) == {0, 1, 4}
    golden("model", labels=found.labels, confidence=found.confidence, names=found.names)
    model.save(tmp_path / "again.fewshot")
    again = FewShotSegmenter.load(tmp_path / "again.fewshot", device="cpu").predict(
        grey.astype(np.float32)
    )
    np.testing.assert_array_equal(again.labels, found.labels)


@pytest.fixture
def store(tmp_path):
    """A store, last used long ago."""
    shutil.copytree(DATA / "store_0.1.0", tmp_path / "images")
    for path in (tmp_path / "images/store").rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return tmp_path / "images" / "store"


def test_a_store_is_used(store, golden):
    """Entries that are read are marked as used; what is not found would be written anew."""
    files = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    entries = [path.parents[3] for path in files if path.parent.parts[-3:] == ("c", "0", "0")]
    assert len(entries) == 2
    images = store.parent
    model = FewShotSegmenter(
        backbone="sam-vit-b", weights=SMALL_SAM, adapter="cosine", device="cpu", store=store,
        extraction={"precision": "float32"}, intensity={"mode": "window", "low": 0, "high": 255},
    )  # fmt: skip
    model.fit(Template(read_volume(images / "learned.png"), read_labels(images / "labels.png")))
    found = model.predict(read_volume(images / "predicted.png"), landmarks=False)
    golden("store", labels=found.labels, confidence=found.confidence)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == files
    assert all(path.stat().st_mtime == LONG_AGO for path in files)
    assert all(path.stat().st_mtime > LONG_AGO for path in entries)


@pytest.fixture
def benchmark(tmp_path):
    """Results, each file older than the one that lists it."""
    shutil.copytree(DATA / "benchmark_0.1.0", tmp_path / "benchmark")
    results = tmp_path / "benchmark" / "results"
    for path in results.rglob("*"):
        later = {"units": 1, "results": 2}.get(path.parent.name, 0) * (path.suffix == ".json")
        os.utime(path, (LONG_AGO + later, LONG_AGO + later))
    return tmp_path / "benchmark"


@pytest.mark.parametrize("option", [[], ["--report-only"]])
def test_results_of_a_benchmark_are_used(benchmark, run, option):
    results = benchmark / "results"
    kept = [*results.glob("units/*"), *results.glob("predictions/*/*/*")]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}
    assert len(before) == 4 + 4 + 4
    scores = (results / "results.csv").read_text("utf-8")
    rows = json.loads((results / "results.json").read_text("utf-8"))["rows"]
    said = run("benchmark", benchmark / "config.toml", "-o", results, *option)
    assert said.code == 0, said.err
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept} == before
    assert sorted(path for path in kept if path.suffix == ".json") == sorted(
        results.glob("units/[!.]*.json")
    )
    assert (results / "results.csv").read_text("utf-8") == scores
    assert json.loads((results / "results.json").read_text("utf-8"))["rows"] == rows
    assert (results / "report.html").is_file()
