"""Work that was saved is opened again: on request, or offered when its image is opened."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import FewShotError, InputError
from ....segmenter import FewShotSegmenter
from ...layers import geometry_of
from ..jobs import Callbacks, Job, JobRunner
from ..pairs import PairController
from ..result_layers import ResultLayers
from ..state import State
from ..teaching import is_result, provenance_of
from ..training import TrainingController
from ..view import View
from .folder import (
    holds_session,
    latest_autosave,
    read_autosave,
    restore_layer,
    restore_provenance,
    saved_at,
)
from .parts import SavedScores, about_image, held_out_from, points_of
from .storage import SessionStorage, autosave_root

__all__ = ["RestoreController", "Unfinished"]

_UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a description that was damaged, or made by somebody else, may end in."""


@dataclass(frozen=True)
class Unfinished:
    """Work on an image that was saved, and is not open.

    Parameters
    ----------
    image : napari.layers.Image
    folder : Path
    saved : datetime
        When it was saved last, in local time.
    """

    image: Any
    folder: Path
    saved: datetime

    @property
    def when(self) -> str:
        """The time, with the day unless it is today: ``"11:55"``, ``"3 May, 11:55"``."""
        return _in_words(self.saved)


class RestoreController:
    """Reads what was saved on a worker, and adds what is not open yet."""

    def __init__(
        self,
        state: State,
        runner: JobRunner,
        view: View,
        training: TrainingController,
        pairs: PairController,
        storage: SessionStorage,
    ) -> None:
        self._state, self._runner, self._view = state, runner, view
        self._training, self._pairs, self._storage = training, pairs, storage
        self._left: weakref.WeakSet[Any] = weakref.WeakSet()  # images whose work is left alone

    def latest(self, image: Any) -> Path | None:
        """The autosave folder where something is saved, else that of the last session."""
        if holds_session(self._storage.folder):
            return self._storage.folder
        return None if image is None else latest_autosave(autosave_root(), image)

    def unfinished(self, image: Any) -> Unfinished | None:
        """Saved work on an image on which nothing has been begun here; None: on any image."""
        state = self._state
        if image is None:
            layers = reversed(self._view.viewer.layers)
            images = [one for one in layers if one._type_string == "image" and not is_result(one)]
            return next((found for one in images if (found := self.unfinished(one))), None)
        if image in self._left or state.entries_of(image):
            return None
        if state.result_of(image) is not None:
            return None
        folder = latest_autosave(autosave_root(), image)
        if folder is None or folder == self._storage.folder:
            return None
        return Unfinished(image, folder, datetime.fromtimestamp(saved_at(folder)))

    def leave(self, image: Any) -> None:
        """Offer saved work on an image no longer."""
        self._left.add(image)
        self._state.events.layers.emit()

    def restore(self, folder: str | os.PathLike[str] | None, image: Any) -> Job:
        """Read a folder on the worker, then add its layers to the session."""
        path = self.latest(image) if folder is None else Path(folder)
        if path is None or not path.is_dir():
            raise InputError("folder", "hold a saved session", path or "none for this image")
        if path == self._storage.folder:
            self._storage.flush()  # what waits is newer than what is there
        read_model = self._training.reader()

        def work(job: Job) -> tuple[dict[str, Any], FewShotSegmenter | None]:
            content, model = read_autosave(path), None
            file = content["model"]
            if file is not None:
                try:
                    model = _on_its_base(read_model, file, content["base"])
                except FewShotError as error:  # paint is more: a model can be trained again
                    content["without_model"] = str(error)
            with _saved_in(path):
                for step in self._steps(content):
                    job.send(step)
            return content, model

        def piece(step: Callable[[], None]) -> None:
            with _saved_in(path):
                step()

        def done(found: tuple[dict[str, Any], FewShotSegmenter | None]) -> None:
            content, model = found
            with _saved_in(path):
                self._storage.adopt(path, self._first_image(content))
                if model is not None:
                    self._take_model(model, content)
            at = datetime.fromtimestamp(content.get("saved", time.time()))
            job.note = f"{_listed(_parts(content, model))} of {_in_words(at)}"
            if "without_model" in content:
                job.note += f", without the model: {content['without_model']}"
            self._state.events.settings.emit()

        job = Job("Restoring", "restore", work, Callbacks(piece=piece, done=done))
        return self._runner.start(job)

    def _first_image(self, content: dict[str, Any]) -> Any:
        kept = [*content["layers"], *content.get("points", ())]
        return self._image_for(kept[0]["image"]) if kept else None

    def _take_model(self, model: FewShotSegmenter, content: dict[str, Any]) -> None:
        scores = held_out_from(content.get("held_out"), model.weights_)
        self._training.take(model, scores)
        pairs = content.get("renumbered", ())
        self._state.renumbered = {int(here): int(there) for here, there in pairs}

    def _steps(self, content: dict[str, Any]) -> Iterator[Callable[[], None]]:
        """What adds what was saved, but nothing twice, on the GUI thread.

        A layer in each step, so that the viewer goes on between them.
        """
        yield partial(self._begin, content)
        for saved in content["layers"]:
            if saved["role"] == "result":
                yield partial(self._show_result, saved)
                yield partial(self._show_confidence, saved)
            else:
                yield partial(self._show_template, saved)
        for saved in content.get("points", ()):
            found = saved["role"] == "landmarks"
            yield partial(self._show_landmarks if found else self._show_points, saved)
        yield partial(self._take_found, content.get("found_points", ()))
        yield partial(self._take_scores, content["slice_scores"])

    def _begin(self, content: dict[str, Any]) -> None:
        """Join channels again; all images are there, before the first layer is added."""
        for channels in content.get("channels", ()):
            self._state.channels.join([self._image_for(one) for one in channels])
        for saved in (*content["layers"], *content.get("points", ())):
            self._image_for(saved["image"])

    def _show_template(self, saved: dict[str, Any]) -> None:
        image = self._image_for(saved["image"])
        layer = self._open_layer(saved, image) or self._added(saved, image)
        self._pairs.add(image, layer, saved["kind"], saved["provenance"]["axis"])

    def _show_points(self, saved: dict[str, Any]) -> None:
        image = self._image_for(saved["image"])
        self._pairs.add(image, self._points_layer(saved), "points", saved["axis"])

    def _show_result(self, saved: dict[str, Any]) -> None:
        state, viewer = self._state, self._view.viewer
        image = self._image_for(saved["image"])
        before, level = state.result_of(image), _level_of(image, saved["data"].shape)
        layer = self._open_layer(saved, image)
        result = before
        if result is None or result.labels is not layer or layer is None:
            state.retire_result(image)
            result = ResultLayers(viewer, image, level)
            if before is not None and before.labels is None:  # what is left of one that went
                result.take_landmarks(before)
            result.labels = layer or self._added(saved, image)
            state.results[id(image)] = result

    def _show_confidence(self, saved: dict[str, Any]) -> None:
        confidence = saved.get("confidence")
        result = self._state.result_of(self._image_for(saved["image"]))
        if result is None or confidence is None or confidence.shape != saved["data"].shape:
            return
        result.make_confidence()
        result.confidence.data[...] = confidence
        result.confidence.refresh()

    def _show_landmarks(self, saved: dict[str, Any]) -> None:
        state, (points, features, _) = self._state, points_of(saved)
        image = self._image_for(saved["image"])
        result = state.result_of(image)
        if result is None:
            result = state.results[id(image)] = ResultLayers(self._view.viewer, image)
        result.add_landmarks(points, features)

    def _take_found(self, saved: Sequence[dict[str, Any]]) -> None:
        """Candidates of landmarks, and those that were not found, beside what is there of them."""
        for one in saved:
            with suppress(InputError):  # an image of which nothing else was saved
                result = self._state.result_of(self._image_for(one["image"]))
                if result is not None:
                    result.found.take(one)

    def _take_scores(self, saved: Sequence[SavedScores]) -> None:
        state = self._state
        for one in saved:
            with suppress(InputError):  # an image of which nothing else was saved
                noted = state.scores_of(self._image_for(one.image), one.lead, one.axis)
                noted.update({score.index: score for score in one.scores})
        state.events.slices.emit()
        state.events.propagated.emit()

    def _added(self, saved: dict[str, Any], image: Any) -> Any:
        """A new layer of saved labels."""
        shape = saved["data"].shape
        geometry = geometry_of(image, _level_of(image, shape), len(shape))
        return restore_layer(self._view.viewer, saved, geometry)

    def _open_layer(self, saved: dict[str, Any], image: Any) -> Any:
        """Open layer that is just as the saved one; its marks are taken over. None: there is none.

        A template is known by its name, a result by its image.
        """
        result, owners = self._state.result_of(image), self._state.images_of
        own = None if result is None else result.labels
        layers: Sequence[Any] = [one for one in self._view.viewer.layers if one is not own]
        for layer in [own, *layers] if own is not None else layers:
            if layer._type_string != "labels" or layer.multiscale:
                continue
            named = layer.name == saved["name"]
            mine = layer is own or (named and is_result(layer) and not owners(layer))
            fits = mine if saved["role"] == "result" else named and not is_result(layer)
            if fits and np.array_equal(layer.data, saved["data"]):
                if not _knows(layer, saved):
                    restore_provenance(layer, saved)
                return layer
        return None

    def _points_layer(self, saved: dict[str, Any]) -> Any:
        """Open points layer that is as the saved one, else a new one."""
        points, features, placed = points_of(saved)
        viewer = self._view.viewer
        there = [one for one in viewer.layers if one._type_string == "points"]
        for layer in [one for one in there if one.name == saved["name"]]:
            if np.array_equal(np.asarray(layer.data, float), points):
                return layer
        return viewer.add_points(points, name=saved["name"], features=features, **placed)

    def _image_for(self, about: dict[str, Any]) -> Any:
        """Open image layer that a saved one stands for, by file and shape, else by name.

        A layer of another file counts by its name only if the file that was saved was moved.
        """
        source, layers = about["source"], self._view.viewer.layers
        found = [(layer, about_image(layer)) for layer in layers if layer._type_string == "image"]
        found = [(layer, own) for layer, own in found if own["shape"] == about["shape"]]
        same = [(x, own) for x, own in found if source is not None and own["source"] == source]
        if same:  # channels of one file differ in their names
            return next((x for x, own in same if own["name"] == about["name"]), same[0][0])
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


@contextmanager
def _saved_in(path: Path) -> Iterator[None]:
    """What a description that is damaged ends in, is one error of its folder."""
    try:
        yield
    except FewShotError:
        raise
    except _UNFIT as error:
        given = f"{path} ({type(error).__name__}: {error})"
        raise InputError("folder", "hold a saved session", given) from error


def _on_its_base(
    read: Callable[[Path], FewShotSegmenter],
    file: Path,
    base: Path | None,
) -> FewShotSegmenter:
    """The model of a session, which goes on from what it did then: its templates are there too."""
    return read(file).with_base(None if base is None else read(base))


def _level_of(image: Any, shape: tuple[int, ...]) -> int:
    levels = image.data if image.multiscale else [image.data]
    return next((k for k, one in enumerate(levels) if tuple(one.shape) == tuple(shape)), 0)


def _knows(layer: Any, saved: dict[str, Any]) -> bool:
    """Whether what is known of a layer is what was saved: then it can still be undone."""
    found = provenance_of(layer)
    if found is None or found.to_json() != saved["provenance"]:
        return False
    strokes, other = found.stroke_planes(), saved["stroke_planes"]
    return strokes.keys() == other.keys() and all(
        np.array_equal(plane, other[key]) for key, plane in strokes.items()
    )


def _in_words(moment: datetime) -> str:
    today = moment.date() == datetime.now().date()
    day = "" if today else f"{moment.day} {moment:%b}, "
    return f"{day}{moment:%H:%M}"


def _parts(content: dict[str, Any], model: Any) -> list[str]:
    """What was saved, in words."""
    roles = [one["role"] for one in (*content["layers"], *content.get("points", ()))]
    counts = {role: roles.count(role) for role in ("template", "result")}
    words = [f"{n} {role}{'s' * (n > 1)}" for role, n in counts.items() if n]
    return [*words, *["landmarks"] * ("landmarks" in roles), *["the model"] * (model is not None)]


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
