"""What is checked before a file is believed: names, sizes, check sums, time points, values."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from ..arrays import blocks, is_lazy, read
from ..errors import InputError, UnreadableFileError
from ..types import Array

__all__ = [
    "DEFLATE_LIMIT",
    "GZIP",
    "LARGEST_LABEL",
    "ZLIB_OR_GZIP",
    "FrameError",
    "as_image",
    "as_labels",
    "block_name",
    "check_stream",
    "file_beside",
    "fitting_dtype",
    "frame_index",
    "same_affine",
    "warn_of_blur",
]

# Deflate cannot shrink more than this, so a larger claim is false.
DEFLATE_LIMIT = 1040
# Kinds of stream, in the numbers of zlib: of GZIP, several members may follow each other.
GZIP, ZLIB_OR_GZIP = 31, 47
_PIECE = 1 << 20
_LOGGER = logging.getLogger(__name__)
# How far from whole the rounding of a scale factor may put a label.
_WHOLE = 1e-3
# Channels of an image that may be grey, stored as colours (with transparency).
_GREY_COLOURS = (3, 4)
# Masks of 8 bits, the share of pixels on a smoothed border, fewest values of these, and how many
# pixels one of them has at most, beside the mask.
_MASK, _BLURRED, _FEWEST_BLURRED, _OF_ONE = 255, 0.1, 8, 0.05
LARGEST_LABEL = int(np.iinfo(np.int32).max)


class FrameError(InputError):
    """No time point, or none of those that a file holds, was asked for; ``count`` of them are."""

    count = 1

    def counting(self, count: int) -> FrameError:
        """Say how many there are."""
        self.count = count
        return self


def frame_index(
    path: Path, frame: int | None, count: int, given: str, *, what: str = "volume", hint: str = ""
) -> int:
    """Time point to read of the ``count`` that a file holds; of several, one must be chosen.

    ``given`` says what there is, ``what`` what should be, ``hint`` what may help besides.
    """
    if count > 1 and frame is None:
        choice = f"Choose one: frame=0..{count - 1} (on the command line --frame N)."
        error = FrameError(str(path), f"hold one {what}", given, f"{choice} {hint}".strip())
        raise error.counting(count)
    if frame is not None and not 0 <= frame < count:
        constraint = f"be within 0..{count - 1} for {path}"
        raise FrameError("frame", constraint, frame).counting(count)
    return frame or 0


def file_beside(header: Path, name: str, endings: tuple[str, ...] = ("",)) -> Path:
    """Find the data file that a header names, in its folder; names that lead out are refused.

    ``endings`` are what the name may lack at its end; the first that is there counts.
    """
    plain = name.removeprefix("./")
    if PureWindowsPath(plain).name != plain or plain in ("", ".", "..", "-") or "\0" in plain:
        raise _elsewhere(header, name)
    for ending in endings:
        file = header.with_name(f"{plain}{ending}")
        if file.is_symlink():
            raise _elsewhere(header, f"{file.name}, which is a link")
        if file.is_file():
            return file
    raise UnreadableFileError(
        str(header),
        "lie beside the data file that it names",
        f"{name}, which is no file there",
        "Its data file is missing: copy or download both again.",
    )


def check_stream(
    file: Path, start: int, stored: int, length: int, *, kind: int = GZIP, longer: bool = False
) -> None:
    """Inflate a part of a file, keep nothing of it, and compare its check sum and length.

    The stream begins at byte ``start``, takes at most ``stored`` bytes, and must give ``length``
    bytes (or more, if ``longer``). Raises ValueError if it does not, zlib.error if it is damaged.
    """
    if length > stored * DEFLATE_LIMIT:
        raise ValueError(f"{stored} bytes where the header tells of {length}")
    found, inflater = 0, zlib.decompressobj(wbits=kind)
    for piece in _pieces(file, start, stored):
        while piece:
            if inflater.eof:  # one member ended, and there is more
                inflater = zlib.decompressobj(wbits=kind)
            found += len(inflater.decompress(piece, _PIECE))
            if found > length and not longer:
                raise ValueError(f"more than the {length} bytes that the header tells of")
            if inflater.eof and found >= length:
                return  # what follows is read by nobody
            piece = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    raise ValueError(f"{found} bytes after decompression where the header tells of {length}")


def block_name(path: Path, *details: object) -> str:
    """Name of an array that is read from a file as it is indexed: equal if what is read is equal.

    ``details`` are what else decides on it, such as the time point.
    """
    status = path.stat()
    what = (str(path.resolve()), status.st_mtime_ns, status.st_size, *details)
    return f"{path.stem}-{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}"


def same_affine(first: Array | None, second: Array | None) -> bool:
    """Whether a volume still lies where its file lay."""
    if first is None or second is None:
        return first is None and second is None
    return bool(np.array_equal(first, second))


def as_image(array: Array, source: str) -> Array:
    """Bring image values to a dtype that the later stages take.

    Integers keep their dtype (in native byte order), truth values become ``uint8``, floats
    ``float32``. NaN and infinity stay: intensity normalisation ignores them. Constant images,
    all zero or all NaN, are images like others. Complex values are refused.
    """
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8)
    if kind in "iu":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if kind == "f":
        if array.dtype == np.float32:
            return array
        lazy: Any = array
        return lazy.map_blocks(_as_float32) if is_lazy(array) else _as_float32(array)
    raise InputError(
        source,
        "hold real numbers",
        f"values of type {array.dtype}",
        "Save the magnitude (or another real part) as an image of its own.",
    )


def as_labels(array: Array, source: str, has_channels: bool = False) -> Array:
    """Check label values and bring them to an integer dtype of at most 32 bits.

    Whole numbers stored as floats are accepted, within a thousandth, which the rounding of a scale
    factor costs, and so are colour channels (a last axis, if
    ``has_channels``) that all hold the same values; the result has no channels. ``uint8``,
    ``int8``, ``uint16``, ``int16`` and ``int32`` are kept, all others become ``int32``. Refused
    are colours, and values that are not whole, finite and within 0..2147483647.
    """
    if has_channels:
        array = _single_channel(array, source)
    kind = array.dtype.kind
    if kind not in "biuf":
        raise InputError(source, "hold whole numbers as labels", f"values of type {array.dtype}")
    small = kind in "biu" and np.can_cast(array.dtype, np.int32)
    if kind in "if" or not small:
        _check_values(array, source)
    dtype = np.uint8 if kind == "b" else array.dtype.newbyteorder("=") if small else np.int32
    return (np.rint(array) if kind == "f" else array).astype(dtype, copy=False)


def warn_of_blur(labels: Array, source: str) -> None:
    """Warn where labels look like a mask whose border was smoothed: few pixels of many values."""
    if is_lazy(labels):  # a large one, which is not read for this
        return
    counts = np.zeros(_MASK + 1, np.int64)
    for _, part in blocks(labels):
        if part.min(initial=0) < 0 or part.max(initial=0) > _MASK:
            return
        counts += np.bincount(part.ravel(), minlength=_MASK + 1)
    values = np.flatnonzero(counts)
    if len(values) < _FEWEST_BLURRED:
        return
    if values[-1] == len(values) - 1 < _MASK // 2:  # 1, 2, 3 ...: organs, not shades
        return
    ends = counts[0] + counts[values[-1]]
    between = counts[values[1:-1]]
    total = int(counts.sum())
    most = min(counts[0], _OF_ONE * counts[values[-1]])
    if ends >= (1 - _BLURRED) * total and between.max() < most:
        share = f"{100 * ends / total:.1f} % of its pixels are 0 or {values[-1]}"
        _LOGGER.warning(
            "%s holds %d labels, but %s: was a mask smoothed at its border? "
            "Save it without smoothing",
            source,
            len(values) - 1,
            share,
        )


def fitting_dtype(labels: Array) -> np.dtype[np.integer]:
    """Smallest of ``uint8``, ``uint16`` and ``int32`` that holds labels of :func:`as_labels`.

    These three are read by every program for the formats written here.
    """
    high = max((int(part.max()) for _, part in blocks(labels)), default=0)
    for dtype in (np.uint8, np.uint16):
        if high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int32)


def _pieces(file: Path, start: int, stored: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(start)
        while piece := stream.read(min(_PIECE, stored)):
            stored -= len(piece)
            yield piece


def _elsewhere(header: Path, name: str) -> UnreadableFileError:
    return UnreadableFileError(
        str(header),
        "name its data files by plain names, in its own folder",
        name,
        f"Put the data beside {header.name}, and the plain name into it.",
    )


def _as_float32(array: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32, copy=False)


def _single_channel(array: Array, source: str) -> Array:
    single: Array = array[..., 0]
    count = array.shape[-1]
    grey = count in _GREY_COLOURS
    for place, part in blocks(single):
        for channel in range(1, count):
            index: tuple[slice | int, ...] = (*place, channel)
            if not (grey and np.array_equal(part, read(array[index]))):
                raise InputError(
                    source,
                    "hold one whole number for each pixel",
                    f"{'a colour image of ' if grey else ''}{count} channels",
                    "Save the labels as a grey or palette image.",
                )
    return single


def _check_values(array: Array, source: str) -> None:
    """Refuse what is not whole, finite and within the labels, after one pass over the array."""
    unusable, broken = 0, None
    low, high = 0, 0
    for _, part in blocks(array):
        if part.dtype.kind == "f":
            finite = np.isfinite(part)
            unusable += int((~finite).sum())
            off = np.abs(np.subtract(part, np.rint(part), where=finite, out=np.zeros_like(part)))
            fractions = part[off > _WHOLE]
            broken = float(fractions[0]) if broken is None and fractions.size else broken
            part = part[finite]
            part = np.rint(part)
        low = min(low, int(part.min(initial=0)))
        high = max(high, int(part.max(initial=0)))
    if unusable:
        raise InputError(
            source,
            "hold finite labels",
            f"{unusable} values that are NaN or infinite",
            "Replace them by 0, the background.",
        )
    if broken is not None:
        raise InputError(
            source,
            "hold whole numbers as labels",
            f"values such as {broken:g}",
            "Is it an image or a probability map, or was it interpolated? "
            "Resample labels with nearest neighbours.",
        )
    if low < 0:
        raise InputError(
            source,
            "hold labels of at least 0",
            f"values down to {low}",
            "Replace negative values: 0 is the background, labels count from 1.",
        )
    if high > LARGEST_LABEL:
        remedy = "Renumber the labels."
        raise InputError(source, f"hold labels up to {LARGEST_LABEL}", f"{high}", remedy)
