"""Strategies of refinement, scored on given truth."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PIL import Image

from napari_fewshot import Cancelled, InputError, UnknownNameError, Volume, get_refiner
from napari_fewshot.bench import refinement_strategies
from napari_fewshot.bench.refinement_strategies import (
    StrategyComparison,
    StrategyRow,
    compare_refinements,
    is_random,
    named_strategies,
)
from napari_fewshot.config import RefinementConfig


@pytest.fixture
def squares():
    """Truth, and labels that are one row too high, which the stub sets right."""
    truth = np.zeros((4, 20, 24), np.uint8)
    truth[1:, 6:12, 4:10] = 2
    truth[2:, 6:14, 14:20] = 9
    image = Volume(np.where(truth > 0, 100, 10).astype(np.uint8), (2.0, 1.0, 1.0))
    return image, np.roll(truth, -1, axis=1), image.with_data(truth, names={2: "left", 9: "right"})


def test_scores_before_and_after(squares, stub_refiner):
    image, labels, truth = squares
    found = compare_refinements(image, labels, truth, {"down": get_refiner("stub")})
    left, right = found.rows
    assert (left.label, left.name, right.label, right.name) == (2, "left", 9, "right")
    assert left.iou_before == pytest.approx(5 / 7)
    assert right.iou_before == pytest.approx(7 / 9)
    assert left.dice_before == pytest.approx(10 / 12)
    assert (left.iou_after, right.iou_after, left.dice_after) == (1, 1, 1)
    assert found.slices == {"down": 3}
    assert found.mean("down", "iou_before") == pytest.approx((5 / 7 + 7 / 9) / 2)


def test_one_network_is_in_memory_at_a_time(squares, stub_refiner):
    image, labels, truth = squares
    kept, other = get_refiner("stub").load(), get_refiner("stub")
    compare_refinements(image, labels, truth, {"a": kept, "b": other})
    assert kept.is_loaded  # by the caller
    assert not other.is_loaded


def test_excluded_slices_do_not_count(squares, stub_refiner):
    image, labels, truth = squares
    labels = labels.copy()
    labels[1] = 0
    refiners = {"down": get_refiner("stub")}
    assert compare_refinements(image, labels, truth, refiners).rows[0].iou_after < 1
    found = compare_refinements(image, labels, truth, refiners, exclude=(0, [1]))
    assert found.rows[0].iou_after == 1


def test_labels_that_neither_has_after_it_are_no_number(squares, stub_refiner):
    image, labels, truth = squares
    found = compare_refinements(
        image, np.where(labels == 9, 0, labels), truth, {"down": get_refiner("stub")},
        exclude=(0, [2, 3]),
    )  # fmt: skip
    assert math.isnan(found.rows[1].iou_after)
    assert found.mean("down", "iou_after") == 1


def test_table_file_and_plot(squares, stub_refiner, tmp_path):
    image, labels, truth = squares
    refiners = {"down": get_refiner("stub"), "walk": get_refiner("random-walker")}
    found = compare_refinements(image, labels, truth, refiners)
    lines = found.format_table().splitlines()
    assert lines[2].startswith("| down | 0.746 | 1.000 | +0.254 |")
    assert " 2 / 0 | 3 | " in lines[2]
    paths = found.write(tmp_path / "out")
    assert [path.name for path in paths] == ["table.md", "table.csv", "plot.png"]
    with paths[1].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert (rows[0]["strategy"], rows[0]["name"], rows[0]["iou_after"]) == (
        "down",
        "left",
        "1.0000",
    )
    with Image.open(paths[2]) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100


def test_the_plot_has_a_bar_for_each_strategy_the_best_first(squares):
    rows = [
        StrategyRow("worse", 2, "left", 0.7, 0.6, 0.8, 0.7),
        StrategyRow("better", 2, "left", 0.7, 1.0, 0.8, 1.0),
        StrategyRow("none", 2, "left", 0.7, math.nan, 0.8, math.nan),
    ]
    count = dict.fromkeys(("worse", "better", "none"), 1)
    (axes,) = StrategyComparison(tuple(rows), count, count)._figure().axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["better", "worse", "none"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1.0, 0.6, 0.0])
    blue, orange = (bar.get_facecolor()[:3] for bar in axes.patches[:2])
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def swept(name, points, *scores, base="sam"):
    """Rows of two labels, with one score for each seed; the second label has none."""
    return [
        StrategyRow(f"{base}:{name}", label, "", 0.5, iou, 0.6, iou, points, seed)
        for seed, score in enumerate(scores)
        for label, iou in ((2, score), (9, math.nan))
    ]


def test_scores_over_the_number_of_points(tmp_path):
    rows = [
        *swept("random:1", 1, 0.2, 0.4), *swept("random:5", 5, 0.6, 0.8),
        *swept("random:20", 20, 0.7, 0.7), *swept("box", 0, 0.55),
    ]  # fmt: skip
    count = dict.fromkeys([row.strategy for row in rows], 1)
    found = StrategyComparison(tuple(rows), count, count)
    assert found.mean("sam:random:5", "iou_after") == pytest.approx(0.7)
    assert found.seed_means("sam:random:5", "iou_after") == pytest.approx([0.6, 0.8])
    table = {line.split(" | ")[0]: line for line in found.format_table().splitlines()}
    assert "| 0.700 ± 0.141 | +0.200 |" in table["| sam:random:5"]
    assert "| 0.550 | +0.050 |" in table["| sam:box"]
    assert "| 0 / 1 |" in table["| sam:random:1"]  # labels, not labels and seeds
    for axes in found._points_figure().axes:
        before, box, curve = sorted(axes.lines, key=lambda line: len(line.get_xdata()) * 2 + (
            line.get_label() == "sam:box"))  # fmt: skip
        assert set(before.get_ydata()) <= {0.5, 0.6}
        assert (curve.get_label(), box.get_label()) == ("sam:random", "sam:box")
        assert list(curve.get_xdata()) == [1, 5, 20]
        assert list(curve.get_ydata()) == pytest.approx([0.3, 0.7, 0.7])
        assert list(box.get_ydata()) == pytest.approx([0.55, 0.55])
        spread = axes.collections[0].get_paths()[0].vertices
        assert (spread[:, 1].min(), spread[:, 1].max()) == pytest.approx((0.2, 0.8))
    paths = found.write(tmp_path)
    assert [path.name for path in paths] == ["table.md", "table.csv", "plot.png", "points.png"]
    with paths[1].open() as file:
        first = next(csv.DictReader(file))
    assert (first["points"], first["seed"]) == ("1", "0")


def test_several_refiners_of_a_name_are_other_seeds_of_it(squares, stub_refiner):
    image, labels, truth = squares
    some = [get_refiner("stub", seed=seed) for seed in (3, 4)]
    totals = []
    found = compare_refinements(
        image, labels, truth, {"down": some, "walk": get_refiner("random-walker")},
        progress=lambda done, total, what: totals.append((done, total)),
    )  # fmt: skip
    assert [(row.strategy, row.seed) for row in found.rows] == [
        ("down", 3), ("down", 3), ("down", 4), ("down", 4), ("walk", 0), ("walk", 0),
    ]  # fmt: skip
    assert found.slices["down"] == 3
    assert totals[-1] == (12, 12)


def test_numbers_of_points_are_strategies_of_those_that_draw_points(stub_refiner):
    found = named_strategies(["stub:random", "stub:box", "random-walker"], points=[1, 20])
    assert list(found) == ["stub:random:1", "stub:random:20", "stub:box", "random-walker"]
    assert [one.prompts.points for one in found.values()] == [1, 20, 10, 10]
    assert [is_random(one) for one in found.values()] == [True, True, False, False]
    with_negatives = RefinementConfig.of({"prompts": {"negatives": 2}}, "config")
    assert is_random(named_strategies(["stub:box"], with_negatives)["stub:box"])
    with pytest.raises(InputError, match=r"prompts\.points must be .* 1.*0"):
        named_strategies(["stub:random"], points=[0])


def test_the_plot_needs_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setattr(refinement_strategies, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"plot\.png .* pip install 'napari-fewshot\[benchmark\]'"):
        StrategyComparison((), {}, {}).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_all_strategies_and_stops(squares, stub_refiner):
    image, labels, truth = squares
    refiners = {"a": get_refiner("stub"), "b": get_refiner("stub")}
    seen = []

    def watch(done, total, what):
        seen.append((done, total))
        if done == 6:
            raise Cancelled

    with pytest.raises(Cancelled):
        compare_refinements(image, labels, truth, refiners, progress=watch)
    assert seen == [(n, 8) for n in range(1, 7)]


def test_names_of_strategies(stub_refiner):
    base = RefinementConfig.of({"prompts": {"points": 3}}, "config")
    found = named_strategies(["stub", "random-walker"], base)
    assert list(found) == [
        "stub:random", "stub:components", "stub:box", "stub:boxes", "stub:box-points",
        "stub:mask", "random-walker",
    ]  # fmt: skip
    box = found["stub:box"]
    assert (box.method, box.prompts.strategy, box.prompts.points) == ("stub", "box", 3)
    assert list(named_strategies(["stub:mask"])) == ["stub:mask"]
    assert list(named_strategies(["medsam"])) == ["medsam:box", "medsam:boxes"]
    assert "stub:box" in named_strategies(["all"])
    stub_refiner.available = False
    assert "stub:box" not in named_strategies(["all"])


@pytest.mark.parametrize("word", ["stb", "stub:bx", "random-walker:box", "stub:"])
def test_unknown_strategies(stub_refiner, word):
    with pytest.raises(UnknownNameError, match="strategies must be one of"):
        named_strategies([word])
