"""The images of a run of ``predict``, one after the other in a viewer, to be corrected."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io import read_points, stem_of
from ...io.outputs import content_digest
from ...jobs.table import ImageResult, mark_reviewed, read_table, same_file, worst_first
from ..grid import grid_of
from ..layers import LayerData, label_names, landmarks_layer
from ..readers import read_image, read_label_map
from ..writers import write_labels_layer, write_points_layer
from .session import Session

__all__ = ["ReviewList"]

_FRAME = re.compile(r"_t(\d{3,})_labels")
"""Behind the name of the image, where the labels of each time point have a file."""


@dataclass
class _Saved:
    """A layer that goes back to the file that it came from."""

    layer: Any
    path: Path
    shown: str = ""
    stored: str | None = None

    def __post_init__(self) -> None:
        self.shown, self.stored = _digest(self.layer), content_digest(self.path)

    @property
    def changed(self) -> bool:
        """Whether somebody changed the layer since."""
        return _digest(self.layer) != self.shown

    def save(self) -> None:
        """Write it, if it was changed and the file was not."""
        if not self.changed:
            return
        if content_digest(self.path) != self.stored:
            raise InputError(
                str(self.path),
                "be as it was when it was opened",
                "a file that was changed by another program",
                "Save the layer under another name, then open the row again.",
            )
        data, options, kind = self.layer.as_layer_data_tuple()
        write = write_labels_layer if kind == "labels" else write_points_layer
        try:
            write(str(self.path), data, options)
        except OSError as error:
            raise InputError(
                str(self.path), "be a file that can be written", error.strerror or error
            ) from None
        self.__post_init__()


@dataclass
class _Opened:
    """Layers of a row, and those of them that are saved."""

    layers: list[Any] = field(default_factory=list)
    saved: list[_Saved] = field(default_factory=list)


class ReviewList:
    """A table of results, worst first, and what is open of it.

    A row that is left takes its own layers with it and no others; those that the session learns
    from, or has a result for, stay, hidden. Changed layers are never dropped here: whoever leaves a
    row asks first (:attr:`unsaved`).

    Parameters
    ----------
    session : Session
        The session of the viewer.
    viewer : napari.Viewer
    """

    def __init__(self, session: Session, viewer: Any) -> None:
        self._session = session
        self._viewer = getattr(viewer, "__wrapped__", viewer)  # layers themselves, no proxies
        self.table: Path | None = None
        self.rows: list[ImageResult] = []
        self.current: int | None = None
        self._opened: dict[str, _Opened] = {}

    @property
    def row(self) -> ImageResult | None:
        """The row that is open."""
        return None if self.current is None else self.rows[self.current]

    @property
    def unsaved(self) -> list[Path]:
        """Files of the open row whose layers were changed."""
        return [] if self.row is None else [one.path for one in self._changed([_key(self.row)])]

    @property
    def unsaved_anywhere(self) -> list[Path]:
        """Files whose layers were changed, also of rows that were left with layers in use."""
        return [one.path for one in self._changed(self._opened)]

    def open(self, table: Path) -> None:
        """Show another table; the open row is closed."""
        rows = worst_first(read_table(table, bad_rows=True))
        self.leave()
        self._opened = {key: one for key, one in self._opened.items() if self._there(one.layers)}
        self.table, self.rows = table, rows

    def show(self, index: int) -> None:
        """Open image, labels and landmarks of a row, in place of those of the row before.

        Raises
        ------
        InputError
            If a file cannot be read; what can be read is open.
        """
        self.leave()
        self.current, row = index, self.rows[index]
        opened = self._opened.get(_key(row))
        if opened is not None and self._there(opened.layers) == opened.layers:
            for layer in opened.layers:
                layer.visible = True
            self._face(opened)
        else:
            opened = self._opened[_key(row)] = _Opened()
            try:
                self._read(row, opened)
            except OSError as error:
                raise InputError(
                    str(row.image), "be files that can be read", error.strerror or error
                ) from None
            finally:
                self._face(opened)

    def leave(self) -> None:
        """Take the layers of the open row out of the viewer, or hide them where they are in use."""
        if self.row is None:
            return
        opened, self.current = self._opened[_key(self.row)], None
        layers = self._there(opened.layers)
        if self._in_use(layers):
            for layer in layers:
                layer.visible = False
            return
        self._opened = {key: one for key, one in self._opened.items() if one is not opened}
        for layer in layers:
            self._viewer.layers.remove(layer)

    def save(self) -> None:
        """Write what was changed to its files, and mark the row as reviewed in the table.

        Raises
        ------
        InputError
            If there is nothing to save, or a file cannot be written or was changed by others; the
            layers stay as they are.
        """
        row = self.row
        if row is None or self.table is None or row.labels is None:
            raise InputError("row", "have labels", "none", "Open a row that has some.")
        saved = self._opened[_key(row)].saved
        if not any(one.path == row.labels and self._there([one.layer]) for one in saved):
            raise InputError(
                f"labels {row.labels.name}", "be open", "no layer", "Open the row again."
            )
        self.save_files()
        mark_reviewed(self.table, row.labels)
        self._read_again()

    def save_files(self, *, everywhere: bool = False) -> None:
        """Write what was changed, also of rows that were left, without a mark in the table."""
        keys = [_key(self.row)] if self.row is not None and not everywhere else [*self._opened]
        for one in self._changed(keys):
            one.save()

    def _changed(self, keys: Any) -> Iterator[_Saved]:
        for key in keys:
            for one in self._opened[key].saved:
                if self._there([one.layer]) and one.changed:
                    yield one

    def _read_again(self) -> None:
        """Show what others have changed in the table; the open row stays the open one."""
        if self.table is None or self.row is None:
            return
        key = _key(self.row)
        rows = worst_first(read_table(self.table, bad_rows=True))
        places = [n for n, row in enumerate(rows) if _key(row) == key]
        if places:
            self.rows, self.current = rows, places[0]

    def _read(self, row: ImageResult, opened: _Opened) -> None:
        self._add(opened, read_image(_there(row.image), _frame_of(row)))
        if row.labels is None:
            return
        labels = read_label_map(_there(row.labels))
        self._add(opened, labels, row.labels)
        # Of several time points there is one file of landmarks each, and the table has the first.
        if row.landmarks is not None and labels[0][0].ndim <= 3:
            data, options, _ = labels[0]
            like = grid_of(options, data.shape, data.ndim)
            marks = read_points(_there(row.landmarks), like)
            layer = landmarks_layer(marks, like, stem_of(row.landmarks))
            self._add(opened, [layer], row.landmarks)

    def _add(self, opened: _Opened, found: list[LayerData], path: Path | None = None) -> None:
        from napari.layers import Layer

        for data in found:
            layer = self._viewer.add_layer(Layer.create(*data))
            opened.layers.append(layer)
            if path is not None:
                opened.saved.append(_Saved(layer, path))

    def _face(self, opened: _Opened) -> None:
        """Show the slice with most labels, which are ready to be painted on."""
        if not opened.layers:
            return
        self._viewer.reset_view()
        image = opened.layers[0]
        labels = next((one for one in opened.layers if one._type_string == "labels"), None)
        if labels is None:
            return
        self._viewer.layers.selection.active = labels
        axis, spatial = self._session.settings.axis, min(3, labels.ndim)
        axis = self._session.sliced_axis(image) if axis is None else min(axis, spatial - 1)
        if axis is None or spatial < 3:
            return
        across = tuple(k for k in range(labels.ndim) if k != axis + labels.ndim - spatial)
        counts = np.count_nonzero(labels.data, axis=across)
        self._session.go_to(int(counts.argmax()) if counts.any() else len(counts) // 2, image)

    def _in_use(self, layers: list[Any]) -> bool:
        session = self._session
        used = [layer for entry in session.templates for layer in (entry.image, entry.labels)]
        used += [layer for job in session.jobs for layer in job.layers]
        return any(
            any(layer is one for one in used)
            or session.images_of(layer)
            or (layer._type_string == "image" and session.result_layer(layer) is not None)
            for layer in layers
        )

    def _there(self, layers: list[Any]) -> list[Any]:
        """Those that nobody has removed."""
        return [layer for layer in layers if layer in self._viewer.layers]


def _key(row: ImageResult) -> str:
    return same_file(row.labels or row.image)


def _frame_of(row: ImageResult) -> int | None:
    """Time point that the labels are of, where they are of one of several."""
    name = "" if row.labels is None else stem_of(row.labels)
    found = _FRAME.fullmatch(name.removeprefix(stem_of(row.image)))
    return None if found is None else int(found[1])


def _there(path: Path) -> Path:
    if not path.exists() and not path.parent.exists():
        raise InputError(
            str(path),
            "be an existing file",
            "no such folder",
            "The table names files as seen from its own folder: open it where predict wrote it.",
        )
    return path


def _digest(layer: Any) -> str:
    """What a person can change in a layer and a file holds."""
    found = hashlib.blake2b(np.ascontiguousarray(layer.data).data)
    text = str(label_names(layer.features)) if layer._type_string == "labels" else ""
    if layer._type_string == "points":
        text = str(layer.features.to_csv())
    found.update(text.encode())
    return found.hexdigest()
