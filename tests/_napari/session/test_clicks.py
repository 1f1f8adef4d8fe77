"""Clicks in the viewer: masks to choose from, accepted as paint that teaches."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from napari_fewshot import InputError
from napari_fewshot.errors import UnknownNameError
from napari_fewshot.sam.prompts import deepest_pixel

from .conftest import MINUTE

pytestmark = pytest.mark.viewer


@pytest.fixture
def clicks(session, tiny_sam):
    """Clicks by a SAM into the template, on a slice without paint."""
    session.configure(sam_weights={"sam-vit-b": tiny_sam})
    session.go_to(8, "image")
    session.clicks.begin("image", method="sam-vit-b")
    return session.clicks


def answered(session, qtbot):
    qtbot.waitUntil(lambda: bool(session.clicks.choices), timeout=1000 * MINUTE)
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)


def test_a_click_is_answered_and_accepted_as_a_stroke(session, viewer, clicks, qtbot):
    layer = viewer.layers["paint"]
    layer.selected_label = 3
    assert viewer.layers.selection.active.name == "image inside"
    viewer.layers["image inside"].add([8, 20, 20])
    answered(session, qtbot)
    assert 1 <= len(clicks.choices) <= 3
    best = clicks.choices[0]
    assert (best.added.shape, best.added.any()) == ((48, 48), True)
    assert 0 <= best.iou <= 1
    shown = viewer.layers["image choice"]
    np.testing.assert_array_equal(shown.data[8] == 1, best.added)
    assert not shown.data[[7, 9]].any()
    last = len(clicks.choices) - 1
    clicks.choose(last)
    mask = clicks.choices[last].added
    np.testing.assert_array_equal(shown.data[8] == 1, mask)
    before = layer.data.copy()
    assert clicks.accept() == mask.sum()
    assert (layer.data[8][mask] == 3).all()
    np.testing.assert_array_equal(layer.data[8][~mask], before[8][~mask])
    assert not len(viewer.layers["image inside"].data)
    assert (clicks.choices, shown.data.any()) == ((), False)
    qtbot.waitUntil(lambda: session.slices("image")[8].status == "painted")
    layer.undo()  # it is one stroke
    np.testing.assert_array_equal(layer.data, before)


def test_answers_are_quick_once_the_slice_is_encoded(session, viewer, clicks, qtbot):
    viewer.layers["image inside"].add([8, 20, 20])
    answered(session, qtbot)
    answers = []
    clicks.click("outside")
    clicks.changed.connect(lambda: answers.append(clicks.choices))
    start = time.perf_counter()
    viewer.layers["image outside"].add([8, 5, 5])
    qtbot.waitUntil(lambda: bool(answers), timeout=1000 * MINUTE)
    assert time.perf_counter() - start < 2  # a fraction of a second on a machine that is idle


def test_boxes(session, viewer, clicks, qtbot):
    clicks.click("box")
    boxes = viewer.layers["image box"]
    assert (viewer.layers.selection.active, boxes.mode) == (boxes, "add_rectangle")
    corners = [(8, 10, 12), (8, 10, 30), (8, 32, 30), (8, 32, 12)]
    boxes.add_rectangles(np.array(corners, float))
    answered(session, qtbot)
    clicks.click("inside")
    assert viewer.layers.selection.active.name == "image inside"
    clicks.clear()
    assert not len(boxes.data)


def test_clicks_of_other_slices_do_not_count(session, viewer, clicks, qtbot):
    viewer.layers["image inside"].add([3, 20, 20])
    qtbot.wait(200)
    with pytest.raises(InputError, match="have one inside"):
        clicks.ask()
    assert clicks.choices == ()
    with pytest.raises(InputError, match="have an answer"):
        clicks.accept()


def test_it_ends_with_its_layers(session, viewer, clicks):
    names = [layer.name for layer in viewer.layers]
    clicks.click("box")
    clicks.end()
    assert [layer.name for layer in viewer.layers] == [
        name for name in names if name != "image inside"
    ]
    assert (clicks.image, clicks.method) == (None, "")
    assert viewer.layers.selection.active.name == "paint"
    clicks.begin("image", method="random-walker")
    viewer.layers.remove("image")
    assert clicks.image is None
    assert "image inside" not in viewer.layers


def test_without_a_sam_the_model_and_edges_answer(predicted, viewer, truth, qtbot):
    session, layer, lungs = predicted, predicted.result_layer("image"), 9
    guessed = [k for k, one in enumerate(session.slices("image")) if one.status == "predicted"]
    index = max(guessed, key=lambda k: np.count_nonzero(truth[k] == lungs))
    session.go_to(index, "image")
    numbers, _ = ndimage.label(truth[index] == lungs)
    lung = numbers == np.bincount(numbers.ravel())[1:].argmax() + 1
    layer.data[index][lung] = 0  # all of it was missed
    layer.selected_label = lungs
    session.clicks.begin("image", into=layer)
    assert session.clicks.method == "random-walker"
    row, column = deepest_pixel(lung)
    viewer.layers["image inside"].add([index, row, column])
    answered(session, qtbot)
    (choice,) = session.clicks.choices
    assert choice.iou is None
    added = choice.added
    assert 2 * (added & lung).sum() / (added.sum() + lung.sum()) > 0.6
    session.clicks.accept()
    assert (layer.data[index][added] == lungs).all()
    provenance = layer.metadata["napari-fewshot"]
    assert provenance.strokes((index,)).any()


def test_what_cannot_be_begun(session, viewer):
    with pytest.raises(UnknownNameError, match="sam-vit-b"):
        session.clicks.begin("image", method="sam-vit-x")
    with pytest.raises(InputError, match="have begun"):
        session.clicks.ask()
    for entry in session.templates:
        session.remove_template(entry)
    with pytest.raises(InputError, match="Paint a slice first"):
        session.clicks.begin("image")
    assert session.clicks.image is None


def test_persam_finds_what_the_templates_show(session, viewer, tiny_sam):
    session.configure(sam_weights={"sam-vit-b": tiny_sam})
    session.segment_like("image", slices=[8]).wait(MINUTE)
    found = viewer.layers["image like the templates"].data
    assert not np.delete(found, 8, axis=0).any()
