"""Keys of the viewer work wherever the focus is."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.viewer


def test_letters_pass_tables_lists_and_choices_but_not_texts(make_napari_viewer, qtbot):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QLineEdit, QListWidget, QTableView, QVBoxLayout, QWidget

    from napari_fewshot._napari.widgets.parts.connections import bind_keys
    from napari_fewshot._napari.widgets.parts.forms import Choice
    from napari_fewshot._napari.widgets.parts.keys import let_keys_pass

    viewer, pressed = make_napari_viewer(show=True), []
    owner = QWidget()
    choice = Choice([("none", 0, ""), ("next", 1, "")])
    table, names, text = QTableView(), QListWidget(), QLineEdit()
    names.addItems(["none", "next"])
    for one in (table, names):
        let_keys_pass(one)
    layout = QVBoxLayout(owner)
    for one in (choice, table, names, text):
        layout.addWidget(one)
    viewer.window.add_dock_widget(owner)
    assert bind_keys(viewer, {"N": lambda: pressed.append("N")}, owner) == ("N",)
    for count, one in enumerate((choice, table, names), 1):
        one.setFocus()
        qtbot.keyClick(one, Qt.Key.Key_N)
        assert len(pressed) == count, type(one)
    assert choice.value == 0
    assert names.currentRow() <= 0
    qtbot.keyClick(names, Qt.Key.Key_Down)  # what moves in it stays its own
    assert names.currentRow() >= 0
    text.setFocus()
    qtbot.keyClick(text, Qt.Key.Key_N)
    assert (text.text(), len(pressed)) == ("n", 3)
