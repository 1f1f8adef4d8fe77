"""What a session keeps in files: autosave, and save on request."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from ....errors import InputError
from ...preferences import preferences
from ..jobs import Job, JobRunner, single_shot
from ..result_layers import ResultLayers
from ..state import State
from ..teaching import Provenance
from ..templates import TemplateEntry
from .folder import Autosave, SavedLayer, SavedSession, new_autosave
from .parts import SavedScores, about_image, about_points, held_out_to

__all__ = ["SessionStorage", "autosave_root"]

_SOON_MS = 2000
_AT_LATEST_S = 10.0
"""A person who paints without a pause is saved now and then."""


class SessionStorage:
    """Writes what a session is worth keeping.

    ``chosen``: somebody chose the folder, so that it is not set by itself.
    """

    def __init__(self, state: State, runner: JobRunner) -> None:
        self._state, self._runner = state, runner
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
        if folder is None or folder != self.folder:
            self._autosave = None if folder is None else Autosave(folder)

    def adopt(self, folder: Path, image: Any) -> None:
        """Go on saving to a folder whose session was opened, until its image goes."""
        if folder != self.folder:
            self.chosen = False
        self.folder = folder
        self._first = None if image is None else weakref.ref(image)
        if self._autosave is not None:
            self._autosave.is_mine = True

    def after_results(self, image: Any) -> None:
        """Autosave from the first result on, to a folder of its own."""
        wanted = self._autosave is None and not self.chosen and image is not None
        if wanted and preferences().autosave:
            self.folder, self._first = new_autosave(autosave_root(), image), weakref.ref(image)
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
            self._autosave.spares.reserve(self._arrays())
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
        taken = self._taken(autosave.spares.copied)

        def work(job: Job) -> Path:
            autosave.write(taken)
            return autosave.folder

        return self._runner.start(Job("Saving", "save", work))

    def _to(self, folder: str | os.PathLike[str] | None) -> Autosave:
        if self._autosave is not None and (folder is None or Path(folder) == self.folder):
            return self._autosave
        if folder is None:
            raise InputError("folder", "be given, or an autosave folder be set", "none")
        return Autosave(Path(folder))

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
        mine = self._autosave is not None and self._autosave.is_mine  # it may be off by now
        if mine and self._has_any():  # else what was kept of layers that are gone would be lost
            self.save(None)

    def _has_any(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self._state.entries or self._provenances())

    def _arrays(self) -> list[Any]:
        """Arrays of all layers that are kept."""
        results = self._state.results.values()
        layers = [entry.labels for entry in self._state.entries if entry.kind != "points"]
        layers += [one.labels for one in results if one.labels is not None]
        layers += [one.confidence for one in results if one.has_confidence]
        different = {id(layer): layer for layer in layers}
        return [layer.data for layer in different.values()]

    def _provenances(self) -> list[Provenance]:
        """Of all layers that are kept."""
        kept: list[TemplateEntry | ResultLayers] = [*self._state.entries]
        kept += self._state.results.values()
        return [found for one in kept if (found := one.provenance) is not None]

    def _taken(self, copied: Callable[[Any], Any]) -> SavedSession:
        """All that is kept, as it is now; nothing of it changes afterwards."""
        state = self._state
        held_out = None if state.scores is None else held_out_to(state.scores)
        more = {
            "config": state.settings.config.model_dump(mode="json"),
            "held_out": held_out,
            "channels": [
                [about_image(one) for one in channels] for channels in state.channels.sets
            ],
            "renumbered": [[here, there] for here, there in state.renumbered.items()],
            "found_points": [
                {"image": about_image(result.image), **result.found.about()}
                for result in state.results.values()
                if not result.found.is_empty
            ],
        }
        layers = self._layers(copied)
        return SavedSession(layers, self._points(), self._scores(), more, state.model)

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
                beside = result.confidence if result.has_confidence else None
                made = SavedLayer(
                    result.labels, result.image, "result", copied=copied, confidence=beside
                )
                found.append(made)
        return found

    def _points(self) -> list[dict[str, Any]]:
        """Points that teach, and landmarks that were found."""
        taught = [
            about_points(entry.labels, entry.image, "template", entry.slicing.axis)
            for entry in self._state.entries
            if entry.kind == "points"
        ]
        found = [about_points(r.landmarks, r.image, "landmarks", 0) for r in self._found_points()]
        return [*taught, *found]

    def _found_points(self) -> list[ResultLayers]:
        """Results with a layer of landmarks."""
        return [r for r in self._state.results.values() if r.has_landmarks]

    def _scores(self) -> list[SavedScores]:
        """Scores of slices of images that are worked on."""
        images = {id(entry.image): entry.image for entry in self._state.entries}
        images |= {id(result.image): result.image for result in self._state.results.values()}
        return [
            SavedScores(about_image(images[number]), lead, axis, tuple(scores.values()))
            for (number, lead, axis), scores in self._state.slice_scores.items()
            if scores and number in images
        ]


def autosave_root() -> Path:
    """Folder below which sessions are saved by themselves."""
    named = os.environ.get("NAPARI_FEWSHOT_DATA")
    return Path(named) if named else platformdirs.user_data_path("napari-fewshot") / "autosave"
