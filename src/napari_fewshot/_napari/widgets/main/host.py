"""What sections of the dock "Few-shot segmentation" ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dock import SessionDock
from ..parts.forms import Note
from ..parts.progress import estimate

if TYPE_CHECKING:
    from ...session import Job
    from ...session.jobs import Stage

__all__ = ["PLUGIN", "MainDock"]

PLUGIN = "napari-fewshot"


class MainDock(SessionDock):
    """The dock as its sections see it: the image in view, other docks, where painting goes on."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        # Layers themselves, not what napari hands to plugins in their place.
        self.viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._moving: tuple[Job, Any, Any] | None = None

    @property
    def image(self) -> Any:
        """The image in view: that of the active layer, else the topmost that is visible."""
        return self.session.labelling.image_in_view()

    def show_time(self, note: Note, stage: Stage, image: Any) -> None:
        """Say how long a stage should take."""
        cost = self.session.estimate(stage, image)
        note.say(estimate(cost.seconds, cost.megabytes))

    def open_dock(self, name: str) -> Any:
        """Open another dock of this plugin, in front."""
        frame, dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, name)
        frame.show()
        frame.raise_()
        return dock

    def paint_in_result(self, job: Job, image: Any, before: Any) -> None:
        """When the first labels of an image come, go on painting in them: paint is in them too."""
        clicks = self.session.clicks
        if self.session.result_layer(image) is None:
            before = clicks.into if clicks.image is image else before
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
        clicks = self.session.clicks
        if clicks.image is image:  # go on clicking there
            self.attempt(clicks.begin, image, into=result, method=clicks.method)

    def _show_all(self) -> None:
        self._move_to_result()
        super()._show_all()
