"""Clicks instead of painting, in the one dock: by a SAM, or by what was learned and edges."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

pytestmark = pytest.mark.viewer

MINUTE = 60_000
SHAPE = (9, 40, 40)


@pytest.fixture
def dock(dock):
    """The dock with an image."""
    data = np.random.default_rng(0).normal(50, 3, SHAPE).astype(np.float32)
    data[:, 10:25, 10:30] += 60
    dock.viewer.add_image(data, name="one")
    return dock


def painted(dock):
    labels = np.zeros(SHAPE, np.uint8)
    labels[[2, 6], 10:25, 10:30] = 1
    return dock.viewer.add_labels(labels, name="one labels")


def learned(dock, qtbot):
    qtbot.waitUntil(dock.learn.learn.isEnabled)
    dock.learn.learn.click()
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
    dock.show_state()
    return dock.session.result_layer("one")


def works(dock):
    return [job for job in dock.session.jobs if job.stage not in ("score", "save")]


def clicked(dock, place, qtbot):
    """Click into the image, and wait for what it may mean."""
    panel = dock.labels.clicks
    dock.viewer.layers["one inside"].add(place)
    qtbot.waitUntil(panel.accept.isEnabled, timeout=MINUTE)
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
    return panel


def test_it_is_folded_below_the_labels(dock):
    dock.show_state()
    assert not dock.labels.clicking.isExpanded()
    assert dock.labels.clicking.text() == "▸ Clicks instead of paint"


def test_with_a_sam_clicks_make_the_first_paint(dock, tiny_sam, qtbot):
    session, viewer = dock.session, dock.viewer
    session.configure(sam_weights={"sam-vit-b": tiny_sam})
    dock.show_state()
    dock.labels.clicking.expand(animate=False)
    session.go_to(4, "one")
    panel = dock.labels.clicks
    assert panel.method.value == "sam-vit-b"
    panel.begin.click()
    assert not dock.status.text()
    layer = viewer.layers["one labels"]  # it was made for it, with a first label
    assert (layer.selected_label, session.clicks.into) == (1, layer)
    assert viewer.layers.selection.active.name == "one inside"
    clicked(dock, [4, 17, 20], qtbot)
    assert any(button.isVisibleTo(panel) for button in panel.masks)
    panel.accept.click()
    assert (layer.data[4] == 1).any()
    assert not np.delete(layer.data, 4, axis=0).any()
    panel.undo.click()
    assert not layer.data.any()


def test_without_a_sam_what_was_learned_and_edges_answer(dock, qtbot):
    session, viewer = dock.session, dock.viewer
    painted(dock)
    result = learned(dock, qtbot)
    session.go_to(4, "one")
    result.data[4] = 0  # all of it was missed
    dock.labels.clicking.expand(animate=False)
    dock.labels.clicks.begin.click()
    assert session.clicks.into is result
    assert dock.labels.clicks.hint.text().startswith("Click into the structure")
    panel = clicked(dock, [4, 17, 20], qtbot)
    assert not any(button.isVisibleTo(panel) for button in panel.masks)
    panel.accept.click()
    assert (result.data[4, 10:25, 10:30] == 1).mean() > 0.8
    assert viewer.layers.selection.active.name == "one inside"
    dock.show_state()
    assert dock.correct.here.strokes


def test_another_label_is_chosen_and_clicking_goes_on(dock, qtbot):
    session, viewer = dock.session, dock.viewer
    painted(dock)
    dock.show_state()
    dock.labels.add_label.click()
    dock.show_state()
    dock.labels.clicks.begin.click()
    assert session.clicks.into.selected_label == 2
    spot = dock.labels.list.visualItemRect(dock.labels.list.item(0)).center()
    qtbot.mouseClick(dock.labels.list.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert session.clicks.into.selected_label == 1
    assert viewer.layers.selection.active.name == "one inside"


def test_clicking_goes_on_in_the_first_result(dock, qtbot):
    session, viewer = dock.session, dock.viewer
    painted(dock)
    dock.show_state()
    dock.labels.clicks.begin.click()
    result = learned(dock, qtbot)
    assert session.clicks.into is result
    assert viewer.layers.selection.active.name == "one inside"
    assert [one.value for one in session.painting.labels()] == [1]


def test_layers_of_clicks_are_neither_labels_nor_landmarks(dock, qtbot):
    session, viewer = dock.session, dock.viewer
    viewer.add_image(np.zeros(SHAPE, np.float32), name="two")
    painted(dock)
    learned_of = viewer.layers["one"]
    viewer.layers.selection.active = learned_of
    dock.show_state()
    dock.labels.clicks.begin.click()
    assert not dock.status.text()
    assert dock.image is learned_of  # though another image lies above it
    clicked(dock, [4, 17, 20], qtbot)
    names = {one.name for one in viewer.layers}
    assert {"one inside", "one choice"} <= names
    assert "one outside" not in names  # it comes with the first click that is to stay out
    assert session.labelling.about() in ("Learns from 2 painted slices of one.",)
    marked = session.painting.points_layer(learned_of)
    assert marked.name == "one landmarks"


def test_what_was_clicked_on_one_slice_is_not_accepted_on_another(dock, qtbot):
    painted(dock)
    dock.session.go_to(4, "one")
    dock.show_state()
    dock.labels.clicks.begin.click()
    panel = clicked(dock, [4, 17, 20], qtbot)
    dock.session.go_to(5, "one")
    qtbot.waitUntil(lambda: not panel.accept.isEnabled())
    dock.session.go_to(4, "one")
    qtbot.waitUntil(panel.accept.isEnabled, timeout=MINUTE)
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
