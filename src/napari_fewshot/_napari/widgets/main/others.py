"""Section *Other images*: those that are open, or the files of a folder, with one click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QListWidget, QListWidgetItem

from ....jobs import TABLE
from ..parts.forms import ActionButton, Form, Note, PathField, Section
from ..parts.progress import ProgressRow
from ..parts.tables import ROW_HEIGHT, disc

if TYPE_CHECKING:
    from .host import MainDock

__all__ = ["OthersSection"]

MAX_ROWS_SHOWN = 8
COLOURS = {
    "waiting": "#808890",
    "running": "#e0a030",
    "done": "#2e9e5b",
    "failed": "#d05050",
    "left": "#3f7fd0",
}
WORDS = {
    "waiting": "waiting",
    "running": "in work",
    "done": "labelled",
    "failed": "failed",
    "left": "left as it was",
}


class OthersSection(Section):
    """Labels many images as one job, and lists what became of each."""

    stages = ("batch",)

    def __init__(self, dock: MainDock) -> None:
        super().__init__("Other images", "Label images with what was learned")
        self._dock = dock
        self.open_images = ActionButton(
            "All open images", "Label all open images that have no labels yet, one after another."
        )
        self.folder = ActionButton(
            "Folder of files…", "Label all images of a folder; results are files NAME_labels."
        )
        self.out = PathField("beside the images")
        self.progress = ProgressRow()
        self.list = QListWidget()
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumWidth(60)
        self.counts = Note()
        self.review = ActionButton(
            "Look through them", "Open the results as a list, those of least confidence first."
        )
        form = Form()
        form.add("Results to", self.out, "Folder of the labels of files; empty: beside the images.")
        self.add(self.open_images, self.folder, form, self.progress)
        self.add(self.list, self.counts, self.review)
        self.open_images.clicked.connect(lambda: dock.attempt(dock.session.batch.label))
        self.folder.clicked.connect(self._on_folder)
        self.review.clicked.connect(self._on_review)

    def show_state(self) -> None:
        """Show the session as it is now."""
        session = self._dock.session
        untaught = "" if session.model is not None else "learn first"
        found = session.batch.open_images() if not untaught else []
        few = "" if found else "all open images have labels"
        self.open_images.block(untaught or few)
        count = f" ({len(found)})" if found else ""
        self.open_images.setText(f"All open images{count}")
        self.folder.block(untaught)
        self._show_items()
        table = session.batch.folder
        self.review.setVisible(table is not None and (table / TABLE).is_file())

    def _show_items(self) -> None:
        items = self._dock.session.batch.items
        self.list.setVisible(bool(items))
        self.list.clear()
        for one in items:
            about = one.note or WORDS[one.state]
            item = QListWidgetItem(QIcon(disc(COLOURS[one.state])), one.name)
            item.setToolTip(f"{one.name}: {about}")
            self.list.addItem(item)
        self.list.setFixedHeight(min(len(items), MAX_ROWS_SHOWN) * ROW_HEIGHT + 6)
        counted = {state: sum(one.state == state for one in items) for state in WORDS}
        words = [f"{n} {WORDS[state]}" for state, n in counted.items() if n]
        self.counts.say(", ".join(words))
        failed = next((one for one in items if one.state == "failed"), None)
        if failed is not None:
            self.counts.say(f"{', '.join(words)}. {failed.name}: {failed.note}", wrong=True)

    def _on_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of images", str(Path.home()))
        if chosen:
            self.label_files(Path(chosen))

    def label_files(self, folder: Path) -> None:
        """Label the images of a folder."""
        self._dock.attempt(self._dock.session.batch.files, folder, self.out.path)

    def _on_review(self) -> None:
        folder = self._dock.session.batch.folder
        if folder is not None:
            review = self._dock.open_dock("Review list")
            review.open_table(folder / TABLE)
