"""Form of settings, made from their pydantic model, so that limits and defaults live there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox, QWidget

from .forms import ElidingComboBox, Form

__all__ = ["Setting", "SettingsForm"]

MOST = 1_000_000


class Setting(NamedTuple):
    """A field to show.

    Parameters
    ----------
    field : str
        Name in the model.
    title, tip : str
    step : float
        Step of the arrows, for numbers.
    """

    field: str
    title: str
    tip: str
    step: float = 1


class SettingsForm(Form):
    """Rows for some fields of a model: numbers, switches, choices.

    Parameters
    ----------
    model : type of BaseModel
    settings : sequence of Setting
    """

    changed = Signal()

    def __init__(self, model: type[BaseModel], settings: Sequence[Setting]) -> None:
        super().__init__()
        self._model = model
        self.fields: dict[str, QWidget] = {}
        for setting in settings:
            info = model.model_fields[setting.field]
            field = _field(info, setting.step)
            _signal(field).connect(self._on_changed)
            self.fields[setting.field] = field
            self.add(setting.title, field, f"{setting.tip}\nDefault: {info.default}")
        self.show_values(model())

    def values(self) -> dict[str, Any]:
        """All values shown, by name of their field."""
        return {name: _get(field) for name, field in self.fields.items()}

    def show_values(self, values: BaseModel) -> None:
        """Show values without telling that they have changed."""
        for name, field in self.fields.items():
            with QSignalBlocker(field):
                _set(field, getattr(values, name))

    def _on_changed(self) -> None:
        self.changed.emit()


def _field(info: FieldInfo, step: float) -> QWidget:
    kind = info.annotation
    if get_origin(kind) is Literal:
        choice = ElidingComboBox()
        for value in get_args(kind):
            choice.addItem(str(value), value)
        return choice
    if kind is bool:
        return QCheckBox()
    least, most = _limits(info)
    if kind is int:
        whole = QSpinBox()
        whole.setRange(int(least), int(most))
        whole.setSingleStep(int(step))
        whole.setKeyboardTracking(False)
        return whole
    number = QDoubleSpinBox()
    number.setDecimals(4 if step < 0.01 else 3 if step < 0.1 else 2)
    number.setRange(least, most)
    number.setSingleStep(step)
    number.setKeyboardTracking(False)
    return number


def _limits(info: FieldInfo) -> tuple[float, float]:
    least, most = -float(MOST), float(MOST)
    for limit in info.metadata:
        for name in ("ge", "gt"):
            least = getattr(limit, name, least)
        for name in ("le", "lt"):
            most = getattr(limit, name, most)
    return least, most


def _signal(field: QWidget) -> Any:
    if isinstance(field, QCheckBox):
        return field.toggled
    return field.currentIndexChanged if isinstance(field, ElidingComboBox) else field.valueChanged


def _get(field: QWidget) -> Any:
    if isinstance(field, QCheckBox):
        return field.isChecked()
    return field.currentData() if isinstance(field, ElidingComboBox) else field.value()


def _set(field: QWidget, value: Any) -> None:
    if isinstance(field, QCheckBox):
        field.setChecked(value)
    elif isinstance(field, ElidingComboBox):
        field.setCurrentIndex(field.findData(value))
    else:
        field.setValue(value)
