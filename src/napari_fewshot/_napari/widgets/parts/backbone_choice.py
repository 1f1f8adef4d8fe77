"""Choice of a backbone that shows its state, size and licence."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QWidget

from ....backbones import list_backbones
from .forms import ElidingComboBox, Form, note
from .path_field import PathField
from .weights_state import describe, start_lookup, state_of

__all__ = ["BackboneChoice"]

WEIGHTS_FILES = "Weights (*.safetensors *.pth *.pt *.bin);;All files (*)"


class BackboneChoice(Form):
    """Rows for the backbone, what is known of it, and a local file of its weights.

    Which weights are on this machine is asked on a worker thread, for the whole session once.
    """

    changed = Signal()
    looked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._specs = {spec.name: spec for spec in list_backbones()}
        self._states: dict[str, bool] = {}
        self.names = ElidingComboBox()
        for name, spec in self._specs.items():
            self.names.addItem(name, name)
            self.names.setItemData(self.names.count() - 1, spec.summary, 3)  # as a tooltip
        self.names.currentIndexChanged.connect(self._on_changed)
        self.about = note()
        self.weights = PathField("fetched or built in", WEIGHTS_FILES)
        self.weights.changed.connect(self._on_changed)
        self.add(
            "Backbone",
            self.names,
            "Network that turns each slice into features.\n"
            "Those built in work at once; others are fetched on first use.",
        )
        self.add_wide(self.about)
        self.add(
            "Weights",
            self.weights,
            "Local file of weights in place of the download:\n"
            "safetensors of the hub or the official .pth.",
        )
        self._describe()
        self._worker = start_lookup(self._on_found)

    @property
    def name(self) -> str:
        """Name of the chosen backbone."""
        return str(self.names.currentData())

    @property
    def weights_file(self) -> Path | None:
        """Local file of weights; None for built-in or fetched ones."""
        return self.weights.path if self._fetched else None

    @property
    def problem(self) -> str:
        """Why this choice cannot work; empty if it can, or if that is not known yet."""
        path = self.weights_file
        if path is not None and not path.exists():
            return f"there is no file {path.name}"
        return ""

    def show_choice(self, name: str, weights: Path | None) -> None:
        """Show a backbone without telling that it has changed."""
        with QSignalBlocker(self.names):
            index = self.names.findData(name)
            if index < 0:  # any network of timm, set by a script
                self.names.addItem(name, name)
                index = self.names.count() - 1
            self.names.setCurrentIndex(index)
        self.weights.show_path(weights)
        self._describe()

    @property
    def _fetched(self) -> bool:
        spec = self._specs.get(self.name)
        return spec is None or spec.source != "built in"

    def _on_found(self, states: dict[str, bool]) -> None:
        self._states = states
        for index in range(self.names.count()):
            spec = self._specs.get(self.names.itemData(index))
            if spec is not None:
                state = state_of(spec, states.get(spec.name))
                self.names.setItemText(index, f"{spec.name}  ({state})")
        self._describe()
        self.looked.emit()

    def _on_changed(self) -> None:
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        spec = self._specs.get(self.name)
        available = self._states.get(self.name)
        self.set_row_visible(self.weights, self._fetched)
        if spec is None:
            text = "A network of timm; fetched on first use."
        elif self.weights_file is not None:
            text = f"Local weights · {spec.licence}"
        else:
            text = describe(spec, available)
        self.about.setText(f"There is no such file: {self.weights_file}" if self.problem else text)
        self.about.setToolTip(spec.summary if spec is not None else "")
        self.about.setVisible(True)
