"""What is kept of predictions for figures comes back, and what is damaged counts for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.bench.kept import KeptSlices, evenly, fullest
from napari_fewshot.bench.methods import Predicted
from napari_fewshot.bench.plan import Unit
from napari_fewshot.bench.prepare import PreparedCase
from napari_fewshot.bench.records import Records, prediction_files
from napari_fewshot.io import write_labels
from napari_fewshot.types import Landmark, Volume

UNIT = Unit("our method", 1, 0, "a", "0" * 24)


def case_of(truth, axis=0, landmarks=()):
    image = Volume(truth * 50.0, (1.0,) * truth.ndim)
    return PreparedCase(
        "a", image, None if landmarks else Volume(truth, image.spacing), landmarks, axis
    )


@pytest.fixture
def truth():
    """Label 1 on columns 3 to 8, the most of it on 5; label 300 on column 5."""
    labels = np.zeros((6, 7, 12), np.int32)
    labels[1:3, 1:3, 3:9] = 1
    labels[1:5, 1:5, 6] = 1
    labels[4, 4:6, 5] = 300
    labels[1:5, 1:6, 5] = np.where(labels[1:5, 1:6, 5] == 300, 300, 1)
    return labels


def test_numbers_at_equal_distances_cover_all():
    assert evenly(0, 19, 4) == [2, 7, 12, 17]
    assert evenly(0, 2, 10) == [0, 1, 2]
    assert evenly(5, 5, 3) == [5]


def test_evenly_spaced_slices_are_kept_and_the_fullest_that_was_not_painted(truth):
    case = case_of(truth, axis=2)
    assert fullest(case, range(12)) == 5
    found = Predicted(np.roll(truth, 1, axis=0))
    assert KeptSlices.of(found, case, [], 3).slices == (2, 5, 6, 10)
    kept = KeptSlices.of(found, case, [5], 2)
    assert kept.slices == (3, 6, 9)
    np.testing.assert_array_equal(kept.labels(6), found.labels[..., 6])
    assert kept.labels(5) is None


@pytest.mark.parametrize("high", [1, 300, 70000])
def test_slices_come_back(truth, tmp_path, high):
    truth[truth == 300] = high
    case = case_of(truth, axis=2)
    kept = KeptSlices.of(Predicted(truth), case, [], 5)
    kept.write(Records(tmp_path).kept_path(UNIT))
    found = KeptSlices.read(tmp_path, UNIT, case)
    assert found.slices == kept.slices
    np.testing.assert_array_equal(found.planes, kept.planes)
    assert found.landmarks == ()


def test_of_a_2d_image_all_is_kept(truth, tmp_path):
    case = case_of(truth[..., 5])
    KeptSlices.of(Predicted(truth[..., 5]), case, [], 5).write(Records(tmp_path).kept_path(UNIT))
    found = KeptSlices.read(tmp_path, UNIT, case)
    assert found.slices == (0,)
    np.testing.assert_array_equal(found.labels(0), truth[..., 5])


def test_landmarks_come_back_also_those_of_labels(truth, tmp_path):
    points = (Landmark("tip", 1, (1.0, 2.0, 3.5)), Landmark("end", 300, (0.0, 0.0, 7.0)))
    case = case_of(truth, landmarks=points)
    for found in (Predicted(truth, points), Predicted(None, points)):
        KeptSlices.of(found, case, [], 5).write(Records(tmp_path).kept_path(UNIT))
        kept = KeptSlices.read(tmp_path, UNIT, case)
        assert (kept.landmarks, kept.planes, kept.slices) == (points, None, ())
    kept = KeptSlices.of(Predicted(truth), case, [], 5)
    assert {point.name for point in kept.landmarks} == {"tip", "end"}
    KeptSlices.of(Predicted(None, ()), case, [], 5).write(Records(tmp_path).kept_path(UNIT))
    assert KeptSlices.read(tmp_path, UNIT, case).landmarks == ()


def test_whole_label_maps_do_as_well_and_nothing_is_nothing(truth, tmp_path):
    case = case_of(truth, axis=2)
    records = Records(tmp_path)
    assert not records.is_kept(UNIT)
    assert KeptSlices.read(tmp_path, UNIT, case) is None
    write_labels(prediction_files(tmp_path, UNIT)[0], truth, case.image)
    assert records.is_kept(UNIT)
    kept = KeptSlices.read(tmp_path, UNIT, case)
    assert kept.slices == tuple(range(12))
    np.testing.assert_array_equal(kept.labels(5), truth[..., 5])


def test_what_is_damaged_or_of_another_grid_counts_for_nothing(truth, tmp_path):
    path = Records(tmp_path).kept_path(UNIT)
    KeptSlices.of(Predicted(truth), case_of(truth), [], 5).write(path)
    assert KeptSlices.read(tmp_path, UNIT, case_of(truth[:, 1:])) is None
    assert KeptSlices.read(tmp_path, UNIT, case_of(truth[:3])) is None
    content = path.read_bytes()
    for bad in (content[: len(content) // 2], b"", b"PK\x03\x04"):
        path.write_bytes(bad)
        assert KeptSlices.read(tmp_path, UNIT, case_of(truth)) is None
    file = prediction_files(tmp_path, UNIT)[0]
    write_labels(file, truth, case_of(truth).image)
    assert KeptSlices.read(tmp_path, UNIT, case_of(truth)).slices == tuple(range(6))
    assert KeptSlices.read(tmp_path, UNIT, case_of(truth[:3])) is None
    file.write_bytes(b"no label map")
    assert KeptSlices.read(tmp_path, UNIT, case_of(truth)) is None
