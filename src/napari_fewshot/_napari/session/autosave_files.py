"""Templates, results and the model in a folder: kept as they change, opened again on request."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FewShotError, InputError
from ...io.outputs import replacing
from .saved_parts import SavedScores, about_image, scores_from
from .slicing import Key, Slicing
from .spares import Spares
from .teaching import Provenance, provenance_of

__all__ = [
    "Autosave",
    "SavedLayer",
    "SavedSession",
    "base_in",
    "holds_session",
    "latest_autosave",
    "model_in",
    "new_autosave",
    "read_autosave",
    "restore_layer",
    "restore_provenance",
    "saved_at",
]

FORMAT = 1
_KEPT = 10
_JSON = "session.json"
_ARRAYS = "labels.zarr"
_SCORES = "scores.npz"
_MODEL = "model.fewshot"
_BASE = "opened.fewshot"
"""What the model goes on from, whose templates are not in the folder."""
_CONFIDENCE = "{}-confidence"
_OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-confidence)?")
"""Names of arrays: the identity of a layer."""


class SavedLayer:
    """A labels layer as it is at this moment: voxels and all that is known of them, by value.

    ``role`` is template or result, ``kind`` that of a template; ``copied`` copies an array.
    ``confidence`` is the layer beside a result, None for none.
    """

    def __init__(
        self,
        layer: Any,
        image: Any,
        role: str,
        kind: str = "dense",
        copied: Callable[[Any], Any] = np.array,
        confidence: Any = None,
    ) -> None:
        provenance = provenance_of(layer)
        if provenance is None:
            raise InputError("layer", "belong to the session", layer.name)
        self.name = str(layer.unique_id)
        self.data: Any = copied(provenance.data)
        self.confidence: Any = None if confidence is None else copied(confidence.data)
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


@dataclass(frozen=True)
class SavedSession:
    """All that is worth keeping, as it is at one moment.

    ``points`` as of :func:`.about_points`; ``more`` are other values (JSON); ``model`` is fitted.
    """

    layers: Sequence[SavedLayer]
    points: Sequence[dict[str, Any]] = ()
    scores: Sequence[SavedScores] = ()
    more: dict[str, Any] = field(default_factory=dict)
    model: Any = None


class Autosave:
    """Writes to one folder; after the first time only the slices that have changed.

    Runs on the worker. Slices are chunks of a zarr array, each replaced as a whole, and the
    description is written last. ``is_mine`` is False while the folder holds a session that was
    neither written nor opened here. ``spares`` copies, on the GUI thread, what is to be written, so
    that no stroke during a save gets into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_mine = not holds_session(folder)
        self._written: dict[tuple[str, Key], int] = {}
        self.spares = Spares()

    def write(self, session: SavedSession) -> None:
        """Write what was taken of a session; FewShotError if it cannot."""
        layers = session.layers
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_folder()
            described = [
                {
                    **layer.about,
                    "array": layer.name,
                    "strokes": self._write_strokes(layer),
                    "confidence": layer.confidence is not None,
                }
                for layer in layers
            ]
            for layer in layers:
                self._write_planes(layer.name, layer.data, layer.slicing)
                if layer.confidence is not None:
                    # Half the precision: nobody sees a difference.
                    name = _CONFIDENCE.format(layer.name)
                    self._write_planes(name, layer.confidence, layer.slicing, np.float16)
            self._write_scores(session.scores)
            if session.model is not None:
                session.model.save(self.folder / _MODEL)
            base = None if session.model is None else session.model.base_
            if base is not None:
                base.save(self.folder / _BASE)
            content = {
                "format": FORMAT,
                "saved": time.time(),
                "has_model": session.model is not None,
                "has_base": base is not None,
                "layers": described,
                "points": list(session.points),
                "slice_scores": [one.about for one in session.scores],
                **session.more,
            }
            with replacing(self.folder / _JSON) as temporary:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
            self._prune([one.name for one in layers])
            self.is_mine = True
        except OSError as error:
            raise FewShotError(
                f"The session could not be saved to {self.folder}: {error.strerror or error}. "
                "Choose another folder."
            ) from error
        finally:
            self.spares.keep([array for one in layers for array in (one.data, one.confidence)])

    def _check_folder(self) -> None:
        """Before the first save: what lies there under our names, and is no session, stays."""
        if self._written:
            return
        description = self.folder / _JSON
        foreign = [description] if description.exists() and not _is_session(description) else []
        # Of a save that was cut short there are labels, which come first.
        if not description.exists() and not (self.folder / _ARRAYS).is_dir():
            models = (self.folder / _MODEL, self.folder / _BASE)
            foreign += [model for model in models if model.exists()]
        if foreign:
            given, remedy = f"{foreign[0]}, which is none of one", "Choose another folder."
            raise InputError("folder", "hold nothing but a session of its own", given, remedy)

    def _write_planes(self, name: str, data: Any, slicing: Slicing, dtype: Any = None) -> None:
        """Write the slices that are not as they were written last."""
        dtype = np.dtype(data.dtype if dtype is None else dtype)
        array = self._array(name, data.shape, dtype, slicing)
        for key in (key for lead in slicing.leads() for key in slicing.keys(lead)):
            plane = np.ascontiguousarray(slicing.plane(data, key))
            digest = zlib.crc32(plane.tobytes())
            if self._written.get((name, key)) != digest:
                array[slicing.index(key)] = plane.astype(dtype, copy=False)
                self._written[name, key] = digest

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any, slicing: Slicing) -> Any:
        """Array of a layer in the folder, a new one where there is none that fits."""
        import zarr
        from zarr.codecs import ZstdCodec

        path = self.folder / _ARRAYS / name
        if path.exists():
            array = zarr.open_array(str(path))
            if array.shape == shape and array.dtype == dtype:
                return array
            shutil.rmtree(path)
        self._written = {k: v for k, v in self._written.items() if k[0] != name}
        chunks = [1] * slicing.leading + list(slicing.shape[slicing.leading :])
        if slicing.layer_axis is not None:
            chunks[slicing.layer_axis] = 1
        return zarr.create_array(
            str(path),
            shape=shape,
            chunks=tuple(chunks),
            dtype=dtype,
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

    def _write_scores(self, scores: Sequence[SavedScores]) -> None:
        """Write what describes slices, an array for each of the scores."""
        with replacing(self.folder / _SCORES) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, *(one.descriptors for one in scores))

    def _prune(self, names: Sequence[str]) -> None:
        """Remove what belongs to no layer any more: a restored layer has a name of its own."""
        kept = {*names, *(_CONFIDENCE.format(name) for name in names)}
        for path in (self.folder / _ARRAYS).glob("*"):
            if _OURS.fullmatch(path.name) and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("strokes-*.npz"):
            name = path.stem.removeprefix("strokes-")
            if _OURS.fullmatch(name) and name not in kept:
                path.unlink(missing_ok=True)


def model_in(folder: Path) -> Path | None:
    """File of the model that was saved in a folder, if there was one."""
    path = folder / _MODEL
    return path if path.is_file() else None


def base_in(folder: Path) -> Path | None:
    """File of what that model goes on from, if there was one."""
    path = folder / _BASE
    return path if path.is_file() else None


def read_autosave(folder: Path) -> dict[str, Any]:
    """Read a folder: the description, each layer with ``data`` and ``stroke_planes``.

    A result has its confidence, or None, as ``confidence``; ``slice_scores`` are as they were
    saved. InputError if it is no such folder, or is damaged; what is not painted or predicted
    (confidence, scores) is left out where it is.
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
            name = _CONFIDENCE.format(layer["array"]) if layer.get("confidence") else None
            layer["confidence"] = name and _confidence_in(folder / _ARRAYS / name)
        content["slice_scores"] = _scores_in(folder, content.get("slice_scores", ()))
    except InputError:
        raise
    except Exception as error:  # zarr and numpy raise whatever a damaged file makes of them
        raise InputError("folder", "hold a saved session", f"{folder} ({error})") from error
    return content


def _confidence_in(path: Path) -> Any:
    import zarr

    try:
        return np.asarray(zarr.open_array(str(path), mode="r")[...], np.float32)
    except Exception:  # whatever zarr makes of a damaged file
        return None


def _scores_in(folder: Path, about: Sequence[dict[str, Any]]) -> list[SavedScores]:
    if not about:
        return []
    try:
        with np.load(folder / _SCORES, allow_pickle=False) as found:
            return [scores_from(one, found[f"arr_{k}"]) for k, one in enumerate(about)]
    except Exception:  # whatever numpy makes of a damaged file
        return []


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


def saved_at(folder: Path) -> float:
    """When the session in a folder was saved, in seconds since the epoch."""
    return (folder / _JSON).stat().st_mtime


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
