"""TIFF read block by block: the same values as in one piece, and damage by page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fewshot import arrays
from napari_fewshot.arrays import is_lazy, read
from napari_fewshot.errors import UnreadableFileError
from napari_fewshot.io import read_labels, read_volume
from napari_fewshot.io.tiff import pages as tiff_pages
from napari_fewshot.io.tiff.pages import TiffPages

RANDOM = np.random.default_rng(0)
STACK = RANDOM.integers(0, 9, (5, 70, 90)).astype(np.uint16)
COLOURS = RANDOM.integers(0, 255, (5, 70, 90, 4)).astype(np.uint8)
TILES = {"tile": (32, 48)}
ZLIB = {"compression": "zlib"}

FILES: dict[str, tuple[Any, dict[str, Any]]] = {
    "pages": (STACK, {"metadata": None, "contiguous": False}),
    "in one piece": (STACK, {}),
    "big-endian": (STACK, {"byteorder": ">"}),
    "imagej": (STACK, {"imagej": True, "metadata": {"axes": "ZYX"}}),
    "bigtiff": (STACK, {"bigtiff": True, "metadata": {"axes": "ZYX"}}),
    "compressed": (STACK, ZLIB),
    "big-endian, compressed": (STACK, {**ZLIB, "byteorder": ">"}),
    "predicted": (STACK, {**ZLIB, "predictor": True}),
    "strips": (STACK, {**ZLIB, "rowsperstrip": 7}),
    "tiles": (STACK, {**ZLIB, **TILES}),
    "tiles of one page": (STACK[0], TILES),
    "strips of one page": (STACK[0], {**ZLIB, "rowsperstrip": 16}),
    "one strip": (STACK[0], {**ZLIB, "rowsperstrip": 70}),
    "colours": (COLOURS[..., :3], {**ZLIB, **TILES, "photometric": "rgb"}),
    "alpha": (COLOURS, {**ZLIB, "photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "planes of colour": (
        np.moveaxis(COLOURS[0, ..., :3], -1, 0).copy(),
        {**ZLIB, **TILES, "photometric": "rgb", "planarconfig": "separate"},
    ),
    "channels": (np.stack([STACK] * 2, 1), {**ZLIB, "ome": True, "metadata": {"axes": "ZCYX"}}),
    "ome": (STACK, {**ZLIB, "ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.5}}),
    "tiles of depth": (STACK, {**ZLIB, "tile": (2, 32, 32), "volumetric": True}),
    "floats": (STACK / np.float32(3), {**ZLIB, **TILES}),
    "doubles": (STACK / 3, {"metadata": None}),
    "truth values": (STACK[0] > 4, {}),
}  # fmt: skip


def save(path: Path, data: Any, arguments: dict[str, Any]) -> Path:
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **arguments})
    return path


@pytest.mark.parametrize("whole_page", [0, 2**30], ids=["segments", "pages"])
@pytest.mark.parametrize("name", FILES)
def test_blocks_are_what_is_read_whole(tmp_path, monkeypatch, name, whole_page):
    path = save(tmp_path / "a.tif", *FILES[name])
    whole = read_volume(path)
    monkeypatch.setattr(arrays, "LARGE", 0)
    monkeypatch.setattr(arrays, "_BLOCK", 3000)
    monkeypatch.setattr(tiff_pages, "_WHOLE_PAGE", whole_page)
    monkeypatch.setattr(tiff_pages, "_KEPT", 100 if whole_page else 2**30)
    found = read_volume(path)
    assert is_lazy(found.data)
    assert (found.spacing, found.has_channels) == (whole.spacing, whole.has_channels)
    assert found.data.dtype == whole.data.dtype
    np.testing.assert_array_equal(read(found.data), whole.data)
    for index in (np.s_[1], np.s_[..., 3:50, 1], np.s_[::2, 5:30:3], np.s_[::-1], np.s_[2:2]):
        np.testing.assert_array_equal(read(found.data[index]), whole.data[index])
    assert read_volume(path).data.name == found.data.name


def test_a_time_point_is_read_alone(tmp_path, monkeypatch):
    data = np.stack([STACK, STACK + 1, STACK + 2])
    for arguments in ({}, ZLIB):
        path = save(
            tmp_path / "a.tif", data, {**arguments, "ome": True, "metadata": {"axes": "TZYX"}}
        )
        monkeypatch.setattr(arrays, "LARGE", STACK.nbytes)
        assert read_volume(path, frame=2).data.tolist() == (STACK + 2).tolist()
        monkeypatch.setattr(arrays, "LARGE", 0)
        assert read(read_volume(path, frame=1).data[3]).tolist() == (STACK[3] + 1).tolist()


def test_only_what_a_window_needs_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path / "a.tif", STACK, {**ZLIB, **TILES})
    monkeypatch.setattr(arrays, "LARGE", 0)
    monkeypatch.setattr(tiff_pages, "_WHOLE_PAGE", 0)
    data = read_volume(path).data
    decoded = []
    real = TiffPages._decoded
    monkeypatch.setattr(
        TiffPages,
        "_decoded",
        lambda self, *args: (decoded.append(args[0::2]), real(self, *args))[1],
    )
    read(data[3, 33:60, 10:40])
    assert decoded == [(3, 2)]  # of the second row, the first tile
    decoded.clear()
    read(data[3:5, 30:34, 47:49])
    assert sorted(decoded) == [(page, tile) for page in (3, 4) for tile in range(4)]


def test_large_strips_are_decoded_once(tmp_path, monkeypatch):
    path = save(tmp_path / "a.tif", STACK[0], {**ZLIB, "rowsperstrip": 70})
    monkeypatch.setattr(arrays, "LARGE", 0)
    monkeypatch.setattr(tiff_pages, "_KEPT", 100)
    data = read_volume(path).data
    opened = []
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: (opened.append(self), real(self, *a, **k))[1]
    )
    for row in range(0, 70, 10):
        np.testing.assert_array_equal(read(data[row : row + 10]), STACK[0, row : row + 10])
    assert opened.count(path) == 1


def test_files_of_a_set(tmp_path, monkeypatch):
    xml = tmp_path / "a.ome.tif"
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{k}" for k in range(2)]
    blocks = "".join(
        f'<TiffData FirstZ="{k}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{n}.ome.tif">{uuids[k]}</UUID></TiffData>'
        for k, n in enumerate("ab")
    )
    for k, n in enumerate("ab"):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[k]}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            'SizeX="90" SizeY="70" SizeZ="2" SizeC="1" SizeT="1">'
            f"{blocks}</Pixels></Image></OME>"
        )
        save(tmp_path / f"{n}.ome.tif", STACK[k], {**ZLIB, "description": text, "metadata": None})
    whole = read_volume(xml).data
    np.testing.assert_array_equal(whole, STACK[:2])
    monkeypatch.setattr(arrays, "LARGE", 0)
    np.testing.assert_array_equal(read(read_volume(xml).data), whole)


@pytest.mark.parametrize("name", ["imagej", "pages", "in one piece", "strips", "tiles"])
def test_missing_bytes_are_found_before(tmp_path, monkeypatch, name):
    path = save(tmp_path / "a.tif", *FILES[name])
    content = path.read_bytes()
    monkeypatch.setattr(arrays, "LARGE", 0)
    for part in (0.9, 0.5):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(UnreadableFileError, match=r"a\.tif must be a whole TIFF file"):
            read_volume(path)


@pytest.mark.parametrize("read_file", [read_volume, read_labels])
def test_a_damaged_page_is_named(tmp_path, monkeypatch, read_file):
    path = save(tmp_path / "a.tif", STACK, {**ZLIB, "metadata": None})
    with tifffile.TiffFile(path) as tif:
        place, size = tif.pages[3].dataoffsets[0], tif.pages[3].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[place + size // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError):
        read_file(path)
    monkeypatch.setattr(arrays, "LARGE", 0)
    data = read_file(path).data
    np.testing.assert_array_equal(read(data[2]), STACK[2])
    with pytest.raises(UnreadableFileError, match=r"a\.tif must be a whole TIFF file; got page 3"):
        read(data[3])


def test_a_file_that_was_cut_since_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGE", 0)
    path = save(tmp_path / "a.tif", STACK, {})
    data = read_volume(path).data
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UnreadableFileError, match="whole TIFF file"):
        read(data[0])
