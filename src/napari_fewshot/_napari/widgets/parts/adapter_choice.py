"""Choice of an adapter with its important settings, and the rest folded away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .forms import MARGIN, ElidingComboBox, Form, Section, note
from .settings_form import Setting, SettingsForm

__all__ = ["AdapterChoice"]


class AdapterChoice(QWidget):
    """Name of the adapter, a line about it, and a form for its settings.

    Parameters
    ----------
    models : mapping of str to type of BaseModel
        Settings of each adapter.
    about : mapping of str to str
        One sentence on each.
    important, others : mapping of str to sequence of Setting
        Fields shown at once, and fields that are folded away.
    """

    changed = Signal()

    def __init__(
        self,
        models: Mapping[str, type[BaseModel]],
        about: Mapping[str, str],
        important: Mapping[str, Sequence[Setting]],
        others: Mapping[str, Sequence[Setting]],
    ) -> None:
        super().__init__()
        self._about = about
        self.names = ElidingComboBox()
        self.about = note()
        self.forms: dict[str, tuple[SettingsForm, SettingsForm]] = {}
        top = Form()
        top.add("Adapter", self.names, "What learns from the templates. The default is best.")
        top.add_wide(self.about)
        self.more = Section("More settings of the adapter", "Rarely worth changing.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(MARGIN)
        layout.addWidget(top)
        for name, model in models.items():
            self.names.addItem(name, name)
            shown = SettingsForm(model, important[name])
            folded = SettingsForm(model, others[name])
            for form in (shown, folded):
                form.changed.connect(self.changed)
            layout.addWidget(shown)
            self.more.addWidget(folded)
            self.forms[name] = shown, folded
        layout.addWidget(self.more)
        self.names.currentIndexChanged.connect(self._on_name)
        self._show_forms()

    @property
    def name(self) -> str:
        """Name of the chosen adapter."""
        return str(self.names.currentData())

    def values(self) -> dict[str, Any]:
        """Settings of the chosen adapter."""
        shown, folded = self.forms[self.name]
        return {**shown.values(), **folded.values()}

    def show_choice(self, name: str, settings: BaseModel | None) -> None:
        """Show an adapter and its settings without telling that they have changed."""
        with QSignalBlocker(self.names):
            self.names.setCurrentIndex(self.names.findData(name))
        for form in self.forms.get(name, ()):
            if settings is not None:
                form.show_values(settings)
        self._show_forms()

    def _on_name(self) -> None:
        self._show_forms()
        self.changed.emit()

    def _show_forms(self) -> None:
        for name, forms in self.forms.items():
            for form in forms:
                form.setVisible(name == self.name)
        self.about.setText(self._about.get(self.name, ""))
        self.about.setVisible(bool(self.about.text()))
