"""Choices of a layer, which follow a real viewer, of an axis and of a backbone."""

from __future__ import annotations

import gc

import numpy as np
import pytest

pytestmark = pytest.mark.viewer


def texts(choice) -> list[str]:
    return [choice.itemText(k) for k in range(choice.count())]


def test_it_follows_layers_that_come_go_move_and_get_other_names(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.choices import LayerChoice

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
    from napari_fewshot._napari.widgets.parts.choices import LayerChoice

    a = viewer.add_image(np.zeros((8, 8)), name="a")
    b = viewer.add_image(np.zeros((8, 8)), name="b")
    choice = LayerChoice(viewer, ["image"])
    qtbot.addWidget(choice)
    assert choice.choose(a)
    a.name, b.name = "c", "a"
    assert choice.layer is a
    assert choice.currentText() == "c"


def test_an_entry_for_no_layer_stays_until_one_is_picked(viewer, qtbot):
    from napari_fewshot._napari.widgets.parts.choices import LayerChoice

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
    from napari_fewshot._napari.widgets.parts.choices import LayerChoice

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


def test_layers_may_change_after_qt_has_deleted_the_choice(viewer, delete):
    from napari_fewshot._napari.widgets.parts.choices import LayerChoice

    choice = LayerChoice(viewer, ["image"])
    delete(choice)
    viewer.add_image(np.zeros((8, 8)))  # `choice` is still there, its widget is not
    del choice
    gc.collect()


def test_the_axis_follows_the_view_until_one_is_fixed(qtbot):
    from napari_fewshot._napari.widgets.parts.choices import AxisChoice

    choice = AxisChoice()
    qtbot.addWidget(choice)
    with qtbot.assertNotEmitted(choice.currentIndexChanged):
        choice.show_axes(("S", "A", "R"), None, 0)
    assert choice.currentText() == "as viewed (S)"
    assert choice.value is None
    choice.show_axes(("S", "A", "R"), 0, 2)
    assert choice.value == 0  # 0 is an axis, not nothing
    choice.show_axes(("Y", "X"), 2, None)
    assert choice.value == 2  # chosen for another image: shown, not changed behind one's back


def test_backbones_say_their_state_once_it_is_known(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    from napari_fewshot._napari.widgets.parts.choices import BackboneChoice
    from napari_fewshot.config import SegmenterConfig

    choice = BackboneChoice()
    qtbot.addWidget(choice)
    with qtbot.waitSignal(choice.looked, timeout=20_000):
        pass
    choice.show_choice(SegmenterConfig().backbone, None)
    assert choice.about.text().startswith("Built in")
    assert choice.weights.isVisibleTo(choice)  # those that were fine-tuned

    with qtbot.waitSignal(choice.changed):
        choice.names.setCurrentIndex(choice.names.findData("dinov2-s"))
    assert choice.name == "dinov2-s"
    assert choice.about.text().startswith("Not downloaded · 88 MB · Apache-2.0")
    assert choice.weights.isVisibleTo(choice)
    choice.weights.line.setText(str(tmp_path / "absent.safetensors"))
    choice.weights.line.editingFinished.emit()
    assert choice.problem == "there is no file absent.safetensors"
    (tmp_path / "absent.safetensors").write_bytes(b"")
    assert choice.problem == ""
    assert choice.weights_file == tmp_path / "absent.safetensors"
    choice.show_choice("multiscale", None)
    assert choice.weights_file is None
