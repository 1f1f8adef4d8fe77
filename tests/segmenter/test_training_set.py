"""Templates as examples: what is refused before anything is learned, and what is described."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import InputError, Landmark, SegmenterConfig, Template, Volume
from napari_fewshot.segmenter.training_set import TrainingSet

CONFIG = SegmenterConfig()


def image(names=None):
    return Volume(np.random.default_rng(0).random((4, 20, 20)), (1.0, 1.0, 1.0))


def paint(names=None):
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[1, 4:12, 4:12] = 1
    labels[1, 15, 15] = 2
    return image().with_data(labels, names=names or {})


def test_labels_that_resampling_loses_are_refused():
    coarse = SegmenterConfig(resampling={"mode": "inplane", "spacing": 4.0})
    with pytest.raises(InputError, match=r"leave a pixel of every painted label.* \[2\] lost"):
        TrainingSet.of([Template(image(), paint(), axis=0)], coarse)
    assert TrainingSet.of([Template(image(), paint(), axis=0).only(1)], coarse).label_values == (1,)


def test_a_number_stands_for_one_thing():
    tip = Landmark("tip", 1, (1, 5, 5))
    with pytest.raises(InputError, match="label 1 as a painted label and as tip"):
        TrainingSet.of([Template(image(), paint(), points=[tip])], CONFIG)
    with pytest.raises(InputError, match="label 1 as a painted label and as tip"):
        TrainingSet.of([Template(image(), paint()), Template(image(), points=[tip])], CONFIG)
    same = Template(image(), paint({1: "Tip "}), points=[tip])
    assert TrainingSet.of([same], CONFIG).label_values == (1, 2)
    with pytest.raises(InputError, match="label 1 as tip and as bone"):
        TrainingSet.of([Template(image(), paint({1: "bone"}), points=[tip])], CONFIG)


def test_it_says_which_slices_are_known():
    found = TrainingSet.of([Template(image(), paint(), slices=[0, 1], axis=0)], CONFIG)
    assert found.describe() == "2 known slices (axis 0)"
    oriented = Volume(image().data, (1.0, 1.0, 1.0), np.eye(4)[[2, 1, 0, 3]])
    found = TrainingSet.of([Template(oriented, paint().data, axis=0)], CONFIG)
    assert found.describe() == "1 known slices (axial)"
