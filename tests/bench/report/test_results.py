import math

import pandas as pd
import pytest

from napari_fewshot.bench.report.published import published_figures
from napari_fewshot.bench.report.results import LABEL_METRICS, LANDMARK_METRICS, summarise
from napari_fewshot.bench.templates import Candidate, choose


def table(*rows):
    return pd.DataFrame(rows)


def row(case, seed, name, dice, empty=(0, 0, 0)):
    slices, kept, false = empty
    return {
        "case": case,
        "seed": seed,
        "name": name,
        "dice": dice,
        "empty_slices": slices,
        "empty_slices_kept": kept,
        "false_pixels": false,
    }


def test_mean_over_structures_then_seeds_then_cases():
    scores = table(
        row("a", 0, "x", 0.2),
        row("a", 0, "y", 0.4),  # 0.3
        row("a", 1, "x", 0.5),
        row("a", 1, "y", None),  # 0.5, so 0.4 of case a
        row("b", 0, "x", 0.8),
    )
    found = summarise(scores, LABEL_METRICS["dice"])
    assert found.mean == pytest.approx(0.6)
    assert found.sd == pytest.approx(0.4 / math.sqrt(2))
    assert found.cases == 2
    assert found.text(3) == "0.600 ± 0.283"


def test_of_a_single_case_the_spread_is_that_of_seeds():
    found = summarise(table(row("a", 0, "x", 0.2), row("a", 1, "x", 0.4)), LABEL_METRICS["dice"])
    assert found.text(2) == "0.30 ± 0.14"
    assert summarise(table(), LABEL_METRICS["dice"]).text(2) == "–"


def test_false_positives_where_a_structure_is_absent():
    rows = [row("a", 0, "x", 0.2, (4, 3, 10)), row("a", 0, "y", 0.4, (6, 6, 0))]
    assert summarise(table(*rows), LABEL_METRICS["absent_kept"]).mean == pytest.approx(0.9)
    assert summarise(table(*rows), LABEL_METRICS["false_pixels"]).mean == pytest.approx(1.0)
    everywhere = table(row("a", 0, "x", 0.2))
    assert summarise(everywhere, LABEL_METRICS["absent_kept"]).text(2) == "–"


def test_the_score_of_one_record():
    rows = [{"dice": 0.2}, {"dice": None}, {"dice": 0.4}]
    assert LABEL_METRICS["dice"].of(rows) == pytest.approx(0.3)
    assert LANDMARK_METRICS["localised"].of([{"localised": True}, {"localised": False}]) == 0.5
    assert math.isnan(LABEL_METRICS["dice"].of([{"dice": None}]))
    assert math.isnan(LABEL_METRICS["dice"].of([]))


def test_published_figures_are_in_our_units():
    figures = published_figures()
    assert len(figures) > 100
    liver = figures[(figures["structure"] == "liver") & (figures["metric"] == "iou")]
    assert len(liver) == 5
    assert liver["mean"].between(0, 1, inclusive="neither").all()
    assert figures[["source", "table", "method", "shots", "mean"]].notna().all(axis=None)


SLICES = [Candidate("a", k, k / 19, {1: 100 if k < 10 else 10}) for k in range(20)]


@pytest.mark.parametrize("how", ["even", "first", "random", "representative"])
def test_choices_give_so_many_slices_in_order(how):
    found = [one.index for one in choose(SLICES, 4, how, 0)]
    assert len(found) == 4
    assert found == sorted(found)
    assert choose(SLICES, 30, how, 0) == SLICES


def test_what_each_choice_means():
    assert [one.index for one in choose(SLICES, 3, "first", 0)] == [0, 1, 2]
    assert [one.index for one in choose(SLICES, 1, "even", 0)] == [10]
    assert choose(SLICES, 3, "random", 0) != choose(SLICES, 3, "random", 1)
    small, large = choose(SLICES, 2, "representative", 0)
    assert small.index < 10 <= large.index  # one of each size
