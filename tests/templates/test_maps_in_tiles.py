"""Features of large template slices tell of each tile, so that a training can end there."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Cancelled
from napari_fewshot.types import FeatureMap, TiledFeatures


def tiles(count):
    for number in range(count):
        data = np.full((2, 4, 4), number, np.float32)
        yield FeatureMap(data, (4, 4), (4.0, 4.0), origin=(0, 4 * number))


def test_each_part_is_told_of_and_the_rest_is_not_computed():
    made, told = [], []

    def read():
        for part in tiles(5):
            made.append(part.origin)
            yield part

    def tell():
        told.append(len(made))
        if len(told) == 3:
            raise Cancelled("enough")

    features = TiledFeatures((4, 20), 2, read).watched(tell)
    with pytest.raises(Cancelled):
        list(features.parts())
    assert told == [1, 2, 3]
    assert len(made) == 3
