"""Section "Fine-tune on these images…": what the backbone learns from, its curve, and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QSizePolicy

from ....errors import FewShotError
from ...wording import in_viewer
from .connections import listen
from .forms import ActionButton, Choice, Form, Note, PathField, Section
from .progress import ProgressRow

if TYPE_CHECKING:
    from ....types import Array
    from ...session import Job, Session

__all__ = ["FinetuneSection"]

SOURCES = (
    ("the open images", "open", "All image layers of the viewer, but results."),
    ("a folder", "folder", "Files are read one after the other, as they are needed."),
)
MINUTES = 30.0
JUDGED = "Labelled slices of the templates tell whether it helps: {}."
NOT_JUDGED = (
    "No template has two labelled slices: nobody can tell whether it helps. The weights are "
    "written, and not taken."
)


class FinetuneSection(Section):
    """Asks a session to fine-tune its backbone, and shows how it goes.

    ``said`` gives a line about what is wrong with what a person asked for; empty if nothing is.
    """

    said = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__(
            "Fine-tune on these images…",
            "The network gets to know your images, without labels.\n"
            "It helps most where they look unlike what it knows.",
        )
        self._session = session
        self.source = Choice(SOURCES)
        self.folder = PathField("folder of images")
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.1, 10_000)
        self.minutes.setDecimals(1)
        self.minutes.setValue(MINUTES)
        self.minutes.setSuffix(" min")
        self.about = Note()
        self.start = ActionButton(
            "Fine-tune",
            "The network learns from these images, without labels, beside all other work.\n"
            "Better weights are used at once; they are kept in the folder of weights.",
        )
        self.progress = ProgressRow()
        self.curve = QLabel()
        self.curve.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.curve.hide()
        self.form = Form()
        self.form.add("Images", self.source, "What the network learns from. No labels are needed.")
        self.form.add("Folder", self.folder, "Images in it, of any format that is read.")
        self.form.add("Time", self.minutes, "Most time. Stopped sooner, the best so far is kept.")
        self.add(self.form, self.about, self.start, self.progress, self.curve)
        self.source.activated.connect(self.show_state)
        self.folder.changed.connect(self.show_state)
        self.start.clicked.connect(self._on_start)
        listen(self, session.events.job, self._on_job)
        listen(self, session.finetuning.drawn, self._show_curve)
        self.show_state()

    def show_state(self, *_: Any) -> None:
        """Show the session as it is now."""
        tuning, from_folder = self._session.finetuning, self.source.value == "folder"
        self.form.set_row_visible(self.folder, from_folder)
        probed = tuning.probed
        self.about.say(JUDGED.format(probed) if probed else NOT_JUDGED)
        missing = tuning.problem
        if from_folder and self.folder.path is None:
            missing = missing or "choose a folder"
        elif not from_folder and not tuning.images():
            missing = missing or "open an image"
        self.start.block("it runs" if tuning.jobs else missing)

    def _show_curve(self, curve: Array) -> None:
        pixels = np.ascontiguousarray(curve)
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        picture = QPixmap.fromImage(image.copy())  # the array goes
        room = self.curve.width() if self.curve.isVisible() else width
        if room < width:
            smooth = Qt.TransformationMode.SmoothTransformation
            picture = picture.scaledToWidth(max(room, 1), smooth)
        self.curve.setPixmap(picture)
        self.curve.setFixedHeight(picture.height())
        self.curve.show()

    def _on_start(self) -> None:
        folder = self.folder.path if self.source.value == "folder" else None
        try:
            self._session.finetuning.start(folder=folder, minutes=self.minutes.value())
        except FewShotError as error:
            self.said.emit(in_viewer(error))
            return
        self.said.emit("")

    def _on_job(self, job: Job) -> None:
        if job.stage == "finetune":
            if job.state in ("waiting", "running"):
                self.curve.hide()
                self.progress.follow(job)
            self.progress.refresh()
        self.show_state()
