"""benchmarks/accuracy.py: strokes, scores, rows that are kept, the report."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_fewshot import Template, Volume, write_image, write_labels
from napari_fewshot.adapters import ADAPTERS

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a module of the benchmarks, which are scripts beside each other.

    Modules, and the adapters that they register, are there for the test alone.
    """
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(ADAPTERS, "_entries", dict(ADAPTERS.items()))
    for path in BENCHMARKS.glob("*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)

    def load(name: str) -> ModuleType:
        return __import__(name)

    yield load
    for path in BENCHMARKS.glob("*.py"):
        sys.modules.pop(path.stem, None)


def row(task, method, dice, seed=0, tag="now", **more):
    found = {"task": task, "method": method, "seed": seed, "tag": tag, "dice": dice}
    return found | {"dice_common": None, "ece": None} | more


def disk(shape, centre, radius):
    y, x = np.indices(shape)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


class TestStrokes:
    truth = np.zeros((90, 120), np.uint8)
    truth[disk(truth.shape, (40, 40), 25)] = 3
    truth[disk(truth.shape, (40, 95), 6)] = 7
    truth[disk(truth.shape, (70, 110), 3)] = 7

    def test_one_connected_stroke_in_each_label(self, benchmark):
        from scipy.ndimage import label

        strokes = benchmark("accuracy_strokes")
        found = strokes.strokes(self.truth)
        assert set(np.unique(found)) == {strokes.BACKGROUND, 0, 3, 7}
        for value in (strokes.BACKGROUND, 3, 7):
            assert label(found == value, np.ones((3, 3)))[1] == 1
            assert (self.truth[found == value] == max(value, 0)).all()
        assert (found == 7)[:60].sum() == (found == 7).sum()  # in the larger part

    def test_about_300_pixels_are_painted(self, benchmark):
        found = benchmark("accuracy_strokes").strokes(self.truth)
        assert 240 <= (found != 0).sum() <= 310
        assert (found == 3).sum() > (found == 7).sum()

    def test_background_is_painted_near_the_labels(self, benchmark):
        strokes = benchmark("accuracy_strokes")
        truth = np.zeros((200, 200), np.uint8)
        truth[90:110, 20:40] = 1
        rows, columns = np.nonzero(strokes.strokes(truth) == strokes.BACKGROUND)
        assert rows.min() >= 60
        assert columns.max() <= 70

    def test_the_same_each_time_and_of_a_slice_without_labels(self, benchmark):
        strokes = benchmark("accuracy_strokes")
        assert (strokes.strokes(self.truth) == strokes.strokes(self.truth)).all()
        empty = strokes.strokes(np.zeros((40, 40), np.uint8), pixels=50)
        assert 40 <= (empty == strokes.BACKGROUND).sum() <= 60

    def test_paint_of_other_tools(self, benchmark):
        tasks, methods = benchmark("accuracy_tasks"), benchmark("accuracy_methods")
        truth = Volume(np.stack([self.truth] * 3), (1.0, 1.0, 1.0))
        image = truth.with_data(truth.data.astype(np.float32))
        scribble = methods.paint_classes(tasks.scribbled(image, truth, [1]), [3, 7])
        assert not scribble[[0, 2]].any()
        assert {*np.unique(scribble)} == {0, 1, 2, 3}
        data = truth.data.copy()
        data[[0, 2]] = 0
        dense = methods.paint_classes(Template(image, data, axis=0), [3, 7])
        assert not dense[[0, 2]].any()
        assert (dense[1] == 1).sum() == (self.truth == 0).sum()
        assert (dense[1] == 3).sum() == (self.truth == 7).sum()


class TestScores:
    def test_dice_leaves_out_what_the_truth_has_not(self, benchmark):
        found = benchmark("accuracy_scores").dice_by_label(
            np.array([1, 1, 2, 0]), np.array([1, 0, 2, 4]), [1, 2, 3, 4]
        )
        np.testing.assert_allclose(found, [2 / 3, 1, np.nan, 0])

    def test_calibration_error(self, benchmark):
        scores = benchmark("accuracy_scores")

        def error(confidence, right):
            return scores.calibration_error(scores.reliability(confidence, right))

        assert error(np.array([1.0, 1.0]), np.array([True, True])) == 0
        assert error(np.full(4, 0.75), np.array([1, 1, 1, 0], bool)) == pytest.approx(0)
        assert error(np.array([0.9, 0.9, 0.1, 0.1]), np.ones(4, bool)) == pytest.approx(0.5)

    def test_painted_slices_do_not_count(self, benchmark):
        tasks, scores = benchmark("accuracy_tasks"), benchmark("accuracy_scores")
        truth = np.ones((6, 4, 4), np.uint8)
        found = truth.copy()
        found[2] = 0  # painted: what is there does not count
        found[4] = 0  # painted by another task of the set
        volume = Volume(truth, (1.0, 1.0, 1.0))
        case = tasks.Case(volume, volume, (2,), (2, 4))
        made = scores.Found([found], [np.ones(truth.shape, np.float32)], 1.0, 1.0)
        values = scores.score(tasks.Task([], [case], [1]), made)
        assert values["dice"] == pytest.approx(8 / 9)
        assert values["dice_common"] == 1
        assert values["label_dice"] == {"1": pytest.approx(8 / 9, abs=1e-4)}
        assert values["ece"] == pytest.approx(0.2)


class TestResults:
    def test_a_row_that_is_there_is_not_run_again(self, benchmark, tmp_path):
        results = benchmark("results").Results(tmp_path / "a" / "rows.jsonl", ["forest"])
        results.add(row("one-3", "default", 0.5))
        results.add(row("one-3", "forest", 0.4, tag="before"))
        assert results.has("one-3", "default", 0, "now")
        assert not results.has("one-3", "default", 1, "now")
        assert not results.has("one-3", "default", 0, "later")
        assert results.has("one-3", "forest", 0, "now")  # a reference counts for every tag

    def test_a_line_that_was_cut_off_is_left_out(self, benchmark, tmp_path):
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row("one-3", "default", 0.5)) + '\n{"task": "one-3", "met')
        results = benchmark("results").Results(path, keys=["dice"])
        results.add(row("two-3", "default", 0.6))
        assert [r["task"] for r in results.rows] == ["one-3", "two-3"]

    def test_rows_of_the_last_tag_are_reported(self, benchmark):
        rows = [
            row("one-3", "default", 0.5, tag="before"),
            row("one-3", "forest", 0.4, tag="before"),
            row("one-3", "default", 0.6, tag="after"),
            row("one-3", "default", 0.7, tag="after"),
        ]
        found, tag = benchmark("results").of_tag(rows, None, ["forest"])
        assert tag == "after"
        assert {r["method"]: r["dice"] for r in found} == {"default": 0.7, "forest": 0.4}


def test_methods_that_cannot_be_run_are_left_out_with_a_line(
    benchmark, tmp_path, monkeypatch, capsys
):
    methods = benchmark("accuracy_methods")
    monkeypatch.setitem(methods.METHODS, "newer", methods.Ours({"later": {"on": True}}))
    assert methods.runnable(["newer", "default"], tmp_path) == ["default"]
    assert capsys.readouterr().out == "newer: left out, this version has no setting later\n"


class TestReport:
    rows = (
        row("organ-1", "default", 0.6),
        row("organ-3", "default", 0.9, fit_seconds=2.0, ece=0.01),
        row("organ-3", "default", 0.8, seed=1, fit_seconds=4.0, ece=0.03),
        row("organ-3", "forest", 0.7),
        row("cells-3", "default", 0.4),
        row("cells-3", "forest", 0.5),
        row("cells-3", "embedded", 0.45),
    )

    def test_ratio_of_errors_to_the_forest(self, benchmark):
        table = benchmark("accuracy_report").Table.of(self.rows)
        assert table.ratios("default") == pytest.approx({"organ-3": 0.5, "cells-3": 1.2})
        assert math.isnan(table.ratio("organ-1", "default"))
        assert table.tasks == ["organ-1", "organ-3", "cells-3"]

    def test_summary_names_the_worst_task(self, benchmark):
        lines = benchmark("accuracy_report").report(self.rows, "now")["summary"]
        default = next(line for line in lines if line.startswith("| default |"))
        cells = [cell.strip() for cell in default.split("|")[1:-1]]
        assert cells[1:7] == ["3", "0.617", "0.85", "1.20 (cells-3)", "1 of 2", "0.071"]
        assert cells[8:10] == ["0.020", "3.0"]
        assert lines[0].startswith("Version now; 3 tasks, seeds 0, 1.")

    def test_losses_are_said(self, benchmark):
        lines = benchmark("accuracy_report").report(self.rows)["losses"]
        assert lines[0] == "- Worse than the forest on cells-3 (1.20 ×)."
        assert lines[1] == "- *embedded* is better by more than 0.01 on cells-3 (+0.050)."

    def test_reliability_is_the_mean_over_rows(self, benchmark):
        some = [[0.0, 0.0, 0.0]] * 13 + [[0.5, 0.44, 0.25], [0.5, 0.49, 0.5]]
        none = [[0.0, 0.0, 0.0]] * 14 + [[1.0, 0.99, 0.9]]
        rows = [row("a-3", "default", 0.5, reliability=one) for one in (some, none)]
        rows.append(row("a-3", "embedded", 0.5))
        lines = benchmark("accuracy_report").report(rows)["reliability"]
        assert lines[0] == "| confidence | default |"
        assert lines[2:] == ["| 0.87–0.93 | 0.50 (25.0 %) |", "| 0.93–1.00 | 0.93 (75.0 %) |"]
        assert benchmark("accuracy_report").report(rows[2:])["reliability"][0].startswith("No conf")

    @pytest.mark.parametrize(
        ("three", "expected"),
        [
            ([0.80, 0.81], True),  # much worse, seeds agree
            ([0.95, 0.65], False),  # worse in the mean, but seeds differ as much
            ([0.895, 0.895], False),  # no more than a hundredth
            ([0.80], None),  # one seed does not tell
            ([0.95, 0.96], False),
        ],
    )
    def test_more_paint_that_is_clearly_worse(self, benchmark, three, expected):
        values = {1: [0.9, 0.9], 3: three}
        assert benchmark("accuracy_report").drop(values, 3) is expected

    def test_shots_are_compared_on_common_slices(self, benchmark):
        rows = [
            row("organ-1", "default", 0.9, dice_common=0.7),
            row("organ-3", "default", 0.8, dice_common=0.75),
            row("cells-1", "default", 0.9, dice_common=0.7),
            row("cells-3", "default", 0.8),
        ]
        lines = benchmark("accuracy_report").report(rows)["shots"]
        assert "| organ | slices in common | 0.700 | 0.750 |" in lines
        assert "| cells | all others | 0.900 | 0.800 ? |" in lines
        assert lines[-1].endswith("(?): cells-3.")

    def test_nothing_measured_is_no_section(self, benchmark):
        assert benchmark("accuracy_report").report([]) == {}


def test_sections_of_a_page_are_replaced(benchmark, tmp_path):
    page, write = tmp_path / "page.md", benchmark("page").write_sections
    page.write_text("a\n<!-- benchmarks/x.py one -->\n\nold\n\n<!-- end of one -->\nb\n")
    write(page, "x.py", {"one": ["new"]})
    write(page, "x.py", {"one": ["new"]})
    text = "a\n<!-- benchmarks/x.py one -->\n\nnew\n\n<!-- end of one -->\nb\n"
    assert page.read_text("utf-8") == text
    with pytest.raises(SystemExit, match="two"):
        write(page, "x.py", {"two": ["new"]})
    assert page.read_text("utf-8") == text


def test_page_has_the_marks_of_all_sections(benchmark):
    text = (ROOT / "docs" / "accuracy.md").read_text("utf-8")
    for name in benchmark("accuracy_report").report(TestReport.rows):
        assert f"<!-- benchmarks/accuracy.py {name} -->" in text
        assert f"<!-- end of {name} -->" in text


@pytest.mark.slow
def test_folders_of_the_sets_may_be_relative(benchmark, tmp_path, monkeypatch):
    (tmp_path / "data" / "wbc_2d").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found = benchmark("accuracy_tasks").tasks(Path("../data"))
    assert {"wbc_2d-3", "wbc_2d_grey-3", "wbc_2d_scribble-1"} <= set(found)
    assert all(name.startswith("wbc_2d") for name in found)


def test_a_run_is_kept_and_goes_on(tmp_path):
    folder = tmp_path / "data" / "mr_spine"
    folder.mkdir(parents=True)
    truth = np.zeros((13, 40, 48), np.uint8)
    truth[:, disk((40, 48), (18, 22), 11)] = 1
    noise = np.random.default_rng(0).normal(size=truth.shape)
    image = Volume((100 * truth + 20 * noise).astype(np.float32), (1.0, 1.0, 1.0), np.eye(4))
    write_image(folder / "t2_image.nii.gz", image.data, image)
    write_labels(folder / "t2_labels.nii.gz", truth, image)
    results = tmp_path / "rows.jsonl"

    def run(*arguments):
        command = [sys.executable, str(BENCHMARKS / "accuracy.py"), str(tmp_path / "data")]
        more = ["--tasks", "*t2-3", "--seeds", "0", "--tag", "x", "--results", str(results)]
        done = subprocess.run(
            [*command, *more, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout

    said = run("--methods", "forest", "convpaint", "--pictures", str(tmp_path / "pictures"))
    assert "convpaint: left out" in said
    first = results.read_text("utf-8")
    found = json.loads(first)
    assert found["dice"] > 0.8
    assert found["label_dice"].keys() == {"1"}
    assert 0 <= found["ece"] < 0.5
    assert [p.name for p in (tmp_path / "pictures").iterdir()] == ["mr_spine-t2-3 forest.png"]
    said = run("--methods", "forest")
    assert results.read_text("utf-8") == first
    assert "| mr_spine-t2-3 | 1.00 |" in said
    run("--methods", "default", "--hours", "0")  # no time for a new row
    assert results.read_text("utf-8") == first
