"""PNG and JPEG images, through Pillow. The spacing is 1: a resolution is meant for printing.

Of PNG, grey values are those stored (``uint8`` up to 8 bits, else ``uint16``). Alpha is dropped:
it says what to show, not what was measured. Palette images become RGB; of labels, the indices are
kept instead. Colours of 16 bits are refused, since half of the bits would be lost. JPEG is read as
its pixels are stored: a rotation for display (EXIF) is not applied, so that pixels keep their
places.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, UnreadableFileError
from ..types import Array, Volume
from .checks import DEFLATE_LIMIT, as_image
from .formats import Format
from .outputs import replacing
from .reading import damaged, telling_damage

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ENTRIES"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
# Numbers for each pixel, by the kind of colour.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIECE = 1 << 20


def _read_png(path: Path, frame: int | None, exact: bool) -> Volume:
    from PIL import Image

    with path.open("rb") as stream:
        head = stream.read(26)
    if frame not in (None, 0):
        raise InputError("frame", f"be 0 for {path}", frame, "PNG files hold one frame.")
    if len(head) < 26:
        raise UnreadableFileError(str(path), "be a whole PNG file", f"{len(head)} bytes")
    bits, colour = head[24], head[25]  # Pillow does not tell the first
    if bits == 16 and colour != _GREY:
        raise InputError(
            str(path),
            "have 8 bits for each colour",
            "a PNG file of 16 bits",
            "Save it as TIFF, or as grey image.",
        )
    _check_size(path, head)
    with _decoding(path, "PNG"):
        _check_sums(path)
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            array = _pixels(image, bits, colour, keep_indices=exact)
    data = array if exact else as_image(array, str(path))
    return Volume(data, (1.0, 1.0), has_channels=array.ndim == 3, source=path)


def _read_jpeg(path: Path, frame: int | None, exact: bool) -> Volume:
    from PIL import Image

    if exact:
        raise InputError(
            str(path),
            "be of a format that keeps label values",
            "a JPEG file, whose values are changed by compression",
            "Save the labels as PNG or TIFF.",
        )
    if frame not in (None, 0):
        raise InputError("frame", f"be 0 for {path}", frame, "JPEG files hold one frame.")
    with _decoding(path, "JPEG"), Image.open(path, formats=("JPEG",)) as image:
        array = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    return Volume(array, (1.0, 1.0), has_channels=array.ndim == 3, source=path)


def _write_png(path: Path, data: Array, like: Volume) -> None:
    from PIL import Image

    data = np.asarray(data)
    if data.ndim != 2:
        raise InputError(
            str(path), "be a TIFF or NIfTI file for volumes", f"shape {data.shape}", "Use .tif."
        )
    if data.dtype not in (np.uint8, np.uint16):
        raise InputError(
            str(path),
            "hold whole numbers up to 65535 as a PNG file",
            f"{data.dtype} values up to {data.max()}",
            "Use TIFF (.tif) instead.",
        )
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(data)).save(temporary, format="PNG")


@contextmanager
def _decoding(path: Path, title: str) -> Iterator[None]:
    """Tell what Pillow raises inside as an error of ours."""
    from PIL import Image

    with warnings.catch_warnings(), telling_damage(path, title):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            yield
        except Image.DecompressionBombError as error:
            raise InputError(
                str(path), f"be of a size that {title} readers open", str(error), "Save it as TIFF."
            ) from None


def _check_size(path: Path, head: bytes) -> None:
    """Refuse sides that the file cannot hold, however well its pixels shrink."""
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    claimed = width * height * head[24] * _SAMPLES.get(head[25], 1) // 8
    stored = path.stat().st_size
    if claimed > stored * DEFLATE_LIMIT:
        raise damaged(path, "PNG", f"{stored} bytes where the header tells of {claimed}")


def _check_sums(path: Path) -> None:
    """Compare the check sum of every chunk up to the last one; Pillow leaves out some."""
    with path.open("rb") as stream:
        stream.seek(len(_SIGNATURE))
        kind = b""
        while kind != b"IEND":
            start = stream.read(8)
            left, kind = int.from_bytes(start[:4], "big"), start[4:]
            found = zlib.crc32(kind)
            while piece := stream.read(min(left, _PIECE)):
                found, left = zlib.crc32(piece, found), left - len(piece)
            stored = stream.read(4)
            if left or len(stored) < 4:
                raise damaged(path, "PNG", "it ends before its last chunk")
            if int.from_bytes(stored, "big") != found:
                name = kind.decode("latin-1")
                raise damaged(path, "PNG", f"the check sum of its chunk {name!r} differs")


def _pixels(image: Image.Image, bits: int, colour: int, keep_indices: bool) -> Array:
    if colour == _PALETTE:
        return np.asarray(image if keep_indices else image.convert("RGB"))
    array = np.asarray(image)
    if colour == _GREY:
        if bits == 16:
            return array.astype(np.uint16)
        # Pillow stretches 2 and 4 bits to 0..255, and reads 1 bit as truth values.
        return array // (255 // (2**bits - 1)) if bits in (2, 4) else array.astype(np.uint8)
    with_alpha = image.mode in ("LA", "RGBA")
    array = array[..., :-1] if with_alpha else array
    return array[..., 0] if array.shape[-1] == 1 else array


# PNG has no floats, so confidence goes to TIFF.
ENTRIES = {
    "png": Format(
        "PNG",
        (".png",),
        lambda head: head.startswith(_SIGNATURE),
        _read_png,
        _write_png,
        labels_suffix=".png",
        image_suffix=".tif",
        largest=65535,
        most_axes=2,
    ),
    "jpeg": Format(
        "JPEG",
        (".jpeg", ".jpg"),
        lambda head: head.startswith(b"\xff\xd8\xff"),
        _read_jpeg,
        None,
        labels_suffix=".png",
        image_suffix=".tif",
        not_written="PNG or TIFF: JPEG changes the values",
    ),
}
