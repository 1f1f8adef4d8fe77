"""Templates as examples: what is refused before anything is learned, and what is described."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import InputError, Landmark, SegmenterConfig, Template, Volume
from napari_fewshot.segmenter.held_out import choose_folds
from napari_fewshot.templates.training_set import TrainingSet

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


def test_known_slices_of_one_grey_value_are_said(caplog):
    TrainingSet.of(Template(image(), paint(), axis=0), CONFIG)
    assert not caplog.records
    beyond = SegmenterConfig(intensity={"mode": "window", "low": 1e6, "high": 1e7})
    blank = image().with_data(np.full((4, 20, 20), np.nan, np.float32))
    for volume, config in ((blank, CONFIG), (image(), beyond)):
        TrainingSet.of(Template(volume, paint(), axis=0), config)
        assert "show one grey value alone" in caplog.text
        caplog.clear()


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


def test_one_image_in_two_templates_is_held_out_by_slices():
    """Slices beside those that were learned would score as another volume."""
    data = image().data
    first, second = (np.zeros((4, 20, 20), np.uint8) for _ in range(2))
    first[1, 4:12, 4:12] = second[2, 4:12, 4:12] = 1
    tip, rim = Landmark("tip", 2, (0, 5, 5)), Landmark("rim", 3, (3, 9, 9))
    for again in (data[:], data.copy()):
        found = TrainingSet.of(
            [
                Template(data, first, axis=0, points=[tip]),
                Template(again, second, axis=0, points=[rim]),
            ],
            CONFIG,
        )
        assert choose_folds(found.examples)[1] == "neighbouring slices"
        assert [sorted(one) for one in found.arrangements] == [[2, 3]]


def test_geometry_is_that_of_each_template():
    """The same voxels with two affines: one image, seen in two ways."""
    plain = image()
    oriented = Volume(plain.data, (2.0, 1.0, 1.0), np.eye(4)[[2, 1, 0, 3]])
    found = TrainingSet.of([Template(v, paint().data, axis=0) for v in (plain, oriented)], CONFIG)
    assert [stack.spacing for stack in found.stacks] == [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)]
    assert {example.volume for example in found.examples} == {0}


def test_it_says_which_slices_are_known():
    found = TrainingSet.of([Template(image(), paint(), slices=[0, 1], axis=0)], CONFIG)
    assert found.describe() == "2 known slices (axis 0)"
    oriented = Volume(image().data, (1.0, 1.0, 1.0), np.eye(4)[[2, 1, 0, 3]])
    found = TrainingSet.of([Template(oriented, paint().data, axis=0)], CONFIG)
    assert found.describe() == "1 known slices (axial)"
