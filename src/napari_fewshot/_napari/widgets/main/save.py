"""Section *Save*: labels and model as files, and the work that is kept by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from ...session.exports import WRITING
from ..parts.connections import listen
from ..parts.forms import ActionButton, Form, Note, PathField, Section

if TYPE_CHECKING:
    from ...session import Job
    from .host import MainDock

__all__ = ["SaveSection"]

MODEL_FILES = "Models (*.fewshot);;All files (*)"


class SaveSection(Section):
    """Labels beside the images or in a folder, the model, and the folder of the autosave."""

    def __init__(self, dock: MainDock) -> None:
        super().__init__("Save", "Labels, what was learned, and unfinished work")
        self._dock = dock
        self.labels = ActionButton(
            "Save labels", "Write the labels of all images that have some, as files NAME_labels."
        )
        self.out = PathField("beside the images")
        self.said = Note()
        self.model = ActionButton(
            "Save what was learned…", "Write it to a file: it labels other images, on any computer."
        )
        self.load = ActionButton(
            "Open what was learned…", "Label with what was learned and saved before."
        )
        self.objects = ActionButton(
            "Objects and sizes…",
            "Separate cells and other objects that touch, and measure them or the labels.",
        )
        self.kept = Note()
        form = Form()
        form.add("Labels to", self.out, "Folder of the labels; empty: beside the images.")
        self.add(self.labels, form, self.said, self.objects, self.model, self.load, self.kept)
        self.labels.clicked.connect(self._on_labels)
        self.objects.clicked.connect(self._on_objects)
        self.model.clicked.connect(self._on_model)
        self.load.clicked.connect(self._on_load)
        listen(self, dock.session.events.job, self._on_job)

    def show_state(self) -> None:
        """Show the session as it is now."""
        session = self._dock.session
        there = session.exports.images()
        self.labels.block("" if there else "label an image first")
        image = self._dock.image
        labelled = image is not None and session.result_layer(image) is not None
        self.objects.block("" if labelled else "label this image first")
        self.model.block("" if session.model is not None else "learn first")
        folder = session.autosave_folder
        self.kept.say("" if folder is None else f"Your work is kept by itself in {folder.name}.")
        self.kept.setToolTip("" if folder is None else str(folder))

    def _on_labels(self) -> None:
        self.said.say("")
        self._dock.attempt(self._dock.session.exports.write, self.out.path)

    def _on_objects(self) -> None:
        """Open the dock for them, with the labels of the image in view chosen."""
        layer = self._dock.session.result_layer(self._dock.image)
        self._dock.open_dock("Measurements").labels.choose(layer)

    def _on_job(self, job: Job) -> None:
        if job.name != WRITING or not job.is_over:
            return
        if job.state == "failed":
            self.said.say(job.problem, wrong=True)
        elif job.result:
            written: list[Path] = job.result
            names = ", ".join(path.name for path in written[:3])
            more = f" and {len(written) - 3} more" if len(written) > 3 else ""
            self.said.say(f"Written: {names}{more} in {written[0].parent}.")

    def _on_model(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save what was learned", "model.fewshot", MODEL_FILES
        )
        if path:
            self._dock.attempt(self._dock.session.save_model, Path(path))

    def _on_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open what was learned before", "", MODEL_FILES)
        if path:
            self._dock.attempt(self._dock.session.load_model, Path(path))
