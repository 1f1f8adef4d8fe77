"""Labels of whole volumes, refined slice by slice."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from napari_fewshot import Cancelled, InputError, Volume, get_refiner, refine_labels
from napari_fewshot.predict.refine import LabelRefiner


def stored(axes, flips):
    """A way to store arrays of (S, A, R): axes in another order, some from the other end."""

    def view(array):
        moved = array.transpose(axes)
        return np.ascontiguousarray(moved[tuple(slice(None, None, -1 if f else 1) for f in flips)])

    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (canonical, flip) in enumerate(zip(axes, flips, strict=True)):
        affine[2 - canonical, axis] = -1.0 if flip else 1.0
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    return view, turn @ affine


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
@pytest.mark.parametrize("method", ["random-walker", "stub"])
def test_the_result_does_not_depend_on_how_the_file_is_stored(
    scene, stub_refiner, axes, flips, method, assert_same_labels
):
    straight, affine = stored((0, 1, 2), (False, False, False))
    plain = Volume(straight(scene.image), (1.0, 1.0, 1.0), affine)
    wanted, sure = refine_labels(plain, scene.labels, scene.confidence, method=method)
    assert (wanted != scene.labels).any()
    view, affine = stored(axes, flips)
    turned = Volume(view(scene.image), (1.0, 1.0, 1.0), affine)
    found, confidence = refine_labels(
        turned, view(scene.labels), view(scene.confidence), method=method, axis="axial"
    )
    assert_same_labels(found, view(wanted))
    np.testing.assert_allclose(confidence, view(sure), atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_of_any_axis_in_any_order(scene, axis, assert_same_labels):
    work = LabelRefiner(
        Volume.of(scene.image), scene.labels, scene.confidence, get_refiner("random-walker"),
        axis=axis,
    )  # fmt: skip
    assert (work.axis, len(work)) == (axis, scene.image.shape[axis])
    order = [3, 0, *range(len(work) - 1, 3, -1), 2, 1]
    parts = list(work.run(order))
    assert [part.index for part in parts] == order
    labels, confidence = refine_labels(scene.image, scene.labels, scene.confidence,
                                       method="random-walker", axis=axis)  # fmt: skip
    assert_same_labels(work.labels, labels)
    np.testing.assert_allclose(work.confidence, confidence, atol=1e-4)
    for part in parts:  # these were written
        there = (np.moveaxis(a, axis, 0)[part.index] for a in (work.labels, work.confidence))
        np.testing.assert_array_equal(part.labels, next(there))
        np.testing.assert_array_equal(part.confidence, next(there))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint16, np.int64])
def test_values_and_type_stay_and_inputs_are_not_written(scene, dtype):
    labels = scene.labels.astype(dtype)
    before = labels.copy(), scene.confidence.copy()
    found, confidence = refine_labels(scene.image, labels, scene.confidence, method="random-walker")
    assert (found.dtype, confidence.dtype) == (dtype, np.float32)
    assert set(np.unique(found)) <= {0, 3, 200}
    assert 0 <= confidence.min() <= confidence.max() <= 1
    np.testing.assert_array_equal(labels, before[0])
    np.testing.assert_array_equal(scene.confidence, before[1])


def test_without_a_copy_the_arrays_are_written(scene, stub_refiner):
    labels, confidence = scene.labels.copy(), scene.confidence.copy()
    work = LabelRefiner(Volume.of(scene.image), labels, confidence, get_refiner("stub"), copy=False)
    list(work.run([1]))
    assert work.labels is labels
    assert work.confidence is confidence
    np.testing.assert_array_equal(labels[1], np.roll(scene.labels[1], 1, axis=0))
    assert (confidence[1] == 0.25).all()


def test_empty_slices_are_never_given_to_the_refiner(scene, stub_refiner):
    labels, confidence = refine_labels(scene.image, scene.labels, scene.confidence, method="stub")
    assert [index for index, *_ in stub_refiner.slices] == [1, 2, 3, 4]
    assert not labels[[0, 5]].any()
    np.testing.assert_array_equal(confidence[[0, 5]], scene.confidence[[0, 5]])
    np.testing.assert_array_equal(labels[2], np.roll(scene.labels[2], 1, axis=0))
    assert (confidence[1:5] == 0.25).all()


def test_some_slices_leave_the_others(scene, stub_refiner):
    labels, confidence = refine_labels(
        scene.image, scene.labels, scene.confidence, method="stub", slices=[4]
    )
    np.testing.assert_array_equal(labels[:4], scene.labels[:4])
    np.testing.assert_array_equal(confidence[:4], scene.confidence[:4])
    assert [index for index, *_ in stub_refiner.slices] == [4]


def test_slices_may_come_one_by_one(scene, stub_refiner):
    given = scene.image, scene.labels, scene.confidence
    one_by_one, _ = refine_labels(*given, method="stub", slices=iter([4]))
    listed, _ = refine_labels(*given, method="stub", slices=[4])
    np.testing.assert_array_equal(one_by_one, listed)
    assert not np.array_equal(listed, scene.labels)


def test_the_refiner_sees_grey_values_and_the_region_of_its_slice(scene, stub_refiner):
    window = {"mode": "window", "low": 0, "high": 200}
    refine_labels(scene.image, scene.labels, scene.confidence, method="stub", intensity=window)
    index, region, plane = stub_refiner.slices[1]
    np.testing.assert_array_equal(region.labels, scene.labels[index])
    np.testing.assert_array_equal(region.confidence, scene.confidence[index])
    np.testing.assert_allclose(plane[0], np.clip(scene.image[index] / 200, 0, 1), atol=1e-6)


def test_confidence_out_of_range_or_missing_is_taken_as_it_can(scene, stub_refiner):
    odd = scene.confidence.copy()
    odd[2, :4], odd[2, 4:8], odd[2, 8:12] = np.nan, 7, -1
    refine_labels(scene.image, scene.labels, odd, method="stub")
    seen = stub_refiner.slices[1][1].confidence
    assert (seen[:4] == 0).all()
    assert (seen[4:8] == 1).all()
    assert (seen[8:12] == 0).all()


def test_without_confidence_the_inside_counts_as_sure(scene, stub_refiner):
    labels, confidence = refine_labels(scene.image, scene.labels, method="stub")
    seen = stub_refiner.slices[1][1].confidence
    assert seen.min() == 0.5
    assert seen[22, 17] == 1
    assert (confidence[0] == 1).all()
    assert labels.dtype == scene.labels.dtype


def test_two_axes_and_colour(scene, assert_same_labels):
    grey, labels, confidence = scene.image[2], scene.labels[2], scene.confidence[2]
    whole, _ = refine_labels(scene.image[2:3], scene.labels[2:3], scene.confidence[2:3],
                             method="random-walker")  # fmt: skip
    flat, sure = refine_labels(grey, labels, confidence, method="random-walker")
    assert_same_labels(flat, whole[0])
    assert sure.shape == labels.shape
    colour = np.stack([np.clip(grey, 0, 255)] * 3, axis=-1).astype(np.uint8)
    found, _ = refine_labels(colour, labels, confidence, method="random-walker")
    assert (found != labels).any()
    assert (found == scene.truth[2]).mean() > (labels == scene.truth[2]).mean()


def test_volumes_are_taken_too(scene, stub_refiner):
    image = Volume(scene.image, (3.0, 1.0, 1.0))
    maps = image.with_data(scene.labels), image.with_data(scene.confidence)
    labels, _ = refine_labels(image, *maps, method="stub")
    np.testing.assert_array_equal(labels[1], np.roll(scene.labels[1], 1, axis=0))


def test_cancelling_ends_within_a_slice_and_keeps_what_is_done(scene, stub_refiner):
    seen = []

    def stop(done, total, what):
        seen.append((done, total, what))
        if done == 3:
            raise Cancelled

    work = LabelRefiner(Volume.of(scene.image), scene.labels, scene.confidence, get_refiner("stub"))
    with pytest.raises(Cancelled):
        list(work.run(progress=stop))
    assert seen == [(n, 6, "refining") for n in (1, 2, 3)]
    assert [index for index, *_ in stub_refiner.slices] == [1, 2]
    np.testing.assert_array_equal(work.labels[2], np.roll(scene.labels[2], 1, axis=0))
    np.testing.assert_array_equal(work.labels[3:], scene.labels[3:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((6, 48, 55), int)}, "labels must have the shape"),
        ({"labels": np.zeros((6, 48, 56))}, "labels must be integers"),
        ({"confidence": np.zeros((6, 48, 55))}, "confidence must have the shape"),
        ({"axis": 3}, "axis must be a number"),
        ({"axis": "axial"}, "file without orientation"),
        ({"slices": [0, 6]}, "slices must be within 0..5"),
        ({"slices": [-1]}, "slices must be within 0..5"),
        ({"intensity": {"mode": "windo"}}, "intensity.mode"),
        ({"method": "random-walk"}, "Did you mean random-walker"),
    ],
)
def test_what_it_refuses_before_anything_is_refined(scene, stub_refiner, change, message):
    given = {"labels": scene.labels, "confidence": scene.confidence, "method": "stub"} | change
    with pytest.raises(InputError, match=message):
        refine_labels(scene.image, **given)
    assert not stub_refiner.slices


def test_memory_does_not_grow_with_the_number_of_slices(scene):
    """Beside the results, which are as large as the volume."""

    def extra(copies):
        image = np.concatenate([scene.image[1:5]] * copies)
        labels = np.concatenate([scene.labels[1:5]] * copies)
        confidence = np.concatenate([scene.confidence[1:5]] * copies)
        window = {"mode": "window", "low": 0, "high": 200}
        work = LabelRefiner(
            Volume.of(image), labels, confidence, get_refiner("random-walker"), intensity=window
        )
        tracemalloc.start()
        for _ in work.run():
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    extra(1)  # imports
    assert extra(8) < 1.3 * extra(1)
