"""Section *Correct*: the loop of corrections, and where the model is not sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox

from ..parts.correcting import CorrectSection

if TYPE_CHECKING:
    from .host import MainDock

__all__ = ["MainCorrectSection"]


class MainCorrectSection(CorrectSection):
    """As in the dock *Label propagation*, with a switch for the colours of doubt."""

    def __init__(self, dock: MainDock) -> None:
        super().__init__(dock, "Correct", lambda: dock.image)
        self._main = dock
        self.accept.setText(self.accept.text().replace("Accept slice as template", "All is right"))
        self.unsure = QCheckBox("Show where it is not sure")
        self.unsure.setToolTip("Colours over the image: red where the label is a guess.")
        self.unsure.clicked.connect(self._on_unsure)
        self.content().layout().insertWidget(1, self.unsure)

    def show_state(self, why_not: str) -> None:
        """Show the session as it is now; ``why_not`` tells why there can be no update."""
        super().show_state(why_not)
        layer = self._main.session.labelling.confidence_of(self._main.image)
        self.unsure.setEnabled(layer is not None)
        self.unsure.setChecked(layer is not None and bool(layer.visible))

    def _on_unsure(self, on: bool) -> None:
        layer = self._main.session.labelling.confidence_of(self._main.image)
        if layer is not None:
            layer.visible = on
