"""What a template takes, what it refuses, and along which axis it was painted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig
from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import make_phantom, painted_labels
from napari_fewshot.slices.axis import painted_axis, painted_slices
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates import SCRIBBLE_BACKGROUND, Template, known_slices
from napari_fewshot.types import Landmark, Volume

IMAGE = np.zeros((6, 8, 10), np.float32)


def painted(*values, dtype=np.uint8):
    labels = np.zeros(IMAGE.shape, dtype)
    for number, value in enumerate(values):
        labels[2, 1 + number, 1:5] = value
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_labels_of_any_whole_dtype(dtype):
    template = Template(IMAGE, painted(3, 7, dtype=dtype))
    assert template.labels.data.dtype == np.int32
    assert template.painted_values() == [3, 7]


def test_boolean_labels_are_one_label():
    assert Template(IMAGE, painted(1, dtype=bool)).painted_values() == [1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (painted(1.5, dtype=np.float32), "be whole numbers"),
        (painted(np.nan, dtype=np.float32), "be whole numbers; got float32 with fractions or NaN"),
        (painted(1e30, dtype=np.float64), "fit into int32"),
        (painted(2**40, dtype=np.int64), "fit into int32"),
        (painted(-(2**40), dtype=np.int64), "fit into int32"),
        (painted("a", dtype=object), "be whole numbers; got dtype object"),
        (painted(-2, dtype=np.int16), "be 0 or above in a dense template; got value -2"),
        (painted(1)[:5], r"have the shape of the image \(6, 8, 10\)"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(InputError, match=f"labels must {message}"):
        Template(IMAGE, labels)


def test_labels_must_lie_where_the_image_lies():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])[[2, 1, 0, 3]]
    moved = affine.copy()
    moved[0, 3] = 4
    image = Volume(IMAGE, (2.0, 1.0, 1.0), affine)
    Template(image, Volume(painted(1), (2.0, 1.0, 1.0), affine))
    with pytest.raises(InputError, match="corners up to 4 mm apart"):
        Template(image, Volume(painted(1), (2.0, 1.0, 1.0), moved))


def test_shape_error_of_volumes_tells_of_transposed_labels():
    labels = Volume(np.ones((10, 8, 6), np.uint8), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="saved transposed"):
        Template(IMAGE, labels)


def test_names_come_from_labels_points_and_the_caller():
    labels = Volume(painted(1, 2), (1.0,) * 3, names={1: "one", 2: "two"})
    points = [Landmark("tip", 5, (2, 3, 4))]
    template = Template(IMAGE, labels, points=points, names={2: "deux"})
    assert template.names == {1: "one", 2: "deux", 5: "tip"}


@pytest.mark.parametrize("known", [[1, 3], (1, 3), np.array([1, 3]), {1, 3}])
def test_known_labels_in_any_container(known):
    assert set(Template(IMAGE, painted(1), known_labels=known).known_labels) == {1, 3}


@pytest.mark.parametrize(("known", "message"), [([0, 1], "at least 1"), ([2], "Painted too: .1.")])
def test_bad_known_labels(known, message):
    with pytest.raises(InputError, match=message):
        Template(IMAGE, painted(1), known_labels=known)


def test_scribbles_reserve_a_value_for_background():
    template = Template(IMAGE, painted(1, SCRIBBLE_BACKGROUND, dtype=np.int16), kind="scribble")
    assert template.painted_values() == [1]
    template = Template(IMAGE, painted(1, 255), kind="scribble", background=255)
    assert template.painted_values() == [1]
    Template(IMAGE, painted(1, 255), kind="scribble", background=255, known_labels=[1])
    with pytest.raises(InputError, match="or -1 for background; got value -5"):
        Template(IMAGE, painted(1, -5, dtype=np.int16), kind="scribble")
    with pytest.raises(InputError, match="background must be a value that is painted"):
        Template(IMAGE, painted(1), kind="scribble", background=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "labels must be given, or points"),
        ({"labels": painted(1), "kind": "sparse"}, "kind must be dense or scribble"),
        ({"points": [Landmark("a", 0, (1, 1, 1))]}, "points must have labels of at least 1"),
        ({"points": [Landmark("a", -3, (1, 1, 1))]}, "points must have labels of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        Template(IMAGE, **arguments)


# ------------------------------------------------------------------ axis


def block(shape=(40, 40, 40)):
    labels = np.zeros(shape, np.uint8)
    labels[8:32, 8:32, 8:32] = 1
    return labels


def keep(labels, axis, slices):
    result = np.zeros_like(labels)
    where = (slice(None),) * axis + (list(slices),)
    result[where] = labels[where]
    return result


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(
    "slices",
    [[20], [12, 28], [10, 20, 30], [19, 20, 21], range(8, 32, 2), [10, 11, 12, 28, 29, 30]],
    ids=str,
)
def test_axis_of_painted_slices(axis, slices):
    assert painted_axis(keep(block(), axis, slices), (axis + 1) % 3) == axis


def test_a_tiny_spot_on_one_slice():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[3:5, 6, 3:5] = 1
    assert painted_axis(labels, 0) == 1


@pytest.mark.parametrize("default", [0, 2])
def test_full_volumes_take_the_default(default):
    assert painted_axis(block(), default) == default
    assert painted_axis(np.zeros((3, 3, 3)), default) == default
    pair = block()  # two kidneys have a gap between them, and nobody painted slices
    pair[:, :, 14:27] = 0
    assert painted_axis(pair, default) == default


def test_listed_slices_in_an_array_do_not_confuse_the_guess():
    labels = keep(block(), 2, [10, 20])
    image = np.zeros(labels.shape)
    assert Template(image, labels, slices=np.array([10, 15, 20])).working_axis() == 2


@pytest.mark.parametrize("storage", ["LPS", "SAR", "PIL", "IRA"])
def test_axes_of_oriented_volumes(storage):
    phantom = make_phantom("torso", shape=(12, 14, 16), storage=storage)
    frame = Template(phantom.image, phantom.labels).frame
    assert Template(phantom.image, phantom.labels).working_axis() == 0  # axial, whole volume
    for file_axis in range(3):
        labels = painted_labels(phantom, [phantom.labels.shape[file_axis] // 2], file_axis)
        assert Template(phantom.image, labels).working_axis() == frame.canonical_axis(file_axis)
        template = Template(phantom.image, labels, axis=file_axis)
        assert template.working_axis() == frame.canonical_axis(file_axis)
        template = Template(phantom.image, labels, axis=str(file_axis))
        assert template.working_axis() == frame.canonical_axis(file_axis)
        other = Template(phantom.image, labels, axis="coronal", slices="painted")
        assert other.working_axis() == 1


@pytest.mark.parametrize("slices", [[20], [10, 20, 30], [19, 20, 21], range(8, 32, 2)], ids=str)
def test_an_axis_across_the_painted_slices_is_refused(slices):
    image, labels = np.zeros((40, 40, 40)), keep(block(), 0, slices)
    assert Template(image, labels, axis=0).working_axis() == 0
    words = f"got 2, where the paint is on 24 of 40 slices along axis 2, but on {len(slices)} of 40"
    with pytest.raises(InputError, match=f"axis must .*{words} .*axis 0. It is probably 0"):
        Template(image, labels, axis=2)
    # what says that it is meant: known slices, or scribbles, which deny nothing
    assert Template(image, labels, axis=2, slices="painted").working_axis() == 2
    assert Template(image, labels, axis=2, slices=range(8, 32)).working_axis() == 2
    assert Template(image, labels, axis=2, kind="scribble").working_axis() == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_whole_label_maps_are_taken_along_any_axis(axis):
    assert Template(np.zeros((40, 40, 40)), block(), axis=axis).working_axis() == axis
    slab = np.zeros((6, 40, 40), np.uint8)
    slab[:, 8:32, 8:32] = 1  # few slices, but all that there are
    assert Template(np.zeros(slab.shape), slab, axis=axis).working_axis() == axis


def test_names_of_planes_need_an_orientation():
    with pytest.raises(InputError, match="file without orientation"):
        Template(IMAGE, painted(1), axis="axial").working_axis()
    assert Template(IMAGE, painted(1), axis=2).working_axis() == 2


def test_flat_images_have_one_axis():
    assert Template(IMAGE[0], painted(1)[2]).working_axis() == 0
    assert Template(IMAGE, points=[Landmark("a", 1, (1, 1, 1))]).working_axis() == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_alone_are_the_template_of_the_whole_array(axis):
    planes = {k: np.moveaxis(painted(3, 7), axis, 0)[k] for k in (2, 3, 4)}
    whole = np.zeros(IMAGE.shape, np.uint8)
    for k, plane in planes.items():
        np.moveaxis(whole, axis, 0)[k] = plane
    template = Template(IMAGE, planes, axis=axis, slices=[2, 3, 4], names={3: "three"})
    expected = Template(IMAGE, whole, axis=axis, slices=[2, 3, 4], names={3: "three"})
    assert np.array_equal(template.labels.data, expected.labels.data)
    for found in (template, expected):
        assert found.painted_values() == sorted(set(whole.ravel().tolist()) - {0})
        assert found.painted_slices() == [k for k, plane in planes.items() if plane.any()]
        assert found.names == {3: "three"}
    first, second = (known_slices(t, _stack(t), 1.0) for t in (template, expected))
    assert [one.original for one in first] == [one.original for one in second] == [2, 3, 4]
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(first, second, strict=True))


def test_of_slices_alone_no_other_is_looked_at():
    template = Template(IMAGE, {2: painted(3)[2]}, axis=0)
    template.labels.data[4] = 9  # nobody may write to it; it shows who reads
    assert template.painted_values() == [3]
    assert [one.original for one in known_slices(template, _stack(template), 1.0)] == [2]


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ({6: painted(1)[2]}, r"be of slices 0\.\.5; got slice 6"),
        ({-1: painted(1)[2]}, r"be of slices 0\.\.5; got slice -1"),
        ({"2": painted(1)[2]}, r"be of slices 0\.\.5; got slice '2'"),
        ({2.5: painted(1)[2]}, r"be of slices 0\.\.5; got slice 2\.5"),
        ({2: painted(1)[:, 2]}, r"each have the shape \(8, 10\) of a slice; got shape \(6, 10\)"),
        ({2: painted(1)[2] + 0.5}, "be whole numbers"),
    ],
)
def test_bad_slices(planes, message):
    with pytest.raises(InputError, match=f"labels must {message}"):
        Template(IMAGE, planes, axis=0)


def test_a_plane_may_be_given_by_its_number():
    assert Template(IMAGE[0], {0: painted(1)[2]}).painted_slices() == [0]


def _stack(template):
    return SliceStack(template.volume, template.working_axis(), IntensityConfig())


def test_slices_alone_say_their_axis():
    image, labels = np.zeros((40, 40, 40), np.float32), np.zeros((40, 40, 40), np.uint8)
    labels[[10, 15, 20], 8:32, 8:32] = 1
    with pytest.raises(InputError, match="be the one along which slices are painted"):
        Template(image, labels, axis=2)
    across = {k: labels[:, :, k] for k in range(8, 32)}
    template = Template(image, across, axis=2)
    assert template.working_axis() == 2
    for copy in (template.only(1), replace(template, points=())):  # they hold the whole array
        assert copy.working_axis() == 2
        assert copy.painted_slices() == list(range(8, 32))


def test_slices_with_paint_are_found_along_all_axes():
    rng = np.random.default_rng(0)
    labels = (rng.random((7, 9, 11)) > 0.99).astype(np.int32) * 300
    found = painted_slices(labels)
    for axis, along in enumerate(found):
        others = tuple(a for a in range(3) if a != axis)
        np.testing.assert_array_equal(along, (labels != 0).any(axis=others))
