"""Words for times and sizes, and what a held-out score says."""

from __future__ import annotations

import pytest

from napari_fewshot._napari.widgets.parts.score_rows import score_rows, verdict
from napari_fewshot._napari.widgets.parts.words import duration, estimate, size

NAN = float("nan")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "less than 1 s"), (3.4, "3 s"), (59.9, "60 s"), (61, "1 min"), (3600, "1 h"),
     (4800, "1 h 20 min")],
)  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("megabytes", "words"), [(0.2, "less than 1 MB"), (40.4, "40 MB"), (4545.9, "4.5 GB")]
)
def test_sizes(megabytes, words):
    assert size(megabytes) == words


def test_estimates_leave_out_what_is_not_known():
    assert estimate(12, 40) == "About 12 s, 40 MB."
    assert estimate(None, 40) == "About 40 MB."
    assert estimate(None, None) == ""


def test_labels_that_need_paint_come_first():
    rows = score_rows({1: 0.9, 2: NAN, 3: 0.3, 4: 0.7}, {1: "liver", 2: "spleen", 3: "aorta"})
    assert [row.name for row in rows] == ["spleen", "aorta", "label 4", "liver"]
    assert [row.trust for row in rows] == ["unknown", "weak", "check", "good"]
    assert verdict(rows) == "Needs more paint: spleen, aorta. Can be trusted: liver."


def test_verdict_of_all_good_all_middling_and_many():
    assert verdict(score_rows({1: 0.8, 2: 1.0}, {})).startswith("All labels look good")
    assert verdict(score_rows({1: 0.7}, {})).startswith("Check all labels")
    many = verdict(score_rows(dict.fromkeys(range(1, 8), 0.1), {}))
    assert many.endswith("and 3 more.")
