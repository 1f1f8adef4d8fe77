"""Points that a person clicked: each without a name is a landmark, the same in all images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.errors import InputError

from .conftest import MINUTE

pytestmark = pytest.mark.viewer


def places(count, shift=0):
    """Some voxels in voxels of the image, in no order of their place."""
    return [(3 + (5 * k) % 14, 8 + 2 * k + shift, 40 - 2 * k) for k in range(count)]


@pytest.fixture
def clicked(session, viewer):
    """Function that clicks points on an image and adds them as a template."""
    session.remove_template(session.templates[0])

    def click(image, positions, **features):
        world = [image.data_to_world(place) for place in positions]
        layer = viewer.add_points(ndim=3, name=f"{image.name} marks")
        for place in world:  # one by one, as a person does
            layer.add(layer.world_to_data(place))
        if features:
            layer.features = features
        return session.add_template(image, layer)

    return click


@pytest.fixture
def image(viewer):
    return viewer.layers["image"]


@pytest.fixture
def other(viewer, image):
    return viewer.add_image(image.data[::-1].copy(), name="other", scale=image.scale)


def learned(session):
    """Name and label of the points that are learned, image by image."""
    return [[(p.name, p.label) for p in t.points] for t in session._training.templates()]


def test_twelve_clicks_are_twelve_landmarks(session, clicked, image):
    entry = clicked(image, places(12))
    assert str(entry) == "image marks → image: 12 landmarks"
    session.train(score=False).wait(MINUTE)
    model = session.model
    assert sorted(model.point_labels_) == list(range(1, 13))
    assert [model.names_[k] for k in range(1, 13)] == [f"point {k}" for k in range(1, 13)]


def test_the_first_of_one_image_is_the_first_of_the_other(session, clicked, image, other):
    clicked(image, places(3), name=["", "tip", ""])
    clicked(other, places(3, shift=1), name=["tip", "", ""])
    assert learned(session) == [
        [("point 1", 1), ("tip", 2), ("point 2", 3)],
        [("tip", 2), ("point 1", 1), ("point 2", 3)],
    ]


def test_other_numbers_are_told_and_nothing_is_learned(session, clicked, image, other):
    clicked(image, places(12))
    entry = clicked(other, places(11, shift=1))
    with pytest.raises(InputError, match=r"as many in each image.*; got 12 in image, 11 in other"):
        session.train()
    entry.labels.add(entry.labels.world_to_data(other.data_to_world((3, 4, 5))))
    assert [len(points) for points in learned(session)] == [12, 12]


def test_two_layers_on_one_image_count_on(session, clicked, image):
    clicked(image, places(2))
    clicked(image, places(3, shift=1))
    assert learned(session) == [
        [("point 1", 1), ("point 2", 2)],
        [("point 3", 3), ("point 4", 4), ("point 5", 5)],
    ]


def test_names_without_labels_are_the_same_in_any_order(session, clicked, image, other):
    clicked(image, places(2), name=["femur", "tibia"])
    clicked(other, places(2, shift=1), name=["tibia", "femur"])
    assert learned(session) == [[("femur", 1), ("tibia", 2)], [("tibia", 2), ("femur", 1)]]


def test_names_of_opened_files_are_the_same_in_any_order(session, viewer, tmp_path, image, other):
    session.remove_template(session.templates[0])
    for layer, names in ((image, "femur tibia"), (other, "tibia femur")):
        path = tmp_path / f"{layer.name}_points.csv"
        rows = [f"{name},3,{k},5" for k, name in enumerate(names.split())]
        path.write_text("\n".join(["name,z,y,x", *rows]))
        (points,) = viewer.open(path, plugin="napari-fewshot")
        session.add_template(layer, points)
    assert learned(session) == [[("femur", 1), ("tibia", 2)], [("tibia", 2), ("femur", 1)]]


def test_several_points_of_a_name_are_one_landmark(session, clicked, image):
    entry = clicked(image, places(3), name=["tooth", "tooth", "jaw"])
    assert str(entry) == "image marks → image: 2 landmarks (3 points)"


def test_they_are_no_painted_labels(session, clicked, image, patient):
    """Painted labels have the numbers 1 and up as well, and some points have those above."""
    session.add_template("image", "paint")
    painted = set(np.unique(patient[1].data)) - {0}
    clicked(image, places(12))
    session.train(score=False).wait(MINUTE)
    assert len(session.model.point_labels_) == 12
    assert not session.model.point_labels_ & painted


def test_a_point_added_to_landmarks_that_were_found_is_one_of_its_own(session, clicked, image):
    clicked(image, places(4))
    session.configure(propagation={"landmarks": {"min_score": 0.0}})
    session.train(score=False).wait(MINUTE)
    for _ in range(2):  # made, then shown anew
        session.propagate("image").wait(MINUTE)
        layer = session._view.viewer.layers["image landmarks found"]
        count = len(layer.data)
        layer.add([[1.0, 2.0, 3.0]])
        added = layer.features.iloc[-1]
        assert len(layer.data) == count + 1
        assert added["name"] == ""
        assert np.isnan(added["label"])
