"""A person at the viewer: sees texts, buttons and layers, and knows nothing of what is inside."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_fewshot import write_image, write_labels
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

DATA = Path(os.environ.get("NAPARI_FEWSHOT_GOLDEN_DATA", Path(__file__).with_name("data")))
RENEW = os.environ.get("NAPARI_FEWSHOT_GOLDEN") == "write"
"""The references are written anew: look at what has changed before it is committed."""
PLUGIN = "napari-fewshot"
EXTRACTION, TRAINING, PROPAGATION = "Feature extraction", "Adapter training", "Label propagation"
DOCKS = (EXTRACTION, TRAINING, PROPAGATION)
MINUTE = 60_000
TRAINED = "Training: done|Scoring.*"
"""The score begins at once."""
SHAPE = (20, 48, 48)
_CLOCK = re.compile(r"(\d+ \w+, )?\b\d\d:\d\d\b")
_VERDICT = re.compile(r"(?<=Needs more paint: ).*")
_TIME = re.compile(r"(about|less than)?\s*[\d.]+ (s|min|h|MB|GB|per second)\b( left)?", re.I)


class Person:
    """Someone who works with the three docks.

    Parameters
    ----------
    viewer : napari.Viewer
    qtbot : pytest-qt's robot
    """

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.docks: dict[str, Any] = {}

    def open_docks(self) -> None:
        """As from the menu *Plugins*."""
        for name in DOCKS:
            _, self.docks[name] = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        # The networks that are here are looked for in the background.
        self.qtbot.waitUntil(lambda: "(" in self.field(EXTRACTION, "Backbone").currentText())

    def open_patient(self, folder: Path, name: str = "patient", seed: int = 0) -> Any:
        """Open an image and three painted slices of it, from files; give the phantom."""
        phantom = make_phantom("torso", shape=SHAPE, seed=seed)
        painted = painted_labels(phantom, template_slices(phantom, 3))
        image, labels = folder / f"{name}.nii.gz", folder / f"{name}_labels.nii.gz"
        write_image(image, phantom.image.data, phantom.image)
        write_labels(labels, painted.data, phantom.image, names=painted.names)
        self.viewer.open([image, labels], plugin=PLUGIN)
        return phantom

    # What a person sees

    def field(self, dock: str, label: str) -> Any:
        """Field beside a label."""
        from qtpy.QtWidgets import QLabel

        (found,) = [
            one.buddy()
            for one in self.docks[dock].findChildren(QLabel)
            if one.text() == label and one.buddy() is not None and self._shows(dock, one)
        ]
        return found

    def line_of(self, dock: str, label: str) -> Any:
        """Line of text in a field."""
        from qtpy.QtWidgets import QLineEdit

        return self.field(dock, label).findChild(QLineEdit)

    def button(self, dock: str, text: str) -> Any:
        """Button or box with a text (or one that begins so, before its key)."""
        from qtpy.QtWidgets import QAbstractButton

        found = [
            one
            for one in self.docks[dock].findChildren(QAbstractButton)
            if one.text().partition("  [")[0] == text and self._shows(dock, one)
        ]
        assert len(found) == 1, f"{text}: {len(found)} buttons"
        return found[0]

    def why_not(self, dock: str, text: str) -> str:
        """What the tooltip of a disabled button tells; empty where it is enabled."""
        button = self.button(dock, text)
        return "" if button.isEnabled() else button.toolTip().partition("Not now: ")[2]

    def texts(self, dock: str) -> list[str]:
        """All texts in a dock that are not folded away."""
        from qtpy.QtWidgets import QLabel

        labels = self.docks[dock].findChildren(QLabel)
        return [one.text() for one in labels if one.text() and self._shows(dock, one)]

    def looks(self, dock: str) -> list[str]:
        """All that a dock shows, from top to bottom, without times and what scores decide."""
        from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLabel, QWidget

        lines = []
        for one in self.docks[dock].findChildren(QWidget):
            off = "" if one.isEnabled() else f" (off: {one.toolTip().partition('Not now: ')[2]})"
            if not self._shows(dock, one) or one.objectName() == "qt_spinbox_lineedit":
                continue
            if isinstance(one, QLabel) and one.text():
                text = _VERDICT.sub("<labels>", re.sub("<[^>]*>|&nbsp;", "", one.text()))
                lines.append(_TIME.sub("<time>", _CLOCK.sub("<clock>", text)))
            elif isinstance(one, QAbstractButton) and one.text() and one.text() != "…":
                mark = ("[x] " if one.isChecked() else "[ ] ") * one.isCheckable()
                lines.append(f"{mark}{one.text()}{off}")
            elif isinstance(one, QComboBox):
                lines.append(f"| {one.currentText()}{off}")
            elif isinstance(one, QAbstractSpinBox):
                lines.append(f"# {one.text()}{off}")
        return lines

    def statuses(self) -> dict[int, str]:
        """Status of each slice, as the list of the third dock shows it."""
        from qtpy.QtWidgets import QTableView

        (table,) = self.docks[PROPAGATION].findChildren(QTableView)
        model = table.model()
        rows = range(model.rowCount())
        return {int(model.index(k, 0).data()): model.index(k, 1).data() for k in rows}

    def slices(self, status: str) -> list[int]:
        """Slices of a status."""
        return sorted(k for k, found in self.statuses().items() if found == status)

    def layers(self) -> dict[str, str]:
        """Name and type of each layer, the bottom one first."""
        return {layer.name: layer._type_string for layer in self.viewer.layers}

    # What a person does

    def choose(self, dock: str, label: str, text: str) -> None:
        """Choose an entry of a list, by how it begins."""
        box = self.field(dock, label)
        (index,) = [k for k in range(box.count()) if re.split(r"  \(", box.itemText(k))[0] == text]
        box.setCurrentIndex(index)
        box.activated.emit(index)
        self.settle()

    def set_number(self, dock: str, label: str, value: float) -> None:
        """Type a number."""
        self.field(dock, label).setValue(value)
        self.settle()

    def unfold(self, dock: str, title: str) -> None:
        """Open a section."""
        self.button(dock, f"▸ {title}").click()
        self.settle()

    def click(self, dock: str, text: str, until: str = "") -> None:
        """Click a button, and wait for a text in its dock (a regular expression)."""
        button = self.button(dock, text)
        assert button.isEnabled(), f"{text}: {self.why_not(dock, text)}"
        button.click()
        self.wait(dock, until)

    def press(self, key: str, until: str = "") -> None:
        """Press a key over the image, and wait for a text in the third dock, as after a click."""
        from qtpy.QtCore import Qt

        canvas = self.viewer.window._qt_viewer.canvas.native
        self.qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))
        self.wait(PROPAGATION, until)

    def wait(self, dock: str, text: str) -> None:
        """Wait until a text is in a dock, and all of the docks have been drawn."""
        if text:
            said = re.compile(text).fullmatch
            self.qtbot.waitUntil(lambda: any(map(said, self.texts(dock))), timeout=4 * MINUTE)
        self.settle()

    def settle(self) -> None:
        """Let the docks show what has changed: they do so after a moment."""
        self.qtbot.wait(120)

    def go_to(self, index: int) -> None:
        """Click a slice in the list."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QTableView

        (table,) = self.docks[PROPAGATION].findChildren(QTableView)
        (row,) = [k for k in range(table.model().rowCount()) if self._number(table, k) == index]
        place = table.model().index(row, 0)
        table.scrollTo(place)
        spot = table.visualRect(place).center()
        self.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
        self.settle()

    def paint(self, name: str, place: tuple[int, ...], label: int, size: int = 3) -> None:
        """Paint a spot with the brush, as one stroke."""
        layer = self.viewer.layers[name]
        self.viewer.layers.selection.active = layer
        layer.mode, layer.brush_size, layer.selected_label = "paint", size, label
        with layer.block_history():
            layer.paint(place, label)
        self.qtbot.wait(300)  # what follows a stroke does so after a moment

    def correct(self, name: str, index: int, truth: Any) -> None:
        """Paint a slice until it is as it should be, as one stroke."""
        layer = self.viewer.layers[name]
        self.viewer.layers.selection.active = layer
        rows, columns = np.nonzero(layer.data[index] != truth)
        with layer.block_history():
            layer.data_setitem((np.full_like(rows, index), rows, columns), truth[rows, columns])
        self.qtbot.wait(300)

    def use_quick_settings(self) -> None:
        """A backbone and an adapter that take no time and whose result is nowhere drawn."""
        self.choose(EXTRACTION, "Backbone", "multiscale")
        self.choose(TRAINING, "Adapter", "cosine")
        self.click(TRAINING, "Score afterwards")

    def label_patient(self, name: str = "patient") -> None:
        """From the layers to labels, with the three buttons."""
        self.click(EXTRACTION, "Add template")
        self.click(TRAINING, "Train", TRAINED)
        self.click(PROPAGATION, "Propagate", f"Propagating to {name}: done")

    def _shows(self, dock: str, widget: Any) -> bool:
        """Whether a widget is shown, and in no section that is folded."""
        from superqt import QCollapsible

        above = widget
        while above is not self.docks[dock]:
            inside, above = above, above.parentWidget()
            folded = isinstance(above, QCollapsible) and not above.isExpanded()
            if folded and inside is not above.toggleButton():
                return False
        return bool(widget.isVisibleTo(self.docks[dock]))

    def _number(self, table: Any, row: int) -> int:
        return int(table.model().index(row, 0).data())


class Golden:
    """Stored looks and arrays of a file of tests.

    Parameters
    ----------
    name : str
        Of the files in the folder of references.
    """

    def __init__(self, name: str) -> None:
        self._looks = DATA / f"viewer_{name}.json"
        self._arrays = DATA / f"viewer_{name}.npz"

    def look(self, step: str, found: Any) -> None:
        """Hold what was seen (JSON) to what is stored."""
        stored = json.loads(self._looks.read_text("utf-8")) if self._looks.exists() else {}
        if RENEW:
            text = json.dumps({**stored, step: found}, indent=1, ensure_ascii=False)
            self._looks.write_text(f"{text}\n", "utf-8")
        else:
            assert found == stored[step], step

    def docks(self, step: str, person: Person) -> None:
        """Hold all three docks to what is stored."""
        person.settle()
        for name in DOCKS:
            self.look(f"{step}, {name}", person.looks(name))

    def array(self, step: str, found: Any) -> Any:
        """What is stored of an array, to be compared with."""
        stored = dict(np.load(self._arrays)) if self._arrays.exists() else {}
        if RENEW:
            np.savez_compressed(self._arrays, **{**stored, step: found})
            return np.array(found)
        return stored[step]


def in_order_of_the_layer(volume: Any) -> Any:
    """A label map of a phantom as the viewer shows it: axes that run backwards are flipped."""
    return np.flip(volume.data, np.flatnonzero(_backwards(volume.affine)))


def in_voxels_of_the_layer(position: Any, image: Any) -> Any:
    """A place of the file as the viewer shows it."""
    place = np.array(position, float)
    last = np.array(image.data.shape) - 1
    return np.where(_backwards(image.metadata["affine"]), last - place, place)


def _backwards(affine: Any) -> Any:
    return np.diag(affine[:3, :3])[::-1] < 0
