"""What is painted, and which cases are read for it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from napari_fewshot.bench import execute, prepare
from napari_fewshot.bench.methods import METHODS, MethodEntry, Predicted
from napari_fewshot.bench.plan import Fingerprints, select_cases
from napari_fewshot.bench.prepare import prepare_case
from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.bench.templates import (
    AreaStore,
    Candidate,
    CaseAreas,
    choose,
    paint_across,
    paint_within,
)
from napari_fewshot.errors import InputError

from .conftest import ACROSS, LANDMARKS, WITHIN

SLICES = ACROSS.replace('"cases"', '"representative"').replace("[0]", "[0, 1]")
ONE_TREE = """
[[methods]]
name = "random forest"
method = "forest"
settings = { trees = 5, sigma_max = 2.0, pixels_per_class = 200 }
"""
ORACLE = """
[[methods]]
name = "oracle"
method = "test-oracle"
"""


class Oracle:
    """Says the truth."""

    def __init__(self, settings, context):
        self.truth = None

    def show(self, truth):
        self.truth = truth

    def fit(self, templates, progress=None):
        assert not templates

    def predict(self, volume, axis, progress=None):
        return Predicted(self.truth.data.astype(np.int32))


@pytest.fixture
def oracle(monkeypatch):
    """A registered oracle."""
    entry = MethodEntry("test-oracle", "says the truth", Oracle, oracle=True)
    monkeypatch.setitem(METHODS._entries, "test-oracle", entry)


@pytest.fixture
def read(monkeypatch) -> Counter:
    """Counts how often each case is read."""
    count: Counter = Counter()

    def counting(case, config):
        count[case.name] += 1
        return prepare.prepare_case(case, config)

    monkeypatch.setattr(execute, "prepare_case", counting)
    return count


def run(config, folder):
    benchmark = open_benchmark(config, folder)
    seen = []
    benchmark.run(lambda unit, record: seen.append((unit, record)), own_processes=False)
    assert not benchmark.failures(), benchmark.failures()[0][1].trace
    return seen


def test_as_many_labelled_slices_as_shots_are_no_shots(config_of):
    config = config_of(WITHIN)
    case = prepare_case(select_cases(config).scored[0], config)
    labelled = len(CaseAreas.of(case).candidates())
    for shot in range(1, labelled):
        (painted,) = paint_within(case, shot, config, 0)
        assert len(painted.slices["a1"]) == shot
    for shot in (labelled, labelled + 1):
        with pytest.raises(InputError, match=rf"fewer than the {labelled} labelled .* case a1"):
            paint_within(case, shot, config, 0)


def test_more_slices_than_the_pool_has(config_of):
    config = config_of(SLICES)
    found = {case.name: prepare_case(case, config) for case in select_cases(config).pool}
    areas = {name: CaseAreas.of(case) for name, case in found.items()}
    total = sum(len(one.candidates()) for one in areas.values())
    pool = list(found)
    painted = paint_across(pool, areas.get, found.get, total, config, 0)
    assert sum(map(len, painted.slices.values())) == total
    assert painted.taught == {1: "ball", 2: "core"}
    with pytest.raises(InputError, match=rf"at most the {total} labelled slices of the pool"):
        paint_across(pool, areas.get, found.get, total + 1, config, 0)


def test_cases_that_are_not_painted_are_read_once_for_all_runs(
    config_of, tmp_path, read, monkeypatch
):
    monkeypatch.setattr(execute, "_KEPT_BYTES", 0)
    config = config_of(SLICES, ONE_TREE)
    first = run(config, tmp_path)
    (painted,) = {tuple(record.painted) for _, record in first}
    (other,) = {"a1", "a2"} - set(painted)
    assert read[other] == 1
    assert read[painted[0]] <= 1 + 2  # to choose, and to paint for each seed
    read.clear()
    more = config_of(SLICES.replace("[0, 1]", "[0, 1, 2]"), ONE_TREE)
    again = run(more, tmp_path)
    assert [list(record.painted) for _, record in again] == [list(painted)]
    assert set(read) == {*painted, "b1"}


def test_an_oracle_reads_no_pool(config_of, tmp_path, read, oracle):
    ((_, record), _) = run(config_of(SLICES, ORACLE), tmp_path / "listed")
    assert set(read) == {"b1"}
    assert record.painted == {}
    assert [row["dice"] for row in record.rows] == [1.0, 1.0]


@pytest.mark.parametrize("text", [SLICES, LANDMARKS])
def test_areas_are_kept_by_content_and_settings(config_of, tmp_path, text):
    config = config_of(text)
    case = select_cases(config).pool[0]
    store = AreaStore(tmp_path, config, Fingerprints(tmp_path))
    assert store.read(case) is None
    found = CaseAreas.of(prepare_case(case, config))
    store.write(case, found)
    again = store.read(case)
    assert again == found
    assert list(again.areas) == list(found.areas)
    other = config_of(text.replace("[templates]", "[image]\nspacing = 2.0\n[templates]"))
    assert AreaStore(tmp_path, other, Fingerprints(tmp_path)).read(case) is None
    (file,) = (tmp_path / "areas").glob("*.json")
    file.write_text("{}")
    assert store.read(case) is None


def test_labels_take_no_more_than_they_need(config_of):
    config = config_of(WITHIN)
    case = prepare_case(select_cases(config).scored[0], config)
    assert case.truth.data.dtype == np.uint8
    assert case.listed == (1, 2)


def labelled_slices(count: int) -> list[Candidate]:
    return [Candidate("a", k, k / max(1, count - 1), {1: 10 + k}) for k in range(count)]


@pytest.mark.parametrize("how", ["even", "first", "random", "representative"])
def test_as_many_as_asked_for_and_each_once(how):
    for total in range(2, 30):
        for count in range(1, total + 1):
            places = [one.index for one in choose(labelled_slices(total), count, how, 0)]
            assert places == sorted(set(places))
            assert len(places) == count, (total, count)


def test_even_slices_stay_where_they_were_distinct():
    for total in range(2, 40):
        for count in range(1, total):
            before = np.round(np.linspace(0, total - 1, count + 2)[1:-1]).astype(int).tolist()
            if len(set(before)) == count:
                assert [
                    one.index for one in choose(labelled_slices(total), count, "even", 0)
                ] == before
            else:
                assert count == total - 1
