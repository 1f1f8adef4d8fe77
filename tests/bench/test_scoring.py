"""Rows of scores: the same labels for all methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.bench.methods import Predicted
from napari_fewshot.bench.prepare import PreparedCase
from napari_fewshot.bench.scoring import score_case
from napari_fewshot.types import Landmark, Volume


@pytest.fixture
def case() -> PreparedCase:
    """Label 1 on slices 0 and 1 of six, label 2 on slice 5; the case lacks label 3."""
    truth = np.zeros((6, 4, 4), np.uint8)
    truth[:2, :2] = 1
    truth[5, 0, 0] = 2
    volume = Volume(truth, (1.0, 1.0, 1.0), names={1: "liver", 2: "node"})
    return PreparedCase("a", volume, volume)


def rows_of(case, labels, painted=(), **options):
    return {row["label"]: row for row in score_case(Predicted(labels), case, painted, **options)}


def test_a_label_that_is_absent_has_a_row_whoever_predicts_it(case):
    nothing = np.zeros((6, 4, 4), np.int32)
    wrong = nothing.copy()
    wrong[3] = 3
    for labels in (nothing, wrong):
        rows = rows_of(case, labels, taught={1: "liver", 3: "spleen"})
        assert set(rows) == {1, 2, 3}
        assert rows[3]["name"] == "spleen"
        assert rows[3]["empty_slices"] == 6
        listed = rows_of(replace(case, listed=(3,)), labels)
        assert set(listed) == {1, 2, 3}
    assert rows_of(case, nothing, taught={3: "spleen"})[3]["dice"] is None
    assert rows_of(case, wrong, taught={3: "spleen"})[3]["false_pixels"] == 16


def test_the_least_size_is_that_of_the_whole_case(case):
    labels = case.truth.data.astype(np.int32)
    assert set(rows_of(case, labels, min_voxels=16)) == {1}
    # Eight voxels of label 1 are left beside the painted slice.
    assert set(rows_of(case, labels, painted=[0], min_voxels=16)) == {1}
    assert set(rows_of(case, labels, painted=[0, 1], min_voxels=17)) == set()


@pytest.mark.parametrize("scored", ["union", "each"])
def test_numbers_that_mean_nothing_are_compared_with_all_structures_as_one(case, scored):
    labels = np.zeros((6, 4, 4), np.int32)
    labels[0, :2], labels[1, 0], labels[3, 0] = 40, 41, 42  # all of the liver, half of it, nothing
    (row,) = score_case(Predicted(labels, scored=scored), case, [5])
    assert (row["label"], row["name"]) == (0, "foreground")
    assert (row["truth_voxels"], row["pred_voxels"], row["empty_slices_kept"]) == (16, 16, 2)
    if scored == "union":
        assert row["precision"] == row["recall"] == 0.75
        assert row["assd_mm"] is not None
    else:
        assert row["precision"] == pytest.approx(2 / 3, abs=1e-6)
        assert row["recall"] == pytest.approx(0.5)
        assert row["assd_mm"] is None
    other = np.array([0, 7, 3, 9])[np.searchsorted([0, 40, 41, 42], labels)]
    assert score_case(Predicted(other, scored=scored), case, [5]) == [row]
    for how in (scored, "labels"):
        assert score_case(Predicted(labels, scored=how), case, range(6)) == []


def test_the_working_axis_of_regions_is_that_of_the_case(case):
    labels = case.truth.data.astype(np.int32)
    for axis in range(3):
        moved = Volume(np.moveaxis(labels, 0, axis), tuple(np.roll([3.0, 1.0, 1.0], axis)))
        turned = replace(case, image=moved, truth=moved, axis=axis)
        (row,) = score_case(Predicted(moved.data * 7, scored="union"), turned, [0])
        assert (row["dice"], row["adjusted_rand_index"], row["truth_voxels"]) == (1, 1, 9)


def test_a_truth_of_one_label_keeps_its_name():
    truth = np.zeros((2, 3, 3), np.uint8)
    truth[0, 0] = 1
    volume = Volume(truth, (1.0, 1.0, 1.0), names={1: "cell"})
    case = PreparedCase("a", volume, volume)
    (row,) = score_case(Predicted(truth.astype(np.int32), scored="union"), case, [])
    assert (row["name"], row["dice"]) == ("cell", 1)


@pytest.mark.parametrize("scored", ["union", "each"])
def test_instances_on_a_truth_of_one_label_are_no_labels(case, scored):
    truth = (case.truth.data > 1).astype(np.uint8)
    labels = np.zeros(truth.shape, np.int32)
    labels[5, 0, :2] = [1, 2]  # half of it in each direction: numbers mean nothing
    cell = Volume(truth, (1.0, 1.0, 1.0), names={1: "cell"})
    found = Predicted(labels, scored=scored)
    (row,) = score_case(found, replace(case, truth=cell), [])
    assert (row["label"], row["name"], row["pred_voxels"]) == (1, "cell", 2)
    assert row["precision"] == 0.5
    (row,) = score_case(found, replace(case, truth=cell), [], taught={1: "cell", 2: "node"})
    assert (row["label"], row["name"]) == (0, "foreground")
    nothing = cell.with_data(truth * 0)
    (row,) = score_case(found, replace(case, truth=nothing), [])
    assert row["pred_voxels"] == 2


def test_a_label_of_two_landmarks_is_matched_with_the_least_distance():
    volume = Volume(np.zeros((3, 20, 40), np.uint8), (1.0, 1.0, 1.0))
    eyes = (Landmark("eye", 1, (1.0, 9.0, 8.0)), Landmark("eye", 1, (1.0, 9.0, 30.0)))
    case = PreparedCase("a", volume, None, eyes)
    labels = np.zeros(volume.shape, np.int32)
    labels[1, 8:11, 29:33] = 1  # larger, and yet the answer to the second one
    labels[1, 8:11, 7:10] = 1
    labels[1, 0, 0] = 1  # stray
    first, second = score_case(Predicted(labels), case, [], radius_px=10)
    assert first["error_px"] == 0
    assert second["error_px"] == pytest.approx(0.5)
    labels[1, :, 20:] = 0
    labels[1, 0, 0] = 0
    first, second = score_case(Predicted(labels), case, [], radius_px=10)
    assert (first["found"], second["found"]) == (True, False)
    assert score_case(Predicted(labels), case, [1], radius_px=10) == []
    flat = Volume(volume.data[1], (1.0, 1.0))
    flat_eyes = tuple(replace(eye, position=(0.0, *eye.position[1:])) for eye in eyes)
    flat_case = PreparedCase("b", flat, None, flat_eyes)
    (first, _) = score_case(Predicted(labels[1]), flat_case, [], radius_px=10)
    assert first["error_px"] == 0
