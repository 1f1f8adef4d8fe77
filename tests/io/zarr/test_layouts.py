"""OME-Zarr as other programs lay it out, written here as they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_volume, stem_of
from napari_fewshot.io.find import find_images
from napari_fewshot.types import Array

zarr = pytest.importorskip("zarr")
pytest.importorskip("ome_zarr")

VERSIONS = ("0.4", "0.5")
IMAGE = np.random.default_rng(0).integers(0, 200, (3, 16, 18)).astype(np.uint16)
LABELS = (IMAGE > 150).astype(np.uint8)
XML = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Image ID="Image:0"><Pixels ID="Pixels:0" SizeX="18" SizeY="16" SizeZ="3" SizeC="1" SizeT="1"
 PhysicalSizeX="0.25" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25" PhysicalSizeYUnit="µm"
 PhysicalSizeZ="800" PhysicalSizeZUnit="nm" Type="uint16" DimensionOrder="XYZCT"/></Image>
</OME>
"""


def group_at(path: Path, version: str, **attributes: Any) -> Any:
    """A group with attributes, where this version of the format has them."""
    new = version == "0.5"
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if new else 2)
    if attributes:
        if new:
            group.attrs["ome"] = {"version": version, **attributes}
        else:
            group.attrs.update(attributes)
    return group


def write_level(group: Any, name: str, data: Array) -> None:
    """An array with chunks in folders, as Java programs have them."""
    version = group.metadata.zarr_format
    group.create_array(
        name,
        data=data,
        chunks=tuple(min(8, size) for size in data.shape),
        chunk_key_encoding={"name": "default" if version == 3 else "v2", "separator": "/"},
    )


def multiscales(
    version: str, axes: str, levels: dict[str, tuple[float, ...]] | list[str], **more: Any
) -> list[dict[str, Any]]:
    """Metadata of levels with their scales, or without."""
    kinds = {"t": "time", "c": "channel"}
    listed = [
        {"name": axis, "type": kinds[axis]}
        if axis in kinds
        else {"name": axis, "type": "space", "unit": "micrometer"}
        for axis in axes
    ]
    datasets: list[dict[str, Any]] = [{"path": name} for name in levels]
    if isinstance(levels, dict):
        for dataset, scale in zip(datasets, levels.values(), strict=True):
            dataset["coordinateTransformations"] = [{"type": "scale", "scale": list(scale)}]
    one = {"axes": listed, "datasets": datasets, **more}
    return [one if version == "0.5" else {**one, "version": version}]


def write_image(path: Path, version: str, axes: str = "tczyx", **more: Any) -> Any:
    """The image at two levels."""
    lead = (1,) * (len(axes) - 3)
    scales = {"0": (*map(float, lead), 0.8, 0.25, 0.25), "1": (*map(float, lead), 0.8, 0.5, 0.5)}
    group = group_at(path, version, multiscales=multiscales(version, axes, scales, **more))
    write_level(group, "0", IMAGE.reshape(lead + IMAGE.shape))
    write_level(group, "1", IMAGE[:, ::2, ::2].reshape(*lead, 3, 8, 9))
    return group


def write_labels(path: Path, version: str, **attributes: Any) -> None:
    scales = {"0": (0.8, 0.25, 0.25)}
    group = group_at(path, version, multiscales=multiscales(version, "zyx", scales), **attributes)
    write_level(group, "0", LABELS)


def is_the_image(path: Path) -> None:
    image = read_volume(path)
    np.testing.assert_array_equal(np.asarray(image.data), IMAGE)
    np.testing.assert_allclose(image.spacing, (8e-4, 2.5e-4, 2.5e-4))


@pytest.mark.parametrize("version", VERSIONS)
def test_series_of_bioformats2raw(tmp_path, version):
    root = tmp_path / "stack.zarr"
    group_at(root, version, **{"bioformats2raw.layout": 3})
    group_at(root / "OME", version, series=["0"])
    (root / "OME" / "METADATA.ome.xml").write_text(XML, "utf-8")
    write_image(root / "0", version)
    for given in (root, root / "0", root / "0" / "0"):
        is_the_image(given)
    assert read_volume(root / "0" / "1").shape == (3, 8, 9)
    assert stem_of(root) == "stack"
    write_labels(root / "0" / "labels" / "cells", version)
    np.testing.assert_array_equal(read_labels(root).data, LABELS)
    write_image(root / "1", version)
    group_at(root / "OME", version, series=["0", "1"])
    with pytest.raises(
        InputError, match=r"hold one image; got 2\. Give one of it: .*stack\.zarr.0"
    ):
        read_volume(root)
    is_the_image(root / "1")


def test_older_series_have_their_voxel_size_in_the_xml(tmp_path):
    root = tmp_path / "old.zarr"
    zarr.open_group(str(root), mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 1
    (root / "OME").mkdir()
    (root / "OME" / "METADATA.ome.xml").write_text(XML, "utf-8")
    group = zarr.open_group(str(root / "0"), mode="w", zarr_format=2)
    levels = [{"path": name} for name in "01"]
    group.attrs["multiscales"] = [{"version": "0.2", "datasets": levels}]
    write_level(group, "0", IMAGE[None, None])
    write_level(group, "1", IMAGE[None, None, :, ::2, ::2])
    is_the_image(root)
    np.testing.assert_allclose(read_volume(root / "0" / "1").spacing, (8e-4, 5e-4, 5e-4))
    (root / "OME" / "METADATA.ome.xml").write_text("<OME")
    assert read_volume(root).spacing == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("version", VERSIONS)
def test_levels_in_groups_of_their_own_as_ngff_zarr_has_them(tmp_path, version):
    scales = {"scale0/image": (0.8, 0.25, 0.25), "scale1/image": (0.8, 0.5, 0.5)}
    path = tmp_path / "a.ome.zarr"
    group = group_at(
        path, version, multiscales=multiscales(version, "zyx", scales, name="image", type="itk")
    )
    for number, data in enumerate((IMAGE, IMAGE[:, ::2, ::2])):
        write_level(group.create_group(f"scale{number}"), "image", data)
    is_the_image(path)
    is_the_image(path / "scale0" / "image")
    assert read_volume(path / "scale1" / "image").spacing == (8e-4, 5e-4, 5e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_positions_and_plates_of_iohub(tmp_path, version):
    same = {"coordinateTransformations": [{"type": "identity"}]}
    write_image(tmp_path / "position.zarr", version, **same)
    is_the_image(tmp_path / "position.zarr")
    plate = tmp_path / "plate.zarr"
    group_at(
        plate,
        version,
        plate={
            "rows": [{"name": "A"}],
            "columns": [{"name": "1"}, {"name": "2"}],
            "wells": [{"path": f"A/{k}", "rowIndex": 0, "columnIndex": k - 1} for k in (1, 2)],
        },
    )
    group_at(plate / "A", version)
    for well in ("1", "2"):
        group_at(plate / "A" / well, version, well={"images": [{"path": "000"}, {"path": "001"}]})
        for field in ("000", "001"):
            write_image(plate / "A" / well / field, version, **same)
    with pytest.raises(InputError, match="be one image; got a plate") as told:
        read_volume(plate)
    assert str(plate / "A" / "1" / "001") in told.value.remedy
    assert f"'{plate / '*' / '*' / '*'}'" in told.value.remedy
    with pytest.raises(InputError, match="got a well") as told:
        read_volume(plate / "A" / "2")
    assert f"'{plate / 'A' / '2' / '*'}'" in told.value.remedy
    is_the_image(plate / "A" / "2" / "001")
    assert stem_of(plate / "A" / "2" / "001") == "plate_A_2_001"
    found = find_images("IMAGE", [plate / "*" / "*" / "*"]).images
    assert [str(one.relative_to(plate).as_posix()) for one in found] == [
        "A/1/000", "A/1/001", "A/2/000", "A/2/001",
    ]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_images_of_bigstitcher_in_a_group_that_says_nothing(tmp_path, version):
    root = tmp_path / "dataset.ome.zarr"
    group_at(root, version)
    write_image(root / "s0-t0.zarr", version)
    is_the_image(root)  # the only one
    write_image(root / "s1-t0.zarr", version)
    with pytest.raises(InputError, match=r"hold one image; got 2\. .*s0-t0\.zarr, .*s1-t0"):
        read_volume(root)
    is_the_image(root / "s1-t0.zarr")
    assert stem_of(root / "s1-t0.zarr") == "dataset_s1-t0"
    group_at(tmp_path / "n5like.zarr", version)
    group_at(tmp_path / "n5like.zarr" / "setup0", version)
    write_image(tmp_path / "n5like.zarr" / "setup0" / "timepoint0", version)
    is_the_image(tmp_path / "n5like.zarr")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("listed", ["listed", "group", "folder"])
def test_label_groups_with_and_without_metadata(tmp_path, version, listed):
    path = tmp_path / "a.zarr"
    write_image(path, version)
    if listed != "folder":
        group_at(path / "labels", version, **({"labels": ["cells"]} if listed == "listed" else {}))
    write_labels(path / "labels" / "cells", version)
    (path / "labels" / "notes.txt").touch()
    found = read_labels(path)
    np.testing.assert_array_equal(found.data, LABELS)
    np.testing.assert_allclose(found.spacing, (8e-4, 2.5e-4, 2.5e-4))


@pytest.mark.parametrize("version", VERSIONS)
def test_labels_of_the_writer_of_napari_are_an_image_by_themselves(tmp_path, version):
    write_labels(tmp_path / "cells.zarr", version, **{"image-label": {"version": version}})
    np.testing.assert_array_equal(read_labels(tmp_path / "cells.zarr").data, LABELS)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_scales_a_voxel_is_one(tmp_path, version):
    group = group_at(tmp_path / "a.zarr", version, multiscales=multiscales(version, "zyx", ["0"]))
    write_level(group, "0", IMAGE)
    np.testing.assert_allclose(read_volume(tmp_path / "a.zarr").spacing, (1e-3, 1e-3, 1e-3))


def test_units_that_are_no_lengths_are_named(tmp_path, caplog):
    content = multiscales("0.4", "zyx", {"0": (2.0, 1.0, 1.0)})
    for axis in content[0]["axes"]:
        axis["unit"] = "furlong"
    group = group_at(tmp_path / "a.zarr", "0.4", multiscales=content)
    write_level(group, "0", IMAGE)
    assert read_volume(tmp_path / "a.zarr").spacing == (2.0, 1.0, 1.0)
    assert "'furlong', which is no known length; taken as mm" in caplog.text


def test_an_n5_folder_is_called_by_its_name(tmp_path):
    (tmp_path / "attributes.json").write_text("{}")
    with pytest.raises(InputError, match="got an N5 folder. Export it as OME-Zarr"):
        read_volume(tmp_path)
