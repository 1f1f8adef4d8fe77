"""Forms of settings, made from what their models declare: of a stage, and of the adapters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any, cast

from magicgui.widgets import create_widget
from magicgui.widgets.bases import RangedWidget, ValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QVBoxLayout, QWidget

from ....adapters import ADAPTERS
from ....config import SegmenterConfig
from ....config.base import FieldInfo, StageConfig, field_info
from .forms import Choice, Form, Note, Section, put

__all__ = ["AdapterChoice", "SettingsForm"]

LARGEST = 1_000_000
TIP_WIDTH = 90

MAIN = ("steps", "references", "threshold", "epochs", "augmentations")
"""Settings of adapters that are not folded away."""
HIDDEN = ("pair_loss", "pixel_loss", "background_pull", "similarity_loss", "temperature")
"""Weights of losses are for experiments, and stay with scripts."""


class SettingsForm(Form):
    """Rows for some settings of a stage: numbers, switches, choices; at first the defaults."""

    changed = Signal()

    def __init__(self, model: type[StageConfig], names: Iterable[str]) -> None:
        super().__init__()
        self._widgets: dict[str, ValueWidget[Any]] = {}
        for name in names:
            info = field_info(model, name)
            widget = self._widgets[name] = _widget(info)
            widget.changed.connect(self._on_changed)
            tip = f"{textwrap.fill(info.help, TIP_WIDTH)}\nDefault: {info.default} {info.unit}"
            self.add(info.title, widget.native, tip.rstrip())
        self.show_values(model())

    @property
    def fields(self) -> dict[str, QWidget]:
        """Qt's widget of each setting."""
        return {name: widget.native for name, widget in self._widgets.items()}

    def values(self) -> dict[str, Any]:
        """All values shown, by name of their setting."""
        return {name: widget.value for name, widget in self._widgets.items()}

    def show_values(self, values: StageConfig) -> None:
        """Show values without telling that they have changed."""
        for name, widget in self._widgets.items():
            value = getattr(values, name)
            if isinstance(widget, RangedWidget):
                value = min(max(value, widget.min), widget.max)
            with widget.changed.blocked():
                widget.value = value

    def _on_changed(self) -> None:
        self.changed.emit()


def _widget(info: FieldInfo) -> ValueWidget[Any]:
    options: dict[str, Any] = {}
    if info.choices:
        options["choices"] = info.choices
    elif info.kind in (int, float):
        options["min"] = -LARGEST if info.minimum is None else info.minimum
        options["max"] = LARGEST if info.maximum is None else info.maximum
        options["step"] = info.step
    widget = cast("ValueWidget[Any]", create_widget(annotation=info.kind, options=options))
    if "step" in options:
        widget.native.setKeyboardTracking(False)
    if isinstance(widget.native, QDoubleSpinBox):
        widget.native.setDecimals(4 if info.step < 0.01 else 3 if info.step < 0.1 else 2)
    return widget


class AdapterChoice(QWidget):
    """Name of the adapter, a line about it, and its settings, of which most are folded away."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.names = Choice((name, name, "") for name in ADAPTERS)
        self.about = Note()
        top = Form()
        top.add("Adapter", self.names, "What learns from the templates. The default is best.")
        top.add_wide(self.about)
        self.more = Section("More settings of the adapter", "Rarely worth changing.")
        self.forms: dict[str, tuple[SettingsForm, SettingsForm]] = {}
        for name in ADAPTERS:
            model = type(SegmenterConfig(adapter=name).adapter_config)
            names = [name for name in model.model_fields if name not in (*MAIN, *HIDDEN)]
            names.sort(key=lambda name: name not in model.__annotations__)  # its own first
            forms = (
                SettingsForm(model, [name for name in MAIN if name in model.model_fields]),
                SettingsForm(model, names),
            )
            for form in forms:
                form.changed.connect(self.changed)
            self.more.addWidget(forms[1])
            self.forms[name] = forms
        put(QVBoxLayout(self), top, *(shown for shown, _ in self.forms.values()), self.more)
        self.names.currentIndexChanged.connect(self._on_name)
        self._show_forms()

    @property
    def name(self) -> str:
        """Name of the chosen adapter."""
        return str(self.names.value)

    def values(self) -> dict[str, Any]:
        """Settings of the chosen adapter."""
        return {k: v for form in self.forms.get(self.name, ()) for k, v in form.values().items()}

    def show_choice(self, config: SegmenterConfig) -> None:
        """Show the adapter and its settings without telling that they have changed."""
        self.names.show_value(config.adapter)  # maybe one without settings, set by a script
        for form in self.forms.get(config.adapter, ()):
            form.show_values(config.adapter_config)
        self._show_forms()

    def _on_name(self) -> None:
        self._show_forms()
        self.changed.emit()

    def _show_forms(self) -> None:
        for name, forms in self.forms.items():
            for form in forms:
                form.setVisible(name == self.name)
        self.about.say(ADAPTERS.get(self.name).summary)
