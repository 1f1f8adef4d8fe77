"""Somebody with a mouse in a real viewer, for ``walks.py``: clicks are counted."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PLUGIN, DOCK = "napari-fewshot", "Few-shot segmentation"
MINUTES = 15


@dataclass
class Walk:
    """What a walk took: clicks, seconds from the first click to the last label, and the result.

    ``dice`` is the mean over labels, one for each image; ``result`` is what else was measured.
    """

    name: str
    clicks: int = 0
    seconds: float = 0.0
    dice: list[float] = field(default_factory=list)
    result: str = ""

    def __str__(self) -> str:
        found = self.result or ", ".join(f"{one:.3f}" for one in self.dice)
        return f"| {self.name} | {self.clicks} | {self.seconds:.1f} | {found} |"


class Annotator:
    """Somebody with a mouse, whose clicks are counted.

    Parameters
    ----------
    viewer : napari.Viewer
    settings : dict
        Settings of the session in place of the defaults.
    """

    def __init__(self, viewer: Any, settings: dict[str, Any] | None = None) -> None:
        from npe2 import PluginManager

        from napari_fewshot import viewer_session

        PluginManager.instance().discover()
        self.viewer, self.session = viewer, viewer_session(viewer)
        self.session.configure(**(settings or {}))
        self.clicks = 0
        self.dock: Any = None

    # Menus: one click opens, one chooses

    def open_sample(self, key: str) -> None:
        """File, Open Sample, Few-shot segmentation, an entry."""
        self.clicks += 2
        self.viewer.open_sample(PLUGIN, key)
        self.settle()

    def open_dock(self) -> None:
        """Plugins, Few-shot segmentation, the first entry."""
        self.clicks += 2
        _, self.dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
        self.settle()

    def drop(self, path: Path) -> Any:
        """Drop a file on the viewer."""
        self.clicks += 1
        plugin = PLUGIN if path.name.endswith((".nii", ".nii.gz")) else None
        (layer, *_) = self.viewer.open(path, plugin=plugin)
        self.settle()
        return layer

    # The dock

    def click(self, button: Any) -> None:
        """Click a button, once it can be clicked."""
        self.until(button.isEnabled)
        self.clicks += 1
        button.click()
        self.settle()

    def choose_label(self, value: int) -> None:
        """Click a row of the list of labels."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        rows = self.dock.labels.list
        items = [rows.item(k) for k in range(rows.count())]
        item = next(one for one in items if one.data(Qt.ItemDataRole.UserRole) == value)
        rows.scrollToItem(item)
        self.clicks += 1
        spot = rows.visualItemRect(item).center()
        QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=spot)
        self.settle()

    def choose_image(self, layer: Any) -> None:
        """Click a layer in the viewer's list."""
        self.clicks += 1
        self.viewer.layers.selection.active = layer
        self.settle()

    def wait(self) -> None:
        """Wait for what runs, but not for what nobody asked for."""
        unasked = ("score", "save", "renew")
        self.until(lambda: not [job for job in self.session.jobs if job.stage not in unasked])

    def paint(self, place: int | tuple[int, ...] | None, wanted: Any, value: int) -> None:
        """Paint a label with the brush, to the truth of a slice (None: of a 2D image)."""
        layer = self.viewer.layers.selection.active
        found = np.nonzero(wanted == value)
        if len(found[0]):
            lead = () if place is None else np.atleast_1d(place)
            layer.data_setitem((*(np.full_like(found[0], k) for k in lead), *found), value)
        self.settle()

    def mark(self, places: Sequence[Sequence[float]]) -> None:
        """Click on landmarks in the image, in their order."""
        layer = self.viewer.layers.selection.active
        for place in places:
            layer.add(place)
            self.settle(0.03)
        self.settle()

    def until(self, there: Callable[[], bool]) -> None:
        """Let the viewer go on until something is so."""
        end = time.monotonic() + MINUTES * 60
        while not there():
            self.settle(0.03)
            if time.monotonic() > end:
                raise TimeoutError(f"not there after {MINUTES} minutes")

    def settle(self, seconds: float = 0.15) -> None:
        """Let the viewer draw."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(1000 * seconds))


def dice(found: Any, wanted: Any, values: Sequence[int]) -> float:
    """Mean Dice of labels that are there."""
    scores = []
    for value in values:
        one, other = found == value, wanted == value
        if other.any():
            scores.append(2 * (one & other).sum() / (one.sum() + other.sum()))
    return float(np.mean(scores))


@contextmanager
def isolated() -> Iterator[None]:
    """Keep a run away from what the user has; before napari is imported."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
        os.environ["NAPARI_FEWSHOT_DATA"] = str(folder / "data")
        os.environ["NAPARI_FEWSHOT_CACHE"] = str(folder / "cache")
        yield
