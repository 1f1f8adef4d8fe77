"""What a held-out score says, and how it is shown."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.viewer

NAN = float("nan")


def test_labels_that_need_paint_come_first():
    from napari_fewshot._napari.widgets.parts.scores import score_rows, verdict

    rows = score_rows({1: 0.9, 2: NAN, 3: 0.3, 4: 0.7}, {1: "liver", 2: "spleen", 3: "aorta"})
    assert [row.name for row in rows] == ["spleen", "aorta", "label 4", "liver"]
    assert [row.trust for row in rows] == ["unknown", "weak", "check", "good"]
    assert verdict(rows) == (
        "Needs more paint: aorta. Not known yet, paint on one more slice: spleen. "
        "Can be trusted: liver."
    )


def test_verdict_of_all_good_all_middling_and_many():
    from napari_fewshot._napari.widgets.parts.scores import score_rows, verdict

    assert verdict(score_rows({1: 0.8, 2: 1.0}, {})).startswith("All labels look good")
    assert verdict(score_rows({1: 0.7}, {})).startswith("Check all labels")
    many = verdict(score_rows(dict.fromkeys(range(1, 8), 0.1), {}))
    assert many.endswith("and 3 more.")


def test_two_slices_tell_little():
    from napari_fewshot._napari.widgets.parts.scores import score_rows, verdict

    dice = {1: NAN, 2: 0.9, 3: 0.1, 4: 0.6, 5: NAN}
    rows = score_rows(dice, {1: "liver"}, doubtful={1, 2, 4})
    trust = {1: "unknown", 2: "good", 3: "weak", 4: "unknown", 5: "unknown"}
    assert {row.value: row.trust for row in rows} == trust
    about = {row.value: row.about for row in rows}
    assert all("paint it on one more slice" in about[value] for value in (1, 4, 5))
    assert "Dice 0.600" in about[4]
    assert "Dice" not in about[1]  # one slice says nothing of it
    assert "nan" not in about[1]
    assert "one more slice: liver" in verdict(rows)


def test_scores_are_shown_with_what_to_do(qtbot):
    from qtpy.QtGui import QColor

    from napari_fewshot._napari.widgets.parts.scores import TRUST, ScoreTable

    view = ScoreTable()
    qtbot.addWidget(view)
    view.resize(300, 200)
    view.show()
    view.show_scores({1: 0.92, 2: 0.31, 3: NAN}, {1: "liver", 2: "aorta"}, {1: (1, 0, 0, 1)})
    texts = [[view.table.item(r, c).text() for c in range(3)] for r in range(3)]
    assert texts == [
        ["label 3", "", "1 more slice"],
        ["aorta", "0.31", "paint more"],
        ["liver", "0.92", "trust"],
    ]
    picture = view.table.viewport().grab().toImage()

    def bar_width(row: int, trust: str) -> int:
        place = view.table.visualItemRect(view.table.item(row, 1))
        y = place.center().y()
        wanted = QColor(TRUST[trust][0]).rgb()
        return sum(picture.pixel(x, y) == wanted for x in range(place.left(), place.right()))

    assert bar_width(0, "unknown") == 0
    assert 0 < bar_width(1, "weak") < bar_width(2, "good")
    assert bar_width(1, "weak") / bar_width(2, "good") == pytest.approx(0.31 / 0.92, abs=0.06)
    view.clear("Needs two template slices.")
    assert view.table.rowCount() == 0


def test_first_figures_say_so_and_leave_out_what_they_do_not_tell(qtbot):
    from napari_fewshot import HeldOutScore
    from napari_fewshot._napari.widgets.parts.scores import ScoreTable

    view = ScoreTable()
    qtbot.addWidget(view)
    score = HeldOutScore({1: 0.9, 2: NAN}, 5, "neighbouring slices", left=4)
    view.show_score(score, {1: "liver"}, {})
    assert [row.name for row in view.rows] == ["liver"]
    assert "1 of 5 parts" in view.verdict.text()
    view.show_score(HeldOutScore({1: 0.9, 2: NAN}, 5, "neighbouring slices"), {1: "liver"}, {})
    assert [row.value for row in view.rows] == [2, 1]
    assert "parts" not in view.verdict.text()
