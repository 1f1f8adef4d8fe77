"""OME-Zarr 0.4 and 0.5 and plain Zarr arrays: what they mean, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot import arrays
from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import (
    check_match,
    output_path,
    read_labels,
    read_volume,
    sniff_format,
    stem_of,
    write_image,
    write_labels,
)
from napari_fewshot.io.outputs import Outputs
from napari_fewshot.types import Volume

zarr = pytest.importorskip("zarr")
pytest.importorskip("ome_zarr")

VERSIONS = ("0.4", "0.5")
CZYX = {"z": 0.5, "y": 0.2, "x": 0.1}
UNITS = dict.fromkeys("zyx", "micrometer")


def values(shape: tuple[int, ...], top: int = 200) -> Any:
    """Reproducible whole numbers."""
    return np.random.default_rng(0).integers(0, top, shape).astype(np.uint16)


def write_with_library(path: Path, data: Any, version: str, axes: str = "czyx") -> Any:
    """Write an image as ome-zarr does, with micrometres."""
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_image as write

    fmt = format_from_version(version)
    group = zarr.open_group(str(path), mode="w", zarr_format=fmt.zarr_format)
    units = {name: unit for name, unit in UNITS.items() if name in axes}
    scale = {name: CZYX.get(name, 1.0) for name in axes}
    write(data, group, axes=list(axes), scale=scale, axes_units=units, fmt=fmt, scale_factors=[2])
    return group


def add_labels(group: Any, data: Any, name: str, version: str, axes: str = "zyx") -> None:
    """Add a label image as ome-zarr does, with two names and colours."""
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_labels as write

    write(
        data,
        group,
        name=name,
        axes=list(axes),
        scale={axis: CZYX[axis] for axis in axes},
        axes_units={axis: UNITS[axis] for axis in axes},
        fmt=format_from_version(version),
        scaler=None,
        scale_factors=[2],
        label_metadata={
            "colors": [
                {"label-value": 1, "rgba": [255, 0, 0, 255]},
                {"label-value": 2, "rgba": [0, 255, 0, 128]},
            ],
            "properties": [
                {"label-value": 1, "name": "nucleus"},
                {"label-value": 2, "class": "wall"},
            ],
        },
    )


def by_hand(
    path: Path, data: Any, version: str, axes: list[Any] | None, transforms: Any, **image: Any
) -> None:
    """Write one level with metadata of one's own."""
    new = version >= "0.5"
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if new else 2)
    group.create_array("full", data=data, chunks=tuple(min(7, n) for n in data.shape))
    level = {"path": "full", **({} if transforms is None else transforms)}
    content: dict[str, Any] = {"datasets": [level], **image}
    if axes is not None:
        content["axes"] = axes
    if new:
        group.attrs["ome"] = {"version": version, "multiscales": [content]}
    else:
        group.attrs["multiscales"] = [{**content, "version": version}]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_images_of_the_library(tmp_path, monkeypatch, version, large):
    if large:
        monkeypatch.setattr(arrays, "LARGE", 0)
    data = values((3, 6, 20, 30))
    write_with_library(tmp_path / "a.ome.zarr", data, version)
    image = read_volume(tmp_path / "a.ome.zarr")
    assert arrays.is_lazy(image.data) == large
    assert image.has_channels
    assert image.data.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(image.data), np.moveaxis(data, 0, -1))
    np.testing.assert_allclose(image.spacing, (5e-4, 2e-4, 1e-4))
    assert image.affine is None
    assert sniff_format(tmp_path / "a.ome.zarr").choice == "ome-zarr"
    assert stem_of(tmp_path / "a.ome.zarr") == "a"
    coarse = next(p for p in (tmp_path / "a.ome.zarr").iterdir() if p.name.endswith("1"))
    half = read_volume(coarse)
    assert half.shape == (6, 10, 15)
    np.testing.assert_allclose(half.spacing, (5e-4, 4e-4, 2e-4))
    assert stem_of(coarse) == f"a_{coarse.name}"


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_of_the_library(tmp_path, version):
    group = write_with_library(tmp_path / "a.zarr", values((2, 6, 20, 30)), version)
    labels = values((6, 20, 30), 3)
    add_labels(group, labels, "cells", version)
    for given in ("a.zarr", "a.zarr/labels", "a.zarr/labels/cells"):
        found = read_labels(tmp_path / given)
        np.testing.assert_array_equal(found.data, labels)
        assert found.names == {1: "nucleus", 2: "wall"}
        assert found.header.colors == {1: (255, 0, 0, 255), 2: (0, 255, 0, 128)}
        check_match(read_volume(tmp_path / "a.zarr"), found)
    assert read_volume(tmp_path / "a.zarr").has_channels  # the image, where an image is asked for
    add_labels(group, labels, "more", version)
    with pytest.raises(InputError, match=r"hold one label group; got 2\. Give one of it: .*cells"):
        read_labels(tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"a group of label images.*labels/cells"):
        read_volume(tmp_path / "a.zarr" / "labels")


@pytest.mark.parametrize("version", VERSIONS)
def test_times_are_frames_and_a_depth_of_one_goes(tmp_path, version):
    data = values((4, 2, 1, 20, 30))
    axes = [
        {"name": "t", "type": "time", "unit": "millisecond"},
        {"name": "c", "type": "channel"},
        *({"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"),
    ]
    transforms = {
        "coordinateTransformations": [
            {"type": "scale", "scale": [50.0, 1.0, 2.0, 3.0, 4.0]},
            {"type": "translation", "translation": [0.0, 0.0, 1.0, 10.0, 20.0]},
        ]
    }
    whole = [{"type": "scale", "scale": [1.0, 1.0, 1.0, 100.0, 100.0]}]
    path = tmp_path / "a.zarr"
    by_hand(path, data, version, axes, transforms, coordinateTransformations=whole)
    with pytest.raises(InputError, match="hold one time point"):
        read_volume(path)
    image = read_volume(path, frame=2)
    np.testing.assert_array_equal(image.data, np.moveaxis(data[2, :, 0], 0, -1))
    np.testing.assert_allclose(image.spacing, (3e-4, 4e-4))
    assert image.header.translation == (1.0, 1000.0, 2000.0)
    assert image.header.frame_step_s == 0.05
    labels = values((20, 30), 4)
    write_labels(tmp_path / "b_labels.ome.zarr", labels, image)
    written = zarr.open(str(tmp_path / "b_labels.ome.zarr"), mode="r")
    assert written["0"].shape == (1, 20, 30)
    again = read_labels(tmp_path / "b_labels.ome.zarr")
    np.testing.assert_array_equal(again.data, labels)
    check_match(image, again)
    assert again.spacing == image.spacing
    assert again.header.translation == image.header.translation
    assert again.header.version == version


def test_axes_stay_in_the_order_of_the_file(tmp_path):
    data = values((5, 6, 7))
    axes = [{"name": name, "type": "space"} for name in "xzy"]
    scale = {"coordinateTransformations": [{"type": "scale", "scale": [1.0, 2.0, 3.0]}]}
    by_hand(tmp_path / "a.zarr", data, "0.5", axes, scale)
    image = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing == (1.0, 2.0, 3.0)
    write_image(tmp_path / "b.ome.zarr", data, image)
    assert [axis.name for axis in read_volume(tmp_path / "b.ome.zarr").header.axes] == list("xzy")


@pytest.mark.parametrize(
    ("version", "axes", "shape"),
    [("0.1", None, (1, 1, 4, 5, 6)), ("0.2", None, (1, 1, 4, 5, 6)), ("0.3", ["y", "x"], (5, 6))],
)
def test_older_versions(tmp_path, version, axes, shape):
    data = values(shape)
    by_hand(tmp_path / "a.zarr", data, version, axes, None)
    image = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image.data, np.squeeze(data))
    assert set(image.spacing) == {1.0}
    write_labels(tmp_path / "b.ome.zarr", values(image.shape, 3), image)
    assert read_labels(tmp_path / "b.ome.zarr").header.version == "0.4"


@pytest.mark.parametrize("version", [2, 3])
def test_plain_arrays(tmp_path, version):
    def store(name: str, data: Any) -> Path:
        path = tmp_path / name
        array = zarr.create_array(
            str(path), shape=data.shape, chunks=data.shape, dtype=data.dtype, zarr_format=version
        )
        array[...] = data
        return path

    data = values((4, 20, 30))
    image = read_volume(store("a.zarr", data))
    np.testing.assert_array_equal(image.data, data)
    assert image.spacing == (1.0, 1.0, 1.0)
    assert not image.has_channels
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr").data, data)
    colours = values((20, 30, 3)).astype(np.uint8)
    assert read_volume(store("b.zarr", colours)).has_channels
    assert read_volume(store("c", colours)).has_channels  # by what it holds, not by its name
    with pytest.raises(InputError, match="without names of axes"):
        read_volume(store("d.zarr", values((2, 3, 4, 5))))
    assert output_path(tmp_path / "a.zarr", tmp_path).name == "a_labels.ome.zarr"


def test_names_of_dimensions_are_axes(tmp_path):
    data = values((3, 4, 20, 30))
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=data.shape,
        chunks=data.shape,
        dtype=data.dtype,
        dimension_names=["c", "z", "y", "x"],
    )
    array[...] = data
    image = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image.data, np.moveaxis(data, 0, -1))


def test_groups_of_several_images_say_which_to_give(tmp_path):
    from ome_zarr.writer import write_plate_metadata, write_well_metadata

    plate = zarr.open_group(str(tmp_path / "plate.zarr"), mode="w", zarr_format=2)
    well = plate.create_group("B").create_group("3")
    for field in ("0", "1"):
        write_with_library(
            tmp_path / "plate.zarr" / "B" / "3" / field, values((4, 5, 6)), "0.4", "zyx"
        )
    write_plate_metadata(plate, ["B"], ["3"], ["B/3"])
    write_well_metadata(well, ["0", "1"])
    where = str(Path("plate.zarr", "B", "3", "0"))
    for given, what in (("plate.zarr", "a plate"), ("plate.zarr/B/3", "a well")):
        with pytest.raises(InputError, match=what) as told:
            read_volume(tmp_path / given)
        assert where in str(told.value)
    assert read_volume(tmp_path / where).shape == (4, 5, 6)

    series = zarr.open_group(str(tmp_path / "raw.zarr"), mode="w", zarr_format=2)
    series.attrs["bioformats2raw.layout"] = 3
    write_with_library(tmp_path / "raw.zarr" / "0", values((4, 5, 6)), "0.4", "zyx")
    assert read_volume(tmp_path / "raw.zarr").shape == (4, 5, 6)
    write_with_library(tmp_path / "raw.zarr" / "1", values((4, 5, 6)), "0.4", "zyx")
    with pytest.raises(InputError, match=r"hold one image; got 2\. Give one of it: .*raw\.zarr.0,"):
        read_volume(tmp_path / "raw.zarr")

    plain = zarr.open_group(str(tmp_path / "plain.zarr"), mode="w")
    plain.create_array("one", data=values((4, 5)))
    with pytest.raises(InputError, match=r"a group without OME metadata.*plain\.zarr.one"):
        read_volume(tmp_path / "plain.zarr")


def test_what_is_damaged_or_unknown_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    by_hand(path, values((4, 5, 6)), "0.9", axes, None)
    with pytest.raises(UnreadableFileError, match=r"be OME-Zarr 0\.1 to 0\.5; got version 0\.9"):
        read_volume(path)
    by_hand(path, values((4, 5, 6)), "0.5", axes[1:], None)
    with pytest.raises(UnreadableFileError, match="have whole OME-Zarr metadata; got 2 axes"):
        read_volume(path)
    affine = {"coordinateTransformations": [{"type": "affine", "affine": [1.0, 2.0, 3.0]}]}
    by_hand(path, values((4, 5, 6)), "0.5", axes, affine)
    with pytest.raises(UnreadableFileError, match="of type affine"):
        read_volume(path)
    by_hand(path, values((4, 5, 6)), "0.5", axes, None)
    monkeypatch.setattr(arrays, "LARGE", 0)
    image = read_volume(path)
    chunk = next(p for p in (path / "full" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(UnreadableFileError, match=r"a\.zarr.full must be a whole Zarr file"):
        np.asarray(image.data)
    (path / "zarr.json").write_text("{")
    with pytest.raises(UnreadableFileError, match="whole Zarr file"):
        read_volume(path)


def test_a_shape_that_no_list_of_blocks_can_hold(tmp_path):
    path = tmp_path / "claims.zarr"
    zarr.create_array(str(path), shape=(4, 8, 8), chunks=(1, 8, 8), dtype="u1")
    about = json.loads((path / "zarr.json").read_text())
    about["shape"] = [2**40, 2**16, 2**16]
    (path / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(UnreadableFileError, match="be of a size that can be read; got the shape"):
        read_volume(path)


def test_without_ome_zarr_plain_arrays_are_read(tmp_path, monkeypatch):
    write_with_library(tmp_path / "a.zarr", values((4, 5, 6)), "0.5", "zyx")
    zarr.create_array(str(tmp_path / "b.zarr"), data=values((4, 5)))
    monkeypatch.setitem(__import__("sys").modules, "ome_zarr", None)
    assert read_volume(tmp_path / "b.zarr").shape == (4, 5)
    missing = r'install "napari-fewshot\[ome-zarr\]"'
    with pytest.raises(InputError, match=missing):
        read_volume(tmp_path / "a.zarr")
    with pytest.raises(InputError, match=missing):
        write_image(tmp_path / "c.ome.zarr", values((4, 5)), Volume(values((4, 5)), (1.0, 1.0)))
    with pytest.raises(InputError, match=missing):
        Outputs("-o").check([output_path("x.nii.gz", tmp_path, choice="ome-zarr")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


@pytest.mark.parametrize("version", VERSIONS)
def test_results_are_valid_multiscale_labels(tmp_path, version):
    """The library reads them, and the models of the specification take them."""
    import ome_zarr_models
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = {"coordinateTransformations": [{"type": "scale", "scale": [4.0, 1.0, 1.0]}]}
    labels = np.kron(values((3, 9, 10), 4), np.ones((1, 60, 61), int))
    by_hand(tmp_path / "a.zarr", labels.astype(np.uint8), version, axes, scale)
    image = read_volume(tmp_path / "a.zarr")
    write_labels(tmp_path / "a_labels.ome.zarr", labels, image, {1: "cell", 3: "3"})
    sure = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    write_image(tmp_path / "a_confidence.ome.zarr", sure, image)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.zarr", "a_confidence.ome.zarr", "a_labels.ome.zarr",
    ]  # fmt: skip

    kinds = {"a_labels": "ImageLabel", "a_confidence": "Image"}
    for name, kind in kinds.items():
        model = ome_zarr_models.open_ome_zarr(str(tmp_path / f"{name}.ome.zarr"))
        assert type(model).__name__ == kind
        assert f".v{version.replace('.', '')}." in type(model).__module__
    (node,) = Reader(parse_url(tmp_path / "a_labels.ome.zarr"))()
    assert [level.shape for level in node.data] == [(3, 540, 610), (3, 270, 305), (3, 135, 153)]
    np.testing.assert_array_equal(node.data[0].compute(), labels)
    assert node.metadata["properties"] == {1: {"name": "cell"}, 3: {"name": "3"}}
    assert set(node.metadata["color"]) == {1, 3}
    assert [level[0]["scale"] for level in node.metadata["coordinateTransformations"]] == [
        [4.0, 1.0, 1.0], [4.0, 2.0, 2.0], [4.0, 4.0, 4.0],
    ]  # fmt: skip
    (node,) = Reader(parse_url(tmp_path / "a_confidence.ome.zarr"))()
    np.testing.assert_array_equal(node.data[0].compute(), sure)
    means = sure.reshape(3, 270, 2, 305, 2).mean((2, 4))
    np.testing.assert_allclose(node.data[1].compute(), means, rtol=1e-5)

    again = read_labels(tmp_path / "a_labels.ome.zarr")
    assert again.names == {1: "cell"}
    assert again.spacing == image.spacing
    write_labels(tmp_path / "b_labels.ome.zarr", labels, again, again.names)
    kept = read_labels(tmp_path / "b_labels.ome.zarr").header.colors
    assert kept == again.header.colors  # those that were there


def test_an_orientation_is_kept(tmp_path):
    affine = np.array([[0, 0, -2.0, 5], [0, 3, 0, 6], [4, 0, 0, 7], [0, 0, 0, 1]])
    image = Volume(values((4, 20, 30)), (4.0, 3.0, 2.0), affine)
    labels = values((4, 20, 30), 3)
    write_labels(tmp_path / "a_labels.ome.zarr", labels, image)
    found = read_labels(tmp_path / "a_labels.ome.zarr")
    np.testing.assert_array_equal(found.affine, affine)
    assert found.spacing == image.spacing
    check_match(image, found)
    moved = Volume(image.data, image.spacing, affine + np.eye(4)[:, [3, 0, 1, 2]] * 0.5)
    with pytest.raises(InputError, match="lie where"):
        check_match(moved, found)
    (tmp_path / "mine.ome.zarr").mkdir()
    with pytest.raises(InputError, match="be a file to write; got a folder"):
        write_labels(tmp_path / "mine.ome.zarr", labels, image)


def test_small_spacings_are_in_micrometres(tmp_path):
    image = Volume(values((4, 20, 30)), (1e-3, 2.5e-4, 2.5e-4))
    write_image(tmp_path / "a.ome.zarr", image.data, image)
    found = read_volume(tmp_path / "a.ome.zarr")
    assert {axis.unit for axis in found.header.axes} == {"micrometer"}
    assert found.header.scale == (1.0, 0.25, 0.25)
    np.testing.assert_allclose(found.spacing, image.spacing)
    assert found.data.dtype == np.float32


def test_names_in_the_folder_come_before_those_beside(tmp_path):
    image = Volume(values((20, 30)), (1.0, 1.0))
    beside = tmp_path / "a_labels.json"
    beside.write_text(json.dumps({"1": "beside"}))
    write_labels(tmp_path / "a_labels.ome.zarr", values((20, 30), 2), image, {1: "within"})
    assert read_labels(tmp_path / "a_labels.ome.zarr").names == {1: "within"}
    write_labels(tmp_path / "a_labels.ome.zarr", values((20, 30), 2), image)
    assert read_labels(tmp_path / "a_labels.ome.zarr").names == {1: "beside"}


@pytest.mark.parametrize("name", ["../other.zarr/0", "/etc", "0/../../other.zarr/0", "..", "C:\\x"])
def test_metadata_lead_to_nothing_outside(tmp_path: Path, name: str) -> None:
    write_with_library(tmp_path / "other.zarr", values((2, 3, 8, 9)), "0.4")
    path = tmp_path / "a.zarr"
    write_with_library(path, values((2, 3, 8, 9)), "0.4")
    group = zarr.open_group(str(path))
    listed = dict(group.attrs)
    listed["multiscales"][0]["datasets"][0]["path"] = name
    group.attrs.update(listed)
    with pytest.raises(UnreadableFileError, match="name arrays and groups that are in it"):
        read_volume(path)


def test_chunks_larger_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(10**6,) * 2, chunks=(10**6,) * 2, dtype="u1")
    monkeypatch.setenv("NAPARI_FEWSHOT_MAX_MEMORY", "0.5")
    with pytest.raises(InputError, match="fit into the memory"):
        read_volume(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "null", "[" * 100_000, '{"zarr_format": 9}']
)
def test_odd_metadata(tmp_path: Path, content: str) -> None:
    for mark in ("zarr.json", ".zarray", ".zgroup"):
        folder = tmp_path / f"{mark}.zarr"
        folder.mkdir()
        (folder / mark).write_text(content)
        with pytest.raises(InputError, match=str(folder)):
            read_volume(folder)
