"""JPEG images, read through Pillow; results of them are written as PNG or TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError, UnreadableFileError
from ..types import Array, Volume

__all__ = ["is_jpeg", "no_jpeg", "read_jpeg"]


def is_jpeg(head: bytes) -> bool:
    """Whether a file begins as JPEG."""
    return head.startswith(b"\xff\xd8\xff")


def read_jpeg(path: Path, frame: int | None = None, exact: bool = False) -> Volume:
    """Read a grey or colour JPEG image, as its pixels are stored; the spacing is 1.

    A rotation for display (EXIF) is not applied, so that pixels keep their places.

    Raises
    ------
    UnreadableFileError
        If the file is damaged or truncated.
    InputError
        If labels are asked for (``exact``): compression changes values. If it is larger than
        Pillow opens, or ``frame`` is not 0.
    """
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
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            array = np.asarray(image if image.mode == "L" else image.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise InputError(
            str(path), "be of a size that JPEG readers open", str(error), "Save it as TIFF."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableFileError(
            str(path),
            "be a whole JPEG file",
            str(error) or "a damaged file",
            "It is truncated or damaged: copy or download it again.",
        ) from error
    return Volume(array, (1.0, 1.0), has_channels=array.ndim == 3, source=path)


def no_jpeg(path: Path, data: Array, like: Volume) -> None:
    """Refuse to write: compression would change the values.

    Raises
    ------
    InputError
        Always; the message names the formats to use.
    """
    raise InputError(
        str(path), "be PNG or TIFF: JPEG changes the values", f"data of shape {data.shape}"
    )
