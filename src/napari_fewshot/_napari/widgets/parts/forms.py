"""Rows, folding sections, notes, buttons and fields that all dock widgets are made of."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QHelpEvent, QIcon, QPaintEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QBoxLayout,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QToolTip,
    QWidget,
)
from superqt import QCollapsible

from .keys import let_keys_pass

__all__ = [
    "ActionButton",
    "Choice",
    "ElidedCombo",
    "Form",
    "Note",
    "PathField",
    "Section",
    "put",
    "row",
]

MARGIN = 4
GAP = 6
NAME_WIDTH = 82
"""Width of the names of rows, so that the fields of all forms begin at one place."""
FIELD_WIDTH = 80
HIGHEST = 16777215
"""Qt's largest height: no limit."""
WRONG = "#d94a4a"
"""Colour of what is wrong, on napari's dark and light backgrounds."""
TITLE_STYLE = """
QPushButton, QPushButton:checked, QPushButton:hover, QPushButton:pressed {
    text-align: left; border: none; outline: none; padding: 2px;
    background: transparent; font-weight: bold;
}
QPushButton:hover { text-decoration: underline; }
"""

COMBO_STYLE = """
QComboBox { padding: 3px 2px 3px 6px; }
QComboBox::drop-down { width: 20px; }
"""
"""Room for the text: that of the viewer leaves a third of a narrow box for it."""


def put(layout: QBoxLayout, *widgets: QWidget) -> None:
    """Put widgets one after the other, without a border."""
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(MARGIN)
    for widget in widgets:
        layout.addWidget(widget)


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side."""
    box = QWidget()
    put(QHBoxLayout(box), *widgets)
    return box


class _StillWheel(QObject):
    """Keeps the wheel, which scrolls the dock, from changing values on its way."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))


class Form(QWidget):
    """Rows of a name and a field, names on the left in one column."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = QFormLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setHorizontalSpacing(GAP)
        self._rows.setVerticalSpacing(MARGIN)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._rows.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)

    def add(self, name: str, field: QWidget, tip: str) -> None:
        """Add a row; name and field have the same tooltip."""
        field.setToolTip(tip)
        field.setAccessibleName(name)
        if isinstance(field, QComboBox | QAbstractSpinBox):
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(_StillWheel(field))
        if isinstance(field, QComboBox):  # shorten long texts instead of widening the dock
            policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            field.setSizeAdjustPolicy(policy)
            field.setMinimumContentsLength(4)
            field.setStyleSheet(COMBO_STYLE)
            field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if isinstance(field, QComboBox | QAbstractSpinBox):
            field.setMinimumWidth(FIELD_WIDTH)  # smaller than they ask for: a dock may be narrow
        label = QLabel(name)
        label.setToolTip(tip)
        label.setBuddy(field)
        label.setMinimumWidth(NAME_WIDTH)
        self._rows.addRow(label, field)

    def add_wide(self, field: QWidget) -> None:
        """Add a row without a name, over the whole width."""
        self._rows.addRow(field)

    def set_row_visible(self, field: QWidget, visible: bool) -> None:
        """Show or hide the row of a field."""
        self._rows.setRowVisible(field, visible)


class Section(QCollapsible):
    """Folding section of widgets. Opens at once, since animations of a full dock flicker."""

    def __init__(self, title: str, tip: str, *widgets: QWidget, unfolded: bool = False) -> None:
        pixel = QPixmap(1, 1)
        pixel.fill(Qt.GlobalColor.transparent)
        blank = QIcon(pixel)  # superqt takes an empty icon for none with PySide6
        super().__init__(title, expandedIcon=blank, collapsedIcon=blank)
        self._title = title
        self.setDuration(0)
        self.toggleButton().setStyleSheet(TITLE_STYLE)
        # An arrow in the text has the colour of the theme; superqt's icon stays black.
        self.toggled.connect(self._show_arrow)
        self._show_arrow(False)
        self.toggleButton().setToolTip(tip)
        self.toggleButton().setMinimumWidth(40)
        put(self.layout())
        self.content().layout().setContentsMargins(MARGIN, 0, 0, MARGIN)
        self.content().layout().setSpacing(MARGIN)
        self.add(*widgets)
        if unfolded:
            self.expand(animate=False)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Let the content be as high as it needs: superqt knows nothing of texts that wrap."""
        return False

    def add(self, *widgets: QWidget) -> None:
        """Put widgets below those that are there."""
        for widget in widgets:
            self.addWidget(widget)

    def _show_arrow(self, unfolded: bool) -> None:
        self.setText(f"{'▾' if unfolded else '▸'} {self._title}")
        if unfolded:
            self.content().setMaximumHeight(HIGHEST)


class Note(QLabel):
    """Text below a field; wraps, demands no width, and takes no room while it is empty."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Maximum)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setText(text)
        if not text:
            self.hide()

    def sizeHint(self) -> QSize:  # noqa: N802
        """As high as the text is at this width; Qt's own hint is of narrower texts, and higher."""
        hint, high = super().sizeHint(), self.heightForWidth(self.width())
        return QSize(hint.width(), high) if high > 0 else hint

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Show a text, or nothing; in colour if something is wrong."""
        self.setStyleSheet(f"color: {WRONG};" if wrong else "")
        self.setMinimumHeight(0)
        self.setText(text)
        self.setVisible(bool(text))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Be as high as the text needs at this width: layouts within sections do not ask."""
        super().resizeEvent(event)
        self.setMinimumHeight(max(self.heightForWidth(event.size().width()), 0))


class ActionButton(QPushButton):
    """Button that is enabled only when it can work; its tooltip tells why it cannot."""

    _pressed: weakref.ReferenceType[ActionButton] | None = None

    def __init__(self, text: str, tip: str) -> None:
        super().__init__(text)
        self.clicked.connect(self._note)  # before whatever it does
        self._tip, self.reason = tip, ""
        self.setToolTip(tip)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(40)

    @classmethod
    def take_pressed(cls, within: QWidget) -> ActionButton | None:
        """The button in a widget that was pressed just now; asked for once."""
        found = None if cls._pressed is None else cls._pressed()
        ActionButton._pressed = None
        if found is None or not isalive(found):  # its dock may be gone
            return None
        return found if within.isAncestorOf(found) else None

    def _note(self) -> None:
        ActionButton._pressed = weakref.ref(self)

    def block(self, reason: str = "") -> None:
        """Disable it for a reason, or enable it again with none."""
        self.reason = reason
        self.setEnabled(not reason)
        self.setToolTip(f"{self._tip}\n\nNot now: {reason}" if reason else self._tip)


class ElidedCombo(QComboBox):
    """Combo box that shortens a long text in its middle, and tells it whole in the tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        let_keys_pass(self)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw it as Qt does, but for the text."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        option.currentText = self.shown_text()
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def shown_text(self) -> str:
        """The text as there is room for it."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        room = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        width = room.width() - MARGIN
        middle = Qt.TextElideMode.ElideMiddle
        return str(self.fontMetrics().elidedText(self.currentText(), middle, max(width, 0)))

    def event(self, event: QEvent) -> bool:
        """Tell a text whole that is not."""
        short = event.type() == QEvent.Type.ToolTip and self.shown_text() != self.currentText()
        if short and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), f"{self.currentText()}\n\n{self.toolTip()}", self)
            return True
        return bool(super().event(event))


class Choice(ElidedCombo):
    """Combo box of values, each with a text and a tooltip."""

    def __init__(self, entries: Iterable[tuple[str, Any, str]] = ()) -> None:
        super().__init__()
        self.offer(entries)

    @property
    def value(self) -> Any:
        """The chosen value."""
        return self.currentData()

    def offer(self, entries: Iterable[tuple[str, Any, str]], value: Any = None) -> None:
        """Replace the entries (text, value, tooltip) without telling; the first one if unknown."""
        with QSignalBlocker(self):
            self.clear()
            for text, data, tip in entries:
                self.addItem(text, data)
                self.setItemData(self.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(max(self.findData(value), 0))

    def show_value(self, value: Any) -> None:
        """Choose a value, also one that is not offered, without telling that it has changed."""
        with QSignalBlocker(self):
            if self.findData(value) < 0:
                self.addItem(str(value), value)
            self.choose(value)

    def choose(self, value: Any) -> None:
        """Choose a value, as a person would."""
        self.setCurrentIndex(self.findData(value))


class PathField(QWidget):
    """Line for the path of a file or folder, with a button that opens a dialog.

    ``empty`` is shown while there is no path; without ``filters`` it asks for a folder.
    """

    changed = Signal()

    def __init__(self, empty: str, filters: str = "") -> None:
        super().__init__()
        self._filters, self._shown = filters, ""
        self.line = QLineEdit()
        self.line.setPlaceholderText(empty)
        self.line.setClearButtonEnabled(True)
        self.line.setMinimumWidth(40)
        self.line.editingFinished.connect(self._on_edited)
        self.line.textChanged.connect(self._on_text)
        browse = QToolButton()
        browse.setText("…")
        browse.setToolTip("Choose in a dialog")
        browse.clicked.connect(self._on_browse)
        put(QHBoxLayout(self), self.line, browse)

    @property
    def path(self) -> Path | None:
        """The path, None where the field is empty."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def show_path(self, path: Path | None) -> None:
        """Show a path without telling that it has changed."""
        self._shown = "" if path is None else str(path)
        self.line.setText(self._shown)

    def _on_text(self, text: str) -> None:
        if not text:  # the button that clears it ends no editing
            self._on_edited()

    def _on_edited(self) -> None:
        text = self.line.text().strip()
        if text != self._shown:
            self._shown = text
            self.changed.emit()

    def _on_browse(self) -> None:
        start = str(self.path or Path.home())
        if self._filters:
            chosen, _ = QFileDialog.getOpenFileName(self, "Choose a file", start, self._filters)
        else:
            chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", start)
        if chosen:
            self.line.setText(chosen)
            self._on_edited()
