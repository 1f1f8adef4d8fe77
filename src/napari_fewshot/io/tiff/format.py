"""TIFF stacks of ImageJ, OME and plain kind, through tifffile.

A file has one series, at full resolution where it is a pyramid, or several whose pages are alike
and make a stack; of others, ``FILE.tif/N`` is one. Axes are as the file names them: Z is
depth, and so is a stack of pages without a name. Colour samples and channels become a last axis;
alpha is dropped. Time points need ``frame``. Axes of one are dropped. There is no orientation; the
spacing is that of the OME or ImageJ metadata or of the resolution tags (see
:func:`~.calibration.read_calibration`), 1 where there is none. Values are those stored, also of
palette images. Of more than 64 MB, pages, strips and tiles are read when they are needed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

import numpy as np

from ... import arrays
from ...errors import InputError
from ...types import Array, Volume
from ..axes import Transposed, plan_axes
from ..blocks import slabs
from ..calibration import (
    Calibration,
    imagej_arguments,
    is_known,
    ome_metadata,
    read_calibration,
)
from ..checks import DEFLATE_LIMIT, as_image, block_name, file_beside
from ..formats import Format, split_inside
from ..outputs import replacing
from ..reading import check_room, damaged, telling_damage
from .chain import check_chain
from .packed import is_packed, unpacked_page
from .pages import array_of, unreadable
from .series import JoinedSeries, find_series

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["ENTRIES"]

_LOGGER = logging.getLogger(__name__)
_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_IMAGEJ_DTYPES = (np.uint8, np.uint16, np.float32)
_IMAGEJ_LARGEST = 2**32 - 2**25
_ALPHA = (1, 2)
# By how much a compression can shrink: none, LZW, Deflate (two numbers), PackBits.
_LIMITS = {1: 1, 5: 2731, 8: DEFLATE_LIMIT, 32946: DEFLATE_LIMIT, 32773: 64}
_TIME_HINT = "If the frames are slices, name the axis Z (ImageJ: Image > Properties)."
# tifffile goes on where pages or frames are missing, and only says so in its log.
_SIGNS_OF_DAMAGE = ("invalid", "corrupted", "failed", "missing", "out of range", "does not match")


@dataclass(frozen=True)
class _TiffHeader:
    """What is kept of a file to write results with the same voxel size and kind."""

    calibration: Calibration
    is_ome: bool


def _read(path: Path, frame: int | None, exact: bool) -> Volume:
    import tifffile

    file, inner = split_inside(path)
    wanted = _series_number(path, inner)
    check_chain(file)
    with (
        _complaints() as complaints,
        telling_damage(file, "TIFF", unreadable),
        tifffile.TiffFile(file) as tif,
    ):
        _check_named_files(file, tif)
        for series in tif.series:
            _check_damage(file, complaints, series.levels[0])
        level, number = find_series(file, tif, wanted)
        axes, shape = level.axes, level.shape
        order, index, _ = plan_axes(path, axes, shape, frame, _TIME_HINT)
        data = _pixels(file, level, number, order, index)
        data, has_channels = _drop_alpha(level.keyframe, data, axes, shape)
        calibration = read_calibration(tif, data.ndim - int(has_channels), level.keyframe, number)
        header = _TiffHeader(calibration, bool(tif.is_ome))
    if complaints:
        raise unreadable(file, "TIFF", complaints[0])
    unknown = [unit for unit in calibration.units if not is_known(unit)]
    if unknown and not exact:
        _LOGGER.warning("%s counts in %r, which is no known length; taken as mm", path, unknown[0])
    return Volume(
        data=data if exact else as_image(data, str(path)),
        spacing=calibration.spacing,
        has_channels=has_channels,
        source=path,
        header=header,
    )


def _series_number(path: Path, inner: str) -> int | None:
    if inner and not (inner.isascii() and inner.isdecimal()):
        raise InputError(str(path), "lead on to the number of a series", f"/{inner}")
    return int(inner[:9]) if inner else None


def _pixels(
    path: Path, level: Any, number: int, order: tuple[int, ...], index: tuple[Any, ...]
) -> Array:
    """Load what an index leaves of a series, its axes in order; a large one is read by blocks."""
    packed, found = is_packed(level.keyframe), None
    if level.nbytes > arrays.LARGE and not packed:
        joined = isinstance(level, JoinedSeries)
        found = level.array_of(path) if joined else array_of(path, level)
    if found is None:
        check_room(path, level.nbytes)
        if packed:
            pages = [unpacked_page(page, level.keyframe) for page in level.pages]
            whole: Array = np.stack(pages).reshape(level.shape)
        else:
            whole = level.asarray()
        taken: Array = whole[index].transpose(order)
        return taken
    source, block = found
    moved = Transposed(source, order, index)
    name = block_name(path, number, level.shape, index, order)
    data = arrays.lazy_array(moved, moved.reordered(block), name)
    return data if data.nbytes > arrays.LARGE else arrays.read(data)


def _check_named_files(path: Path, tif: TiffFile) -> None:
    """Check the names of other files of a set before tifffile opens them (:func:`file_beside`)."""
    import tifffile

    names = _names_in_ome(path, tif.ome_metadata) if tif.is_ome and tif.ome_metadata else set()
    if tif.is_ndtiff:
        index = file_beside(path, "NDTiff.index")
        names |= {str(entry[1]) for entry in tifffile.read_ndtiff_index(index)}
    for name in sorted(names - {path.name}):
        file_beside(path, name)


def _names_in_ome(path: Path, xml: str) -> set[str]:
    """Files of an OME-TIFF set; those of its own identifier are itself, also after renaming."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return set()
    uuids = [part for part in root.iter() if part.tag.endswith("UUID")]
    named = [(part.text, part.get("FileName", "")) for part in uuids]
    own = root.get("UUID")
    if own is None:
        own = next((text for text, name in named if name.lower() == path.name.lower()), None)
    return {name for text, name in named if own is None or text != own}


def _write(path: Path, data: Array, like: Volume) -> None:
    """Write with the unit and the resolution of the input.

    ``uint8``, ``uint16`` and ``float32`` are written as ImageJ TIFF, unless the input was
    OME-TIFF. ImageJ's own format has no larger integers and no files above 4 GB: these are
    written as OME-TIFF, which keeps values and spacing exactly and opens in ImageJ through
    Bio-Formats.
    """
    import tifffile

    kept = like.header
    same = isinstance(kept, _TiffHeader) and kept.calibration.spacing == like.spacing
    calibration = kept.calibration if same else _calibration(like)
    axes = "ZYX"[3 - data.ndim :]
    small = data.dtype in _IMAGEJ_DTYPES and data.nbytes < _IMAGEJ_LARGEST
    arguments: dict[str, Any]
    if small and not (same and kept.is_ome):
        arguments = {"imagej": True, **imagej_arguments(calibration)}
        arguments["metadata"]["axes"] = axes
    else:
        # The writer's random identifier would make equal results differ.
        digest = hashlib.sha256()
        for slab in slabs(data):
            digest.update(slab.data)
        name = uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest())
        metadata = {"axes": axes, "UUID": f"urn:uuid:{name}", **ome_metadata(calibration)}
        arguments = {"ome": True, "metadata": metadata}
    with replacing(path) as temporary:
        # Room for the values first, which then follow each other there, a part at a time.
        place = tifffile.imwrite(
            temporary,
            shape=data.shape,
            dtype=data.dtype,
            photometric="minisblack",
            returnoffset=True,
            bigtiff=data.nbytes >= _IMAGEJ_LARGEST,
            **arguments,
        )
        if place is None:  # it never is, of values that are not compressed
            raise RuntimeError(f"{path} was not laid out in one piece")
        with temporary.open("r+b") as stream:
            order: Literal[">", "<"] = ">" if stream.read(2) == b"MM" else "<"
            stream.seek(place[0])
            for slab in slabs(data):
                stream.write(slab.astype(data.dtype.newbyteorder(order), copy=False).data)


def _calibration(like: Volume) -> Calibration:
    known = like.affine is not None or any(size != 1 for size in like.spacing)
    return Calibration(like.spacing, ("mm" if known else "",) * like.ndim)


def _drop_alpha(page: Any, data: Array, axes: str, shape: tuple[int, ...]) -> tuple[Array, bool]:
    """Drop alpha samples; also tell whether a last axis of channels is left."""
    long = {letter for letter, size in zip(axes, shape, strict=True) if size > 1}
    if not long & {"C", "S"}:
        return data, False
    extra = page.extrasamples if "S" in long else ()
    alphas = sum(int(sample) in _ALPHA for sample in extra)
    if alphas:
        data = data[..., :-alphas]
    return (data[..., 0], False) if data.shape[-1] == 1 else (data, True)


def _check_damage(path: Path, complaints: list[str], level: Any) -> None:
    """Refuse a damaged file before its pixels are loaded."""
    if complaints:
        raise unreadable(path, "TIFF", complaints[0])
    stored = path.stat().st_size
    page = level.keyframe
    if not page.bitspersample or page.dtype is None:
        return
    needed = level.nbytes * page.bitspersample / (8 * np.dtype(page.dtype).itemsize)
    if needed <= stored * _LIMITS.get(page.compression, inf):
        return
    if len({part.parent for part in level.pages if part is not None}) <= 1:  # one file
        raise damaged(path, "TIFF", f"{stored} bytes where the tags tell of {needed:.0f}")


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs about damage in this thread, instead of printing it."""
    found: list[str] = []
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != thread or record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        damage = any(sign in text for sign in _SIGNS_OF_DAMAGE)
        if damage:
            found.append(text)
        return not damage

    logger = logging.getLogger("tifffile")
    logger.addFilter(keep)
    try:
        yield found
    finally:
        logger.removeFilter(keep)


ENTRIES = {
    "tiff": Format(
        "TIFF",
        (".ome.tiff", ".ome.tif", ".tiff", ".tif"),
        lambda head: head[:4] in _MAGICS,
        _read,
        _write,
        labels_suffix=".tif",
        choice="tif",
        leads_on=True,
    )
}
