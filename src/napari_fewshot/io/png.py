"""PNG images, through Pillow (which scikit-image brings along)."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, UnreadableFileError
from ..types import Array, Volume
from .atomic import replacing
from .values import as_image

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["is_png", "read_png", "write_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_PIECE = 1 << 20


def is_png(head: bytes) -> bool:
    """Whether a file begins with the PNG signature."""
    return head.startswith(_SIGNATURE)


def read_png(path: Path, frame: int | None = None, exact: bool = False) -> Volume:
    """Read a PNG image: grey of 1 to 16 bits, RGB, RGBA, or palette.

    Grey values are those stored (``uint8`` up to 8 bits, else ``uint16``). Alpha is dropped:
    it says what to show, not what was measured. Palette images become RGB; with ``exact``
    (labels) the palette indices are kept instead. A resolution in the file is meant for
    printing and not used; the spacing is 1.

    Raises
    ------
    UnreadableFileError
        If the file is damaged or truncated.
    InputError
        If it is a colour image of 16 bits (which would lose half of them), larger than Pillow
        opens, or ``frame`` is not 0.
    """
    from PIL import Image

    if frame not in (None, 0):
        raise InputError("frame", f"be 0 for {path}", frame, "PNG files hold one frame.")
    bits, colour = _depth_and_colour(path)
    try:
        _check_sums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as image:
                image.load()
                array = _pixels(image, bits, colour, keep_indices=exact)
    except Image.DecompressionBombError as error:
        raise InputError(
            str(path), "be of a size that PNG readers open", str(error), "Save it as TIFF."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableFileError(
            str(path),
            "be a whole PNG file",
            str(error) or "a damaged file",
            "It is truncated or damaged: copy or download it again.",
        ) from error
    data = array if exact else as_image(array, str(path))
    return Volume(data, (1.0, 1.0), has_channels=array.ndim == 3, source=path)


def write_png(path: Path, data: Array, like: Volume) -> None:
    """Write a 2D array of ``uint8`` or ``uint16`` as grey PNG.

    Raises
    ------
    InputError
        If there are three axes, or values that 16 bits do not hold.
    """
    from PIL import Image

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


def _depth_and_colour(path: Path) -> tuple[int, int]:
    """Bits of a sample and colour type, from the header; Pillow does not tell the first."""
    with path.open("rb") as stream:
        head = stream.read(26)
    if len(head) < 26:
        raise UnreadableFileError(str(path), "be a whole PNG file", f"{len(head)} bytes")
    bits, colour = head[24], head[25]
    if bits == 16 and colour != _GREY:
        raise InputError(
            str(path),
            "have 8 bits for each colour",
            "a PNG file of 16 bits",
            "Save it as TIFF, or as grey image.",
        )
    return bits, colour


def _check_sums(path: Path) -> None:
    """Compare the check sum of every chunk, which Pillow does of some.

    Raises
    ------
    ValueError
        If one differs, or the file ends before its last chunk.
    """
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
                raise ValueError("it ends before its last chunk")
            if int.from_bytes(stored, "big") != found:
                raise ValueError(f"the check sum of its chunk {kind.decode('latin-1')!r} differs")


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
