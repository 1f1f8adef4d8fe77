"""benchmarks/landmarks.py: errors, rows that are kept, the report."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import Landmark, Volume

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a module of the benchmarks, which are scripts beside each other."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for path in BENCHMARKS.glob("*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return __import__


def row(**changes):
    own = {"task": "spine8-3", "method": "default", "seed": 0, "tag": "a", "unit": "%"}
    own |= {"limits": [1.0, 2.0, 5.0], "errors": [[0.5, 4.0], [None, 8.0]]}
    return own | {"scores": [[0.9, 0.7], [0.3]], "seconds": 2.0} | changes


def test_errors_are_shares_of_the_height_or_mm(benchmark):
    tasks, methods = benchmark("landmarks_tasks"), benchmark("landmarks_methods")
    points = (Landmark("a", 1, (0.0, 10.0, 20.0)), Landmark("b", 2, (0.0, 5.0, 5.0)))
    case = tasks.Example("x", Volume(np.zeros((200, 100)), (0.5, 0.5)), points, 200.0)
    places = {"a": (np.array([13.0, 24.0]), 0.8), "c": (np.zeros(2), 0.4)}
    assert methods.errors(case, places, "%") == ([2.5, None], [0.8])
    assert methods.errors(case, places, "mm") == ([2.5, None], [0.8])
    template = tasks.Example("y", case.image, (*points, Landmark("c", 3, (0, 1, 1))), 200.0)
    assert methods.absent(case, tasks.Task([template], [case], "%", (1,)), places) == (1, 1)


def test_points_of_turned_and_cropped_images_stay_at_the_same_voxels(benchmark):
    tasks = benchmark("landmarks_tasks")
    data = np.random.default_rng(0).random((10, 12, 14))
    places = [(3, 4, 5), (9, 11, 13), (1, 2, 3)]
    points = tuple(Landmark(str(k), k, place) for k, place in enumerate(places, start=1))
    example = tasks.Example("x", Volume(data, (1.0, 2.0, 3.0)), points, None)
    for change, count in ((tasks.turned, 3), (tasks.cropped, 1)):
        found = change(example)
        assert len(found.points) == count
        for point in found.points:
            own = tuple(int(k) for k in point.position)
            assert found.image.data[own] == data[places[point.label - 1]]


def test_a_summary_counts_what_was_not_found_as_missed(benchmark):
    found = benchmark("landmarks").summary([row()])
    assert found["found"] == [3, 4]
    assert found["median"] == 4.0
    assert found["within"] == [0.25, 0.25, 0.5]
    assert math.isnan(benchmark("landmarks").summary([row(errors=[[None]])])["median"])


def test_a_report_has_what_was_before_and_the_worth_of_scores(benchmark):
    rows = [row(), row(tag="b", errors=[[9.0, 9.0], [9.0, 9.0]]), row(method="mean place", tag="c")]
    sections = benchmark("landmarks").report(rows, "a", "b")
    names = [line.split(" | ")[1] for line in sections["landmarks"][2:]]
    assert names == ["default", "default before", "mean place"]
    assert any(line.startswith("| 0.8 to 1.0 | 1 | 1.00") for line in sections["scores"])


def test_the_effect_of_known_points_is_told_of_the_others(benchmark):
    four = [[1.0, 2.0, 8.0, 4.0], [None, 8.0, 9.0, 9.0]]
    rows = [row(errors=four, scores=[[0.9] * 4, [0.3] * 3])]
    rows += [row(method="1 known", errors=[[0.5, 0.5, 0.5], [3.0, 3.0, 3.0]])]
    sections = benchmark("landmarks").report(rows, "a", None)
    before, after = sections["known"][2:]
    assert before.startswith("| spine8-3 | 0 | 6 | 4.00 % |")  # without the third of each
    assert after.startswith("| spine8-3 | 1 | 6 | 1.75 % |")
    names = [line.split(" | ")[1] for line in sections["landmarks"][2:]]
    assert names == ["default"]


def test_rows_are_kept_and_a_line_that_was_cut_off_is_left_out(benchmark, tmp_path):
    long, path = benchmark("landmarks").LONG, tmp_path / "rows.jsonl"
    path.write_text('{"task": "spi')
    results = benchmark("results").Results(path, keys=long)
    results.add(row())
    assert results.rows == [row()]
    assert results.has("spine8-3", "default", 0, "a")
    assert not results.has("spine8-3", "default", 0, "b")


def test_page_has_the_marks_of_all_sections(benchmark):
    text = (ROOT / "docs" / "accuracy.md").read_text("utf-8")
    for name in benchmark("landmarks").report([row()], None, None):
        assert f"<!-- benchmarks/landmarks.py {name} -->" in text
        assert f"<!-- end of {name} -->" in text
