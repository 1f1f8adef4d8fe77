"""Labels that are carried from painted slices along the motion between slices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_fewshot import Landmark, Template, Volume
from napari_fewshot.config import IntensityConfig, SegmenterConfig
from napari_fewshot.predict import carried as module
from napari_fewshot.predict.carried import (
    CarriedLabels,
    PaintedImage,
    PaintedSlice,
    paint_of,
    painted_images,
)
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.known import UNKNOWN
from napari_fewshot.templates.training_set import TrainingSet

METHOD = "lucas-kanade"


def moving(count=9, shape=(60, 72), step=2):
    """A disc and its label; with its background it goes ``step`` columns each slice."""
    rng = np.random.default_rng(0)
    wide = gaussian_filter(rng.random((shape[0], shape[1] + 100)), 1.5)
    wide = (wide - wide.min()) / np.ptp(wide)
    rows, columns = np.indices(wide.shape)
    disc = np.hypot(rows - 30, columns - 50 - 28) < 12
    wide[disc] += 0.5
    cut = [slice(50 - step * k, 50 - step * k + shape[1]) for k in range(count)]
    image = np.stack([wide[:, one] for one in cut]).astype(np.float32)
    return image, np.stack([disc[:, one] for one in cut]).astype(np.uint8) * 3


def stack_of(image):
    return SliceStack(Volume.of(image), 0, IntensityConfig())


def painted(stack, labels, known=(3,), slices=None):
    return PaintedImage(
        0,
        stack.grid.working,
        tuple(
            PaintedSlice(k, k, stack.raw_digest(k), labels[k].astype(np.int32), frozenset(known))
            for k in (slices or range(len(labels)))
        ),
    )


def expert(image, labels, slices, values=(3,), known=(3,), window=None):
    stack = stack_of(image)
    paint = painted(stack, labels, known, slices)
    return CarriedLabels(stack, paint, values, METHOD, window)


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


def test_labels_follow_what_moves():
    image, labels = moving()
    carrier = expert(image, labels, [1, 7])
    planes = list(carrier.planes(range(9)))
    assert all((p.shape, p.dtype) == ((2, 60, 72), np.float32) for p in planes)
    for k, plane in enumerate(planes):
        assert dice(plane.argmax(axis=0) == 1, labels[k] == 3) > 0.9, k
    np.testing.assert_array_equal(planes[1][1], labels[1] == 3)


def test_weights_fade_with_the_distance_and_count_half_outside():
    image, labels = moving()
    carrier = expert(image, labels, [2, 6])
    weights = [carrier.weight(k) for k in range(9)]
    assert weights[2] == weights[6] == 1
    assert weights[3] == weights[5] == pytest.approx(np.exp(-1 / 30))
    assert weights[4] == pytest.approx(np.exp(-2 / 30))
    assert weights[1] == weights[7] == pytest.approx(np.exp(-1 / 30) / 2)


def test_the_nearer_paint_has_more_weight():
    image = np.repeat(moving(1)[0], 5, axis=0)
    labels = np.zeros(image.shape, np.uint8)
    labels[0] = 3
    near, middle = list(expert(image, labels, [0, 4]).planes([1, 2]))
    assert near[1].mean() == pytest.approx(0.75, abs=0.01)
    assert middle[1].mean() == pytest.approx(0.5, abs=0.01)


def test_where_nothing_leads_to_all_is_possible_and_has_no_weight():
    image, labels = moving(6, step=0)
    image[1:] = 0
    carrier = expert(image, labels, [0])
    assert carrier.weight(5) == 0
    assert (next(carrier.planes([5])) == 1).all()


def test_unknown_pixels_and_labels():
    image, labels = moving(3, step=0)
    labels = labels.astype(np.int32)
    labels[1, :, :20] = UNKNOWN
    plane = next(expert(image, labels, [1], values=(2, 3, 5), known=(3, 5)).planes([1]))
    assert (plane[:, :, :20] == 1).all()  # nothing is known
    background = labels[1] == 0
    assert (plane[0][background] == 1).all()
    assert (plane[1][background] == 1).all()  # label 2 was not looked for
    assert not plane[2:, background].any()
    inside = labels[1] == 3
    np.testing.assert_array_equal(plane[:, inside], [[0], [0], [1], [0]] * np.ones(inside.sum()))


def test_a_window_and_bands_equal_the_whole(monkeypatch):
    image, labels = moving()
    whole = list(expert(image, labels, [1, 7]).planes(range(9)))
    monkeypatch.setattr(module, "bands", lambda n, size: [slice(k, k + 1) for k in range(n)])
    window = slice(20, 45), slice(11, 50)
    part = list(expert(image, labels, [1, 7], window=window).planes(range(9)))
    for one, other in zip(part, whole, strict=True):
        np.testing.assert_array_equal(one, other[:, *window])
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    large = list(expert(image, labels, [1, 7]).planes([4]))
    np.testing.assert_array_equal(large[0], whole[4])


def test_slices_of_any_size():
    for shape in ((1, 9, 9), (3, 4, 40), (2, 1, 1)):
        image = np.random.default_rng(0).random(shape).astype(np.float32)
        labels = np.zeros(shape, np.uint8)
        labels[0, 0, 0] = 3
        planes = list(expert(image, labels, [0]).planes(range(shape[0])))
        assert [p.shape for p in planes] == [(2, *shape[1:])] * shape[0]
        assert all(np.isfinite(p).all() for p in planes)


def training(*templates, **settings):
    return TrainingSet.of(list(templates), SegmenterConfig.of(settings, "settings"))


def test_two_templates_of_one_slice_add_up():
    """Each looked for one label."""
    image, labels = moving(3, step=0)
    one, other = np.zeros_like(labels), np.zeros_like(labels)
    one[1], other[1, :15, :15] = labels[1], 5
    known = training(
        Template(image, one, known_labels=[3]), Template(image.copy(), other, known_labels=[5])
    )
    (image_paint,) = painted_images(known).values()
    assert [s.index for s in image_paint.slices] == [1, 1]
    carrier = CarriedLabels(known.stacks[0], image_paint, known.label_values, METHOD)
    plane = next(carrier.planes([1]))
    np.testing.assert_array_equal(plane[1], labels[1] == 3)
    np.testing.assert_array_equal(plane[2] > 0, other[1] == 5)
    np.testing.assert_array_equal(plane[0], (labels[1] == 0) & (other[1] == 0))


def test_landmarks_are_not_carried():
    image, labels = moving(3, step=0)
    point = Landmark("tip", 9, (1.0, 8.0, 8.0))
    known = training(Template(image, labels * (np.arange(3) == 1)[:, None, None], points=[point]))
    assert known.point_labels == {9}
    (paint,) = painted_images(known).values()
    assert paint.slices[0].labels[8, 8] == UNKNOWN
    assert 9 not in paint.slices[0].known_labels
    alone = training(Template(image, points=[point]))
    assert painted_images(alone) == {}


def test_chosen_examples_and_copies():
    image, labels = moving(4)
    known = training(Template(image, labels))
    (paint,) = painted_images(known, [0, 2]).values()
    assert [s.index for s in paint.slices] == [0, 2]


def test_images_are_told_apart_by_their_voxels():
    image, labels = moving(4)
    stack = stack_of(image)
    paint = painted(stack, labels, slices=[1, 2])
    assert paint.is_of(stack)
    assert paint.is_of(stack_of(image.astype(">f8")))  # another type, the same voxels
    other = image.copy()
    other[2, 3, 4] += 0.1
    assert not paint.is_of(stack_of(other))
    assert not paint.is_of(stack_of(image[:3]))
    assert not paint.is_of(SliceStack(Volume.of(image), 1, IntensityConfig()))
    moved = PaintedImage(0, paint.shape, (PaintedSlice(3, 1, *vars_of(paint.slices[0])),))
    assert not moved.is_of(stack)
    beyond = PaintedImage(0, paint.shape, (PaintedSlice(1, 99, *vars_of(paint.slices[0])),))
    assert not beyond.is_of(stack)
    assert paint_of(stack_of(other), [paint]) is None
    assert len(paint_of(stack, [paint, paint]).slices) == 4


def vars_of(one):
    return one.digest, one.labels, one.known_labels


def test_lazy_images_are_the_same():
    da = pytest.importorskip("dask.array")
    image, labels = moving(4)
    paint = painted(stack_of(image), labels, slices=[1, 2])
    assert paint.is_of(stack_of(da.from_array(image, chunks=(1, 17, 30))))


def test_slices_of_a_flipped_file_are_found_again():
    image, labels = moving(5)
    affine = np.diag([1.0, 1.0, -1.0, 1.0])
    volume = Volume(image, spacing=(1.0, 1.0, 1.0), affine=affine)
    mine = np.zeros_like(labels)
    mine[1] = labels[1]
    known = training(Template(volume, mine, axis=0))
    (paint,) = painted_images(known).values()
    stack = known.stacks[0]
    assert paint.is_of(stack)
    carrier = CarriedLabels(stack, paint, known.label_values, METHOD)
    truth = stack.from_file(labels)
    for k, plane in enumerate(carrier.planes(range(len(stack)))):
        assert dice(plane.argmax(axis=0) == 1, truth[k] == 3) > 0.85


def test_resampled_stacks():
    image, labels = moving(6)
    mine = np.zeros_like(labels)
    mine[[1, 4]] = labels[[1, 4]]
    resampling = {"mode": "isotropic", "spacing": 0.5}
    known = training(Template(image, mine), resampling=resampling)
    (paint,) = painted_images(known).values()
    stack = known.stacks[0]
    assert [s.original for s in paint.slices] == [1, 4]
    assert [s.index for s in paint.slices] == [stack.grid.to_working(k) for k in (1, 4)]
    assert paint.is_of(stack)
    carrier = CarriedLabels(stack, paint, known.label_values, METHOD)
    plane = next(carrier.planes([stack.grid.to_working(2)]))
    assert plane.shape == (2, 120, 144)
    truth = np.kron(labels[2] == 3, np.ones((2, 2), bool))
    assert dice(plane.argmax(axis=0) == 1, truth) > 0.85
