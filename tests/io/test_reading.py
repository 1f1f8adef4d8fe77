"""Whatever a library raises while it reads is an error of ours; a fault of our own code is not."""

from __future__ import annotations

import errno
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import read_volume
from napari_fewshot.io.reading import check_room, telling_damage
from napari_fewshot.memory import MAX_MEMORY

PATH = Path("scan.xyz")


def by_a_library(error: Exception) -> None:
    """Raise in a frame that is not of the package."""
    raise error


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("no tags"),
        AttributeError("x"),
        KeyError("axes"),
        OverflowError("too large"),
        RecursionError("deep"),
        TypeError("None"),
        ZeroDivisionError(),
        struct.error("unpack"),
        zlib.error("incorrect data check"),
        json.JSONDecodeError("x", "y", 0),
    ],
    ids=lambda error: type(error).__name__,
)
def test_libraries(error: Exception) -> None:
    with (
        pytest.raises(UnreadableFileError, match=r"scan.xyz must be a whole XYZ file"),
        telling_damage(PATH, "XYZ"),
    ):
        by_a_library(error)


def test_lack_of_memory() -> None:
    for error in (MemoryError(), OSError(12, "Cannot allocate memory")):
        with (
            pytest.raises(InputError, match=r"scan.xyz must fit into the memory"),
            telling_damage(PATH, "XYZ"),
        ):
            by_a_library(error)


def test_errors_of_ours_pass() -> None:
    with pytest.raises(InputError, match="^frame must"), telling_damage(PATH, "XYZ"):
        raise InputError("frame", "be 0", 3)


def test_a_fault_of_our_code_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no damage of the file, and its traceback is wanted."""
    from napari_fewshot.io.tiff import format as tiff

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8))
    monkeypatch.setattr(tiff, "read_calibration", lambda *_: by_a_library(ValueError("x")))
    with pytest.raises(UnreadableFileError):  # raised in this file, which is not the package
        read_volume(path)
    monkeypatch.setattr(tiff, "read_calibration", None)
    with pytest.raises(TypeError, match="not callable"):
        read_volume(path)


def test_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_MEMORY, "0.001")
    check_room(PATH, 10**6)
    with pytest.raises(InputError, match=r"0.005 GB of pixels, with 0.001 GB free.*OME-Zarr"):
        check_room(PATH, 5 * 10**6)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE])
def test_what_the_machine_lacks_is_no_damage(code: int) -> None:
    with pytest.raises(OSError, match="lacks") as raised, telling_damage(PATH, "TIFF"):
        by_a_library(OSError(code, "lacks"))
    assert raised.value.errno == code
