"""Walks of an annotator through the one dock: clicks counted, seconds, agreement with the truth.

Needs a display, and for all but the sample the folder of data sets that ``accuracy.py`` takes::

    QT_QPA_PLATFORM=xcb xvfb-run -a -s "-screen 0 1400x1000x24" \
        python benchmarks/walks.py [DATA] [--only sample ct smears hippocampi] [--quick]

A click is one press of the mouse on a button, a row or an entry of a menu (a menu opens with one,
its submenus open under the mouse); strokes of the brush are not counted, and neither is moving
through slices. Files are dropped on the viewer: one for each drop. The widgets of the dock are
really clicked.
"""

from __future__ import annotations

import argparse
import os
import sys
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
QUICK = {"backbone": "multiscale", "adapter": "cosine"}


@dataclass
class Walk:
    """What a walk took: clicks, seconds from the first click to the last label, and mean Dice."""

    name: str
    clicks: int = 0
    seconds: float = 0.0
    dice: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        dice = ", ".join(f"{one:.3f}" for one in self.dice)
        return f"| {self.name} | {self.clicks} | {self.seconds:.1f} | {dice} |"


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

    def paint(self, place: int | None, wanted: Any, value: int) -> None:
        """Paint a label with the brush, to the truth of a slice (None: of a 2D image)."""
        layer = self.viewer.layers.selection.active
        found = np.nonzero(wanted == value)
        if len(found[0]):
            where = found if place is None else (np.full_like(found[0], place), *found)
            layer.data_setitem(where, value)
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
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)


def dice(found: Any, wanted: Any, values: Sequence[int]) -> float:
    """Mean Dice of labels that are there."""
    scores = []
    for value in values:
        one, other = found == value, wanted == value
        if other.any():
            scores.append(2 * (one & other).sum() / (one.sum() + other.sum()))
    return float(np.mean(scores))


def sample(person: Annotator, _: Path | None) -> Iterator[Walk]:
    """From an empty viewer to a labelled volume."""
    walk, start = Walk("sample, empty viewer to labelled volume"), time.perf_counter()
    person.open_sample("torso")
    person.open_dock()
    person.click(person.dock.learn.learn)
    person.wait()
    truth = person.viewer.layers["torso truth"].data
    found = person.session.result_layer("torso").data
    walk.dice = [dice(found, truth, np.unique(truth)[1:])]
    walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def ct(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """An own CT: three slices, two organs."""
    folder = _there(data) / "ct_torso"
    walk, start = Walk("own CT, three slices, two organs"), time.perf_counter()
    image = person.drop(folder / "image.nii.gz")
    truth = _like(folder / "labels.nii.gz", (1, 5))  # spleen, liver
    person.open_dock()
    counts = np.minimum(*(np.count_nonzero(truth == v, axis=(1, 2)) for v in (1, 2)))
    there = np.flatnonzero(counts > 20)
    slices = [int(there[k]) for k in (len(there) // 6, len(there) // 2, 5 * len(there) // 6)]
    for value in (1, 2):  # one organ after the other, so each is chosen once
        person.click(person.dock.labels.add_label)
        for k in slices:
            person.session.go_to(k, image)
            person.paint(k, truth[k], value)
    person.click(person.dock.learn.learn)
    person.wait()
    walk.dice = [dice(person.session.result_layer(image).data, truth, (1, 2))]
    walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def smears(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """Five blood smears after three painted ones."""
    from PIL import Image

    folder = _there(data) / "wbc_2d"
    paths = sorted((folder / "images").glob("*.png"))[:8]
    truths = [np.asarray(Image.open(folder / "labels" / path.name)) for path in paths]
    values = sorted({int(v) for one in truths[:3] for v in np.unique(one)} - {0})
    yield from _then_others(person, paths, truths, values, 3, "blood smear")


def hippocampi(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """Hippocampi A and B, three slices of each, then C, D, E."""
    folder = _there(data) / "hippocampus_mr"
    paths = sorted((folder / "images").glob("*.nii.gz"))[:5]
    truths = [_like(folder / "labels" / path.name) for path in paths]
    yield from _then_others(person, paths, truths, [1, 2], 2, "hippocampus")


def _then_others(
    person: Annotator,
    paths: Sequence[Path],
    truths: Sequence[Any],
    values: Sequence[int],
    painted: int,
    what: str,
) -> Iterator[Walk]:
    first, start = Walk(f"{painted} of {what} painted and learned"), time.perf_counter()
    person.open_dock()
    images = [person.drop(path) for path in paths[:painted]]
    for number, (image, truth) in enumerate(zip(images, truths, strict=False)):
        person.choose_image(image)
        for value in values:
            if number == 0:
                person.click(person.dock.labels.add_label)
            else:
                person.choose_label(value)
            for k in _slices(truth):
                person.paint(k, truth if k is None else truth[k], value)
    person.click(person.dock.learn.learn)
    person.wait()
    first.clicks, first.seconds = person.clicks, time.perf_counter() - start
    yield first
    others = [person.drop(path) for path in paths[painted:]]
    walk, start = Walk(f"{len(others)} further of {what}"), time.perf_counter()
    before = person.clicks
    person.click(person.dock.others.open_images)
    person.wait()
    walk.clicks, walk.seconds = person.clicks - before, time.perf_counter() - start
    for image, truth in zip(others, truths[painted:], strict=True):
        walk.dice.append(dice(person.session.result_layer(image).data, truth, values))
    yield walk


def _slices(truth: Any) -> list[int | None]:
    if truth.ndim == 2:
        return [None]
    there = np.flatnonzero(truth.any(axis=(1, 2)))
    return [int(there[k * len(there) // 4]) for k in (1, 2, 3)]


def _there(data: Path | None) -> Path:
    if data is None:
        raise SystemExit("This walk needs the folder of data sets.")
    return data


def _like(path: Path, values: Sequence[int] = ()) -> Any:
    """A label map in the order of its layer; ``values`` become 1, 2 and so on."""
    from napari_fewshot._napari.readers import read_label_map

    found = np.asarray(read_label_map(path)[0][0])
    if not values:
        return found
    mapped = np.zeros(found.shape, np.uint8)
    for number, value in enumerate(values, 1):
        mapped[found == value] = number
    return mapped


WALKS = {"sample": sample, "ct": ct, "smears": smears, "hippocampi": hippocampi}


@contextmanager
def isolated() -> Iterator[None]:
    """Keep a run away from what the user has; before napari is imported."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
        os.environ["NAPARI_FEWSHOT_DATA"] = str(folder / "data")
        os.environ["NAPARI_FEWSHOT_CACHE"] = str(folder / "cache")
        yield


def main() -> int:
    """Take the walks, each in a viewer of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of the data sets")
    parser.add_argument("--only", nargs="+", choices=WALKS, default=list(WALKS))
    parser.add_argument("--quick", action="store_true", help="quick settings: count clicks alone")
    options = parser.parse_args()
    with isolated():
        import napari

        print("| walk | clicks | seconds | Dice |\n|---|---|---|---|")
        for name in options.only:
            viewer = napari.Viewer(show=True)
            person = Annotator(viewer, QUICK if options.quick else None)
            try:
                for found in WALKS[name](person, options.data):
                    print(found, flush=True)
            finally:
                person.session.close()
                viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
