"""Dock "Few-shot segmentation": all that is needed, from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...sample_data import TORSO
from ...wording import shortened
from ..parts.connections import listen
from ..parts.forms import ActionButton, Note, Section
from .correct import MainCorrectSection
from .found import FoundSection
from .host import PLUGIN, MainDock
from .labels import LabelsSection
from .learn import LearnSection
from .others import OthersSection
from .save import SaveSection

if TYPE_CHECKING:
    from ...session import Job

__all__ = ["FewShotSegmentation"]

NO_IMAGE = "Open an image: drop its file on the viewer. Or begin with the sample."


class FewShotSegmentation(MainDock):
    """Labels, learning, corrections, other images, files: one session, shared with all docks."""

    stages = LearnSection.stages
    resumes = True

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.in_view = Note()
        self.sample = ActionButton("Open the sample", "A computed CT of a torso, partly painted.")
        self.labels = LabelsSection(self)
        self.learn = LearnSection(self)
        self.found = FoundSection(self)
        self.correct = MainCorrectSection(self)
        self.others = OthersSection(self)
        self.save = SaveSection(self)
        self._unfolded: set[Section] = set()
        self.add(self.in_view, self.sample, self.labels, self.learn, self.found, self.correct)
        self.add(self.others, self.save, self.status)
        self._connect()
        self.show_state()

    def _connect(self) -> None:
        events, viewer = self.session.events, self.viewer
        active = viewer.layers.selection.events.active
        for emitter in (events.slices, events.trained, events.scored, events.propagated, active):
            listen(self, emitter, self.show_soon)
        listen(self, viewer.dims.events.order, self.show_soon)
        self.sample.clicked.connect(lambda: viewer.open_sample(PLUGIN, TORSO))

    def show_state(self) -> None:
        """Show the session as it is now."""
        session, image = self.session, self.image
        self.sample.setVisible(image is None)
        self.in_view.say(
            NO_IMAGE if image is None else f"Image in view: {shortened(image.name, 34)}"
        )
        self.in_view.setToolTip("" if image is None else image.name)
        self.labels.show_state()
        self.learn.show_state()
        self.found.show_state()
        self.correct.show_state(self._why_no_update())
        self.others.show_state()
        self.save.show_state()
        result = None if image is None else session.result_layer(image)
        self._unfold(self.labels, self.learn, self.found)
        if result is not None:
            self._unfold(self.correct, self.save)
        if session.model is not None:
            self._unfold(self.others)

    def _why_no_update(self) -> str:
        session = self.session
        if self.image is None:
            return "open an image"
        if not session.templates:
            return "paint something"
        return "" if session.model is not None else "learn and label first"

    def _unfold(self, *sections: Section) -> None:
        """Open sections when they are of use for the first time."""
        for section in sections:
            if section not in self._unfolded:
                self._unfolded.add(section)
                section.expand(animate=False)

    def forget_what_was_done(self) -> None:
        """Nothing says that something is done while something else is wrong."""
        super().forget_what_was_done()
        self.others.progress.forget()

    def _on_job(self, job: Job) -> None:
        if job.stage in self.others.stages and job.state in ("waiting", "running"):
            self.others.progress.follow(job)
        self.others.progress.refresh()
        super()._on_job(job)
