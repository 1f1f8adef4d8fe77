"""Which point of a layer is which landmark, with names or without."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer, Points

from napari_fewshot._napari.annotations import check_order, marks_of, named
from napari_fewshot._napari.layers import landmarks_layer
from napari_fewshot._napari.writers import write_points_layer
from napari_fewshot.errors import InputError
from napari_fewshot.io import read_points
from napari_fewshot.types import Landmark, Volume

IMAGE = Volume(np.zeros((4, 9, 9), np.uint8), (1.0, 1.0, 1.0))


def marks(*names, labels=None):
    """Points without labels, or with them."""
    features = {"name": list(names)} | ({"label": labels} if labels else {})
    return marks_of(np.zeros((len(names), 3)), features, "points")


def told(*images, taken=()):
    return [[(m.name, m.label) for m in found] for found in named(images, taken)]


def test_points_without_names_are_a_landmark_each():
    features = {}
    (found,) = named([marks_of(np.arange(36).reshape(12, 3), features, "clicks")])
    assert [m.name for m in found] == [f"point {k}" for k in range(1, 13)]
    assert [m.label for m in found] == list(range(1, 13))
    assert [m.position for m in found][1] == (3, 4, 5)


def test_they_correspond_by_their_order_in_each_image():
    one, other = told(marks("femur", "", "", "tibia"), marks("", "tibia", "", "femur"))
    assert one == [("femur", 1), ("point 1", 2), ("point 2", 3), ("tibia", 4)]
    assert other == [("point 1", 2), ("tibia", 4), ("point 2", 3), ("femur", 1)]


def test_names_that_are_made_are_no_others():
    (found,) = told(marks("point 1", "", "Point 3", ""), taken=["point 4"])
    assert [name for name, _ in found] == ["point 1", "point 2", "Point 3", "point 5"]


def test_a_name_has_one_label_and_a_label_one_name():
    one, other = told(marks("tibia", "", "femur", None), marks("femur", "skin", labels=[2, np.nan]))
    assert one == [("tibia", 1), ("point 1", 3), ("femur", 2), ("point 2", 4)]
    assert other == [("femur", 2), ("skin", 5)]
    assert told(marks("", "a", labels=[7, 7])) == [[("7", 7), ("a", 7)]]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (["", "", ""], ["", ""], "got 3 in A, 2 in B"),
        (["a", ""], ["a"], None),  # B has none without a name
        (["point 1", "point 2"], ["", ""], None),  # saved, and read again
        (["point 1", "point 2"], ["", "", ""], "got 2 in A, 3 in B"),
        (["point 1", "point 3"], ["", ""], "got point 1 and point 3 in A, point 1 and point 2 in"),
        (["point 1"], ["point 2"], None),  # names that were given are names
    ],
)
def test_other_numbers_are_refused_in_words(one, other, message):
    given = [marks(*one), marks(*other)]
    if message is None:
        check_order(["A", "B"], given, named(given))
        return
    with pytest.raises(InputError, match=message) as caught:
        check_order(["A", "B"], given, named(given))
    assert "Feature extraction" in caught.value.remedy


def test_saved_and_read_again_they_are_the_same_landmarks(tmp_path):
    layer = Points(np.ones((3, 3)))
    write_points_layer(str(tmp_path / "p.csv"), *layer.as_layer_data_tuple()[:2])
    read = read_points(tmp_path / "p.csv", IMAGE)
    assert [(m.name, m.label) for m in read] == [("point 1", 1), ("point 2", 2), ("point 3", 3)]
    layer = Layer.create(*landmarks_layer(read, IMAGE, "read"))
    layer.add([[2, 2, 2]])  # goes on counting
    (found,) = named([marks_of(layer.data, layer.features, "read")])
    assert [(m.name, m.label) for m in found][2:] == [("point 3", 3), ("point 4", 4)]


@pytest.mark.parametrize("scored", [True, False])
def test_a_point_that_is_added_to_opened_ones_is_not_the_last_of_them(scored):
    last = Landmark("tibia", 5, (1, 2, 3), 0.5 if scored else None)
    layer = Layer.create(*landmarks_layer([Landmark("femur", 2, (1, 1, 1)), last], IMAGE, "read"))
    layer.add([[2, 2, 2], [3, 3, 3]])
    (found,) = named([marks_of(layer.data, layer.features, "read")])
    assert [(m.name, m.label, m.score) for m in found[1:]] == [
        ("tibia", 5, last.score),
        ("point 1", 1, None),
        ("point 2", 3, None),
    ]


def test_the_first_point_of_an_empty_file_has_no_name():
    layer = Layer.create(*landmarks_layer([], IMAGE, "none"))
    layer.add([[2, 2, 2]])
    (found,) = named([marks_of(layer.data, layer.features, "none")])
    assert [(m.name, m.label) for m in found] == [("point 1", 1)]
