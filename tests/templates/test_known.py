"""What is known of each slice, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import IntensityConfig, ResamplingConfig
from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.slices.stack import SliceStack, to_stack
from napari_fewshot.templates import UNKNOWN, Template, known_slices, labels_of
from napari_fewshot.types import Landmark, Volume

RADIUS = 2.0
SHAPE = (7, 20, 24)


def known(template, radius=RADIUS, resampling=None):
    stack = SliceStack(template.volume, template.working_axis(), IntensityConfig(), resampling)
    return known_slices(template, stack, radius)


def image(shape=SHAPE):
    return np.random.default_rng(0).random(shape)


def paint(slices=(1, 4), value=3, dtype=np.int16):
    labels = np.zeros(SHAPE, dtype)
    for k in slices:
        labels[k, 5:9, 6:12] = value
    return labels


def test_dense_slices_are_known_everywhere():
    labels = paint()
    found = known(Template(image(), labels, axis=0))
    assert [(s.index, s.original) for s in found] == [(1, 1), (4, 4)]
    for one in found:
        np.testing.assert_array_equal(one.labels, labels[one.original])
        assert one.labels.dtype == np.int32
    assert labels_of(found) == {3}


@pytest.mark.parametrize(
    ("slices", "expected"),
    [(None, [1, 4]), ("painted", [1, 4]), ("all", list(range(7))), ([4, 6, 4], [4, 6])],
)
def test_which_slices_count(slices, expected):
    found = known(Template(image(), paint(), axis=0, slices=slices))
    assert [s.original for s in found] == expected


def test_listed_slices_without_paint_are_known_to_be_empty():
    empty = known(Template(image(), paint(), axis=0, slices=[4, 6]))[1]
    np.testing.assert_array_equal(empty.labels, 0)
    reviewed = known(Template(image(), np.zeros(SHAPE, int), axis=0, slices=[2]))
    np.testing.assert_array_equal(reviewed[0].labels, 0)


@pytest.mark.parametrize("background", [-1, 255])
def test_scribbles_are_known_where_painted(background):
    labels = paint()
    labels[4, 15:17] = background
    found = known(Template(image(), labels, axis=0, kind="scribble", background=background))
    expected = np.full(SHAPE[1:], UNKNOWN)
    expected[5:9, 6:12] = 3
    np.testing.assert_array_equal(found[0].labels, expected)
    expected[15:17] = 0
    np.testing.assert_array_equal(found[1].labels, expected)


def test_scribbles_with_empty_and_untouched_slices():
    listed = known(Template(image(), paint(), axis=0, kind="scribble", slices=[1, 6]))
    assert [s.original for s in listed] == [1, 6]
    np.testing.assert_array_equal(listed[1].labels, 0)  # listed: reviewed, nothing here
    everything = known(Template(image(), paint(), axis=0, kind="scribble", slices="all"))
    assert [s.original for s in everything] == [1, 4]  # nothing is known of the others


@pytest.mark.parametrize("slices", [[7], [-1], [1.5]])
def test_slices_outside(slices):
    with pytest.raises(InputError, match=r"slices must be whole numbers in 0\.\.6"):
        known(Template(image(), paint(), axis=0, slices=slices))


def test_nothing_known():
    with pytest.raises(InputError, match="at least one painted slice"):
        known(Template(image(), np.zeros(SHAPE, int)))
    with pytest.raises(InputError, match="at least one painted slice"):
        known(Template(image(), paint(), axis=0, slices=[]))
    with pytest.raises(InputError, match="slices must be a list"):
        known(Template(image(), paint(), axis=0, slices="some"))


# ------------------------------------------------------------------ points


def disk(centre, radius, shape=SHAPE[1:]):
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) <= radius


def test_points_are_disks_with_an_unknown_ring():
    found = known(Template(image(), points=[Landmark("tip", 2, (3.0, 10.0, 12.0))]))
    assert [(s.original, s.points_only) for s in found] == [(3, True)]
    expected = np.where(disk((10, 12), 2 * RADIUS), UNKNOWN, 0)
    expected[disk((10, 12), RADIUS)] = 2
    np.testing.assert_array_equal(found[0].labels, expected)


def test_points_between_voxels_go_to_the_nearest_slice_and_keep_their_fraction():
    found = known(Template(image(), points=[Landmark("tip", 2, (3.4, 10.5, 12.25))]), radius=3)
    assert found[0].original == 3
    centre = np.argwhere(found[0].labels == 2).mean(axis=0)
    np.testing.assert_allclose(centre, [10.5, 12.25], atol=0.3)


def test_neighbouring_slices_do_not_deny_a_landmark():
    points = [Landmark("tip", 2, (3.0, 10.0, 12.0))]
    found = known(Template(image(), None, slices="all", points=points))
    assert [s.original for s in found] == list(range(SHAPE[0]))
    for one in found:
        away = abs(one.original - 3)
        hidden = 2 * RADIUS > away and disk((10, 12), np.sqrt((2 * RADIUS) ** 2 - away**2))
        if one.original != 3:
            np.testing.assert_array_equal(one.labels == UNKNOWN, hidden)
            assert set(np.unique(one.labels)) <= {0, UNKNOWN}


def test_points_are_known_beside_the_slices_that_are_listed():
    points = [Landmark("tip", 2, (3.0, 10.0, 12.0))]
    found = known(Template(image(), None, slices=[0], points=points))
    assert [s.original for s in found] == [0, 3]


def test_a_small_radius_leaves_one_pixel():
    found = known(Template(image(), points=[Landmark("tip", 2, (3, 10, 12))]), radius=0.1)
    assert np.argwhere(found[0].labels == 2).tolist() == [[10, 12]]


def test_points_on_painted_slices():
    points = [Landmark("tip", 9, (1, 7, 8)), Landmark("other", 8, (5, 4, 4))]
    template = Template(image(), paint(), axis=0, points=points)
    found = known(template)
    assert [(s.original, s.points_only) for s in found] == [(1, False), (4, False), (5, True)]
    labels = found[0].labels
    assert (labels[disk((7, 8), RADIUS)] == 9).all()
    assert (labels == 3).any()  # the ring does not hide what is painted
    ring = disk((7, 8), 2 * RADIUS) & ~disk((7, 8), RADIUS) & (paint()[1] == 0)
    assert (labels[ring] == UNKNOWN).all()


def test_one_label_of_a_template_against_the_rest():
    labels = paint()
    labels[4, 12:15, 2:8] = 6
    both = Template(image(), labels, axis=0, points=[Landmark("tip", 9, (5, 4, 4))])
    found = known(both.only(6))
    assert [s.original for s in found] == [1, 4]  # the landmark of slice 5 says nothing of it
    np.testing.assert_array_equal(found[0].labels, 0)
    np.testing.assert_array_equal(found[1].labels, np.where(labels[4] == 6, 6, 0))
    assert [s.original for s in known(both.only(9))] == [1, 4, 5]


def test_scribble_points_know_nothing_but_their_disk():
    template = Template(image(), kind="scribble", points=[Landmark("tip", 2, (3, 10, 12))])
    expected = np.where(disk((10, 12), RADIUS), 2, UNKNOWN)
    np.testing.assert_array_equal(known(template)[0].labels, expected)


@pytest.mark.parametrize("at", [(3, 30, 12), (90, 3, 12), (np.nan, 3, 12), (3, np.nan, 12)])
def test_points_outside_the_image(at):
    with pytest.raises(InputError, match=r"points must lie inside.*tip at .*Move it, or take it"):
        known(Template(image(), points=[Landmark("tip", 2, at)]))


def test_points_of_flat_images():
    found = known(Template(image()[0], points=[Landmark("tip", 2, (0, 10, 12))]))
    assert (found[0].labels == 2)[10, 12]
    with pytest.raises(InputError, match="points must lie inside"):
        known(Template(image()[0], points=[Landmark("tip", 2, (3, 10, 12))]))


# ------------------------------------------------------------------ frames and resampling


@pytest.mark.parametrize("storage", ["LPS", "RAS", "PIL", "SRA"])
def test_listed_slices_and_points_count_in_file_order(storage):
    phantom = make_phantom("torso", shape=(14, 16, 18), storage=storage)
    landmark = phantom.landmarks[0]
    for file_axis in range(3):
        count = phantom.image.shape[file_axis]
        listed = [2, count - 3]
        template = Template(phantom.image, phantom.labels, axis=file_axis, slices=listed)
        axis = template.working_axis()
        stacked = to_stack(phantom.labels.data, template.frame, axis)
        found = known(template)
        assert len(found) == 2
        planes = [np.moveaxis(phantom.labels.data, file_axis, 0)[k] for k in listed]
        for one in found:
            np.testing.assert_array_equal(one.labels, stacked[one.original])
            assert any(
                np.bincount(one.labels.ravel(), minlength=10).tolist()
                == np.bincount(p.ravel(), minlength=10).tolist()
                for p in planes
            )
        numbers = {one.original for one in found}
        flipped = template.frame.flips[axis]
        assert numbers == ({count - 1 - k for k in listed} if flipped else set(listed))

        marked = known(Template(phantom.image, axis=file_axis, points=[landmark]), radius=0.5)[0]
        spot = np.zeros(phantom.image.shape)
        spot[tuple(np.floor(np.array(landmark.position) + 0.5).astype(int))] = 1
        expected = to_stack(spot, template.frame, axis)[marked.original]
        assert (marked.labels > 0)[expected > 0].all()


def test_resampled_templates():
    volume = Volume(image(), (3.0, 0.5, 0.5))
    config = ResamplingConfig(mode="isotropic", spacing=1.0)
    template = Template(volume, paint(), axis=0, points=[Landmark("tip", 9, (1.0, 14.5, 4.5))])
    found = known(template, radius=1.0, resampling=config)
    assert [(s.original, s.index) for s in found] == [(1, 4), (4, 13)]
    assert found[0].labels.shape == (10, 12)
    assert np.argwhere(found[0].labels == 9).mean(axis=0).tolist() == [7, 2]
    np.testing.assert_array_equal(found[1].labels, paint()[4][1::2, 1::2])
