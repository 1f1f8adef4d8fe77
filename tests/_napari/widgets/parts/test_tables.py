"""Lists of slices and of templates."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.viewer


def test_slices_sort_by_number_not_by_text_and_a_click_tells_the_number(qtbot):
    from qtpy.QtCore import Qt

    from napari_fewshot._napari.session import SliceInfo
    from napari_fewshot._napari.widgets.parts.tables import SliceTable

    table = SliceTable()
    qtbot.addWidget(table)
    table.show_slices(
        [
            SliceInfo(k, "predicted" if k % 3 else "painted", k / 20 if k % 3 else None)
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
    from napari_fewshot._napari.session import SliceInfo
    from napari_fewshot._napari.widgets.parts.tables import SliceTable

    table = SliceTable()
    qtbot.addWidget(table)
    table.show_slices([SliceInfo(k, "empty", None) for k in range(300)])
    table.show_current(table.slice_at(250))
    (chosen,) = table.view.selectionModel().selectedRows()
    assert chosen.data() == "250"
    table.show_slices([SliceInfo(k, "empty", None) for k in range(5)])
    table.show_current(table.slice_at(250))
    assert not table.view.selectionModel().selectedRows()
    table.show_slices([])
    assert not table.counts.text()


def test_templates_are_removed_by_what_is_selected(qtbot):
    from napari_fewshot._napari.widgets.parts.tables import TemplateList

    shown = TemplateList()
    qtbot.addWidget(shown)
    first, second = object(), object()
    assert shown.remove.reason == "there are no templates"
    assert not shown.list.isVisibleTo(shown)
    shown.show_templates([(first, "one", ""), (second, "two", "")])
    assert shown.remove.reason == "select a template in the list"
    shown.list.setCurrentRow(1)
    assert shown.remove.isEnabled()
    shown.show_templates([(second, "two, renamed", "")])  # the selection stays with its template
    with qtbot.waitSignal(shown.removing) as removing:
        shown.remove.click()
    assert removing.args == [second]
    with qtbot.waitSignal(shown.adding):
        shown.add.click()
    shown.show_templates([])
    assert not shown.remove.isEnabled()
