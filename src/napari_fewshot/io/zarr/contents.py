"""What a Zarr group holds, where it is not one image: a plate, a well, series, label images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ...errors import UnreadableFileError
from .arrays import holds_zarr, open_node

__all__ = [
    "arrays_in",
    "below",
    "images_below",
    "images_of_plate",
    "images_of_series",
    "images_of_well",
    "label_groups",
    "ome_attributes",
]

# How deep images are looked for in groups that say nothing, and how many are enough.
_DEEPEST = 3
_MAX_GROUPS = 20


def ome_attributes(group: Any) -> Mapping[str, Any]:
    """Return OME metadata of a group: those of 0.5 and later lie under a key of their own."""
    attributes: Mapping[str, Any] = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def label_groups(folder: Path) -> list[Path]:
    """Label images in a folder ``labels``: those that its metadata list, else all."""
    if not folder.is_dir():
        return []
    listed = None
    if holds_zarr(folder):  # some programs write no metadata for it
        node: Any = open_node(folder)
        if not hasattr(node, "members"):
            return []
        listed = ome_attributes(node).get("labels")
    names = listed if isinstance(listed, list) else sorted(p.name for p in folder.iterdir())
    places = [below(folder, str(name)) for name in names]
    return [place for place in places if holds_zarr(place)]


def images_of_series(path: Path, node: Any) -> list[Path]:
    """Images of a file that bioformats2raw converted."""
    if not {"bioformats2raw.layout", "series"} & set(ome_attributes(node)):
        return []
    listed = None
    if holds_zarr(path / "OME"):
        listed = ome_attributes(open_node(path / "OME")).get("series")
    names = listed or sorted((p.name for p in path.iterdir() if p.name.isdecimal()), key=int)
    places = [below(path, str(name)) for name in names]
    return [place for place in places if holds_zarr(place)]


def images_of_plate(path: Path, plate: Any) -> list[Path]:
    """Images of the first well of a plate, else its wells."""
    wells = _paths(plate, "wells", path)
    return [image for well in wells[:1] for image in images_of_well(well)] or wells


def images_of_well(well: Path) -> list[Path]:
    """Images of a well, as its metadata list them."""
    if not holds_zarr(well):
        return []
    return _paths(ome_attributes(open_node(well)).get("well", {}), "images", well)


def _paths(content: Any, key: str, folder: Path) -> list[Path]:
    listed: Iterable[Any] = content.get(key) or () if isinstance(content, Mapping) else ()
    return [below(folder, str(one["path"])) for one in listed if isinstance(one, Mapping)]


def images_below(path: Path) -> list[Path]:
    """Images in a group that says nothing of them, as far as a few levels deep."""
    found: list[Path] = []
    for image in _images_in(path, _DEEPEST):
        found.append(image)
        if len(found) == _MAX_GROUPS:
            break
    return found


def _images_in(path: Path, depth: int) -> Iterator[Path]:
    for child in sorted(path.iterdir()):
        if not child.is_dir() or not holds_zarr(child):
            continue
        node: Any = open_node(child)
        if not hasattr(node, "members"):
            continue
        if "multiscales" in ome_attributes(node):
            yield child
        elif depth > 1:
            yield from _images_in(child, depth - 1)


def arrays_in(path: Path, group: Any) -> list[Path]:
    """Arrays of a group, by name."""
    members = sorted(group.members())
    return [path / name for name, child in members if not hasattr(child, "members")]


def below(folder: Path, name: str) -> Path:
    """What the metadata of a group name, which must be in it."""
    parts = PurePosixPath(name).parts
    if not parts or PureWindowsPath(name).is_absolute() or {"..", "/"} & set(parts) or "\\" in name:
        raise UnreadableFileError(
            str(folder), "name arrays and groups that are in it", name, "Put the data into it."
        )
    return folder / name
