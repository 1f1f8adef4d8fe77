"""Known slices of templates, as networks take them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.bench.methods.baseline import BaselineConfig, class_plane, collect_slices
from napari_fewshot.templates.template import Template


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
