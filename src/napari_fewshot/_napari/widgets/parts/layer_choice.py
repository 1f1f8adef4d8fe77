"""Choice of a layer that follows the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal

from .connections import Connections
from .forms import ElidingComboBox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["LayerChoice"]


class LayerChoice(ElidingComboBox):
    """Combo box of the viewer's layers of some types, topmost first.

    The chosen layer stays chosen while others come, go, move or are renamed.

    Parameters
    ----------
    viewer : ViewerModel
    types : sequence of str
        Types of layers as napari names them: ``"image"``, ``"labels"``, ``"points"``.
    none : str
        Text of an entry that stands for no layer; empty: there is no such entry.
    prefer : callable, optional
        Tells which layers are better to start with; the rest are offered all the same.
    """

    chosen = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        types: Sequence[str],
        *,
        none: str = "",
        prefer: Callable[[Layer], bool] = lambda layer: True,
    ) -> None:
        super().__init__()
        self._viewer, self._types, self._none, self._prefer = viewer, tuple(types), none, prefer
        self._picked = False  # by hand: then a better layer that comes later does not replace it
        self.activated.connect(self._on_activated)
        self.currentIndexChanged.connect(self._on_index)
        events = viewer.layers.events
        self._connections = Connections(self)
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            self._connections.add(emitter, self._refresh)
        self._refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer, None for the empty entry or without layers."""
        found: Layer | None = self.currentData(Qt.ItemDataRole.UserRole)
        # Others may hear that a layer has gone before this choice does.
        return found if found is not None and found in self._viewer.layers else None

    def choose(self, layer: Layer | None) -> bool:
        """Choose a layer; False if it is not among those offered."""
        for index in range(self.count()):
            if self.itemData(index) is layer:
                self._picked = layer is not None
                self.setCurrentIndex(index)
                return True
        return False

    def _on_activated(self, index: int) -> None:
        self._picked = True

    def _on_index(self, index: int) -> None:
        self.chosen.emit()

    def _refresh(self, event: Any = None) -> None:
        before = self.currentData(Qt.ItemDataRole.UserRole)
        offered = [x for x in reversed(self._viewer.layers) if x._type_string in self._types]
        with QSignalBlocker(self):
            self.clear()
            if self._none:
                self.addItem(self._none, None)
            for layer in offered:
                self.addItem(layer.name, layer)
            index = self._index_after(before, offered)
            self.setCurrentIndex(index)
        if self.layer is not before:
            self._picked = False
            self.chosen.emit()

    def _index_after(self, before: Layer | None, offered: list[Layer]) -> int:
        """Index to show: that of the same layer, else of the best one."""
        first = 1 if self._none else 0
        if before is not None and any(x is before for x in offered):
            same = next(k for k, x in enumerate(offered) if x is before)
            if self._picked or self._prefer(before):
                return same + first
        if self._none:
            return 0
        better = [k for k, layer in enumerate(offered) if self._prefer(layer)]
        return better[0] if better else (0 if offered else -1)
