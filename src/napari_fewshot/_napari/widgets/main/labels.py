"""Section *Labels*: what there is to paint, and the landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem

from ....errors import InputError
from ...session.landmarks import drawn_names, give_name, given_names, problem_of_points
from ..parts.clicks import ClickPanel
from ..parts.forms import ActionButton, Note, Section, row
from ..parts.instances import InstancesNote
from ..parts.landmarks import LandmarkTable

if TYPE_CHECKING:
    from ...session import TemplateEntry
    from ...session.painting import PaintLabel
    from .host import MainDock

__all__ = ["LabelList", "LabelsSection"]

MAX_ROWS_SHOWN, MIN_ROW = 10, 10
VALUE_ROLE = Qt.ItemDataRole.UserRole
TIP = "Click a label to paint with it; double click it, or press F2, to name it."
PAINT_IT = "Add a label, then paint it on 3 to 5 slices."
NAME_IT = "Name a label by a double click, or F2."


class LabelList(QListWidget):
    """Labels with colour and name; a click tells the value, a double click or F2 edits the name."""

    picked = Signal(int)
    renamed = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(60)
        self.setUniformItemSizes(True)
        self.itemClicked.connect(lambda item: self.picked.emit(item.data(VALUE_ROLE)))
        self.itemChanged.connect(lambda item: self.renamed.emit(item.data(VALUE_ROLE), item.text()))
        self._shown: tuple[Sequence[PaintLabel], int] = ((), 0)
        self.hide()

    @property
    def value(self) -> int:
        """The selected label; 0 without one."""
        items = self.selectedItems()
        return int(items[0].data(VALUE_ROLE)) if items else 0

    def show_labels(self, labels: Sequence[PaintLabel], chosen: int) -> None:
        """Show labels, one of them selected, without telling of it."""
        editing = self.state() == QAbstractItemView.State.EditingState
        if editing or (labels, chosen) == self._shown:
            return
        same = labels == self._shown[0]
        self._shown = labels, chosen
        with QSignalBlocker(self):
            if not same:
                self._fill(labels)
            self.clearSelection()
            for number, label in enumerate(labels):
                if label.value == chosen:
                    self.setCurrentRow(number)

    def _fill(self, labels: Sequence[PaintLabel]) -> None:
        self.clear()
        for label in labels:
            item = QListWidgetItem(QIcon(_square(label.colour)), label.title)
            item.setData(VALUE_ROLE, label.value)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            if not label.name:  # its title stands in for one
                font = item.font()
                font.setItalic(True)
                item.setFont(font)
            item.setToolTip(f"{label.title} (value {label.value}). {TIP}")
            self.addItem(item)
        self._fit()
        self.setVisible(bool(labels))

    def _fit(self) -> None:
        """Show whole rows: all labels, or the first ten."""
        rows = min(max(self.count(), 1), MAX_ROWS_SHOWN)
        self.setFixedHeight(rows * max(self.sizeHintForRow(0), MIN_ROW) + 2 * self.frameWidth())

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """F2 edits the name on every system; Qt leaves it out on macOS."""
        if event.key() == Qt.Key.Key_F2 and self.currentItem() is not None:
            self.editItem(self.currentItem())
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Measure the rows again: before it is shown it has not the style of the viewer."""
        super().showEvent(event)
        self._fit()

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Measure the rows again in another theme or font size."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self._fit()


class LabelsSection(Section):
    """The labels of all images, to be named and painted with on the image in view."""

    def __init__(self, dock: MainDock) -> None:
        super().__init__("Labels", "What to paint with, and what it is called")
        self._dock = dock
        self.list = LabelList()
        self.hint = Note()
        self.add_label = ActionButton("Add", "Add a label, and paint with it on the image in view.")
        self.remove = ActionButton(
            "Remove", "Forget the selected label and erase its paint; Ctrl+Z brings the paint back."
        )
        self.mark = ActionButton(
            "Landmarks", "Mark landmarks on the image in view, each by a click: points to be found."
        )
        self.points = LandmarkTable()
        self.clicks = ClickPanel(dock.session, lambda: dock.image, dock.attempt, self._in_hand)
        tip = "Click on a structure to have it outlined, with the selected label"
        self.clicking = Section(
            "Clicks instead of paint", tip, self.clicks, self._more_for_clicks()
        )
        self.instances = InstancesNote()
        self.add(self.list, self.hint, row(self.add_label, self.remove, self.mark))
        self.add(self.clicking, self.points, self.instances)
        self.list.picked.connect(self._on_picked)
        self.list.renamed.connect(lambda v, name: dock.attempt(self._painting.rename, v, name))
        self.add_label.clicked.connect(lambda: dock.attempt(self._painting.add_label, dock.image))
        self.remove.clicked.connect(lambda: dock.attempt(self._painting.remove, self.list.value))
        self.mark.clicked.connect(lambda: dock.attempt(self._painting.mark_landmarks, dock.image))
        self.points.named.connect(self._on_named)
        self.instances.wanted.connect(
            lambda entry: dock.attempt(dock.session.objects.learn_as_one_class, entry)
        )
        self._known: set[int] = set()  # templates that were looked at for instances

    @property
    def _painting(self) -> Any:
        return self._dock.session.painting

    def show_state(self) -> None:
        """Show the session as it is now."""
        image, painting = self._dock.image, self._painting
        labels = tuple(painting.labels())
        self.list.show_labels(labels, painting.chosen(image))
        missing = "" if image is not None else "open an image"
        for button in (self.add_label, self.mark):
            button.block(missing)
        self.remove.block(missing or ("" if self.list.value else "select a label in the list"))
        unnamed = NAME_IT * any(not label.name for label in labels)
        self.hint.say("" if missing else unnamed if labels else PAINT_IT)
        self._show_points()
        self._show_instances()

        self.clicks.show_state()

    def _on_picked(self, value: int) -> None:
        image, clicks = self._dock.image, self._dock.session.clicks
        if image is None:
            return
        layer = self._dock.attempt(self._painting.choose, image, value)
        if layer is not None and layer is clicks.into:  # go on clicking, for this label
            self._dock.attempt(clicks.click, "inside")

    # Clicks

    def _in_hand(self) -> Any:
        """The layer to paint in on the image in view, with a label in hand."""
        image, painting = self._dock.image, self._painting
        if not painting.labels():
            painting.add_label(image)
        return painting.choose(image, self.list.value or painting.labels()[0].value)

    def _more_for_clicks(self) -> ActionButton:
        name = "Segment with SAM"
        button = ActionButton(
            "Networks for clicks…", f"Open the dock “{name}”: choose a file of weights."
        )
        button.clicked.connect(lambda: self._dock.open_dock(name))
        return button

    # Landmarks

    def _points_entry(self) -> TemplateEntry | None:
        image, session = self._dock.image, self._dock.session
        found = (x for x in session.templates if x.kind == "points" and x.image is image)
        return next(found, None)

    def _show_points(self) -> None:
        entry, entries = self._points_entry(), self._dock.session.templates
        if entry is None:
            self.points.show_points((), ())
            return
        names, problem = given_names(entry.labels), problem_of_points(entries)
        try:
            drawn = drawn_names(entries, entry.labels)
        except InputError:  # what the problem is about
            drawn = [""] * len(names)
        self.points.show_points(drawn, names, problem)

    def _on_named(self, number: int, name: str) -> None:
        entry = self._points_entry()
        if entry is not None and number < len(entry.labels.data):
            give_name(entry.labels, number, name)

    # Instances

    def _show_instances(self) -> None:
        session = self._dock.session
        self.instances.keep_among(session.templates)
        for entry in session.templates:
            if id(entry) not in self._known:
                self._known.add(id(entry))
                count = session.objects.count_instances(entry)
                if count:
                    self.instances.show_entry(entry, count)


def _square(colour: tuple[float, ...]) -> QPixmap:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor.fromRgbF(*colour))
    return pixmap
