"""Parts of the docks that need Qt, but no viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import ValidationError

pytestmark = pytest.mark.viewer

NAN = float("nan")


@dataclass
class Slice:
    index: int
    status: str
    score: float | None = None


@dataclass
class Work:
    name: str = "Training"
    state: str = "running"
    fraction: float = 0.0
    rate: float | None = None
    remaining: float | None = None
    error: BaseException | None = None
    asked: list[str] = field(default_factory=list)

    def cancel(self) -> None:
        self.asked.append("cancel")


def test_a_blocked_button_says_why(qtbot):
    from napari_fewshot._napari.widgets.parts.action_button import ActionButton

    button = ActionButton("Train", "Learn from the templates.")
    qtbot.addWidget(button)
    button.block("add a template first")
    assert not button.isEnabled()
    assert button.toolTip() == "Learn from the templates.\n\nNot now: add a template first"
    assert button.reason == "add a template first"
    button.block()
    assert button.isEnabled()
    assert (button.toolTip(), button.reason) == ("Learn from the templates.", "")


def test_slices_sort_by_number_not_by_text_and_a_click_tells_the_number(qtbot):
    from qtpy.QtCore import Qt

    from napari_fewshot._napari.widgets.parts.slice_table import SliceTable

    table = SliceTable()
    qtbot.addWidget(table)
    table.show_slices(
        [
            Slice(k, "predicted" if k % 3 else "painted", k / 20 if k % 3 else None)
            for k in range(12)
        ]
    )
    shown = table.view.model()

    def column(number: int) -> list[str]:
        return [shown.index(k, number).data() for k in range(shown.rowCount())]

    assert column(0) == [str(k) for k in range(12)]
    table.view.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    assert column(0)[:3] == ["11", "10", "8"]
    assert column(2)[-1] == ""  # slices without a score last
    with qtbot.waitSignal(table.picked) as picked:
        place = shown.index(1, 0)
        qtbot.mouseClick(
            table.view.viewport(),
            Qt.MouseButton.LeftButton,
            pos=table.view.visualRect(place).center(),
        )
    assert picked.args == [10]
    assert "4 painted" in table.counts.text()
    assert "8 predicted" in table.counts.text()
    assert "reviewed" not in table.counts.text()


def test_the_slice_in_view_is_selected_and_one_that_is_not_there_clears(qtbot):
    from napari_fewshot._napari.widgets.parts.slice_table import SliceTable

    table = SliceTable()
    qtbot.addWidget(table)
    table.show_slices([Slice(k, "empty") for k in range(300)])
    table.show_current(250)
    (chosen,) = table.view.selectionModel().selectedRows()
    assert chosen.data() == "250"
    table.show_slices([Slice(k, "empty") for k in range(5)])
    table.show_current(250)
    assert not table.view.selectionModel().selectedRows()
    table.show_slices([])
    assert not table.counts.text()


def test_progress_follows_a_job_to_its_end(qtbot):
    from napari_fewshot._napari.widgets.parts.progress_row import ProgressRow

    row = ProgressRow()
    qtbot.addWidget(row)
    job = Work()
    row.follow(job)
    assert row.bar.maximum() == 0  # nothing known yet: it moves to and fro
    job.fraction, job.rate, job.remaining = 0.25, 120.0, 75.0
    qtbot.waitUntil(lambda: row.bar.value() == 250)
    assert row.text.text() == "Training · 120 per second · 1 min left"
    row.cancel.click()
    assert job.asked == ["cancel"]
    assert not row.cancel.isEnabled()  # and says that it is stopping
    with qtbot.waitSignal(row.finished):
        job.state = "cancelled"
    assert row.text.text() == "Training: cancelled"
    row.follow(Work(state="failed", error=RuntimeError("CUDA out of memory")))
    assert row.text.text() == "Training failed: CUDA out of memory"


def test_scores_are_shown_with_what_to_do(qtbot):
    from qtpy.QtGui import QColor

    from napari_fewshot._napari.widgets.parts.score_table import TRUST_COLOURS, ScoreTable

    view = ScoreTable()
    qtbot.addWidget(view)
    view.resize(300, 200)
    view.show()
    view.show_scores({1: 0.92, 2: 0.31, 3: NAN}, {1: "liver", 2: "aorta"}, {1: QColor("red")})
    texts = [[view.table.item(r, c).text() for c in range(3)] for r in range(3)]
    assert texts == [
        ["label 3", "", "paint again"],
        ["aorta", "0.31", "paint more"],
        ["liver", "0.92", "trust"],
    ]
    picture = view.table.viewport().grab().toImage()

    def bar_width(row: int, trust: str) -> int:
        place = view.table.visualItemRect(view.table.item(row, 1))
        y = place.center().y()
        wanted = QColor(TRUST_COLOURS[trust]).rgb()
        return sum(picture.pixel(x, y) == wanted for x in range(place.left(), place.right()))

    assert bar_width(0, "unknown") == 0
    assert 0 < bar_width(1, "weak") < bar_width(2, "good")
    assert bar_width(1, "weak") / bar_width(2, "good") == pytest.approx(0.31 / 0.92, abs=0.06)
    view.clear("Needs two template slices.")
    assert view.table.rowCount() == 0


def test_settings_have_limits_and_defaults_of_their_model(qtbot):
    from napari_fewshot._napari.widgets.parts.settings_form import Setting, SettingsForm
    from napari_fewshot.config import ContrastiveConfig

    form = SettingsForm(
        ContrastiveConfig,
        [
            Setting("steps", "Steps", "Steps of training.", 100),
            Setting("head", "Head", "How two pixels are compared."),
            Setting("background_pull", "Pull", "…", 0.01),
        ],
    )
    qtbot.addWidget(form)
    default = ContrastiveConfig()
    assert form.values() == {
        "steps": default.steps,
        "head": default.head,
        "background_pull": default.background_pull,
    }
    with qtbot.waitSignal(form.changed):
        form.fields["steps"].setValue(50)
    assert ContrastiveConfig(**form.values()).steps == 50
    form.fields["steps"].setValue(-3)
    form.fields["background_pull"].setValue(7)
    ContrastiveConfig(**form.values())  # the limits of the fields are those of the model
    with pytest.raises(ValidationError):
        ContrastiveConfig(steps=0)
    with qtbot.assertNotEmitted(form.changed):
        form.show_values(default)
    assert form.values()["steps"] == default.steps


def test_a_path_is_told_once_and_cleared_at_once(qtbot, tmp_path):
    from napari_fewshot._napari.widgets.parts.path_field import PathField

    field = PathField("none")
    qtbot.addWidget(field)
    seen: list[Path | None] = []
    field.changed.connect(lambda: seen.append(field.path))
    field.line.setText(f" {tmp_path} ")
    field.line.editingFinished.emit()
    field.line.editingFinished.emit()
    field.line.clear()
    field.show_path(tmp_path)
    assert seen == [tmp_path, None]


def test_backbones_say_their_state_once_it_is_known(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    from napari_fewshot._napari.widgets.parts.backbone_choice import BackboneChoice
    from napari_fewshot.config import SegmenterConfig

    choice = BackboneChoice()
    qtbot.addWidget(choice)
    with qtbot.waitSignal(choice.looked, timeout=20_000):
        pass
    choice.show_choice(SegmenterConfig().backbone, None)
    assert choice.about.text().startswith("Built in")
    assert not choice.weights.isVisibleTo(choice)

    with qtbot.waitSignal(choice.changed):
        choice.names.setCurrentIndex(choice.names.findData("dinov2-s"))
    assert choice.name == "dinov2-s"
    assert choice.about.text().startswith("Not downloaded · 88 MB · Apache-2.0")
    assert choice.weights.isVisibleTo(choice)
    choice.weights.line.setText(str(tmp_path / "absent.safetensors"))
    choice.weights.line.editingFinished.emit()
    assert choice.problem == "there is no file absent.safetensors"
    (tmp_path / "absent.safetensors").write_bytes(b"")
    assert choice.problem == ""
    assert choice.weights_file == tmp_path / "absent.safetensors"
    choice.show_choice("multiscale", None)
    assert choice.weights_file is None
