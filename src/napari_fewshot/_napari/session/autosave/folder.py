"""Templates, results and the model in a folder: kept as they change, opened again on request."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import FewShotError, InputError
from ....io.outputs import replacing
from ..slicing import Slicing
from ..teaching import Provenance, provenance_of
from .model import BASE, MODEL, model_of, place_model, settle_model, stage_model
from .parts import SavedScores, about_image, scores_from
from .planes import PlaneFiles, read_planes
from .spares import Spares

__all__ = [
    "Autosave",
    "SavedLayer",
    "SavedSession",
    "holds_session",
    "latest_autosave",
    "new_autosave",
    "read_autosave",
    "restore_layer",
    "restore_provenance",
    "saved_at",
]

FORMAT = 2
"""2: what was saved last stays until the next is whole. Folders of 1 are read."""
_KEPT = 10
_WRITING = threading.Lock()
"""Two viewers of one process may keep their work in one folder: one after the other."""
_JSON = "session.json"
_ARRAYS = "labels.zarr"
_CONFIDENCE = "{}-confidence"
_NPZ = re.compile(r"(scores|strokes-[0-9a-f-]{36})(-[0-9a-f]{16})?\.npz")
"""Names of archives: in those of format 1 there was no digest."""


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

    Runs on the worker. Nothing of the last save is touched before the description, which names all
    that belongs to it, is replaced. ``is_mine`` is False while the folder holds a session that was
    neither written nor opened here. ``spares`` copies, on the GUI thread, what is to be written, so
    that no stroke during a save gets into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_mine = not holds_session(folder)
        self._planes = PlaneFiles(folder / _ARRAYS)
        self._checked = False
        self.spares = Spares()

    def write(self, session: SavedSession) -> None:
        """Write what was taken of a session; FewShotError if it cannot."""
        with _WRITING:
            self._write(session)

    def _write(self, session: SavedSession) -> None:
        layers = session.layers
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_folder()
            self._planes.begin()
            described = [self._write_layer(layer) for layer in layers]
            scores = [one.descriptors for one in session.scores]
            base = None if session.model is None else session.model.base_
            models = {MODEL: session.model, BASE: base}
            digests = {
                name: None if one is None else stage_model(self.folder, one, name)
                for name, one in models.items()
            }
            content = {
                "format": FORMAT,
                "saved": time.time(),
                "has_model": session.model is not None,
                "has_base": base is not None,
                "model": digests[MODEL],
                "base": digests[BASE],
                "layers": described,
                "points": list(session.points),
                "slice_scores": [one.about for one in session.scores],
                "scores": self._write_arrays("scores", scores),
                **session.more,
            }
            with replacing(self.folder / _JSON) as temporary:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
            for name, digest in digests.items():
                if digest is not None:
                    place_model(self.folder, name)
            self._planes.kept()
            self._prune({content["scores"], *(one["strokes_file"] for one in described)})
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
        if self._checked:
            return
        description = self.folder / _JSON
        known = _description(description) if description.exists() else None
        foreign = [description] if description.exists() and known is None else []
        # Of a save that was cut short there are labels, which come first.
        if not description.exists() and not (self.folder / _ARRAYS).is_dir():
            models = (self.folder / MODEL, self.folder / BASE)
            foreign += [model for model in models if model.exists()]
        if foreign:
            given, remedy = f"{foreign[0]}, which is none of one", "Choose another folder."
            raise InputError("folder", "hold nothing but a session of its own", given, remedy)
        for part, name in (("model", MODEL), ("base", BASE)):
            settle_model(self.folder, None if known is None else known.get(part), name)
        self._checked = True

    def _write_layer(self, layer: SavedLayer) -> dict[str, Any]:
        """Write voxels and strokes of a layer; what describes it, and where they are."""
        planes = self._planes.write(layer.name, layer.data, layer.slicing)
        confidence = None
        if layer.confidence is not None:
            # Half the precision: nobody sees a difference.
            name = _CONFIDENCE.format(layer.name)
            confidence = self._planes.write(name, layer.confidence, layer.slicing, np.float16)
        keys = sorted(layer.strokes)
        strokes = [layer.strokes[key] for key in keys]
        return {
            **layer.about,
            **planes,
            "confidence": confidence,
            "strokes": [list(key) for key in keys],
            "strokes_file": self._write_arrays(f"strokes-{layer.name}", strokes),
        }

    def _write_arrays(self, name: str, arrays: Sequence[Any]) -> str:
        """Write arrays to a file whose name tells what is in it; return the name."""
        digest = hashlib.blake2b(digest_size=8)
        for one in arrays:
            digest.update(
                f"{one.dtype} {one.shape} ".encode() + np.ascontiguousarray(one).tobytes()
            )
        path = self.folder / f"{name}-{digest.hexdigest()}.npz"
        if not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, *arrays)
        return path.name

    def _prune(self, kept: set[str]) -> None:
        """Remove archives that the description does not name."""
        for path in self.folder.glob("*.npz"):
            if _NPZ.fullmatch(path.name) and path.name not in kept:
                path.unlink(missing_ok=True)


def read_autosave(folder: Path) -> dict[str, Any]:
    """Read a folder: the description, each layer with ``data`` and ``stroke_planes``.

    A result has its confidence, or None, as ``confidence``; ``slice_scores`` are as they were
    saved. InputError if it is no such folder, or is damaged; what is not painted or predicted
    (confidence, scores) is left out where it is.
    """
    try:
        content: dict[str, Any] = json.loads((folder / _JSON).read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise InputError(
                "folder", "be of this version or an older one", folder, "Update napari-fewshot."
            )
        for layer in content["layers"]:
            axis = int(layer["provenance"]["axis"])
            layer["data"] = read_planes(folder / _ARRAYS, layer, axis)
            keys = [tuple(key) for key in layer["strokes"]]
            file = _archive(folder, layer.get("strokes_file", f"strokes-{layer['array']}.npz"))
            with np.load(file, allow_pickle=False) as planes:
                layer["stroke_planes"] = {key: planes[f"arr_{k}"] for k, key in enumerate(keys)}
            layer["confidence"] = _confidence_in(folder / _ARRAYS, layer, axis)
        content["slice_scores"] = _scores_in(folder, content)
        # Without, there may be one of what was saved here before.
        for part, name, before in (("model", MODEL, True), ("base", BASE, False)):
            has = content.get(f"has_{part}", before)
            content[part] = model_of(folder, content.get(part), name) if has else None
    except InputError:
        raise
    except Exception as error:  # zarr and numpy raise whatever a damaged file makes of them
        raise InputError("folder", "hold a saved session", f"{folder} ({error})") from error
    return content


def _archive(folder: Path, name: str) -> Path:
    """Path of an archive that a description names, in its folder."""
    if not _NPZ.fullmatch(name):
        raise InputError("folder", "hold a saved session", f"the name {name}")
    return folder / name


def _confidence_in(arrays: Path, layer: dict[str, Any], axis: int) -> Any:
    about = layer.get("confidence")
    if about is True:  # of format 1
        about = {"array": _CONFIDENCE.format(layer["array"])}
    try:
        return None if not about else read_planes(arrays, about, axis).astype(np.float32)
    except Exception:  # whatever zarr makes of a damaged file
        return None


def _scores_in(folder: Path, content: dict[str, Any]) -> list[SavedScores]:
    about = content.get("slice_scores", ())
    if not about:
        return []
    try:
        file = _archive(folder, content.get("scores", "scores.npz"))
        with np.load(file, allow_pickle=False) as found:
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


def _description(path: Path) -> dict[str, Any] | None:
    """What describes a session; None where a file is none."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        is_one = isinstance(content["layers"], list) and "format" in content
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return content if is_one else None


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
