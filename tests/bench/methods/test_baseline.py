"""Known slices of templates, as networks take them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.bench.methods import MethodContext
from napari_fewshot.bench.methods.baseline import (
    BaselineConfig,
    collect_slices,
    open_stack,
    predict_stack,
)
from napari_fewshot.templates.known import class_plane
from napari_fewshot.templates.template import Template
from napari_fewshot.types import Landmark, Volume


@pytest.mark.parametrize(
    ("value", "dtype"), [(3, np.int8), (127, np.int8), (128, np.int16), (40000, np.int32)]
)
def test_labels_take_as_few_bytes_as_hold_them(value, dtype):
    image = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    labels = np.zeros((3, 8, 8), np.int32)
    labels[1, :4], labels[1, 4:6] = 1, value
    found = collect_slices([Template(image, labels)], BaselineConfig())
    assert found.examples[0].labels.dtype == dtype
    assert found.label_values == (1, value)
    classes = class_plane(found.examples[0], found.label_values)
    np.testing.assert_array_equal(classes[::2, 0], [1, 1, 2, 0])
    assert classes.dtype == np.int64


def test_as_many_landmarks_of_a_label_as_a_case_has(tmp_path):
    image = Volume(np.random.default_rng(0).random((4, 20, 30)).astype(np.float32), (1.0,) * 3)
    eyes = [Landmark("eye", 1, (1.0, 9.0, x)) for x in (7.0, 22.0)]
    config = BaselineConfig()
    training = collect_slices([Template(image, points=eyes, axis=0)], config)

    class Known:
        def planes(self, _stack, indices, _tick, /):
            for index in indices:
                found = np.zeros((2, 20, 30), np.float32)
                for x in (7, 22):
                    found[1, 7:12, x - 2 : x + 3] = 0.9 if index == 1 else 0.0
                found[0] = 1 - found[1]
                yield found

    for count in (1, 2):
        context = MethodContext(0, "cpu", tmp_path, landmarks=True, per_label=count)
        stack = open_stack(image, 0, training, config)
        found = predict_stack(stack, training, Known(), config, context)
        assert len(found.landmarks) == count
        assert found.labels is None
    assert sorted(round(point.position[2]) for point in found.landmarks) == [7, 22]
