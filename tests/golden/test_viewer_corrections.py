"""Golden: a person corrects what was predicted, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest

from .person import (
    EXTRACTION,
    PROPAGATION,
    TRAINED,
    TRAINING,
    Golden,
    Person,
    in_order_of_the_layer,
    in_voxels_of_the_layer,
)

pytestmark = pytest.mark.viewer

GOLDEN = Golden("corrections")
RESULT, TEMPLATE = "patient predicted", "patient_labels"


@pytest.fixture
def truth():
    return {}


@pytest.fixture
def person(make_napari_viewer, qtbot, tmp_path, monkeypatch, truth):
    """A person with labels for all slices."""
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    found = Person(make_napari_viewer(), qtbot)
    phantom = found.open_patient(tmp_path)
    found.open_docks()
    found.use_quick_settings()
    found.label_patient()
    truth["labels"] = in_order_of_the_layer(phantom.labels)
    truth["points"] = phantom.landmarks
    return found


def test_reviewed_accepted_updated_undone(person, truth, assert_same_labels):
    layer, truth = person.viewer.layers[RESULT], truth["labels"]
    first = layer.data.copy()
    assert_same_labels(first, GOLDEN.array("propagated", first))
    painted, made = person.slices("painted"), person.slices("predicted")
    corrected, accepted, touched = made[len(made) // 2], made[2], made[-3]

    person.go_to(corrected)
    assert person.viewer.dims.current_step[0] == corrected
    person.correct(RESULT, corrected, truth[corrected])
    assert person.slices("strokes") == [corrected]
    GOLDEN.look("a slice with strokes", person.looks(PROPAGATION))
    person.press("K")
    assert person.slices("reviewed") == [corrected]
    assert person.why_not(PROPAGATION, "Accept slice as template") == "this slice has no prediction"
    GOLDEN.look("a reviewed slice", person.looks(PROPAGATION))
    person.press("K")
    assert person.slices("strokes") == [corrected]
    person.press("K")
    person.go_to(accepted)
    person.press("G")
    assert person.slices("painted") == sorted([*painted, accepted])
    person.go_to(touched)
    person.paint(RESULT, (touched, 24, 24), 4, size=4)
    spot = layer.data[touched] == 4
    assert spot.any()
    before = layer.data.copy()

    person.press("U", "Updating: done")
    GOLDEN.docks("updated", person)
    assert_same_labels(layer.data, GOLDEN.array("updated", layer.data))
    np.testing.assert_array_equal(layer.data[corrected], truth[corrected])
    np.testing.assert_array_equal(layer.data[accepted], before[accepted])
    np.testing.assert_array_equal(layer.data[painted], before[painted])
    assert (layer.data[touched][spot] == 4).all()
    confidence = person.viewer.layers["patient confidence"]
    updated = layer.data.copy(), confidence.data.copy()
    assert person.slices("strokes") == [touched]

    layer.undo()  # the update as a whole
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, updated[0])
    np.testing.assert_array_equal(confidence.data, updated[1])

    person.press("N")
    here = person.viewer.dims.current_step[0]
    assert here in person.slices("predicted")
    assert list(person.layers()) == GOLDEN_LAYERS


GOLDEN_LAYERS = ["patient", TEMPLATE, "patient confidence", RESULT, "patient landmarks found"]


def test_a_stroke_of_the_template_over_a_prediction(person, assert_same_labels):
    layer, template = person.viewer.layers[RESULT], person.viewer.layers[TEMPLATE]
    made = person.slices("predicted")
    here = made[len(made) // 2]
    person.go_to(here)
    row, column = (int(n) for n in np.argwhere(layer.data[here] == 0)[400])
    person.paint(TEMPLATE, (here, row, column), 3)
    spot = template.data[here] == 3
    assert person.slices("strokes") == [here]
    GOLDEN.docks("strokes of the template", person)
    person.press("U", "Updating: done")
    assert (layer.data[here][spot] == 3).all()
    assert_same_labels(layer.data, GOLDEN.array("strokes of the template", layer.data))
    person.press("K")
    assert person.slices("reviewed") == [here]
    person.press("U", "Updating: done")
    np.testing.assert_array_equal(layer.data[here], template.data[here])
    person.press("K")
    assert person.slices("strokes") == [here]


def test_refine_keep_discard(person, assert_same_labels):
    layer = person.viewer.layers[RESULT]
    before, made = layer.data.copy(), person.slices("predicted")
    person.go_to(made[4])
    person.unfold(PROPAGATION, "Refine")
    person.choose(PROPAGATION, "Method", "random-walker")
    GOLDEN.look("may be refined", person.looks(PROPAGATION))
    person.click(PROPAGATION, "Refine slice", "Refining the slice in view: done")
    GOLDEN.look("a refined slice", person.looks(PROPAGATION))
    changed = np.flatnonzero((layer.data != before).any(axis=(1, 2)))
    assert changed.tolist() == [made[4]]
    person.click(PROPAGATION, "Refine all", "Refining patient: done")
    assert_same_labels(layer.data, GOLDEN.array("refined", layer.data))
    painted = person.slices("painted")
    np.testing.assert_array_equal(layer.data[painted], before[painted])
    person.click(PROPAGATION, "Discard")
    np.testing.assert_array_equal(layer.data, before)
    assert person.why_not(PROPAGATION, "Keep") == "nothing was refined"
    person.click(PROPAGATION, "Refine slice", "Refining the slice in view: done")
    kept = layer.data.copy()
    person.click(PROPAGATION, "Keep")
    assert person.why_not(PROPAGATION, "Discard") == "nothing was refined"
    np.testing.assert_array_equal(layer.data, kept)


def test_second_image(person, tmp_path, assert_same_labels):
    """Into follows the image, and what a person painted for another one is not replaced."""
    first = person.viewer.layers[RESULT]
    before = first.data.copy()
    person.open_patient(tmp_path, "other", seed=1)
    person.choose(PROPAGATION, "Image", "other")
    assert person.field(PROPAGATION, "Into").currentText() == "a new layer"
    GOLDEN.look("the second image is chosen", person.looks(PROPAGATION))
    person.choose(PROPAGATION, "Into", RESULT)
    GOLDEN.look("into the result of the first", person.looks(PROPAGATION))
    made = person.slices("empty")
    person.paint(RESULT, (made[3], 24, 24), 4)
    person.click(PROPAGATION, "Propagate")
    GOLDEN.look("refused", person.looks(PROPAGATION))
    first.undo()
    np.testing.assert_array_equal(first.data, before)
    person.choose(PROPAGATION, "Into", "a new layer")
    person.click(PROPAGATION, "Propagate", "Propagating to other: done")
    assert person.field(PROPAGATION, "Into").currentText() == "other predicted"
    assert person.field(PROPAGATION, "Existing").currentText() == "replace predictions"
    found = person.viewer.layers["other predicted"]
    assert_same_labels(found.data, GOLDEN.array("second image", found.data))
    np.testing.assert_array_equal(first.data, before)
    person.choose(PROPAGATION, "Image", "patient")
    assert person.field(PROPAGATION, "Into").currentText() == RESULT
    GOLDEN.look("layers of two images", person.layers())


def test_landmarks(person, truth, tmp_path):
    """Points that a person clicked are found in another image."""
    marks, image = truth["points"], person.viewer.layers["patient"]
    points = person.viewer.add_points(
        np.array([in_voxels_of_the_layer(mark.position, image) for mark in marks]),
        name="marks",
        features={"name": [mark.name for mark in marks]},
        scale=image.scale,
        translate=image.translate,
        units=image.units,
        axis_labels=image.axis_labels,
    )
    person.choose(EXTRACTION, "Labels", "marks")
    assert person.field(EXTRACTION, "Painted as").currentText() == "points (landmarks)"
    person.click(EXTRACTION, "Add template")
    person.open_patient(tmp_path, "other", seed=1)
    person.choose(PROPAGATION, "Image", "other")
    person.choose(EXTRACTION, "Backbone", "embedded")
    person.click(TRAINING, "Train", TRAINED)
    person.click(PROPAGATION, "Propagate", "Propagating to other: done")
    GOLDEN.docks("landmarks", person)
    found = person.viewer.layers["other landmarks found"]
    names = [str(name) for name in found.features["name"]]
    GOLDEN.look("names of landmarks", sorted(names))
    stored = GOLDEN.array("landmarks", found.data[np.argsort(names)])
    assert (np.abs(stored - found.data[np.argsort(names)]) < 1).all()  # voxels
    assert 3 <= len(names) <= len(points.data)
