"""Templates, results and the model in a folder: kept as they change, opened again on request."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FewShotError, InputError
from ...io.outputs import replacing
from .slicing import Key, Slicing
from .teaching import Provenance, provenance_of

__all__ = [
    "Autosave",
    "SavedLayer",
    "about_image",
    "holds_session",
    "latest_autosave",
    "new_autosave",
    "read_autosave",
    "restore_layer",
    "restore_provenance",
]

FORMAT = 1
_KEPT = 10
_JSON = "session.json"
_ARRAYS = "labels.zarr"
_MODEL = "model.fewshot"


class SavedLayer:
    """A labels layer as it is at this moment: voxels and all that is known of them, by value.

    ``role`` is template or result, ``kind`` that of a template; ``copied`` copies the array.
    """

    def __init__(
        self,
        layer: Any,
        image: Any,
        role: str,
        kind: str = "dense",
        copied: Callable[[Any], Any] = np.array,
    ) -> None:
        provenance = provenance_of(layer)
        if provenance is None:
            raise InputError("layer", "belong to the session", layer.name)
        self.name = str(layer.unique_id)
        self.data: Any = copied(provenance.data)
        self.slicing: Slicing = provenance.slicing
        self.strokes = {key: plane.copy() for key, plane in provenance.stroke_planes().items()}
        self.about = {
            "name": layer.name,
            "role": role,
            "kind": kind,
            "image": about_image(image),
            "features": {str(c): _plain(layer.features[c]) for c in layer.features},
            "colours": _colours(layer),
            "provenance": provenance.to_json(),
        }


def about_image(image: Any) -> dict[str, Any]:
    """What an image is recognised by."""
    source = image.metadata.get("source") or image.source.path
    return {
        "name": image.name,
        "source": None if source is None else str(source),
        "shape": [int(n) for n in np.shape(image.data[0] if image.multiscale else image.data)],
    }


class Autosave:
    """Writes to one folder; after the first time only the slices that have changed.

    Runs on the worker. Slices are chunks of a zarr array, each replaced as a whole, and the
    description is written last.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[tuple[str, Key], int] = {}
        self._spare: list[Any] = []

    def copied(self, data: Any) -> Any:
        """On the GUI thread: copy an array, so that no stroke during a save gets into it.

        That goes into the memory of the last save: fresh memory takes several times as long.
        """
        if hasattr(data, "__dask_graph__"):  # what is painted there goes to a graph of its own
            return data.copy()
        for k, spare in enumerate(self._spare):
            if (spare.shape, spare.dtype) == (np.shape(data), data.dtype):
                del self._spare[k]
                spare[...] = data
                return spare
        return np.array(data)

    def write(self, layers: Sequence[SavedLayer], more: dict[str, Any], model: Any = None) -> None:
        """Write layers, other values (JSON) and a fitted model; FewShotError if it cannot."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_folder()
            described = [
                {**layer.about, "array": layer.name, "strokes": self._write_strokes(layer)}
                for layer in layers
            ]
            for layer in layers:
                self._write_labels(layer)
            if model is not None:
                model.save(self.folder / _MODEL)
            content = {"format": FORMAT, "saved": time.time(), "layers": described, **more}
            with replacing(self.folder / _JSON) as temporary:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        except OSError as error:
            raise FewShotError(
                f"The session could not be saved to {self.folder}: {error.strerror or error}. "
                "Choose another folder."
            ) from error
        finally:
            self._spare = [one.data for one in layers if isinstance(one.data, np.ndarray)]

    def _check_folder(self) -> None:
        """Before the first save: what lies there under our names, and is no session, stays."""
        if self._written:
            return
        description, model = self.folder / _JSON, self.folder / _MODEL
        foreign = [description] if description.exists() and not _is_session(description) else []
        # Of a save that was cut short there are labels, which come first.
        if model.exists() and not description.exists() and not (self.folder / _ARRAYS).is_dir():
            foreign.append(model)
        if foreign:
            given, remedy = f"{foreign[0]}, which is none of one", "Choose another folder."
            raise InputError("folder", "hold nothing but a session of its own", given, remedy)

    def _write_labels(self, layer: SavedLayer) -> None:
        """Write the slices that are not as they were written last."""
        name, data, slicing = layer.name, layer.data, layer.slicing
        array = self._array(name, data, slicing)
        for key in (key for lead in slicing.leads() for key in slicing.keys(lead)):
            plane = np.ascontiguousarray(slicing.plane(data, key))
            digest = zlib.crc32(plane.tobytes())
            if self._written.get((name, key)) != digest:
                array[slicing.index(key)] = plane
                self._written[name, key] = digest

    def _array(self, name: str, data: Any, slicing: Slicing) -> Any:
        """Array of a layer in the folder, a new one where there is none that fits."""
        import zarr
        from zarr.codecs import ZstdCodec

        path = self.folder / _ARRAYS / name
        if path.exists():
            array = zarr.open_array(str(path))
            if array.shape == data.shape and array.dtype == data.dtype:
                return array
            shutil.rmtree(path)
        self._written = {k: v for k, v in self._written.items() if k[0] != name}
        chunks = [1] * slicing.leading + list(slicing.shape[slicing.leading :])
        if slicing.layer_axis is not None:
            chunks[slicing.layer_axis] = 1
        return zarr.create_array(
            str(path),
            shape=data.shape,
            chunks=tuple(chunks),
            dtype=data.dtype,
            fill_value=0,
            compressors=ZstdCodec(level=0, checksum=True),  # damaged paint is not taken for paint
        )

    def _write_strokes(self, layer: SavedLayer) -> list[list[int]]:
        """Write the stroke planes of a layer; return their keys."""
        keys = sorted(layer.strokes)
        path = self.folder / f"strokes-{layer.name}.npz"
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, *(layer.strokes[key] for key in keys))
        return [list(key) for key in keys]


def read_autosave(folder: Path) -> dict[str, Any]:
    """Read a folder: the description, each layer with ``data`` and ``stroke_planes``.

    InputError if it is no such folder, or is damaged.
    """
    import zarr

    try:
        content: dict[str, Any] = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise InputError(
                "folder", "be of this version or an older one", folder, "Update napari-fewshot."
            )
        for layer in content["layers"]:
            stored = zarr.open_array(str(folder / _ARRAYS / layer["array"]), mode="r")
            layer["data"] = np.asarray(stored[...])
            keys = [tuple(key) for key in layer["strokes"]]
            with np.load(folder / f"strokes-{layer['array']}.npz", allow_pickle=False) as planes:
                layer["stroke_planes"] = {key: planes[f"arr_{k}"] for k, key in enumerate(keys)}
    except InputError:
        raise
    except Exception as error:  # zarr and numpy raise whatever a damaged file makes of them
        raise InputError("folder", "hold a saved session", f"{folder} ({error})") from error
    return content


def restore_layer(viewer: Any, saved: dict[str, Any], geometry: dict[str, Any]) -> Any:
    """Add a saved labels layer to the viewer, with its provenance."""
    colours = saved.get("colours")
    layer = viewer.add_labels(
        saved["data"],
        name=saved["name"],
        features=saved["features"],
        colormap=None if colours is None else {value: rgba for value, *rgba in colours},
        **geometry,
    )
    restore_provenance(layer, saved)
    return layer


def restore_provenance(layer: Any, saved: dict[str, Any]) -> None:
    """Give a layer that is as it was saved what was known of its slices."""
    state = saved["provenance"]
    slicing = Slicing(saved["data"].shape, int(state["axis"]))
    provenance = Provenance(layer, slicing, is_result=bool(state["is_result"]))
    provenance.from_json(state, saved["stroke_planes"])


def new_autosave(root: Path, image: Any) -> Path:
    """A folder that nobody has written to, for one image; the oldest but ten are removed."""
    folder = _of_image(root, image)
    for path in _saved_in(folder)[: -_KEPT + 1]:
        shutil.rmtree(path, ignore_errors=True)
    return folder / time.strftime("%Y-%m-%d-%H%M%S")


def holds_session(folder: Path | None) -> bool:
    """Whether a session was saved in a folder, and is still there."""
    return folder is not None and (folder / _JSON).is_file()


def latest_autosave(root: Path, image: Any) -> Path | None:
    """Folder of the last session with an image, or None."""
    found = _saved_in(_of_image(root, image))
    return found[-1] if found else None


def _is_session(description: Path) -> bool:
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        return isinstance(content["layers"], list) and "format" in content
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _saved_in(folder: Path) -> list[Path]:
    """Folders of the sessions with one image, the oldest first."""
    return [p.parent for p in sorted(folder.glob("*/" + _JSON), key=lambda p: p.stat().st_mtime)]


def _of_image(root: Path, image: Any) -> Path:
    about = about_image(image)
    text = json.dumps([about["source"] or about["name"], about["shape"]])
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", about["name"])[:40]
    return root / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _colours(layer: Any) -> list[list[Any]] | None:
    """Value, R, G, B, A of the colours that somebody chose; None for napari's own."""
    chosen = getattr(layer.colormap, "color_dict", None)
    if chosen is None:
        return None
    return [[value, *(float(part) for part in rgba)] for value, rgba in chosen.items()]


def _plain(column: Any) -> list[Any]:
    return [value.item() if hasattr(value, "item") else value for value in column]
