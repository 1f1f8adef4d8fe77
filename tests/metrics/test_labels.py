"""Scores of label maps: by hand, against scikit-learn, and against naive loops."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import (
    adjusted_rand_score,
    f1_score,
    jaccard_score,
    precision_score,
    rand_score,
    recall_score,
)

from napari_fewshot.errors import InputError
from napari_fewshot.metrics.labels import evaluate_labels
from napari_fewshot.types import Volume


def test_overlap_by_hand() -> None:
    truth = np.array([[1, 1, 1, 0], [0, 0, 2, 2]])
    pred = np.array([[1, 1, 0, 1], [0, 0, 2, 0]])

    scores = evaluate_labels(pred, truth, (1, 1), names={2: "two"})

    one, two = scores.labels
    assert (one.label, one.name, one.truth_voxels, one.pred_voxels) == (1, "", 3, 3)
    assert one.iou == pytest.approx(2 / 4)
    assert one.dice == pytest.approx(4 / 6)
    assert one.precision == pytest.approx(2 / 3)
    assert one.recall == pytest.approx(2 / 3)
    assert (two.name, two.precision, two.recall) == ("two", 1.0, 0.5)
    assert scores.mean.dice == pytest.approx((4 / 6 + 2 / 3) / 2)
    assert scores.compared_voxels == 8


def test_volumes_bring_their_spacing_and_names() -> None:
    truth = Volume(np.array([[1, 1, 1, 0], [0, 0, 2, 2]]), (1.0, 3.0), names={2: "two"})
    pred = truth.with_data(np.array([[1, 1, 0, 1], [0, 0, 2, 0]]))
    assert evaluate_labels(pred, truth) == evaluate_labels(
        pred.data, truth.data, (1.0, 3.0), names={2: "two"}
    )
    assert evaluate_labels(pred, truth.data).labels[1].name == "two"
    with pytest.raises(InputError, match="spacing must be given where neither"):
        evaluate_labels(pred.data, truth.data)


def test_surface_distance_by_hand() -> None:
    truth = np.zeros((1, 5, 9), int)
    truth[0, 2, 1] = 1
    pred = np.zeros_like(truth)
    pred[0, 2, 4:6] = 1  # 3 and 4 columns away; back: 3 columns

    scores = evaluate_labels(pred, truth, (5.0, 1.0, 0.5))

    assert scores.labels[0].assd_mm == pytest.approx((1.5 + 2.0 + 1.5) / 3)


def test_interior_is_no_surface() -> None:
    truth = np.zeros((9, 9), np.uint8)
    truth[2:7, 2:7] = 1
    pred = truth.copy()
    pred[4, 4] = 0  # a hole: four new surface voxels, two away from the outline at most

    scores = evaluate_labels(pred, truth, (1, 1))

    # Prediction: 16 on the outline at 0, 4 round the hole at 1. Truth: 16 at 0.
    assert scores.labels[0].assd_mm == pytest.approx(4 / 36)


def _naive_assd(pred: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...]) -> float:
    def surface(mask: np.ndarray) -> np.ndarray:
        return mask & ~ndimage.binary_erosion(mask)

    a, b = surface(pred), surface(truth)
    to_b = ndimage.distance_transform_edt(~b, sampling=spacing)[a]
    to_a = ndimage.distance_transform_edt(~a, sampling=spacing)[b]
    return float(np.concatenate([to_b, to_a]).mean())


def _random_pair(seed: int, shape: tuple[int, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((count, *shape)), (0, *[1.5] * len(shape)))
    values = np.array([0, 1, 2, 3, 7, 40, 300, 2_000_000_000])[:count]
    truth = values[smooth.argmax(0)].astype(np.int32)
    pred = values[np.roll(smooth, 1, -1).argmax(0)].astype(np.int64)
    flip = rng.random(shape) < 0.05
    pred[flip] = rng.choice(values, flip.sum())
    return pred, truth


@pytest.mark.parametrize(
    ("seed", "shape", "count", "spacing"),
    [
        (0, (6, 14, 15), 4, (3.0, 0.7, 0.9)),
        (1, (8, 10, 9), 8, (1.0, 1.0, 1.0)),
        (2, (30, 31), 7, (0.5, 2.0)),
        (3, (1, 20, 21), 3, (9.0, 1.0, 1.5)),
    ],
)
def test_against_libraries(
    seed: int, shape: tuple[int, ...], count: int, spacing: tuple[float, ...]
) -> None:
    pred, truth = _random_pair(seed, shape, count)

    scores = evaluate_labels(pred, truth, spacing)

    values = [row.label for row in scores.labels]
    assert values == sorted(set(np.unique(truth)) - {0})
    t, p = truth.ravel(), pred.ravel()
    for key, reference in {
        "dice": f1_score(t, p, labels=values, average=None),
        "iou": jaccard_score(t, p, labels=values, average=None),
        "precision": precision_score(t, p, labels=values, average=None),
        "recall": recall_score(t, p, labels=values, average=None),
    }.items():
        got = [getattr(row, key) for row in scores.labels]
        np.testing.assert_allclose(got, reference, err_msg=key)
        assert getattr(scores.mean, key) == pytest.approx(reference.mean())
    assert scores.rand_index == pytest.approx(rand_score(t, p))
    assert scores.adjusted_rand_index == pytest.approx(adjusted_rand_score(t, p))
    plain = tuple(np.array(spacing)[np.array(shape) > 1])
    for row in scores.labels:
        masks = (pred == row.label).squeeze(), (truth == row.label).squeeze()
        assert row.assd_mm == pytest.approx(_naive_assd(*masks, plain))


def test_one_slice_is_the_same_in_two_and_three_dimensions() -> None:
    pred, truth = _random_pair(5, (18, 17), 5)
    flat = evaluate_labels(pred, truth, (0.8, 1.2)).as_dict()
    deep = evaluate_labels(pred[None], truth[None], (4.0, 0.8, 1.2)).as_dict()
    assert flat == deep


@pytest.mark.parametrize(
    ("in_truth", "in_pred", "expected"),
    [
        # iou, dice, precision, recall
        (False, False, (math.nan, math.nan, math.nan, math.nan)),
        (False, True, (0.0, 0.0, 0.0, math.nan)),
        (True, False, (0.0, 0.0, math.nan, 0.0)),
    ],
)
def test_undefined_cases(in_truth: bool, in_pred: bool, expected: tuple[float, ...]) -> None:
    truth, pred = np.zeros((2, 3, 4, 4), np.uint8)
    truth[0, 0] = pred[0, 0] = 1
    truth[1, 2, 2] = 5 * in_truth
    pred[1, 3, 3] = 5 * in_pred

    scores = evaluate_labels(pred, truth, (1, 1, 1), labels=[1, 5])

    five = scores.labels[1]
    got = (five.iou, five.dice, five.precision, five.recall)
    np.testing.assert_array_equal(got, expected)
    assert math.isnan(five.assd_mm)
    assert scores.mean.scored == 1 + (in_truth or in_pred)
    assert scores.mean.with_surface == 1
    assert scores.mean.dice == (0.5 if in_truth or in_pred else 1.0)
    assert scores.mean.assd_mm == 0.0


def test_nothing_compared_is_nan() -> None:
    truth = np.ones((2, 3, 3), np.uint8)
    scores = evaluate_labels(truth, truth, (1, 1, 1), exclude=(0, [0, 1]))
    assert scores.compared_voxels == 0
    for value in (scores.rand_index, scores.adjusted_rand_index, scores.empty_kept):
        assert math.isnan(value)
    assert math.isnan(scores.mean.dice)
    assert scores.labels[0].empty_slices == 0


def test_perfect_and_constant_partitions() -> None:
    truth = np.zeros((2, 3, 3), np.uint8)
    same = evaluate_labels(truth, truth, (1, 1, 1))
    assert (same.rand_index, same.adjusted_rand_index, same.labels) == (1.0, 1.0, ())
    split = truth.copy()
    split[0] = 1
    other = evaluate_labels(split, truth, (1, 1, 1))
    assert other.rand_index == pytest.approx(rand_score(truth.ravel(), split.ravel()))
    assert other.adjusted_rand_index == 0.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_empty_slices(axis: int) -> None:
    # Along the axis: label 1 in slices 0 and 1; label 2 nowhere in the truth.
    truth, pred = np.zeros((2, 5, 4, 4), np.int16)
    truth[:2, 1:3, 1:3] = 1
    pred[:2, 1:3, 1:3] = 1
    pred[2, 0, :3] = 1  # past its end
    pred[4, 0, 0] = 2
    truth, pred = np.moveaxis(truth, 0, axis), np.moveaxis(pred, 0, axis)

    scores = evaluate_labels(pred, truth, (1, 1, 1), axis=axis)

    one, two = scores.labels
    assert (one.empty_slices, one.empty_slices_kept, one.false_voxels) == (3, 2, 3)
    assert one.empty_kept == pytest.approx(2 / 3)
    assert (two.empty_slices, two.empty_slices_kept, two.false_voxels) == (5, 4, 1)
    assert (scores.empty_slices, scores.empty_slices_kept, scores.false_voxels) == (3, 1, 4)
    assert scores.mean.empty_kept == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_empty_slices_are_those_of_the_scored_labels() -> None:
    truth = np.zeros((3, 2, 2), np.uint8)
    truth[0], truth[1] = 1, 2
    scores = evaluate_labels(truth, truth, (1, 1, 1), labels=[1])
    assert scores.empty_slices == 2


def test_excluded_slices_do_not_count() -> None:
    pred, truth = _random_pair(9, (7, 12, 13), 5)
    pred[[1, 4]] = 1  # would ruin every score
    rest = [0, 2, 3, 5, 6]

    by_slice = evaluate_labels(pred, truth, (2, 1, 1), exclude=(0, [1, 4]))
    mask = np.zeros(truth.shape, bool)
    mask[[1, 4]] = True
    by_mask = evaluate_labels(pred, truth, (2, 1, 1), exclude=mask)

    assert by_slice == by_mask
    cut = evaluate_labels(pred[rest], truth[rest], (2, 1, 1))
    for row, reference in zip(by_slice.labels, cut.labels, strict=True):
        assert row.dice == reference.dice
        assert row.truth_voxels == reference.truth_voxels
        assert row.empty_slices == reference.empty_slices
    assert by_slice.adjusted_rand_index == cut.adjusted_rand_index


def test_excluded_surface_is_near_but_not_counted() -> None:
    truth = np.zeros((3, 5, 5), np.uint8)
    truth[:2, 2, 2] = 1
    pred = np.zeros_like(truth)
    pred[0, 2, 2] = 1
    pred[2, 2, 2] = 1

    all_slices = evaluate_labels(pred, truth, (2, 1, 1))
    without_first = evaluate_labels(pred, truth, (2, 1, 1), exclude=(0, [0]))

    assert all_slices.labels[0].assd_mm == pytest.approx((0 + 2 + 0 + 2) / 4)
    # Slice 2 to truth in slice 1: 2 mm; slice 1 to prediction in slice 0 or 2: 2 mm.
    assert without_first.labels[0].assd_mm == pytest.approx(2.0)


def test_whole_2d_image_can_be_excluded_as_slice_0() -> None:
    image = np.ones((4, 4), np.uint8)
    assert evaluate_labels(image, image, (1, 1), exclude=(0, [0])).compared_voxels == 0


def test_masks_of_bool_are_label_1() -> None:
    truth = np.array([[True, False], [True, True]])
    assert evaluate_labels(truth, truth, (1, 1)).labels[0].dice == 1.0


def test_many_instances() -> None:
    # More labels than a dense table of pairs could hold.
    truth = np.arange(30 * 60 * 60).reshape(30, 60, 60) // 10
    pred = truth.copy()
    pred[:, :, :3] = 0
    scores = evaluate_labels(pred, truth, (1, 1, 1), labels=[1, 7, 2000])
    expected = adjusted_rand_score(truth.ravel(), pred.ravel())
    assert scores.adjusted_rand_index == pytest.approx(expected)
    for row in scores.labels:
        t, p = truth == row.label, pred == row.label
        assert row.dice == pytest.approx(2 * (t & p).sum() / (t.sum() + p.sum()))


def test_real_volume(shared_data: Path) -> None:
    import nibabel as nib

    file = nib.load(shared_data / "ct_torso" / "labels.nii.gz")
    truth = np.asarray(file.dataobj).T.astype(np.int32)
    pred = np.roll(truth, 1, 2)
    label = int(np.bincount(truth[truth > 0]).argmax())

    scores = evaluate_labels(pred, truth, file.header.get_zooms()[::-1], names={label: "big"})

    row = next(row for row in scores.labels if row.label == label)
    t, p = truth == label, pred == label
    assert row.dice == pytest.approx(2 * (t & p).sum() / (t.sum() + p.sum()))
    spacing = tuple(map(float, file.header.get_zooms()[::-1]))
    assert row.assd_mm == pytest.approx(_naive_assd(p, t, spacing))


def test_records_are_json_and_text() -> None:
    truth = np.zeros((2, 3, 3), np.uint8)
    truth[0, 0] = 1
    scores = evaluate_labels(truth, truth, (1, 1, 1), labels=[1, 4], names={4: "spleen"})

    plain = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert plain["labels"][1]["dice"] is None
    assert plain["labels"][0]["dice"] == 1.0
    assert plain["mean"]["scored"] == 1

    lines = scores.format_table().splitlines()
    assert lines[0].split()[:3] == ["label", "name", "Dice"]
    assert lines[1].split() == ["1", "1.000", "1.000", "1.000", "1.000", "0.00", "1/1"]
    assert lines[2].split() == ["4", "spleen", "-", "-", "-", "-", "-", "2/2"]
    assert lines[3].split()[:3] == ["mean", "1", "scored"]
    assert "slices without any of the labels kept empty: 1 of 1" in lines[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred": np.zeros((3, 4), int)}, "pred must have the shape of truth"),
        ({"pred": np.zeros((2, 3, 4))}, "pred must be an array of integers"),
        ({"truth": np.full((2, 3, 4), -1)}, "truth must have values of at least 0"),
        ({"truth": np.zeros(4, int)}, "truth must have two or three axes"),
        ({"spacing": (1, 1)}, "spacing must be 3 finite values"),
        ({"spacing": (1, 0, 1)}, "spacing must be 3 finite values"),
        ({"labels": [0, 1]}, "labels must be at least 1"),
        ({"axis": 3}, "axis must be 0, 1 or 2"),
        ({"exclude": (0, [2])}, "exclude must have slices in 0..1"),
        ({"exclude": (5, [0])}, "exclude must name an axis"),
        ({"exclude": np.zeros((2, 3, 3), bool)}, "exclude must be a mask of bool"),
    ],
)
def test_bad_input(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "pred": np.zeros((2, 3, 4), int),
        "truth": np.zeros((2, 3, 4), int),
        "spacing": (1, 1, 1),
    }
    with pytest.raises(InputError, match=message):
        evaluate_labels(**{**good, **change})  # type: ignore[arg-type]


def test_rand_indices_of_huge_volumes_do_not_overflow() -> None:
    from scipy.sparse import csr_array

    from napari_fewshot.metrics.contingency import rand_indices

    small = np.array([[5, 1], [2, 4]])

    def indices(table: np.ndarray) -> tuple[float, float]:
        return rand_indices(csr_array(table))

    truth = np.repeat([0, 0, 1, 1], small.ravel())
    pred = np.repeat([0, 1, 0, 1], small.ravel())
    assert indices(small)[1] == pytest.approx(adjusted_rand_score(truth, pred))
    huge = small * 10**10
    x = np.array([6, 6]) / 12, np.array([7, 5]) / 12
    expected = 1 - (x[0] ** 2).sum() - (x[1] ** 2).sum() + 2 * ((small / 12) ** 2).sum()
    assert indices(huge)[0] == pytest.approx(expected)
