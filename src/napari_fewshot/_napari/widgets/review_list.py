"""Dock "Review list": the table of a run, and what is open of it; its reader for npe2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QApplication, QMessageBox

from ...errors import FewShotError, InputError
from ...jobs.table import is_table
from ..session.review_list import ReviewList
from .dock import SessionDock
from .parts.connections import bind_keys
from .parts.forms import ActionButton, Form, Note, PathField, row
from .parts.review_table import ReviewTable

__all__ = ["ReviewResults", "results_reader"]

PLUGIN, DOCK = "napari-fewshot", "Review list"
TABLES = "Table of a run (*.csv)"
Buttons = QMessageBox.StandardButton


class ReviewResults(SessionDock):
    """Look at the images of a run, worst first, and correct them."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.list = ReviewList(self.session, napari_viewer)
        self.path = PathField("napari-fewshot-results.csv", TABLES)
        self.table = ReviewTable()
        self.about = Note()
        self.previous = ActionButton("Previous", "Open the image above, as it was saved.")
        self.next = ActionButton("Next", "Open the image below, as it was saved.")
        self.save = ActionButton(
            "Save and next",
            "Write the labels and landmarks that you changed to their files, mark the image as\n"
            "reviewed in the table, and open the next one that is not.",
        )
        form = Form()
        form.add("Table", self.path, "The table that predict writes beside its results.")
        buttons = row(self.previous, self.next)
        self.add(form, self.table, self.about, buttons, self.save, self.status)
        self.path.changed.connect(self._on_path)
        self.table.picked.connect(self.open_row)
        self.previous.clicked.connect(lambda: self._step(-1))
        self.next.clicked.connect(lambda: self._step(1))
        self.save.clicked.connect(self._save_and_next)
        self._bind_keys()
        self._guard = _CloseGuard(self)
        self.show_state()

    def open_table(self, path: Path) -> None:
        """Show the table of a run, worst first."""
        if self._may_leave():
            self.attempt(self.list.open, path)
        self.show_state()

    def open_row(self, index: int) -> None:
        """Open the image of a row with its labels and landmarks."""
        if self._may_leave():
            QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
            try:
                self.attempt(self.list.show, index)
            finally:
                QApplication.restoreOverrideCursor()
        self.show_state()

    def show_state(self) -> None:
        """Show the list as it is now."""
        found, opened = self.list, self.list.row
        self.path.show_path(found.table)
        self.table.show_results(found.rows, found.current)
        self.about.say("" if opened is None else opened.error)
        missing = "" if found.rows else "choose a table"
        for button, step in ((self.previous, -1), (self.next, 1)):
            end = "there is none" if self._beside(step) is None else ""
            button.block(missing or end)
        has_labels = opened is not None and opened.labels is not None
        reason = "open an image" if opened is None else "there are no labels to save"
        self.save.block(missing or ("" if has_labels else reason))

    def _bind_keys(self) -> None:
        """Keys that neither napari nor its layers nor the other docks use."""
        buttons = {"H": self.previous, "J": self.next, "W": self.save}
        clicks = {key: button.click for key, button in buttons.items()}
        for key in bind_keys(self.viewer, clicks, self):
            buttons[key].setText(f"{buttons[key].text()}  [{key}]")

    def _on_path(self) -> None:
        if self.path.path is not None:
            self.open_table(self.path.path)
        else:
            self.show_state()

    def _beside(self, step: int) -> int | None:
        """Row above or below the open one; the first without one."""
        order = self.table.order()
        if self.list.current is None:
            return order[0] if order and step > 0 else None
        place = order.index(self.list.current) + step
        return order[place] if 0 <= place < len(order) else None

    def _step(self, step: int) -> None:
        index = self._beside(step)
        if index is not None:
            self.open_row(index)

    def _save_and_next(self) -> None:
        try:
            self.list.save()
        except FewShotError as error:
            self.say(str(error))
            return
        self.show_state()
        order, rows = self.table.order(), self.list.rows
        here = order.index(self.list.current) if self.list.current is not None else -1
        left = [
            n for n in (*order[here + 1 :], *order[:here]) if rows[n].status in ("done", "skipped")
        ]
        if left:
            self.open_row(left[0])
        else:
            self.say("All images that have labels are reviewed.")

    def _may_leave(self) -> bool:
        """Whether the open row may be left: what was changed is saved, or somebody said no."""
        return self.settle(self.list.unsaved, self.list.save_files)

    def settle(self, changed: list[Path], save: Callable[[], None]) -> bool:
        """Ask what becomes of changes, and do it; False: stay."""
        if not changed:
            return True
        answer = QMessageBox.question(
            self,
            DOCK,
            f"Save the changes to {', '.join(path.name for path in changed)}?\n\n"
            "They are saved without a mark in the table; Save and next marks an image as reviewed.",
            Buttons.Save | Buttons.Discard | Buttons.Cancel,
            Buttons.Save,
        )
        if answer == Buttons.Save:
            try:
                save()
            except FewShotError as error:
                self.say(str(error))
                return False
        return bool(answer in (Buttons.Save, Buttons.Discard))


class _CloseGuard(QObject):
    """Asks before the window closes over changes that are not saved."""

    def __init__(self, dock: ReviewResults) -> None:
        super().__init__(dock)
        self._dock = dock
        viewer = getattr(dock.viewer, "__wrapped__", dock.viewer)
        viewer.window._qt_window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.Close:
            return False
        found = self._dock.list
        if self._dock.settle(found.unsaved_anywhere, lambda: found.save_files(everywhere=True)):
            return False
        event.ignore()
        return True


def results_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Any]] | None:
    """Return the reader for the table of a run; None for another CSV, or several files."""
    paths = [path] if isinstance(path, str) else path
    return _open_in_dock if len(paths) == 1 and is_table(Path(paths[0])) else None


def _open_in_dock(path: str | list[str]) -> list[Any]:
    """Open the dock with the table; there are no layers, which napari knows by ``[(None,)]``."""
    import napari

    viewer = napari.current_viewer()
    window = getattr(viewer, "window", None)
    if window is None:
        raise InputError("viewer", "have a window, for the review list", "none")
    frame, dock = window.add_plugin_dock_widget(PLUGIN, DOCK)
    frame.show()
    frame.raise_()
    dock.open_table(Path(path if isinstance(path, str) else path[0]))
    return [(None,)]
