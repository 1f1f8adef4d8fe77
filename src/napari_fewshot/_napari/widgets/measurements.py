"""Dock "Measurements": touching objects separated, and a table of labels or objects."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

from ...config import ObjectsConfig
from ...objects.table import as_text, write_table
from ..session.jobs import Job
from .dock import SessionDock, is_plain_image
from .parts.choices import LayerChoice
from .parts.forms import ActionButton, Choice, Form, Note, Section, row
from .parts.measured import MeasuredTable
from .parts.settings_form import SettingsForm

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Measurements"]

SETTINGS = ("by", "neck", "sigma", "borders", "overlap")
TABLES = "Table (*.csv)"


class Measurements(SessionDock):
    """Separate touching objects of a labels layer, and measure labels or objects."""

    stages = ("measure",)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.labels = LayerChoice(self.viewer, ["labels"], prefer=lambda layer: layer.visible)
        self.image = LayerChoice(self.viewer, ["image"], none="none", prefer=is_plain_image)
        self.smallest, self.largest, self.proposal = QLineEdit(), QLineEdit(), Note()
        self._proposed = ""
        self.settings = SettingsForm(ObjectsConfig, SETTINGS)
        self.rows = Choice(
            (
                ("each label", False, "One row for each label value."),
                ("each object", True, "A row for each connected part of each label."),
            )
        )
        self.unit = Choice((text, text, "") for text in ("auto", "mm", "um", "pixels"))
        self.separate = ActionButton(
            "Separate into objects",
            "Cut touching objects where they are narrow, into a new labels layer.",
        )
        self.measure = ActionButton(
            "Measure", "Volume, centre, box, and intensity in the image, if one is chosen."
        )
        self.table = MeasuredTable()
        self.about = Note()
        self.copy = ActionButton("Copy", "Copy the table, for a spreadsheet.")
        self.save = ActionButton("Save CSV ...", "Save the table as CSV.")
        self._found: pd.DataFrame | None = None
        self._fill()
        self._connect()
        self._propose()
        self.show_state()

    def _fill(self) -> None:
        form, sizes, measures = Form(), Form(), Form()
        form.add("Labels", self.labels, "Labels layer whose labels or objects are meant.")
        form.add("Image", self.image, "Image of the same grid; none: geometry alone decides.")
        units = "In voxels (pixels in 2D), or with a unit: 50um3, 0.2mm3, 9um2."
        self.smallest.setPlaceholderText("no limit")
        self.largest.setPlaceholderText("no limit")
        sizes.add("Smallest", self.smallest, f"Smaller objects are left out. {units}")
        sizes.add_wide(self.proposal)
        sizes.add("Largest", self.largest, f"Larger objects are left out. {units}")
        measures.add("A row for", self.rows, "What the table has a row for.")
        measures.add("Unit", self.unit, "Unit of lengths; auto: µm for microscopy, else mm.")
        more = Section("How objects are cut", "Where, and how smoothly", self.settings)
        self.add(form, sizes, more, self.separate, measures, self.measure)
        self.add(self.progress, self.status, self.table, self.about, row(self.copy, self.save))

    def _connect(self) -> None:
        for choice in (self.labels, self.image):
            choice.chosen.connect(self.show_state)
        self.labels.chosen.connect(self._propose)
        self.smallest.textChanged.connect(lambda _: self._show_proposal())
        self.separate.clicked.connect(self._on_separate)
        self.measure.clicked.connect(self._on_measure)
        self.copy.clicked.connect(self._on_copy)
        self.save.clicked.connect(self._on_save)

    def show_state(self) -> None:
        """Show the session as it is now."""
        missing = "" if self.labels.layer is not None else "make or open labels"
        self.separate.block(missing)
        self.measure.block(missing)
        empty = "" if self._found is not None and len(self._found) else "measure something"
        self.copy.block(empty)
        self.save.block(empty)

    def write_table(self, path: Path) -> None:
        """Write the table that is shown, whole or not at all."""
        if self._found is not None:
            write_table(path, self._found)

    def _propose(self) -> None:
        """Fill in the smallest size that painted slices speak for, unless a person wrote one."""
        if self.labels.layer is None or self.smallest.text() != self._proposed:
            return
        size = self.session.objects.proposed_min_size(self.labels.layer)
        self._proposed = str(size) if size else ""
        self.smallest.setText(self._proposed)
        self._show_proposal()

    def _show_proposal(self) -> None:
        is_ours = bool(self._proposed) and self.smallest.text() == self._proposed
        self.proposal.say(
            "Proposed: a quarter of a typical one that you painted." if is_ours else ""
        )

    def _on_separate(self) -> None:
        settings = {**self.settings.values()}
        for name, field in (("min_size", self.smallest), ("max_size", self.largest)):
            if field.text().strip():
                settings[name] = field.text().strip()
        act = partial(self.session.objects.separate, self.labels.layer, self.image.layer)
        self.attempt(act, **settings)

    def _on_measure(self) -> None:
        act = partial(self.session.objects.measure, self.labels.layer, self.image.layer)
        self.attempt(act, objects=self.rows.value, unit=self.unit.value)

    def _on_job(self, job: Job) -> None:
        super()._on_job(job)
        if job.stage == "measure" and job.state == "done" and job.name.startswith("Measuring"):
            self._found = job.result
            self.table.show_table(job.result)
            count = len(job.result)
            self.about.say(f"{count} row{'' if count == 1 else 's'}: {job.name[10:]}")

    def _on_copy(self) -> None:
        if self._found is not None:
            QApplication.clipboard().setText(as_text(self._found, "\t"))

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", "measurements.csv", TABLES)
        if path:
            self.attempt(self.write_table, Path(path))
