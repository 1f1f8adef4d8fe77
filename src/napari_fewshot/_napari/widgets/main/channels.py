"""Layers that are channels of one image, to be learned from together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ...layers import shape_of
from ...session import is_result
from ..parts.forms import Section, put
from ..parts.tables import ROW_HEIGHT

if TYPE_CHECKING:
    from .host import MainDock

__all__ = ["ChannelChoice", "differ_in_channel"]

MAX_ROWS_SHOWN = 5
_CHANNEL = re.compile(
    r"[ ._-]((c|ch|chan|channel|w)[ ._-]?\d+|\d{4}|t1|t1w|t1ce|t1gd|t2|t2w|flair|pd|adc|dwi)$",
    re.IGNORECASE,
)
"""How names of files that are channels of one image end: microscopes, nnU-Net, sequences of MR."""


class ChannelChoice(QWidget):
    """Hidden unless other grey images of the same grid are open; a box takes all of them."""

    def __init__(self, dock: MainDock) -> None:
        super().__init__()
        self._dock = dock
        self.all = QCheckBox()
        self.all.setToolTip("Learn from all these layers together, as channels of one image.")
        self.list = QListWidget()
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setMinimumWidth(60)
        self.some = Section("Which channels", "Those that are learned from together", self.list)
        put(QVBoxLayout(self), self.all, self.some)
        self.all.clicked.connect(self._on_all)
        self.list.itemChanged.connect(self._on_changed)
        self.hide()

    def show_state(self) -> None:
        """Show the session as it is now."""
        found, own = self._offered(), self._own()
        self.setVisible(len(found) > 1)
        if len(found) < 2:
            return
        self.all.setText(f"All {len(found)} channels together")
        self.all.setChecked(len(own) == len(found))
        with QSignalBlocker(self.list):
            self.list.clear()
            for layer in found:
                item = QListWidgetItem(layer.name)
                item.setData(Qt.ItemDataRole.UserRole, layer)
                item.setToolTip(layer.name)
                on = any(layer is one for one in own)
                item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
                self.list.addItem(item)
        self.list.setFixedHeight(min(len(found), MAX_ROWS_SHOWN) * ROW_HEIGHT + 6)

    def _own(self) -> tuple[Any, ...]:
        image = self._dock.image
        return () if image is None else self._dock.session.channels.of(image)

    def _offered(self) -> list[Any]:
        """Layers that may be channels of the image in view: same file or sample, same grid."""
        image = self._dock.image
        if image is None or image.rgb or image.multiscale:
            return []
        own = self._own()
        return [
            layer
            for layer in self._dock.viewer.layers
            if layer._type_string == "image"
            and not is_result(layer)
            and not (layer.rgb or layer.multiscale)
            and shape_of(layer) == shape_of(image)
            and (any(layer is one for one in own) or _origin(layer, image))
        ]

    def _on_all(self, on: bool) -> None:
        self._join(self._offered() if on else [])

    def _on_changed(self, _: QListWidgetItem) -> None:
        items = [self.list.item(k) for k in range(self.list.count())]
        checked = [one for one in items if one.checkState() == Qt.CheckState.Checked]
        self._join([one.data(Qt.ItemDataRole.UserRole) for one in checked])

    def _join(self, layers: list[Any]) -> None:
        image, channels = self._dock.image, self._dock.session.channels
        if len(layers) < 2:
            channels.forget(image)
        else:  # the one that labels and results go by stays
            leader = next((x for x in layers if self._is_begun(x)), layers[0])
            others = [one for one in layers if one is not leader]
            self._dock.attempt(channels.join, [leader, *others])
        self._dock.show_soon()

    def _is_begun(self, layer: Any) -> bool:
        """Whether labels or a result go by a layer."""
        session = self._dock.session
        own = any(entry.image is layer for entry in session.templates)
        return own or session.result_layer(layer) is not None


def differ_in_channel(one: Path, other: Path) -> bool:
    """Whether files of one folder have names that differ in the channel alone."""
    bases = [_CHANNEL.sub("", path.name.split(".", 1)[0]) for path in (one, other)]
    whole = [path.name.split(".", 1)[0] for path in (one, other)]
    return one.parent == other.parent and bases[0] == bases[1] and bases != whole


def _origin(layer: Any, image: Any) -> bool:
    """Whether layers come from one file or sample, or have names of one beginning."""
    if layer is image:
        return True
    for key in ("source", "url"):
        mine = image.metadata.get(key)
        if mine is not None and mine == layer.metadata.get(key):
            return True
    paths = [one.source.path for one in (layer, image)]
    if None not in paths:
        return paths[0] == paths[1] or differ_in_channel(*map(Path, paths))
    stems = [one.name.split(" ")[0] for one in (layer, image)]
    return " " in image.name and stems[0] == stems[1]
