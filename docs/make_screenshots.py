r"""Make the pictures of the documentation from a real viewer.

Needs a display. On a server, from the root of the repository::

    QT_QPA_PLATFORM=xcb xvfb-run -a -s "-screen 0 1400x1000x24" \
        .venv/bin/python docs/make_screenshots.py [OUTDIR]

``--film-only`` makes the moving picture of the README of those that are there, without a viewer.

Each picture is what a person sees after the steps that ``viewer.md`` describes: the buttons of
the docks are clicked, with the defaults. Settings, results and caches go to a temporary folder.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGES = Path(__file__).with_name("images")
SIZE = (1280, 860)
WIDTH = 350  # of the docks
LARGEST = 250_000
MINUTES = 10
FILM, FRAME_MS = "dock-[1-4]-*.png", 1600
PLUGIN = "napari-fewshot"
MAIN = "Few-shot segmentation"
DOCKS = ("Feature extraction", "Adapter training", "Label propagation")


def isolate(folder: Path) -> None:
    """Keep this run away from what the user has; before napari is imported."""
    os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
    os.environ["NAPARI_FEWSHOT_DATA"] = str(folder / "data")
    os.environ["NAPARI_FEWSHOT_CACHE"] = str(folder / "cache")
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")
    mark = folder / "config" / PLUGIN / "guide-closed"  # the page shows the docks, not the guide
    mark.parent.mkdir(parents=True)
    mark.touch()


def small_png(picture: np.ndarray) -> bytes:
    """Bytes of a picture, with as many colours as the limit allows."""
    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    fewer = (image.quantize(n, dither=Image.Dither.NONE) for n in (256, 128, 64))
    for one in (image, *fewer):
        stream = io.BytesIO()
        one.save(stream, "PNG", optimize=True)
        if stream.tell() <= LARGEST:
            return stream.getvalue()
    raise ValueError(f"{stream.tell()} bytes, more than {LARGEST}")


def write_film(folder: Path) -> None:
    """Write the moving picture of the README, from the pictures of the first walk."""
    paths = sorted(folder.glob(FILM))
    if len(paths) < 2:  # pictures of other walks alone
        return
    first, *others = (Image.open(path).convert("RGB") for path in paths)
    first.save(
        folder / "viewer.png",
        save_all=True,
        append_images=others,
        duration=[*[FRAME_MS] * len(others), 2 * FRAME_MS],
        loop=0,
        optimize=True,
    )


class Walk:
    """A viewer with the docks, and what a person does there.

    Parameters
    ----------
    folder : Path
        Where the pictures go.
    """

    def __init__(self, folder: Path) -> None:
        import napari
        from npe2 import PluginManager

        from napari_fewshot import viewer_session

        PluginManager.instance().discover()
        self.folder = folder
        self.viewer = napari.Viewer(show=True)
        self.window = self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.session = viewer_session(self.viewer)
        self.frames: list[Any] = []
        self.docks: list[Any] = []

    def open_main(self) -> Any:
        """Open the one dock."""
        from qtpy.QtCore import Qt

        frame, dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, MAIN)
        self.settle()
        self.window.resizeDocks([frame], [WIDTH], Qt.Orientation.Horizontal)
        self.settle()
        return dock

    def open_docks(self) -> None:
        """Open the three docks."""
        from qtpy.QtCore import Qt

        for name in DOCKS:
            frame, dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
            self.frames.append(frame)
            self.docks.append(dock)
            self.settle()  # it becomes a tab and comes to the front, but not at once
        self.window.resizeDocks(self.frames, [WIDTH] * len(DOCKS), Qt.Orientation.Horizontal)

    def front(self, index: int) -> Any:
        """Bring a dock to the front."""
        self.frames[index].raise_()
        self.settle()
        return self.docks[index]

    def click(self, button: Any) -> None:
        """Click a button, and wait for the jobs that it starts (but not for the score)."""
        if not button.isEnabled():
            raise RuntimeError(f"{button.text()} is disabled: {button.toolTip()}")
        button.click()
        self.until(lambda: not [j for j in self.session.jobs if j.stage not in ("score", "save")])

    def until(self, there: Callable[[], bool]) -> None:
        """Let the viewer go on until something is so."""
        end = time.monotonic() + MINUTES * 60
        while not there():
            self.settle(0.05)
            if time.monotonic() > end:
                raise TimeoutError(f"not there after {MINUTES} minutes")
        self.settle()

    def settle(self, seconds: float = 0.6) -> None:
        """Let the viewer draw."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(1000 * seconds))

    def point(self) -> None:
        """Move the mouse over the image, so that the brush is seen there."""
        from qtpy.QtGui import QCursor

        canvas = self.viewer.window._qt_viewer.canvas.native
        QCursor.setPos(canvas.mapToGlobal(canvas.rect().center()))

    def correct(self, dock: Any, image: Any) -> None:
        """Correct the next slice to paint, and say that it is reviewed."""
        self.click(dock.correct.next)
        place, result = self.session.slice_in_view(image), self.session.result_layer(image)
        paint_as_truth(result, self.viewer.layers["torso truth"].data, place)
        result.mode = "paint"
        self.point()
        self.click(dock.correct.reviewed)

    def picture(self, name: str) -> None:
        """Save the window as it is."""
        self.settle(1.0)
        content = small_png(self.viewer.screenshot(canvas_only=False, flash=False))
        path = self.folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{path}: {len(content) // 1000} kB")


def walk(to: Walk) -> None:
    """Do what the page describes, and take the pictures."""
    viewer, session = to.viewer, to.session

    main = to.open_main()
    to.click(main.sample)
    image = viewer.layers["torso"]
    first = session.slice_in_view(image)
    to.picture("dock-1-sample")

    to.click(main.learn.learn)
    to.until(lambda: session.scores is not None)
    session.go_to(first + 5, image)
    to.picture("dock-2-labelled")

    click_on_what_is_missed(to, main, image)
    to.picture("dock-clicks")
    to.click(main.labels.clicks.clear)
    to.click(main.labels.clicks.begin)
    main.labels.clicking.collapse(animate=False)

    to.correct(main, image)
    main.ensureWidgetVisible(main.correct)
    to.picture("dock-3-corrected")
    to.click(main.correct.update_labels)

    others = [open_patient(to, seed) for seed in (1, 2)]
    to.click(main.others.open_images)
    viewer.layers.selection.active = session.result_layer(others[0])
    for layer in viewer.layers:
        layer.visible = layer in (others[0], session.result_layer(others[0]))
    session.go_to(first, others[0])
    main.ensureWidgetVisible(main.save)
    main.ensureWidgetVisible(main.others)
    to.picture("dock-4-others")


def walk_experts(to: Walk) -> None:
    """A refinement, in the docks for experts."""
    viewer, session = to.viewer, to.session

    viewer.open_sample(PLUGIN, "torso")
    to.open_docks()
    image, template = viewer.layers["torso"], viewer.layers["torso template"]
    painted = np.flatnonzero(template.data.any(axis=(1, 2)))
    viewer.layers.selection.active = template
    extraction, training, propagation = to.docks
    to.click(extraction.templates.add)
    training.score.setChecked(False)
    to.click(training.train)
    propagation.landmarks.setChecked(False)
    to.front(2)
    to.click(propagation.propagate)
    session.go_to(int(painted[1]) + 5, image)

    refine = propagation.refine
    refine.expand(animate=False)
    refine.method.setCurrentIndex(refine.method.findData("random-walker"))
    to.settle()
    to.click(refine.all)
    propagation.ensureWidgetVisible(refine)
    to.picture("viewer-8-refined")


def open_patient(to: Walk, seed: int) -> Any:
    """Open another patient, as from a file."""
    from napari_fewshot import make_phantom, write_image

    patient = make_phantom("torso", seed=seed)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"patient-{seed + 1}.nii.gz"
        write_image(path, patient.image.data, patient.image)
        (layer,) = to.viewer.open(path, plugin=PLUGIN)
        layer.data = np.array(layer.data)
    return layer


def walk_found(to: Walk) -> None:
    """Find landmarks in a computed X-ray by those of three others, and correct one."""
    from napari_fewshot import make_phantom

    viewer, session = to.viewer, to.session
    for seed in range(4):
        patient = make_phantom("torso", seed=seed)
        flat = np.asarray(patient.image.data, float).mean(axis=1)[::-1]  # the head is above
        lies = {"scale": (patient.image.spacing[0], patient.image.spacing[2]), "units": "mm"}
        image = viewer.add_image(flat, name=f"X-ray {seed + 1}", colormap="gray", **lies)
        at = np.array([mark.position for mark in patient.landmarks])[:, [0, 2]]
        at[:, 0] = len(flat) - 1 - at[:, 0]
        if seed < 3:
            features = {"name": [mark.name for mark in patient.landmarks]}
            marks = viewer.add_points(at, name=f"X-ray {seed + 1} marks", features=features, **lies)
            session.add_template(image, marks)
    for layer in viewer.layers:
        layer.visible = layer is image
    session.configure(adapter="cosine", propagation={"landmarks": {"min_score": 0.5}})
    main = to.open_main()
    viewer.layers.selection.active = image
    to.settle()
    to.click(main.learn.learn)
    layer, row = viewer.layers["X-ray 4 landmarks found"], len(at) - 1
    moved = np.array(layer.data)
    moved[row] = at[row]
    layer.data = moved
    session.landmarks.show(row + 1, image)
    to.until(lambda: not session.landmarks.is_behind)
    for section in (main.labels, main.learn):
        section.collapse(animate=False)
    main.show_state()
    main.found.table.select(row + 1)
    viewer.reset_view()
    to.picture("dock-7-landmarks")


def walk_review(to: Walk) -> None:
    """Label four patients and a file that is cut off, and open the table as a review list."""
    from napari_fewshot import FewShotSegmenter, Template, make_phantom, predict_many, write_image
    from napari_fewshot.jobs import TABLE
    from napari_fewshot.phantoms import painted_labels, template_slices

    shape = (32, 128, 128)
    learned = make_phantom("torso", shape=shape)
    painted = painted_labels(learned, template_slices(learned, 3))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        FewShotSegmenter().fit(Template(learned.image, painted)).save(folder / "model.fewshot")
        images = [folder / "in" / f"patient-{number}.nii.gz" for number in range(1, 6)]
        for number, path in enumerate(images, 1):
            patient = make_phantom("torso", seed=number, shape=shape)
            write_image(path, patient.image.data, patient.image)
        images[-1].write_bytes(images[-1].read_bytes()[:500])
        predict_many(folder / "model.fewshot", images, folder / "out")
        to.viewer.open(folder / "out" / TABLE, plugin=PLUGIN)
        frame, dock = to.viewer.window.add_plugin_dock_widget(PLUGIN, "Review list")
        from qtpy.QtCore import Qt

        to.window.resizeDocks([frame], [WIDTH], Qt.Orientation.Horizontal)
        to.settle()
        to.click(dock.next)
        to.click(dock.next)
        to.viewer.layers.selection.active.mode = "paint"
        to.point()
        to.picture("viewer-9-review")


def click_on_what_is_missed(to: Walk, main: Any, image: Any) -> None:
    """Click into the largest part of a label that was missed, and wait for the answer."""
    from scipy.ndimage import distance_transform_edt

    session, result = to.session, to.session.result_layer(image)
    truth, found = to.viewer.layers["torso truth"].data, np.asarray(result.data)
    places = [(k, v) for k, plane in enumerate(truth) for v in np.unique(plane) if v]
    depths = [distance_transform_edt((truth[k] == v) & (found[k] != v)) for k, v in places]
    best = int(np.argmax([depth.max() for depth in depths]))
    (k, value), depth = places[best], depths[best]
    session.go_to(k, image)
    session.painting.choose(image, value)
    to.settle()
    main.labels.clicking.expand(animate=False)
    to.click(main.labels.clicks.begin)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    to.viewer.layers.selection.active.add([k, row, column])
    to.until(main.labels.clicks.accept.isEnabled)
    main.ensureWidgetVisible(main.labels.clicking)


def paint_as_truth(layer: Any, truth: np.ndarray, place: int) -> None:
    """Paint a slice as a person would who knows the truth."""
    rows, columns = np.nonzero(layer.data[place] != truth[place])
    values = truth[place][rows, columns]
    layer.data_setitem((np.full_like(rows, place), rows, columns), values)


WALKS = {
    "tour": walk,
    "experts": walk_experts,
    "found": walk_found,
    "review": walk_review,
}


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument("outdir", nargs="?", type=Path, default=IMAGES, help="%(default)s")
    parser.add_argument("--film-only", action="store_true", help="make the moving picture alone")
    parser.add_argument("--only", nargs="+", choices=WALKS, default=list(WALKS), help="some walks")
    options = parser.parse_args()
    outdir = options.outdir
    if options.film_only:
        write_film(outdir)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        isolate(Path(temporary))
        for name in options.only:
            to = Walk(outdir)
            try:
                WALKS[name](to)
            finally:
                to.session.close()
                to.viewer.close()
    write_film(outdir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
