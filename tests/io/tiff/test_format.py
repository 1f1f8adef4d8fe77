"""TIFF: axes, voxel size in mm, and results of the same kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import read_labels, read_volume, write_image, write_labels
from napari_fewshot.types import Array, Volume

STACK = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


def save(path: Path, data: Array = STACK, **arguments: Any) -> Path:
    arguments.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, data, **arguments)
    return path


def imagej(path: Path, data: Array = STACK, unit: str = "um", **arguments: Any) -> Path:
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": unit, **arguments.pop("metadata", {})}
    resolution = arguments.pop("resolution", ((4, 1), (8, 1)))
    return save(path, data, imagej=True, resolution=resolution, metadata=metadata, **arguments)


def tags(path: Path) -> list[Any]:
    with tifffile.TiffFile(path) as tif:
        values = [tif.pages[0].tags.valueof(code) for code in (282, 283, 296)]
        details = tif.imagej_metadata or {}
        return [*values, details.get("spacing"), details.get("unit"), tif.series[0].axes]


UNITS = {"um": 1e-3, "micron": 1e-3, "\\u00B5m": 1e-3, "nm": 1e-6, "mm": 1, "cm": 10}
UNITS.update({"inch": 25.4, "pixel": 1, "": 1})


@pytest.mark.parametrize(("unit", "factor"), UNITS.items())
def test_imagej_units(tmp_path: Path, unit: str, factor: float) -> None:
    source = imagej(tmp_path / "image.tif", unit=unit)
    volume = read_volume(source)
    np.testing.assert_array_equal(volume.data, STACK)
    np.testing.assert_allclose(volume.spacing, np.array((2, 0.125, 0.25)) * factor)
    assert volume.affine is None

    write_labels(tmp_path / "out.tif", volume.data, volume)
    again = read_labels(tmp_path / "out.tif")
    np.testing.assert_array_equal(again.data, STACK)
    assert again.spacing == volume.spacing
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        assert tif.is_imagej
        assert tif.series[0].axes == "ZYX"


def test_imagej_results_have_the_tags_of_the_input(tmp_path: Path) -> None:
    source = imagej(tmp_path / "image.tif", resolution=((98591, 12500), (98591, 12499)))
    volume = read_volume(source)
    write_labels(tmp_path / "out.tif", volume.data, volume)
    assert tags(tmp_path / "out.tif") == tags(source)


def test_imagej_without_spacing_has_slices_of_one_unit(tmp_path: Path) -> None:
    source = save(
        tmp_path / "i.tif",
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "unit": "um"},
    )
    np.testing.assert_allclose(read_volume(source).spacing, (1e-3, 5e-4, 5e-4))


@pytest.mark.parametrize(("unit", "factor"), [("µm", 1e-3), ("nm", 1e-6), ("mm", 1), ("cm", 10)])
def test_ome_units(tmp_path: Path, unit: str, factor: float) -> None:
    sizes = {"PhysicalSizeX": 0.123456789, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}
    units = {f"{name}Unit": unit for name in sizes}
    source = save(tmp_path / "image.ome.tif", ome=True, metadata={"axes": "ZYX", **sizes, **units})
    volume = read_volume(source)
    np.testing.assert_allclose(volume.spacing, np.array((2, 0.25, 0.123456789)) * factor)
    write_labels(tmp_path / "out.tif", volume.data, volume)
    with tifffile.TiffFile(tmp_path / "out.tif") as tif:
        assert tif.is_ome
        assert 'PhysicalSizeX="0.123456789"' in str(tif.ome_metadata)
        assert f'PhysicalSizeXUnit="{unit}"' in str(tif.ome_metadata)
    assert read_labels(tmp_path / "out.tif").spacing == volume.spacing


def test_ome_without_slice_distance_takes_that_of_the_pixels(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    source = save(tmp_path / "image.tif", ome=True, metadata=metadata)
    np.testing.assert_allclose(read_volume(source).spacing, (5e-4, 5e-4, 5e-4))


@pytest.mark.parametrize(
    ("number", "spacing"), [("INCH", 0.254), ("CENTIMETER", 0.1), ("NONE", 0.01)]
)
def test_resolution_tags(tmp_path: Path, number: str, spacing: float) -> None:
    source = save(tmp_path / "i.tif", STACK[0], resolution=(100, 100), resolutionunit=number)
    volume = read_volume(source)
    np.testing.assert_allclose(volume.spacing, (spacing, spacing))
    write_labels(tmp_path / "out.tif", volume.data, volume)
    assert tags(tmp_path / "out.tif")[:3] == tags(source)[:3]
    assert read_labels(tmp_path / "out.tif").spacing == volume.spacing


def test_no_or_senseless_resolution_is_one(tmp_path: Path) -> None:
    source = save(tmp_path / "image.tif", STACK[0])
    with tifffile.TiffFile(source, mode="r+b") as tif:
        tif.pages[0].tags[282].overwrite((0, 1))
    assert read_volume(source).spacing == (1, 1)


def test_large_labels_stay_exact_as_ome(tmp_path: Path) -> None:
    volume = read_volume(imagej(tmp_path / "image.tif"))
    labels = STACK.astype(np.int64) * 30_000_000
    for name in ("out.tif", "again.tif"):
        write_labels(tmp_path / name, labels, volume)
    again = read_labels(tmp_path / "out.tif")
    assert again.data.dtype == np.int32
    np.testing.assert_array_equal(again.data, labels)
    np.testing.assert_allclose(again.spacing, volume.spacing, rtol=1e-12)
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "again.tif").read_bytes()


def test_confidence_is_float(tmp_path: Path) -> None:
    volume = read_volume(imagej(tmp_path / "image.tif"))
    values = np.random.default_rng(0).random(volume.shape)
    write_image(tmp_path / "out.tif", values, volume)
    again = read_volume(tmp_path / "out.tif")
    np.testing.assert_array_equal(again.data, values.astype(np.float32))
    assert again.spacing == volume.spacing


@pytest.mark.parametrize("spacing", [(0.5, 0.7, 1.5), (1.0, 1.0, 1.0)])
def test_arrays_are_written_with_their_spacing(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    write_labels(tmp_path / "out.tif", STACK, Volume(STACK, spacing))
    again = read_labels(tmp_path / "out.tif")
    np.testing.assert_allclose(again.spacing, spacing, rtol=1e-6)
    assert tags(tmp_path / "out.tif")[4] == (None if spacing[0] == 1 else "mm")


@pytest.mark.parametrize("arguments", [{}, {"metadata": None}, {"compression": "zlib"}])
def test_stack_of_pages_without_a_name_is_depth(tmp_path: Path, arguments: dict[str, Any]) -> None:
    volume = read_volume(save(tmp_path / "image.tif", **arguments))
    np.testing.assert_array_equal(volume.data, STACK)
    assert not volume.has_channels


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_byte_orders_and_bigtiff(tmp_path: Path, byteorder: Any, bigtiff: bool) -> None:
    source = save(tmp_path / "image.tif", byteorder=byteorder, bigtiff=bigtiff)
    volume = read_volume(source)
    assert volume.data.dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(volume.data, STACK)


def test_colours_interleaved_and_planar(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (7, 6, 3), dtype=np.uint8)
    one = save(tmp_path / "a.tif", colour, photometric="rgb")
    planes = colour.transpose(2, 0, 1)
    two = save(tmp_path / "b.tif", planes, photometric="rgb", planarconfig="separate")
    for source in (one, two):
        volume = read_volume(source)
        assert volume.has_channels
        assert volume.spacing == (1, 1)
        np.testing.assert_array_equal(volume.data, colour)
        write_labels(tmp_path / "out.tif", np.ones((7, 6), int), volume)
        assert read_labels(tmp_path / "out.tif").shape == (7, 6)


def test_stack_of_colours(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (4, 7, 6, 3), dtype=np.uint8)
    volume = read_volume(save(tmp_path / "image.tif", colour, photometric="rgb"))
    assert volume.shape == (4, 7, 6)
    np.testing.assert_array_equal(volume.data, colour)


def test_alpha_is_dropped(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (7, 6, 4), dtype=np.uint8)
    source = save(tmp_path / "i.tif", colour, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_volume(source).data, colour[..., :3])


@pytest.mark.parametrize("kind", [{"imagej": True}, {"ome": True}])
def test_channels_come_last(tmp_path: Path, kind: dict[str, Any]) -> None:
    data = np.random.default_rng(0).integers(0, 9, (3, 2, 4, 5), dtype=np.uint8)
    volume = read_volume(save(tmp_path / "i.tif", data, metadata={"axes": "ZCYX"}, **kind))
    assert volume.has_channels
    np.testing.assert_array_equal(volume.data, data.transpose(0, 2, 3, 1))


def test_time_points_need_a_choice(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 9, (6, 3, 4, 5), dtype=np.uint8)
    source = save(tmp_path / "image.tif", data, ome=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"hold one time point; got axes TZYX.*frame=0\.\.5"):
        read_volume(source)
    with pytest.raises(InputError, match=r"frame must be within 0\.\.5 .*; got -1"):
        read_volume(source, frame=-1)
    np.testing.assert_array_equal(read_volume(source, frame=4).data, data[4])


def test_frames_that_may_be_slices_are_named(tmp_path: Path) -> None:
    source = save(tmp_path / "image.tif", imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match="If the frames are slices, name the axis Z"):
        read_volume(source)
    np.testing.assert_array_equal(read_volume(source, frame=1).data, STACK[1])


@pytest.mark.parametrize("axes", ["QQYX", "AZYX"])
def test_other_axes_are_refused(tmp_path: Path, axes: str) -> None:
    source = save(tmp_path / "image.tif", np.zeros((2, 3, 4, 5), "u1"), metadata={"axes": axes})
    with pytest.raises(InputError, match=f"have the axes of one image.*got axes {axes}"):
        read_volume(source)


def test_pyramid_gives_the_full_resolution(tmp_path: Path) -> None:
    data = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    with tifffile.TiffWriter(tmp_path / "image.tif") as tif:
        tif.write(data, subifds=1, tile=(16, 16), photometric="minisblack")
        tif.write(data[::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    np.testing.assert_array_equal(read_volume(tmp_path / "image.tif").data, data)


@pytest.mark.parametrize(
    "arguments",
    [{"imagej": True}, {}, {"metadata": None}, {"compression": "zlib"}, {"ome": True}],
    ids=["imagej", "plain", "no metadata", "zlib", "ome"],
)
def test_truncated_files_never_give_other_pixels(
    tmp_path: Path, arguments: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    data = np.random.default_rng(0).integers(0, 999, (8, 20, 30)).astype(np.uint16)
    if "metadata" not in arguments:
        arguments = {**arguments, "metadata": {"axes": "ZYX"}}
    content = save(tmp_path / "image.tif", data, **arguments).read_bytes()
    refused = 0
    for end in np.linspace(5, len(content) - 1, 40).astype(int):
        (tmp_path / "cut.tif").write_bytes(content[:end])
        try:
            volume = read_volume(tmp_path / "cut.tif")
        except UnreadableFileError as error:
            refused += "truncated or damaged" in str(error)
        else:
            np.testing.assert_array_equal(volume.data, data)
    assert refused > 30
    assert capfd.readouterr().err == ""


def test_labels_of_wrong_size_in_mm_do_not_inherit_old_tags(tmp_path: Path) -> None:
    volume = read_volume(imagej(tmp_path / "image.tif"))
    other = Volume(volume.data, (5.0, 1.0, 1.0), header=volume.header)
    write_labels(tmp_path / "out.tif", STACK, other)
    np.testing.assert_allclose(read_labels(tmp_path / "out.tif").spacing, (5, 1, 1))


def test_real_stacks_return_exactly(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "em_vnc" / "image.tif"
    image = read_volume(source)
    labels = read_labels(shared_data / "em_vnc" / "labels.tif")
    np.testing.assert_allclose(image.spacing, (5e-5, 4.6e-6, 4.6e-6))
    write_labels(tmp_path / "out.tif", labels.data, image)
    assert tags(tmp_path / "out.tif") == tags(source)
    np.testing.assert_array_equal(read_labels(tmp_path / "out.tif").data, labels.data)


def ome_set(path: Path, other: str, own: str = "") -> Path:
    """First file of an OME-TIFF set of two slices; the second is in the file ``other``."""
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
        ' UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT"'
        ' Type="uint16" SizeX="5" SizeY="4" SizeZ="2" SizeC="1" SizeT="1">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
        f'<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="{own or path.name}">'
        "urn:uuid:1</UUID></TiffData>"
        f'<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="{other}">'
        "urn:uuid:2</UUID></TiffData></Pixels></Image></OME>"
    )
    return save(path, STACK[0], description=xml, metadata=None)


def test_sets_of_files_lie_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        save(folder / "b.ome.tif", STACK[1], metadata=None)
    (tmp_path / "in" / "link.ome.tif").symlink_to(tmp_path / "b.ome.tif")
    np.testing.assert_array_equal(
        read_volume(ome_set(tmp_path / "in" / "a.ome.tif", "b.ome.tif")).data, STACK[:2]
    )
    renamed = ome_set(tmp_path / "in" / "new.ome.tif", "b.ome.tif", own="/data/old.ome.tif")
    np.testing.assert_array_equal(read_volume(renamed).data, STACK[:2])
    for other in ("../b.ome.tif", str(tmp_path / "b.ome.tif"), "link.ome.tif"):
        with pytest.raises(UnreadableFileError, match="by plain names, in its own folder"):
            read_volume(ome_set(tmp_path / "in" / "a.ome.tif", other))


def test_claims_that_deflate_cannot_keep(tmp_path: Path) -> None:
    path = save(tmp_path / "image.tif", STACK, compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for tag in ("ImageLength", "ImageWidth", "RowsPerStrip"):
            tif.pages[0].tags[tag].overwrite(60000)
    with pytest.raises(UnreadableFileError, match="be a whole TIFF file"):
        read_volume(path)


def test_large_results_are_bigtiff_and_laid_out_page_by_page(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_fewshot.io.tiff.format._IMAGEJ_LARGEST", 1000)
    monkeypatch.setattr("napari_fewshot.io.blocks.AT_ONCE", 500)
    values = np.random.default_rng(0).integers(0, 9, (5, 20, 30)).astype(np.int32)
    image = Volume(values, (2e-3, 1e-3, 1e-3))
    write_labels(tmp_path / "a.tif", np.asfortranarray(values), image)
    write_image(tmp_path / "b.tif", values, image)
    for name in ("a.tif", "b.tif"):
        assert (tmp_path / name).read_bytes()[:4] == b"II+\0"
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert len(tif.pages) == 5
        found = read_volume(tmp_path / name)
        np.testing.assert_array_equal(found.data, values)
        np.testing.assert_allclose(found.spacing, image.spacing)


@pytest.mark.parametrize(
    ("unit", "other", "size", "ratio"),
    [
        ("nm", "um", 0.6, 3.0),
        ("um", "nm", 600.0, 3.0),
        ("micrometers", "millimeters", 0.0006, 3.0),
        ("nanometers", "microns", 0.6, 3.0),
        ("\\u00B5m", "Nanometer", 600.0, 3.0),
    ],
)
def test_imagej_has_units_for_each_axis(
    tmp_path: Path, unit: str, other: str, size: float, ratio: float
) -> None:
    """Pixels of 200 nm, slices of 600 nm; along y the unit is that of the slices."""
    path = tmp_path / "a.tif"
    pixel = 200.0 if unit.startswith("n") else 0.2
    down = pixel * size / (600.0 if unit.startswith("n") else 0.6)
    tifffile.imwrite(
        path,
        STACK.astype(np.uint16),
        imagej=True,
        resolution=(1 / pixel, 1 / down),
        metadata={"axes": "ZYX", "unit": unit, "zunit": other, "yunit": other, "spacing": size},
    )
    z, y, x = read_volume(path).spacing
    assert x == pytest.approx(2e-4)
    assert y == pytest.approx(2e-4, rel=1e-5)
    assert z / x == pytest.approx(ratio)
    volume = read_volume(path)
    write_labels(tmp_path / "o.tif", np.zeros(volume.shape, int), volume)
    assert read_labels(tmp_path / "o.tif").spacing == pytest.approx(volume.spacing, rel=1e-5)


def test_units_that_are_no_length_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for unit, is_named in (("furlong", True), ("pixel", False), ("micrometres", False)):
        metadata = {"axes": "ZYX", "unit": unit}
        caplog.clear()
        tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=metadata)
        read_volume(tmp_path / "a.tif")
        assert ("no known length" in caplog.text) is is_named


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (4, 1, 5, 6), (1, 1, 4, 5, 6), (1, 4, 1, 5, 6)])
def test_axes_of_one_are_dropped(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = np.arange(120, dtype=np.uint16).reshape(4, 5, 6)
    tifffile.imwrite(tmp_path / "a.tif", data.reshape(shape), photometric="minisblack")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif").data, data)
