"""What a session keeps in files: autosave, save on request, restore."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from ...errors import InputError
from ..layers import geometry_of
from .autosave_files import (
    Autosave,
    SavedLayer,
    about_image,
    holds_session,
    latest_autosave,
    new_autosave,
    read_autosave,
    restore_layer,
    restore_provenance,
)
from .jobs import Callbacks, Job, JobRunner, single_shot
from .result_layers import ResultLayers
from .state import State
from .teaching import Provenance
from .templates import TemplateEntry
from .view import View

__all__ = ["SessionStorage"]

_SOON_MS = 2000
_AT_LATEST_S = 10.0
"""A person who paints without a pause is saved now and then."""


class SessionStorage:
    """Writes and reads what a session is worth keeping.

    ``chosen``: somebody chose the folder, so that it is not set by itself.
    """

    def __init__(self, state: State, runner: JobRunner, view: View) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._autosave: Autosave | None = None
        self._timer: Any = None
        self._since = 0.0
        self._paused = False
        self._first: Any = None  # image that the folder was made for
        self.chosen = False

    @property
    def folder(self) -> Path | None:
        """Folder of the autosave."""
        return None if self._autosave is None else self._autosave.folder

    @folder.setter
    def folder(self, folder: Path | None) -> None:
        if folder is not None and folder.exists() and not folder.is_dir():
            raise InputError("autosave_folder", "be a folder", folder)
        self._autosave = None if folder is None else Autosave(folder)

    def after_results(self, image: Any) -> None:
        """Autosave from the first result on, to a folder of its own."""
        if self._autosave is None and not self.chosen and image is not None:
            self.folder, self._first = new_autosave(_root(), image), weakref.ref(image)
            self._state.events.settings.emit()
        self.soon()

    def soon(self) -> None:
        """Autosave when nothing has changed for a moment."""
        if self._autosave is None or self._paused:
            return
        if self._timer is None:
            self._timer = single_shot(_SOON_MS, self._on_timer)
        now = time.monotonic()
        if not self._timer.isActive():
            self._since = now
        if now - self._since < _AT_LATEST_S:
            self._timer.start()

    def flush(self) -> None:
        """Save now what waits for its moment."""
        if self._timer is not None and self._timer.isActive():
            self._timer.stop()
            self._save_if_any()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What ends because layers go is no change to save: the other layers may go next."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def let_go(self, layer: Any) -> None:
        """A layer was removed: the work on another image goes to a folder of its own."""
        if self._first is not None and self._first() is layer and not self.chosen:
            self.folder = self._first = None
            self._state.events.settings.emit()

    def save(self, folder: str | os.PathLike[str] | None) -> Job:
        """Write all, as it is at this moment, to a folder, on the worker."""
        autosave = self._to(folder)
        layers, model = self._layers(autosave.copied), self._state.model
        more = {"config": self._state.settings.config.model_dump(mode="json")}

        def work(job: Job) -> Path:
            autosave.write(layers, more, model)
            return autosave.folder

        return self._runner.start(Job("Saving", "save", work))

    def _to(self, folder: str | os.PathLike[str] | None) -> Autosave:
        if self._autosave is not None and (folder is None or Path(folder) == self.folder):
            return self._autosave
        if folder is None:
            raise InputError("folder", "be given, or an autosave folder be set", "none")
        return Autosave(Path(folder))

    def latest(self, image: Any) -> Path | None:
        """The autosave folder where something is saved, else that of the last session."""
        if holds_session(self.folder):
            return self.folder
        return None if image is None else latest_autosave(_root(), image)

    def restore(self, folder: str | os.PathLike[str] | None, image: Any, session: Any) -> Job:
        """Read a folder on the worker, then add its layers to the session."""
        path = self.latest(image) if folder is None else Path(folder)
        if path is None or not path.is_dir():
            raise InputError("folder", "hold a saved session", path or "none for this image")

        def done(content: dict[str, Any]) -> None:
            self._show(content, session)
            self.folder = path
            if (path / "model.fewshot").is_file():
                session.load_model(path / "model.fewshot")

        job = Job("Restoring", "save", lambda job: read_autosave(path), Callbacks(done=done))
        return self._runner.start(job)

    def close(self) -> None:
        """Save what waits, stop the timer."""
        self.flush()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _on_timer(self) -> None:
        if self._autosave is None:
            return
        busy = any(job.stage != "score" for job in self._runner.jobs)
        if busy or any(found.staged for found in self._provenances()):
            self.soon()  # what runs goes first, and a stroke is nobody's before it has ended
            return
        self._save_if_any()

    def _save_if_any(self) -> None:
        if self._autosave is not None and self._provenances():  # it may be off by now
            self.save(None)  # else what was kept of layers that are gone would be lost

    def _provenances(self) -> list[Provenance]:
        """Of all layers that are kept."""
        kept: list[TemplateEntry | ResultLayers] = [*self._state.entries]
        kept += self._state.results.values()
        return [found for one in kept if (found := one.provenance) is not None]

    def _layers(self, copied: Callable[[Any], Any]) -> list[SavedLayer]:
        state = self._state
        found = [
            SavedLayer(entry.labels, entry.image, "template", entry.kind, copied)
            for entry in state.entries
            if entry.kind != "points"
        ]
        names = {layer.name for layer in found}
        for result in state.results.values():
            if result.provenance is not None and str(result.labels.unique_id) not in names:
                found.append(SavedLayer(result.labels, result.image, "result", copied=copied))
        return found

    def _show(self, content: dict[str, Any], session: Any) -> None:
        state, viewer = self._state, self._view.viewer
        images = [self._image_for(layer["image"]) for layer in content["layers"]]
        for saved, image in zip(content["layers"], images, strict=True):
            shape = tuple(saved["data"].shape)
            levels = image.data if image.multiscale else [image.data]
            level = next((k for k, one in enumerate(levels) if tuple(one.shape) == shape), 0)
            geometry = geometry_of(image, level, len(shape))
            layer = self._same(saved) or restore_layer(viewer, saved, geometry)
            if saved["role"] == "result":
                state.retire_result(image)
                result = ResultLayers(viewer, image, level)
                result.labels = layer
                state.results[id(image)] = result
            else:
                session.add_template(
                    image, layer, kind=saved["kind"], axis=saved["provenance"]["axis"]
                )
        state.events.slices.emit()

    def _same(self, saved: dict[str, Any]) -> Any:
        """Open template layer that is just as the saved one; its marks are taken over."""
        layers = self._view.viewer.layers
        if saved["role"] != "template" or saved["name"] not in layers:
            return None
        layer = layers[saved["name"]]
        if layer._type_string != "labels" or not np.array_equal(layer.data, saved["data"]):
            return None
        restore_provenance(layer, saved)
        return layer

    def _image_for(self, about: dict[str, Any]) -> Any:
        """Open image layer that a saved one stands for, by file and shape, else by name.

        A layer of another file counts by its name only if the file that was saved was moved.
        """
        source, layers = about["source"], self._view.viewer.layers
        found = [(layer, about_image(layer)) for layer in layers if layer._type_string == "image"]
        found = [(layer, own) for layer, own in found if own["shape"] == about["shape"]]
        for layer, own in found:
            if source is not None and own["source"] == source:
                return layer
        moved = source is None or not Path(source).exists()
        for layer, own in found:
            if own["name"] == about["name"] and (moved or own["source"] is None):
                return layer
        raise InputError(
            "images",
            f"be open: {about['name']} of shape {tuple(about['shape'])}",
            [layer.name for layer in layers],
            f"Open {source} first." if source else "Open it first.",
        )


def _root() -> Path:
    named = os.environ.get("NAPARI_FEWSHOT_DATA")
    return Path(named) if named else platformdirs.user_data_path("napari-fewshot") / "autosave"
