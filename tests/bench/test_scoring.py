"""Rows of scores: the same labels for all methods."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.bench.methods import Predicted
from napari_fewshot.bench.prepare import PreparedCase
from napari_fewshot.bench.scoring import score_case
from napari_fewshot.types import Volume


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
