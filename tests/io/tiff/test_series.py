"""TIFF files of several series: one stack of equal pages, or a choice that somebody makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fewshot import arrays
from napari_fewshot.errors import InputError
from napari_fewshot.io import output_path, read_labels, read_volume

STACK = np.random.default_rng(0).integers(0, 4000, (7, 20, 24)).astype(np.uint16)


def one_by_one(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for page in STACK:
            tif.write(page)


def appended(path: Path) -> None:
    for page in STACK:
        tifffile.imwrite(path, page, append=True)


def alternating(name: str, first: Any, second: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as tif:
            for number, page in enumerate(STACK):
                options = {name: second if number % 2 else first}
                tif.write(page, metadata=None, **options)

    return write


def tiles_and_strips(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for number, page in enumerate(STACK):
            options: dict[str, Any] = {"tile": (16, 16)} if number in (2, 5) else {}
            tif.write(page, metadata=None, **options)


def with_small_copy(path: Path) -> None:
    """Before the stack lies a copy that says that it is a smaller one."""
    with tifffile.TiffWriter(path) as tif:
        tif.write(STACK[0, ::4, ::4], metadata=None, subfiletype=1)
        for page in STACK:
            tif.write(page, metadata=None)


STACKS = {
    "one by one": one_by_one,
    "appended": appended,
    "strips": alternating("rowsperstrip", 8, 20),
    "compression": alternating("compression", "zlib", None),
    "predictor": alternating("compression", "zlib", "packbits"),
    "tiles": tiles_and_strips,
    "small copy": with_small_copy,
}


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("kind", STACKS)
def test_equal_pages_are_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_large: bool
) -> None:
    if kind == "predictor":
        pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    STACKS[kind](path)
    if is_large:
        monkeypatch.setattr(arrays, "LARGE", 1000)
    found = read_volume(path)
    assert arrays.is_lazy(found.data) is is_large
    np.testing.assert_array_equal(arrays.read(found.data), STACK)
    np.testing.assert_array_equal(arrays.read(found.data[3, 2:9]), STACK[3, 2:9])
    np.testing.assert_array_equal(arrays.read(found.data[1:6:2, ::3, 5]), STACK[1:6:2, ::3, 5])


def colours(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for k in range(3):
            tif.write(np.full((8, 9, 3), k, np.uint8), photometric="rgb")


def test_pages_of_colours(tmp_path: Path) -> None:
    colours(tmp_path / "a.tif")
    found = read_volume(tmp_path / "a.tif")
    assert found.shape == (3, 8, 9)
    assert found.has_channels
    np.testing.assert_array_equal(found.data[:, 0, 0, 0], [0, 1, 2])


def positions(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as tif:
        for k in range(3):
            tif.write(STACK + k, metadata={"axes": "ZYX", "PhysicalSizeX": k + 1.0})


def unequal(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        tif.write(STACK[0, ::4, ::4], metadata=None)
        for page in STACK:
            tif.write(page, metadata=None)


def stacks(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for _ in range(2):
            tif.write(STACK)


@pytest.mark.parametrize("make", [positions, unequal, stacks])
def test_a_choice_is_asked_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "a.ome.tif" if make is positions else tmp_path / "a.tif"
    make(path)
    with pytest.raises(InputError, match=r"hold one image; got . series.*--series N.*There are 0:"):
        read_volume(path)
    number = 1
    np.testing.assert_array_equal(
        read_volume(path / str(number)).data, STACK + (number if make is positions else 0)
    )
    with pytest.raises(InputError, match=r"be within 0..\d; got series 9"):
        read_volume(path / "9")
    with pytest.raises(InputError, match="lead on to the number of a series"):
        read_volume(path / "first")


def test_large_series_of_one_file_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "LARGE", 1000)
    positions(tmp_path / "a.ome.tif")
    first, second = (read_volume(tmp_path / "a.ome.tif" / str(k)).data for k in (0, 1))
    assert first.name != second.name  # type: ignore[attr-defined]
    np.testing.assert_array_equal(arrays.read(first) + 1, arrays.read(second))


def test_a_series_has_its_own_size_and_name(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    positions(path)
    assert read_volume(path / "2").spacing[2] == pytest.approx(0.003)
    assert output_path(path / "2", tmp_path).name == "a_2_labels.tif"


def test_labels_of_a_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(STACK[0].astype(np.float32))
        tif.write((STACK[0] > 2000).astype(np.uint8))
    labels = read_labels(tmp_path / "a.tif" / "1")
    np.testing.assert_array_equal(labels.data, STACK[0] > 2000)
