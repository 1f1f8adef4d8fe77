"""Known slices of templates, as networks take them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.bench.methods.slice_set import SliceSet
from napari_fewshot.config import IntensityConfig, ResamplingConfig
from napari_fewshot.templates.template import Template


@pytest.mark.parametrize(
    ("value", "dtype"), [(3, np.int8), (127, np.int8), (128, np.int16), (40000, np.int32)]
)
def test_labels_take_as_few_bytes_as_hold_them(value, dtype):
    image = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    labels = np.zeros((3, 8, 8), np.int32)
    labels[1, :4], labels[1, 4:6] = 1, value
    found = SliceSet.of([Template(image, labels)], IntensityConfig(), ResamplingConfig())
    assert found.training.examples[0].labels.dtype == dtype
    assert found.values == (1, value)
    np.testing.assert_array_equal(found.classes(0)[::2, 0], [1, 1, 2, 0])
    assert found.classes(0).dtype == np.int64
