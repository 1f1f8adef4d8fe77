"""Buttons, sections, paths."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.viewer


def test_a_blocked_button_says_why(qtbot):
    from napari_fewshot._napari.widgets.parts.forms import ActionButton

    button = ActionButton("Train", "Learn from the templates.")
    qtbot.addWidget(button)
    button.block("add a template first")
    assert not button.isEnabled()
    assert button.toolTip() == "Learn from the templates.\n\nNot now: add a template first"
    assert button.reason == "add a template first"
    button.block()
    assert button.isEnabled()
    assert (button.toolTip(), button.reason) == ("Learn from the templates.", "")


def test_a_section_folds_and_says_so(qtbot):
    from qtpy.QtWidgets import QLabel

    from napari_fewshot._napari.widgets.parts.forms import Section

    section = Section("More", "tip")
    qtbot.addWidget(section)
    inside = QLabel("text")
    section.addWidget(inside)
    section.show()
    assert section.text() == "▸ More"
    assert section.content().maximumHeight() == 0
    section.toggleButton().click()
    qtbot.waitUntil(lambda: section.content().height() > 0)
    assert section.text() == "▾ More"


def test_a_path_is_told_once_and_cleared_at_once(qtbot, tmp_path):
    from napari_fewshot._napari.widgets.parts.forms import PathField

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
