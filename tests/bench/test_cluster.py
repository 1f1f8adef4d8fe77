"""Fits on a real scheduler with real workers on this machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.errors import Cancelled
from napari_fewshot.jobs.scheduler import open_client

from .conftest import ACROSS, LANDMARKS, METHODS, WITHIN
from .test_runner import BROKEN, contents, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

KEPT = "\n[output]\npredictions = true\n"
ACROSS_MORE = ACROSS.replace("shots = [1]", "shots = [1, 2]").replace("test = 1", "test = 2")
SLICES = ACROSS_MORE.replace('"cases"', '"even"') + KEPT


@pytest.fixture(scope="module")
def client():
    with open_client("local", 2, "cpu") as client:
        yield client


def files(folder: Path) -> dict[str, bytes]:
    """All but the records of units, which have times, and those of what is ours."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.suffix != ".json" or path.parent.name == "areas"
    }


def run_on(client, config, folder, **options):
    benchmark, seen, calls = open_benchmark(config, folder), [], []
    benchmark.run(
        lambda unit, _: seen.append(unit.key),
        lambda *call: calls.append(call),
        client=client,
        **options,
    )
    return benchmark, seen, calls


@pytest.mark.parametrize(
    "text", [WITHIN + KEPT, SLICES, LANDMARKS], ids=["within", "across", "landmarks"]
)
def test_results_are_those_of_one_process(client, config_of, tmp_path, text):
    config = config_of(text)
    run(config, tmp_path / "alone")
    benchmark, seen, calls = run_on(client, config, tmp_path / "out")
    assert sorted(seen) == sorted(unit.key for unit in benchmark.units)
    total = len(benchmark.units)
    assert [one for one in calls if one[2] == "predictions"] == [
        (n, total, "predictions") for n in range(1, total + 1)
    ]
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    assert not (tmp_path / "out" / "work").exists() or not any(
        (tmp_path / "out" / "work").iterdir()
    )
    _, seen, _ = run_on(client, config, tmp_path / "out")
    assert not seen


def test_what_is_left_of_a_fit_is_done(client, config_of, tmp_path):
    config = config_of(SLICES)
    benchmark, _ = run(config, tmp_path)
    whole = contents(tmp_path)
    unit = benchmark.units[1]
    benchmark.records.path(unit).unlink()
    _, seen, _ = run_on(client, config, tmp_path)
    assert seen == [unit.key]
    assert contents(tmp_path) == whole


def test_what_fails_is_recorded_as_in_one_process(client, config_of, balls, tmp_path):
    config = config_of(SLICES, BROKEN + METHODS)
    bad = balls / "data" / "images" / "b1.nii.gz"
    whole = bad.read_bytes()
    try:
        bad.write_bytes(whole[:500])
        alone, _ = run(config, tmp_path / "alone")
        benchmark, seen, _ = run_on(client, config, tmp_path / "out")
    finally:
        bad.write_bytes(whole)
    errors = {unit.key: record.error for unit, record in alone.failures()}
    assert len(errors) == 4 + 2 * 2  # all of the broken method, and the bad case
    assert errors == {unit.key: record.error for unit, record in benchmark.failures()}
    assert len(seen) == len(set(seen)) == len(benchmark.units)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    "text", [WITHIN.replace("[1, 3]", "[1]"), SLICES], ids=["within", "across"]
)
def test_a_killed_worker_loses_nothing(config_of, tmp_path, text):
    config = config_of(text)
    run(config, tmp_path / "alone")
    with open_client("local", 2, "cpu") as client:
        victim = next(iter(client.run(os.getpid).values()))
        seen = []

        def finished(unit, record):
            seen.append(unit.key)
            if len(seen) == 2:
                os.kill(victim, signal.SIGKILL)

        benchmark = open_benchmark(config, tmp_path / "out")
        benchmark.run(finished, client=client)
        assert victim not in client.run(os.getpid).values()
    assert sorted(seen) == sorted(unit.key for unit in benchmark.units)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert files(tmp_path / "out") == files(tmp_path / "alone")


def executing(dask_worker):
    return dask_worker.state.executing_count


def test_what_is_raised_in_between_ends_the_tasks(client, config_of, tmp_path):
    methods = METHODS.replace("steps = 20,", "steps = 1000000,")  # far longer than a test
    benchmark = open_benchmark(config_of(ACROSS, methods), tmp_path)

    def cancel(unit, record):
        raise Cancelled

    with pytest.raises(Cancelled):
        benchmark.run(cancel, client=client)
    end = time.monotonic() + 20
    while any(client.run(executing).values()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(client.run(executing).values())
    assert len(contents(tmp_path)) == 1
    _, seen, _ = run_on(client, config_of(ACROSS), tmp_path)
    assert len(seen) == 1
