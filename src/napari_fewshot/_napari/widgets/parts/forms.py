"""Rows, folded sections and texts that all dock widgets share."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

__all__ = ["ElidingComboBox", "Form", "Section", "column", "note", "row"]

MARGIN = 4
GAP = 6
NAME_WIDTH = 82
"""Width of the names of rows, so that the fields of all forms begin at one place."""
TITLE_STYLE = """
QPushButton, QPushButton:checked, QPushButton:hover, QPushButton:pressed {
    text-align: left; border: none; outline: none; padding: 2px;
    background: transparent; font-weight: bold;
}
QPushButton:hover { text-decoration: underline; }
"""


class _StillWheel(QObject):
    """Keeps the wheel, which scrolls the dock, from changing values on its way."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))


def _still(widget: QWidget) -> None:
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_StillWheel(widget))


class ElidingComboBox(QComboBox):
    """Combo box that shortens long texts instead of widening its dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


class Form(QWidget):
    """Rows of a name and a field, names on the left in one column."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
            _still(field)
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


def _blank_icon() -> QIcon:
    """Icon of one transparent pixel; superqt takes an empty one for none with PySide6."""
    pixmap = QPixmap(1, 1)
    pixmap.fill(Qt.GlobalColor.transparent)
    return QIcon(pixmap)


class Section(QCollapsible):
    """Folding section. Opens at once, since animations of a full dock flicker.

    Parameters
    ----------
    title : str
    tip : str
    unfolded : bool
    """

    def __init__(self, title: str, tip: str = "", *, unfolded: bool = False) -> None:
        blank = _blank_icon()
        super().__init__(title, expandedIcon=blank, collapsedIcon=blank)
        self._title = title
        self.setDuration(0)
        self.toggleButton().setStyleSheet(TITLE_STYLE)
        # An arrow in the text has the colour of the theme; superqt's icon stays black.
        self.toggled.connect(self._show_arrow)
        self._show_arrow(False)
        self.toggleButton().setToolTip(tip)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(MARGIN)
        self.content().layout().setContentsMargins(MARGIN, 0, 0, MARGIN)
        self.content().layout().setSpacing(MARGIN)
        if unfolded:
            self.expand(animate=False)

    def _show_arrow(self, unfolded: bool) -> None:
        self.setText(f"{'▾' if unfolded else '▸'} {self._title}")


def note(text: str = "") -> QLabel:
    """Text below a field; wraps, and demands no width."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setVisible(bool(text))
    return label


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(MARGIN)
    for widget in widgets:
        layout.addWidget(widget)
    return box


def column(parent: QWidget) -> QVBoxLayout:
    """Layout of a dock: sections one below the other, packed at the top."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(GAP, GAP, GAP, GAP)
    layout.setSpacing(GAP)
    layout.setAlignment(Qt.AlignmentFlag.AlignTop)
    return layout
