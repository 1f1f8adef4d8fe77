"""Which templates look like instances, and templates with one class."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Template, make_phantom
from napari_fewshot.errors import InputError
from napari_fewshot.objects.instances import count_instances, merge_labels
from napari_fewshot.phantoms import painted_labels
from napari_fewshot.phantoms.cells import touching_cells
from napari_fewshot.types import Landmark


@pytest.mark.parametrize("shape", [(120, 120), (20, 60, 60)])
def test_cells_look_like_instances(shape):
    image, truth = touching_cells(0, shape, (0.4,) * len(shape), cells=30)
    data = truth.data.copy()
    if len(shape) == 3:
        data[np.setdiff1d(np.arange(20), [5, 14])] = 0
    count = len(np.unique(data)) - 1
    assert count_instances([Template(image, data)]) == count
    assert count_instances([Template(image, np.minimum(data, 3))]) == 0  # many parts each
    assert count_instances([Template(image, np.where(data > 5, 0, data))]) == 0  # few


def test_named_organs_do_not():
    made = make_phantom("torso", 0, (16, 48, 48))
    painted = painted_labels(made, (4, 8))
    assert count_instances([Template(made.image, painted)]) == 0


def test_merged():
    image, truth = touching_cells(0, (20, 60, 60), (0.4, 0.4, 0.4), cells=30)
    data = truth.data.copy()
    data[np.setdiff1d(np.arange(20), [5, 14])] = 0
    merged = merge_labels(Template(image, data), "cell")
    assert merged.painted_values() == [1]
    assert merged.names == {1: "cell"}
    assert merged.painted_slices() == [5, 14]
    np.testing.assert_array_equal(merged.label_volume.data, data > 0)
    scribble = Template(image, np.where(data == 2, 255, data), kind="scribble", background=255)
    found = merge_labels(scribble).label_volume.data
    np.testing.assert_array_equal(found == 255, data == 2)
    with pytest.raises(InputError, match="points must not be merged"):
        merge_labels(Template(image, data, points=[Landmark("a", 1, (5, 5, 5))]))


def test_merged_strokes_are_no_background():
    image, _ = touching_cells(0, (60, 60), (0.4, 0.4), cells=5)
    strokes = np.zeros((60, 60), np.int32)
    strokes[5, 5:20], strokes[30, 5:20], strokes[40, 5:20] = 1, 2, 3
    merged = merge_labels(Template(image, strokes, kind="scribble", background=1), "cell")
    assert merged.painted_labels() == {2}
    assert merged.names == {2: "cell"}
