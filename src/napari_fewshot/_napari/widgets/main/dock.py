"""Dock "Few-shot segmentation": all that is needed, from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

from ...sample_data import TORSO
from ..dock import SessionDock
from ..parts.connections import listen
from ..parts.forms import ActionButton, Note, Section
from ..parts.progress import estimate
from .correct import MainCorrectSection
from .labels import LabelsSection
from .learn import LearnSection
from .others import OthersSection
from .save import SaveSection

if TYPE_CHECKING:
    from ...session import Job
    from ...session.jobs import Stage

__all__ = ["FewShotSegmentation"]

PLUGIN = "napari-fewshot"
NO_IMAGE = "Open an image: drop its file on the viewer. Or begin with the sample."


class FewShotSegmentation(SessionDock):
    """Labels, learning, corrections, other images, files: one session, shared with all docks."""

    stages = LearnSection.stages
    resumes = True

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        # Layers themselves, not what napari hands to plugins in their place.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.in_view = Note()
        self.sample = ActionButton("Open the sample", "A computed CT of a torso, partly painted.")
        self.labels = LabelsSection(self)
        self.learn = LearnSection(self)
        self.correct = MainCorrectSection(self)
        self.others = OthersSection(self)
        self.save = SaveSection(self)
        self._unfolded: set[Section] = set()
        self._moving: tuple[Job, Any, Any] | None = None
        self.add(self.in_view, self.sample, self.labels, self.learn, self.correct, self.others)
        self.add(self.save, self.status)
        self._connect()
        self.show_state()

    @property
    def image(self) -> Any:
        """The image in view: that of the active layer, else the topmost that is visible."""
        return self.session.labelling.image_in_view()

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
        self.in_view.say(NO_IMAGE if image is None else f"Image in view: {_short(image.name)}")
        self.in_view.setToolTip("" if image is None else image.name)
        self.labels.show_state()
        self.learn.show_state()
        self.correct.show_state(self._why_no_update())
        self.others.show_state()
        self.save.show_state()
        result = None if image is None else session.result_layer(image)
        self._unfold(self.labels, self.learn)
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

    # What sections ask for

    def show_time(self, note: Note, stage: Stage, image: Any) -> None:
        """Say how long a stage should take."""
        cost = self.session.estimate(stage, image)
        note.say(estimate(cost.seconds, cost.megabytes))

    def open_dock(self, name: str) -> QWidget:
        """Open another dock of this plugin, in front."""
        frame, dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        frame.show()
        frame.raise_()
        found: QWidget = dock
        return found

    def paint_in_result(self, job: Job, image: Any, before: Any) -> None:
        """When the first labels of an image come, go on painting in them: paint is in them too."""
        if self.session.result_layer(image) is None:
            self._moving = job, image, before
        self._move_to_result()

    def _move_to_result(self) -> None:
        if self._moving is None:
            return
        job, image, before = self._moving
        result = self.session.result_layer(image) if image in self.viewer.layers else None
        if result is None:
            self._moving = None if job.is_over else self._moving
            return
        self._moving = None
        mine = [x.labels for x in self.session.templates if x.image is image]
        if not any(before is one for one in (image, *mine)):
            return
        for layer in mine:
            if layer._type_string == "labels":
                layer.visible = False
        self.viewer.layers.selection.active = result
        if before._type_string == "labels":
            result.selected_label, result.brush_size = before.selected_label, before.brush_size
            result.mode = before.mode

    def _show_all(self) -> None:
        self._move_to_result()
        super()._show_all()

    def forget_what_was_done(self) -> None:
        """Nothing says that something is done while something else is wrong."""
        super().forget_what_was_done()
        self.others.progress.forget()

    def _on_job(self, job: Job) -> None:
        if job.stage in self.others.stages and job.state in ("waiting", "running"):
            self.others.progress.follow(job)
        self.others.progress.refresh()
        super()._on_job(job)


def _short(name: str, longest: int = 34) -> str:
    """A name with its middle left out where it is long: words do not break."""
    half = longest // 2 - 1
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"
