"""Data sets of HDF5 files, through h5py, an optional dependency (extra ``hdf5``).

A path is that of the file, where it holds a single image, or leads on to a data set:
``FILE.h5/volumes/raw``. Axes are as the file names them (``axistags`` of ilastik and vigra, labels
of dimension scales); without names they are (Z, Y, X) or (Y, X), with channels last, or first of
four axes. Channels become a last axis, time points need ``frame``, axes of one are dropped. The
spacing is that of the attribute ``element_size_um``, else 1; there is no orientation. What is large
is read block by block, when it is needed. Data that lie in other files are refused.
"""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import arrays
from ..errors import InputError, UnreadableFileError
from ..types import Array, Volume
from .axes import Transposed, plan_axes
from .checks import as_image, block_name
from .formats import Format, split_inside
from .reading import check_room, damaged, telling_damage

__all__ = ["ENTRIES"]

_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_CHANNELS = 4
_MAX_LISTED = 12
_MM_PER_UM = 1e-3


class _Dataset:
    """A data set of a file that is opened for each index, so that others may write to it."""

    def __init__(self, path: Path, node: Any) -> None:
        self._path, self._name = path, node.name
        self.shape, self.dtype = tuple(node.shape), node.dtype

    def __getitem__(self, index: tuple[slice | int, ...]) -> Array:
        with (
            telling_damage(
                self._path,
                "HDF5",
                lambda path, title, what: damaged(path, title, f"{self._name}: {what}"),
            ),
            import_module("h5py").File(self._path, "r") as opened,
        ):
            return np.asarray(opened[self._name][index])


def _require_h5py(path: Path) -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise InputError(
            str(path),
            "be of a format that is read without h5py (NIfTI, TIFF, PNG, JPEG)",
            "an HDF5 file; h5py is not installed",
            'Install it: pip install "napari-fewshot[hdf5]".',
        ) from error


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    h5py = _require_h5py(path)
    file, inner = split_inside(path)
    with telling_damage(file, "HDF5"), h5py.File(file, "r") as opened:
        node = _find(h5py, path, opened, inner)
        _check_readable(h5py, path, node)
        axes = _axes(path, node)
        order, index, has_channels = plan_axes(path, axes, node.shape, frame)
        sizes = _sizes(node)
        native = node.chunks or (1,) * node.ndim
        check_room(file, math.prod(native) * node.dtype.itemsize)
        source = Transposed(_Dataset(file, node), order, index)
        name = block_name(file, node.name, index, order)
    data = arrays.lazy_array(source, source.reordered(native), name)
    if data.nbytes <= arrays.LARGE:
        data = arrays.read(data)
    spatial = len(order) - int(has_channels)
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=sizes[3 - spatial :],
        has_channels=has_channels,
        source=path,
    )


def _find(h5py: Any, path: Path, opened: Any, inner: str) -> Any:
    """The data set that a path names, or the only one that may be an image."""
    named = opened.get(inner) if inner else opened
    if named is not None and named.file.filename != opened.filename:
        raise _elsewhere(path, f"/{inner}, which leads to {named.file.filename}")
    if isinstance(named, h5py.Dataset):
        if not _may_be_image(named):
            given = f"/{inner} of shape {named.shape} and type {named.dtype}"
            raise InputError(str(path), "be numbers along two axes or more", given)
        return named
    found = _images(h5py, opened if named is None else named)
    if named is not None and len(found) == 1:
        return found[0]
    remedy = ""
    if found:
        listed = ", ".join(f"{node.name} {node.shape} {node.dtype}" for node in found[:_MAX_LISTED])
        more = f" and {len(found) - _MAX_LISTED} more" if found[_MAX_LISTED:] else ""
        example = f"{split_inside(path)[0]}{found[0].name}"
        remedy = f"Give one, such as {example}. There are: {listed}{more}."
    if named is None:
        raise InputError(str(path), "name data that are in the file", f"/{inner}", remedy)
    given = f"{len(found)} images" if found else "no image"
    raise InputError(str(path), "hold one image, or lead on to one of its images", given, remedy)


def _images(h5py: Any, group: Any) -> list[Any]:
    """What may be images below a group, without what is linked from elsewhere."""
    found: list[Any] = []

    def look(_: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and _may_be_image(node):
            found.append(node)

    group.visititems(look)
    return found


def _may_be_image(node: Any) -> bool:
    shape = node.shape or ()
    return node.dtype.kind in "buif" and len(shape) >= 2 and sum(size > 1 for size in shape) >= 2


def _check_readable(h5py: Any, path: Path, node: Any) -> None:
    """Refuse, before the work, what lies in other files or is of an unknown compression."""
    if node.external or node.is_virtual:
        raise _elsewhere(path, f"{node.name}, which lies in other files")
    plan = node.id.get_create_plist()
    for number in range(plan.get_nfilters()):
        code, _, _, title = plan.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            name = title.decode(errors="replace") or f"filter {code}"
            raise UnreadableFileError(
                str(path),
                "be of a compression that is read",
                name,
                "Import hdf5plugin before, or save the data with gzip or without compression.",
            )


def _elsewhere(path: Path, given: str) -> UnreadableFileError:
    remedy = "Copy the data into one file, or give the file that they lie in."
    return UnreadableFileError(str(path), "hold its data itself", given, remedy)


def _axes(path: Path, node: Any) -> str:
    """A letter for each axis: as the file names them, else by their number and lengths."""
    named = _axes_in_tags(node.attrs.get("axistags"))
    if len(named) != node.ndim:
        named = [dimension.label for dimension in node.dims]
    letters = "".join(named).upper()
    if len(letters) == node.ndim and set(letters) <= set("TZYXCS"):
        return letters
    # Axes of one are dropped, whatever they are.
    long = [axis for axis, size in enumerate(node.shape) if size > 1]
    sizes = tuple(node.shape[axis] for axis in long)
    found = {2: "YX", 3: "ZYX", 4: "ZYXC" if sizes[-1] <= _MAX_CHANNELS else "CZYX"}.get(len(sizes))
    if len(sizes) == 3 and _is_colour(sizes, node.dtype):
        found = "YXC"
    if found is None or (found == "CZYX" and sizes[0] > _MAX_CHANNELS):
        raise InputError(
            str(path),
            "name its axes, where there are more than three",
            f"{node.name} of shape {node.shape}",
            'Give it an attribute axistags, {"axes": [{"key": "t"}, {"key": "z"}, ...]}.',
        )
    rest = iter("abdefghijklmn")
    return "".join(found[long.index(k)] if k in long else next(rest) for k in range(node.ndim))


def _is_colour(shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether three axes are rows, columns and colours, by the rule for arrays."""
    return Volume.of(np.broadcast_to(np.zeros(1, dtype), shape)).has_channels


def _axes_in_tags(tags: Any) -> list[str]:
    """Names of axes as vigra and ilastik write them; none where it is something else."""
    try:
        return [str(axis["key"]) for axis in json.loads(tags)["axes"]]
    except (ValueError, TypeError, LookupError):
        return []


def _sizes(node: Any) -> tuple[float, float, float]:
    """Spacing in mm along (z, y, x), as plant-seg, the plugin of ImageJ and others write it."""
    try:
        given = np.asarray(node.attrs.get("element_size_um", ()), np.float64).ravel()
    except (ValueError, TypeError):
        given = np.zeros(0)
    sizes = [float(s) * _MM_PER_UM if np.isfinite(s) and s > 0 else 1.0 for s in given]
    if len(sizes) == 2:
        sizes = [1.0, *sizes]
    return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 else (1.0, 1.0, 1.0)


ENTRIES = {
    "hdf5": Format(
        "HDF5",
        (".hdf5", ".hdf", ".h5"),
        lambda head: head.startswith(_MAGIC),
        _read,
        None,
        labels_suffix=".nii.gz",
        not_written=".nii.gz, .tif or .ome.zarr: HDF5 is read, not written",
        leads_on=True,
    )
}
