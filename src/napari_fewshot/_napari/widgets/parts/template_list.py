"""List of templates, with buttons to add and remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from .action_button import ActionButton
from .forms import MARGIN, note, row

__all__ = ["TemplateList"]


class TemplateList(QWidget):
    """One line for each template; the buttons tell what a person wants."""

    adding = Signal()
    removing = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFixedHeight(72)
        self.list.setToolTip("Image and labels pairs that the model learns from.")
        self.add = ActionButton(
            "Add template",
            "Learn from the chosen image and labels.\n"
            "Several pairs, also of other volumes, can be added.",
        )
        self.remove = ActionButton("Remove", "Take the selected template out; its layers stay.")
        self.empty = note("No templates yet.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(MARGIN)
        layout.addWidget(row(self.add, self.remove))
        layout.addWidget(self.empty)
        layout.addWidget(self.list)
        self.add.clicked.connect(self.adding)
        self.remove.clicked.connect(self._on_remove)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.show_templates([])

    def show_templates(self, templates: Sequence[tuple[Any, str, str]]) -> None:
        """Show templates as (template, line, tooltip); what was selected stays selected."""
        before = self._selected()
        self.list.clear()
        for template, text, tip in templates:
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, template)
            item.setToolTip(tip)
            self.list.addItem(item)
            if template is before:
                self.list.setCurrentItem(item)
        self.empty.setVisible(not templates)
        self.list.setVisible(bool(templates))
        self._on_selection()

    def _selected(self) -> Any:
        items = self.list.selectedItems()
        return items[0].data(Qt.ItemDataRole.UserRole) if items else None

    def _on_selection(self) -> None:
        if not self.list.count():
            self.remove.block("there are no templates")
        else:
            self.remove.block("" if self.list.selectedItems() else "select a template in the list")

    def _on_remove(self) -> None:
        template = self._selected()
        if template is not None:
            self.removing.emit(template)
