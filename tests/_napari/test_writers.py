"""What is read into a layer and written again is the file that it was."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer, Points

from napari_fewshot._napari.readers import nifti_reader, read_image, read_label_map, read_point_file
from napari_fewshot._napari.writers import (
    label_names,
    write_image_layer,
    write_labels_layer,
    write_points_layer,
)
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_labels, read_points, read_volume, write_labels, write_points
from napari_fewshot.types import Array, Landmark, Volume

SHAPE = (5, 4, 3)
AXES = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def affine_of(order: tuple[int, ...], signs: tuple[int, ...], oblique: bool = False) -> Array:
    affine = np.zeros((4, 4))
    for axis, (target, sign, size) in enumerate(zip(order, signs, (0.5, 1.25, 3), strict=True)):
        affine[target, axis] = sign * size
    if oblique:
        a, b = np.radians(17), np.radians(-21)
        turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        affine[:3, :3] = turn @ tilt @ affine[:3, :3]
    affine[:, 3] = (-7.5, 11.25, 3, 1)
    return affine


def save(path: Path, data: Array, affine: Array, units: str = "mm", **fields: Any) -> Path:
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units(units)
    for name, value in fields.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def layer_of(path: Path) -> Layer:
    read = nifti_reader(str(path))
    assert read is not None
    (data,) = read(str(path))
    return Layer.create(*data)


def written(layer: Layer, path: Path) -> Path:
    write = {"image": write_image_layer, "labels": write_labels_layer, "points": write_points_layer}
    data, meta, kind = layer.as_layer_data_tuple()
    assert write[kind](str(path), data, meta) == [str(path)]
    return path


def assert_same_file(before: Path, after: Path) -> None:
    one, two = nib.load(before), nib.load(after)
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(two.dataobj))
    keys = ("dim", "pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z")
    keys += ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    for key in (*keys, "xyzt_units", "sizeof_hdr"):
        np.testing.assert_array_equal(one.header[key], two.header[key], err_msg=key)


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize(("order", "signs"), AXES)
def test_image_of_any_orientation_returns_to_its_file(tmp_path, order, signs, oblique):
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    path = save(tmp_path / "ct.nii", data, affine_of(order, signs, oblique), sform_code=1)
    layer = layer_of(path)
    assert isinstance(layer, Image)
    assert_same_file(path, written(layer, tmp_path / "again.nii"))


def test_units_of_the_file_are_shown_in_mm_and_written_as_they_were(tmp_path):
    data = np.arange(60, dtype=np.uint16).reshape(SHAPE)
    path = save(tmp_path / "cells.nii.gz", data, affine_of((2, 0, 1), (1, -1, 1)), units="micron")
    layer = layer_of(path)
    np.testing.assert_allclose(sorted(layer.scale), [0.0005, 0.00125, 0.003])
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    assert_same_file(path, written(layer, tmp_path / "again.nii.gz"))


def test_labels_return_with_names_and_are_labels_again_under_any_name(tmp_path):
    data = np.arange(60, dtype=np.uint8).reshape(SHAPE) % 4
    affine = affine_of((1, 2, 0), (-1, 1, -1))
    path = save(tmp_path / "knee_seg.nii.gz", data, affine)
    (tmp_path / "labels.json").write_text('{"1": "tibia", "3": "femur"}')
    layer = layer_of(path)
    assert isinstance(layer, Labels)
    assert label_names(layer.features) == {1: "tibia", 3: "femur"}

    other = tmp_path / "elsewhere" / "monday.nii.gz"
    assert_same_file(path, written(layer, other))
    again = layer_of(other)
    assert isinstance(again, Labels)
    assert again.name == "monday"
    assert label_names(again.features) == {1: "tibia", 3: "femur"}
    np.testing.assert_array_equal(again.data, layer.data)


def test_painted_voxels_arrive_where_they_were_painted(tmp_path):
    affine = affine_of((2, 0, 1), (-1, 1, -1))
    path = save(tmp_path / "seg.nii.gz", np.zeros(SHAPE, np.uint8), affine)
    layer = layer_of(path)
    layer.data_setitem((np.array([1]), np.array([2]), np.array([3])), 7)
    place = layer.data_to_world((1, 2, 3))
    result = nib.load(written(layer, tmp_path / "out.nii.gz"))
    (index,) = np.argwhere(np.asarray(result.dataobj) == 7)
    # World of the viewer: S, A, R.
    np.testing.assert_allclose((result.affine @ [*index, 1])[2::-1], place)


def test_new_labels_layer_is_written_on_the_grid_of_the_image(tmp_path, monkeypatch):
    import napari
    from napari.components import ViewerModel

    viewer = ViewerModel()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    path = save(tmp_path / "ct.nii.gz", data, affine_of((1, 0, 2), (-1, -1, 1), oblique=True))
    image = viewer.add_layer(layer_of(path))
    viewer._new_labels()
    labels = viewer.layers[-1]
    assert "shape" not in labels.metadata
    assert labels.data.shape == image.data.shape
    labels.data[2, 1, 3] = 5
    result = read_labels(written(labels, tmp_path / "painted.nii.gz"))
    original = read_volume(path)
    np.testing.assert_array_equal(result.affine, original.affine)
    assert original.data[result.data == 5].tolist() == [image.data[2, 1, 3]]


def test_labels_are_not_written_over_an_open_image(tmp_path, monkeypatch):
    import napari
    from napari.components import ViewerModel

    viewer = ViewerModel()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    path = save(tmp_path / "ct.nii.gz", data, affine_of((0, 1, 2), (1, 1, 1)))
    before = path.read_bytes()
    viewer.add_layer(layer_of(path))
    viewer._new_labels()
    (tmp_path / "link.nii.gz").symlink_to(path)
    for name in ("ct.nii.gz", "link.nii.gz"):
        with pytest.raises(InputError, match="not be the file of an open image"):
            written(viewer.layers[-1], tmp_path / name)
    assert path.read_bytes() == before
    labels = save(tmp_path / "a_seg.nii.gz", (data % 3).astype(np.uint8), np.eye(4))
    viewer.add_layer(layer_of(labels))
    written(viewer.layers[-1], labels)  # corrected, and saved where they came from


def test_names_beside_saved_labels_join_those_that_are_there(tmp_path):
    path = save(tmp_path / "knee.nii.gz", np.ones(SHAPE, np.uint8), np.eye(4))
    names = tmp_path / "knee_labels.json"
    names.write_text('{"1": "tibia", "9": "mine"}')
    like = read_labels(path)
    write_labels(path, like.data, like, {1: "femur"})
    assert read_labels(path).names == {1: "femur", 9: "mine"}
    names.write_text('["no names"]')
    write_labels(path, like.data, like, {1: "femur"})
    assert names.read_text() == '["no names"]'


def test_layer_that_was_moved_is_written_where_it_lies_now(tmp_path):
    data = np.arange(60, dtype=np.int16).reshape(SHAPE)
    layer = layer_of(save(tmp_path / "ct.nii", data, affine_of((2, 1, 0), (1, -1, 1))))
    layer.translate = layer.translate + np.array((10, 0, 0))
    again = layer_of(written(layer, tmp_path / "moved.nii"))
    np.testing.assert_allclose(again.translate, layer.translate)
    np.testing.assert_allclose(again.scale, layer.scale)
    np.testing.assert_array_equal(again.data, layer.data)


@pytest.mark.parametrize("units", ["mm", "um", None])
def test_layer_from_elsewhere_keeps_its_place(tmp_path, units):
    data = np.random.default_rng(0).random((4, 5, 6))
    layer = Image(data, scale=(3, 2, 1), translate=(5, -6, 7), units=units)
    again = layer_of(written(layer, tmp_path / "a.nii.gz"))
    factor = 0.001 if units == "um" else 1
    np.testing.assert_allclose(again.scale, np.array((3, 2, 1)) * factor)
    np.testing.assert_allclose(again.translate, np.array((5, -6, 7)) * factor)
    np.testing.assert_array_equal(again.data, data.astype(np.float32))


def test_rotated_layer_from_elsewhere_gives_an_oblique_file(tmp_path):
    a = np.radians(30)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    layer = Labels(np.ones((4, 5, 6), np.int64), rotate=turn, scale=(3, 2, 1))
    path = written(layer, tmp_path / "a.nii.gz")
    index = (1, 2, 3)
    place = (nib.load(path).affine @ [*index[::-1], 1])[2::-1]
    np.testing.assert_allclose(place, layer.data_to_world(index), atol=1e-5)
    np.testing.assert_allclose(read_labels(path).spacing, (3, 2, 1), atol=1e-6)


def test_2d_image_keeps_its_pixel_size(tmp_path):
    layer = Image(np.arange(12, dtype=np.uint8).reshape(3, 4), scale=(0.5, 0.25), units="um")
    volume = read_volume(written(layer, tmp_path / "cells.nii"))
    np.testing.assert_allclose(volume.spacing, (0.0005, 0.00025))
    np.testing.assert_array_equal(volume.data, layer.data)
    again = layer_of(tmp_path / "cells.nii")
    assert again.ndim == 2
    assert_same_file(tmp_path / "cells.nii", written(again, tmp_path / "twice.nii"))


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 4, 5, 3), (4, 5, 4)])
def test_colours(tmp_path, shape):
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = written(Image(data, rgb=True), tmp_path / "stain.nii.gz")
    again = layer_of(path)
    assert again.rgb
    np.testing.assert_array_equal(again.data, data[..., :3])
    assert_same_file(path, written(again, tmp_path / "twice.nii.gz"))


def test_colours_as_fractions(tmp_path):
    path = written(Image(np.full((4, 5, 3), 0.5), rgb=True), tmp_path / "stain.nii")
    assert np.unique(read_volume(path).data).tolist() == [128]


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_time_series(tmp_path, kind):
    data = np.arange(5 * 4 * 3 * 2, dtype=np.int16).reshape(*SHAPE, 2)
    image = nib.Nifti1Image(data, affine_of((2, 0, 1), (1, -1, 1)))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2.5))
    image.header.set_intent("label" if kind == "labels" else "none")
    path = tmp_path / "heart.nii.gz"
    image.to_filename(path)
    layer = layer_of(path)
    assert layer._type_string == kind
    assert layer.ndim == 4
    assert layer.axis_labels == ("T", "S", "A", "R")
    assert (layer.scale[0], str(layer.units[0])) == (2.5, "second")
    alone = Layer.create(*read_image(save(tmp_path / "one.nii", data[..., 1], image.affine))[0])
    np.testing.assert_array_equal(layer.data[1], alone.data)
    again = written(layer, tmp_path / "again.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(again).dataobj), data)
    np.testing.assert_array_equal(nib.load(again).affine, image.affine)
    assert nib.load(again).header.get_zooms()[3] == 2.5


def test_multiscale_and_dask_layers_are_written_at_full_resolution(tmp_path):
    import dask.array as da

    data = np.arange(8 * 8 * 8, dtype=np.uint16).reshape(8, 8, 8)
    pyramid = [da.from_array(data), da.from_array(data[::2, ::2, ::2])]
    path = written(Image(pyramid, multiscale=True, contrast_limits=(0, 512)), tmp_path / "a.nii")
    np.testing.assert_array_equal(read_volume(path).data, data)


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float16, np.float64, np.uint8, np.int16])
def test_dtypes_that_files_do_not_have_are_widened_or_narrowed(tmp_path, dtype):
    data = np.arange(24).reshape(2, 3, 4).astype(dtype)
    volume = read_volume(written(Image(data), tmp_path / "a.nii"))
    np.testing.assert_array_equal(volume.data, data)
    assert volume.data.dtype.itemsize <= 4


def test_five_axes_are_refused(tmp_path):
    with pytest.raises(InputError, match="at most one of time"):
        written(Image(np.zeros((2, 2, 2, 2, 2))), tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("oblique", [False, True])
def test_points_return_exactly(tmp_path, oblique):
    affine = affine_of((2, 0, 1), (-1, 1, -1), oblique)
    path = save(tmp_path / "head.nii.gz", np.zeros(SHAPE, np.int16), affine)
    marks = [
        Landmark("nose", 2, (1.0, 2.25, 3.5), 0.5),
        Landmark("ear", 7, (0.0, 0.0, 4.0)),
    ]
    write_points(tmp_path / "head_landmarks.csv", marks, read_volume(path))
    # The image is found beside the points.
    (data,) = read_point_file(tmp_path / "head_landmarks.csv")
    layer = Layer.create(*data)
    out = written(layer, tmp_path / "out.csv")
    assert read_points(out, read_volume(path)) == marks
    assert out.read_text() == (tmp_path / "head_landmarks.csv").read_text()


def test_points_from_elsewhere(tmp_path):
    layer = Points([[1, 2, 3], [0, 1.5, 2], [1, 1, 1]], scale=(4, 2, 1), translate=(1, 0, 0))
    layer.features = {"name": ["a", "b", "a"], "other": [1, 2, 3]}
    lines = written(layer, tmp_path / "p.csv").read_text().splitlines()
    assert lines == [
        "name,label,z,y,x,R,A,S",
        "a,1,1,2,3,3.000000,4.000000,5.000000",
        "b,2,0,1.5,2,2.000000,3.000000,1.000000",
        "a,1,1,1,1,1.000000,2.000000,5.000000",
    ]
    flat = written(Points([[2, 3]]), tmp_path / "flat.csv").read_text().splitlines()
    assert flat == ["name,label,z,y,x", "point 1,1,0,2,3"]
    empty = written(Points(np.zeros((0, 3))), tmp_path / "empty.csv").read_text().splitlines()
    assert empty == ["name,label,z,y,x,R,A,S"]


def test_points_with_labels_that_are_none(tmp_path):
    layer = Points([[1, 2]], features={"label": [0]})
    with pytest.raises(InputError, match="whole numbers of at least 1"):
        written(layer, tmp_path / "p.csv")


def test_labels_file_of_the_core_is_read_with_names(tmp_path):
    data = np.arange(60, dtype=np.int16).reshape(SHAPE) % 3
    like = Volume(data, (1.0, 1.0, 2.0), np.diag([2.0, 1, 1, 1])[:, [2, 1, 0, 3]])
    write_labels(tmp_path / "result.nii.gz", data, like, {2: "liver"})
    layer = layer_of(tmp_path / "result.nii.gz")
    assert isinstance(layer, Labels)
    assert label_names(layer.features) == {2: "liver"}
    assert_same_file(tmp_path / "result.nii.gz", written(layer, tmp_path / "again.nii.gz"))


def test_names_by_row_where_the_features_have_no_index():
    assert label_names({"name": ["background", "a", None, "c"]}) == {1: "a", 3: "c"}
    assert label_names(None) == {}


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["ct_torso/image", "mr_abdomen/image", "mr_spine/t2_image", "mr_cardiac/SCD0000101_image"],
)
def test_real_images_return_exactly(tmp_path, shared_data, name):
    path = shared_data / f"{name}.nii.gz"
    layer = Layer.create(*read_image(path)[0])
    out = written(layer, tmp_path / "again.nii.gz")
    assert_same_file(path, out)


@pytest.mark.data
def test_real_labels_return_exactly_with_names(tmp_path, shared_data):
    path = shared_data / "ct_torso" / "labels.nii.gz"
    layer = Layer.create(*read_label_map(path)[0])
    names = label_names(layer.features)
    assert names[1] == "spleen"
    out = written(layer, tmp_path / "torso.nii.gz")
    np.testing.assert_array_equal(read_labels(out).data, read_labels(path).data)
    assert dict(read_labels(out).names) == names
