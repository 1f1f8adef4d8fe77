"""The choice of a layer follows a real viewer."""

from __future__ import annotations

import gc

import numpy as np
import pytest

pytestmark = pytest.mark.viewer


def delete(widget, qtbot):
    """Let Qt delete a widget; PySide6 cannot wait for its last signal."""
    gone = []
    widget.destroyed.connect(lambda: gone.append(True))
    widget.deleteLater()
    qtbot.waitUntil(lambda: bool(gone))


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


def texts(choice) -> list[str]:
    return [choice.itemText(k) for k in range(choice.count())]


def test_it_follows_layers_that_come_go_move_and_get_other_names(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.layer_choice import LayerChoice

    choice = LayerChoice(viewer, ["image"])
    qtbot.addWidget(choice)
    assert choice.layer is None
    with qtbot.waitSignal(choice.chosen):
        first = viewer.add_image(np.zeros((4, 8, 8)), name="first")
    assert choice.layer is first
    viewer.add_labels(np.zeros((4, 8, 8), int), name="labels")
    with qtbot.assertNotEmitted(choice.chosen):
        second = viewer.add_image(np.zeros((4, 8, 8)), name="second")
        first.name = "renamed"
        viewer.layers.move(0, 3)
    assert texts(choice) == ["renamed", "second"]
    assert choice.layer is first
    with qtbot.waitSignal(choice.chosen):
        viewer.layers.remove(first)
    assert choice.layer is second
    viewer.layers.clear()
    assert choice.layer is None


def test_two_layers_are_told_apart_when_they_swap_names(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.layer_choice import LayerChoice

    a = viewer.add_image(np.zeros((8, 8)), name="a")
    b = viewer.add_image(np.zeros((8, 8)), name="b")
    choice = LayerChoice(viewer, ["image"])
    qtbot.addWidget(choice)
    assert choice.choose(a)
    a.name, b.name = "c", "a"
    assert choice.layer is a
    assert choice.currentText() == "c"


def test_an_entry_for_no_layer_stays_until_one_is_picked(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.layer_choice import LayerChoice

    choice = LayerChoice(viewer, ["labels"], none="new layer")
    qtbot.addWidget(choice)
    labels = viewer.add_labels(np.zeros((8, 8), int))
    assert choice.layer is None
    assert choice.choose(labels)
    viewer.add_labels(np.zeros((8, 8), int))
    assert choice.layer is labels
    viewer.layers.remove(labels)
    assert choice.layer is None
    assert not choice.choose(labels)


def test_a_better_layer_replaces_what_nobody_picked(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.layer_choice import LayerChoice

    def painted(layer) -> bool:
        return "template" in layer.name

    choice = LayerChoice(viewer, ["labels"], prefer=painted)
    qtbot.addWidget(choice)
    truth = viewer.add_labels(np.zeros((8, 8), int), name="truth")
    assert choice.layer is truth
    template = viewer.add_labels(np.zeros((8, 8), int), name="template")
    assert choice.layer is template
    choice.choose(truth)
    viewer.add_labels(np.zeros((8, 8), int), name="template 2")
    assert choice.layer is truth


def test_layers_may_change_after_qt_has_deleted_the_choice(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.layer_choice import LayerChoice

    choice = LayerChoice(viewer, ["image"])
    delete(choice, qtbot)
    viewer.add_image(np.zeros((8, 8)))  # `choice` is still there, its widget is not
    del choice
    gc.collect()


def test_keys_are_bound_while_the_owner_lives_and_taken_ones_are_kept(viewer, qtbot):
    from qtpy.QtWidgets import QWidget

    from napari_fewshot._napari.widgets.parts.keys import bind_keys

    theirs: list[str] = []
    viewer.bind_key("K", lambda v: theirs.append("K"))
    mine: list[str] = []
    owner = QWidget()
    bound = bind_keys(viewer, {"K": lambda: mine.append("K"), "U": lambda: mine.append("U")}, owner)
    assert bound == ("U",)
    keys = {str(key): act for key, act in viewer.keymap.items()}
    keys["K"](viewer)
    keys["U"](viewer)
    assert (theirs, mine) == (["K"], ["U"])
    delete(owner, qtbot)
    assert {str(key) for key in viewer.keymap} == {"K"}


def test_keys_of_napari_s_preferences_are_taken(viewer, qtbot):
    from qtpy.QtWidgets import QWidget

    from napari_fewshot._napari.widgets.parts.keys import bind_keys

    owner = QWidget()
    qtbot.addWidget(owner)
    assert bind_keys(viewer, {"V": print, "P": print, "N": print}, owner) == ("N",)
