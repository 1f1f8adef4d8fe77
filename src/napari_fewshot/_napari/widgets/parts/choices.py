"""Choices of a layer, a working axis, a backbone, and an adapter with its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal

from ....backbones import BackboneSpec, list_backbones, weights_available
from ....config import DEFAULT_BACKBONE
from .connections import listen
from .forms import Choice, ElidedCombo, Form, Note, PathField
from .progress import size

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["WEIGHTS_FILES", "AxisChoice", "BackboneChoice", "LayerChoice"]

WEIGHTS_FILES = "Weights (*.safetensors *.pth *.pt *.bin);;All files (*)"


class LayerChoice(ElidedCombo):
    """Combo box of the viewer's layers of some types, topmost first.

    The chosen layer stays chosen while others come or go. First chosen is ``none``, the text of an
    entry for no layer, if there is one, else the first layer that ``prefer`` is true for.
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
        self._viewer, self._types, self._none, self._prefer = viewer, types, none, prefer
        self._picked = False  # by hand: then a better layer that comes later does not replace it
        self.activated.connect(self._on_activated)
        self.currentIndexChanged.connect(self.chosen)
        events = viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            listen(self, emitter, self.refresh)
        self.refresh()

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

    def refresh(self, event: Any = None) -> None:
        """Offer the layers that there are; what somebody picked stays, else the best is chosen."""
        before = self.currentData(Qt.ItemDataRole.UserRole)
        offered = [x for x in reversed(self._viewer.layers) if x._type_string in self._types]
        with QSignalBlocker(self):
            self.clear()
            if self._none:
                self.addItem(self._none, None)
            for layer in offered:
                self.addItem(layer.name, layer)
                self.setItemData(self.count() - 1, layer.name, Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(self._index_after(before, offered))
        if self.layer is not before:
            self._picked = False
            self.chosen.emit()

    def _index_after(self, before: Layer | None, offered: list[Layer]) -> int:
        """Index to show: that of the same layer, else of the best one."""
        for index, layer in enumerate(offered, start=1 if self._none else 0):
            if layer is before and (self._picked or self._prefer(before)):
                return index
        if self._none:
            return 0
        better = [index for index, layer in enumerate(offered) if self._prefer(layer)]
        return better[0] if better else (0 if offered else -1)


class AxisChoice(Choice):
    """The working axis, in which slices are counted: the one sliced in the viewer, or a fixed one.

    Its value is the number of a spatial axis, None to follow the viewer.
    """

    def show_axes(self, names: Sequence[str], axis: int | None, sliced: int | None) -> None:
        """Offer spatial axes by their names, without telling that the choice has changed."""
        follow = f"as viewed ({names[sliced]})" if sliced is not None else "as viewed"
        offered: dict[int | None, str] = {None: follow}
        offered |= {number: f"{name} (axis {number})" for number, name in enumerate(names)}
        offered.setdefault(axis, f"axis {axis}")  # chosen for another image
        self.offer([(text, number, "") for number, text in offered.items()], axis)


class BackboneChoice(Form):
    """Rows for the backbone, its state, size and licence, and a local file of its weights.

    Which weights are on this machine is asked on a worker thread, for the whole session once.
    """

    changed = Signal()
    looked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._specs = {spec.name: spec for spec in list_backbones()}
        self._available: dict[str, bool] = {}
        self.names = Choice((name, name, spec.summary) for name, spec in self._specs.items())
        self.names.currentIndexChanged.connect(self._on_name)
        self.about = Note()
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
            "Local file of weights in place of those:\n"
            "fine-tuned ones, safetensors of the hub, or the official .pth.",
        )
        self._describe()
        from napari.qt.threading import create_worker

        self._worker = create_worker(_find_available, _connect={"returned": self._on_found})

    @property
    def name(self) -> str:
        """Name of the chosen backbone."""
        return str(self.names.value)

    @property
    def weights_file(self) -> Path | None:
        """Local file of weights; None for built-in or fetched ones."""
        return self.weights.path if self._takes_weights else None

    @property
    def problem(self) -> str:
        """Why this choice cannot work; empty if it can, or if that is not known yet."""
        path = self.weights_file
        return f"there is no file {path.name}" if path is not None and not path.exists() else ""

    def show_choice(self, name: str, weights: Path | None) -> None:
        """Show a backbone without telling that it has changed."""
        self.names.show_value(name)  # maybe any network of timm, set by a script
        self.weights.show_path(weights)
        self._describe()

    @property
    def _takes_weights(self) -> bool:
        """Whether others can take the place of its weights: it is fetched, or was fine-tuned."""
        spec = self._specs.get(self.name)
        return spec is None or spec.source != "built in" or spec.name == DEFAULT_BACKBONE

    def _on_found(self, available: dict[str, bool]) -> None:
        self._available = available
        for name, spec in self._specs.items():
            state = _state(spec, available.get(name))
            self.names.setItemText(self.names.findData(name), f"{name}  ({state})")
        self._describe()
        self.looked.emit()

    def _on_name(self) -> None:
        self.weights.show_path(None)  # it is of another network
        self._on_changed()

    def _on_changed(self) -> None:
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        spec = self._specs.get(self.name)
        self.set_row_visible(self.weights, self._takes_weights)
        if self.problem:
            text = f"There is no such file: {self.weights_file}"
        elif spec is None:
            text = "A network of timm; fetched on first use."
        elif self.weights_file is not None:
            text = f"Local weights · {spec.licence}"
        else:
            text = _describe(spec, self._available.get(self.name))
        self.about.say(text)
        self.about.setToolTip(spec.summary if spec is not None else "")


def _find_available() -> dict[str, bool]:
    """Whether the weights of each backbone are on this machine; imports the hub's library."""
    return {spec.name: weights_available(spec.name) for spec in list_backbones()}


def _state(spec: BackboneSpec, available: bool | None) -> str:
    """State of a backbone in a word or two; ``available`` is None while it is not known."""
    if spec.source == "built in":
        return "built in"
    if available is None:
        return "looking for weights"
    return "downloaded" if available else "not downloaded"


def _describe(spec: BackboneSpec, available: bool | None) -> str:
    """One line: state, size, licence."""
    about = "" if spec.size_mb is None else size(spec.size_mb)
    line = " · ".join(filter(None, (_state(spec, available), about, spec.licence)))
    more = ". Fetched on first use; or choose a local file." if available is False else ""
    return f"{line[0].upper()}{line[1:]}{more}"
