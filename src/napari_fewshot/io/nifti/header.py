"""Headers of NIfTI: read leniently where their meaning is plain, bounded before pixels are read.

nibabel refuses what other programs write and read: rounded quaternions, an intercept of NaN, data
right behind the header, codes of units that nobody knows. So the header is put in order first. A
pair (``.hdr`` and ``.img``) is read from either of its names.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import InputError
from ...types import Array
from ..checks import DEFLATE_LIMIT
from ..formats import header_of
from ..reading import damaged

__all__ = ["StoredImage", "is_nifti", "open_image", "transforms", "unit_factors"]

_LOGGER = logging.getLogger(__name__)
_GZIP = b"\x1f\x8b"
_SIZES = {348: 1, 540: 2}
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}
_SECONDS_PER_UNIT = {8: 1.0, 16: 1e-3, 24: 1e-6}
_SINGULAR = 1e-6
_ROUNDING = 3e-7

Stream = BinaryIO | gzip.GzipFile
# nibabel is typed in part only.
Header = Any


@dataclass(frozen=True, eq=False)
class StoredImage:
    """An open image: its header, in order, and what gives its pixels, scaled, when indexed.

    ``shape`` is (i, j, k, ...) as on disk.
    """

    header: Header
    shape: tuple[int, ...]
    pixels: Any


def is_nifti(head: bytes) -> bool:
    """Whether the first bytes of a file (after decompression) are those of NIfTI."""
    if len(head) < 348:
        return head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


@contextmanager
def open_image(path: Path) -> Iterator[StoredImage]:
    """Open an image, or a pair by either name; at the end, check sums of gzip are compared.

    Raises
    ------
    InputError
        If the header is of no image, or claims more than the file can hold.
    """
    first, second = _pair(path)
    with _opened(first) as stream:
        head = stream.read(544)
        header, is_single = _header(path, head)
        if is_single:
            yield _stored(first, header, stream, _start(path, header, first))
            _read_to_end(stream)
            return
    if second is None:
        raise InputError(
            str(path),
            "lie beside its pixels",
            "a header without its file .img",
            "Copy both files of the pair into one folder.",
        )
    with _opened(second) as stream:
        yield _stored(second, header, stream, _whole(path, header))
        _read_to_end(stream)


def unit_factors(header: Header) -> tuple[float | None, float | None]:
    """Millimetres of the unit of space, and seconds of that of time; None where unknown."""
    code = int(header["xyzt_units"])
    return _MM_PER_UNIT.get(code & 7), _SECONDS_PER_UNIT.get(code & 0x38)


def transforms(path: Path, header: Header) -> list[Array]:
    """Affines of the array index in mm that the header gives: of the sform, then of the qform."""
    found = []
    given = False
    for code, read in (("sform_code", "get_sform"), ("qform_code", "get_qform")):
        if not header[code] > 0:
            continue
        given = True
        try:
            affine = np.array(getattr(header, read)(), dtype=np.float64)
        except ValueError:  # a quaternion of NaN
            continue
        affine[:3] *= unit_factors(header)[0] or 1.0
        if _is_usable(affine):
            found.append(affine[:, [2, 1, 0, 3]])
    if given and not found:
        _LOGGER.warning("%s has a singular affine; it is read without orientation", path)
    return found


def _is_usable(affine: Array) -> bool:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not (lengths > 0).all():
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) >= _SINGULAR)


def _pair(path: Path) -> tuple[Path, Path | None]:
    """The file with the header, and the one with the pixels where that is there."""
    header = header_of(path)
    if header != path:
        return header, path
    packed = ".gz" if path.name.lower().endswith(".gz") else ""
    stem = path.name[: len(path.name) - len(packed) - 4]
    endings = (packed, "" if packed else ".gz")
    named = [path.with_name(f"{stem}{kind}{end}") for end in endings for kind in (".img", ".IMG")]
    return path, next((one for one in named if one.is_file()), None)


@contextmanager
def _opened(path: Path) -> Iterator[Stream]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
        raw.seek(0)
        if not zipped:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield stream


def _read_to_end(stream: Stream) -> None:
    while isinstance(stream, gzip.GzipFile) and stream.read(1 << 20):
        pass


def _header(path: Path, head: bytes) -> tuple[Header, bool]:
    """Header in order, and whether the pixels follow it in the same file."""
    import nibabel

    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    version = next((_SIZES[size] for size in sizes if size in _SIZES), 0)
    kinds: dict[int, tuple[Any, int]] = {
        1: (nibabel.Nifti1Header, 348),
        2: (nibabel.Nifti2Header, 540),
    }
    if version not in kinds or len(head) < kinds[version][1]:
        raise damaged(path, "NIfTI", f"{len(head)} bytes of header")
    kind, size = kinds[version]
    header = kind(head[:size], check=False)
    magic = bytes(header["magic"].tobytes())
    is_single = magic.startswith(b"n+")
    if not is_single:
        header["magic"] = b"n+" + magic[2:]
    _put_in_order(path, header)
    return header, is_single


def _put_in_order(path: Path, header: Header) -> None:
    """Mend what has one meaning only."""
    pixdim = header["pixdim"]
    if pixdim[0] not in (-1, 1):  # what is no sign counts as +1, as the format has it
        pixdim[0] = 1
    pixdim[1:4] = np.abs(pixdim[1:4])
    quaternion = np.array([header[f"quatern_{axis}"] for axis in "bcd"], np.float64)
    length = float(np.linalg.norm(quaternion))
    # Rounding that nibabel refuses; the library of the format mends it too.
    if np.isfinite(length) and length**2 > 1 + _ROUNDING:
        for axis, value in zip("bcd", quaternion / length, strict=True):
            header[f"quatern_{axis}"] = value
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isfinite(slope) and slope != 0 and not np.isfinite(offset):
        header["scl_inter"] = 0
    code = int(header["xyzt_units"])
    if code & 7 > max(_MM_PER_UNIT) or code & 0x38 > 48 or code > 63:
        _LOGGER.warning("%s counts in a unit of code %d, which is unknown; taken as mm", path, code)
        header["xyzt_units"] = 0


def _stored(file: Path, header: Header, stream: Stream, start: int) -> StoredImage:
    """Bound what the header claims by what the file can hold."""
    from nibabel.arrayproxy import ArrayProxy

    shape = tuple(int(size) for size in header.get_data_shape())
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        constraint = "be a volume of two or three axes, none empty"
        raise InputError(str(file), constraint, f"shape {shape}")
    dtype = header.get_data_dtype()
    if not dtype.itemsize:
        raise InputError(str(file), "hold numbers", f"values of type {header['datatype']}")
    count = 1
    for size in shape:
        count *= size
    claimed, stored = count * dtype.itemsize, file.stat().st_size
    if claimed > (stored * DEFLATE_LIMIT if isinstance(stream, gzip.GzipFile) else stored - start):
        what = f"{stored} bytes where the header tells of {claimed}"
        raise damaged(file, "NIfTI", what)
    slope, offset = float(header["scl_slope"]), float(header["scl_inter"])
    if dtype.names is not None or not np.isfinite(slope) or slope == 0:
        slope, offset = 1.0, 0.0
    return StoredImage(header, shape, ArrayProxy(stream, (shape, dtype, start, slope, offset)))


def _start(path: Path, header: Header, file: Path) -> int:
    """First byte of the pixels behind a header in the same file."""
    size = int(header.sizeof_hdr)
    start = _whole(path, header)
    if start == 0:
        return size + 4  # programs that leave it out put the pixels where most are
    if start < size or (start > file.stat().st_size and not _is_packed(file)):
        raise damaged(path, "NIfTI", f"pixels from byte {start} on")
    return start


def _is_packed(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == _GZIP


def _whole(path: Path, header: Header) -> int:
    start = float(header["vox_offset"])
    if not (start.is_integer() and start >= 0):
        raise damaged(path, "NIfTI", f"pixels from byte {start:g} on")
    return int(start)
