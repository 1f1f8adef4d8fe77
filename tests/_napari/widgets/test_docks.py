"""The docks in a real viewer: what a newcomer clicks, from top to bottom."""

from __future__ import annotations

import numpy as np
import pytest
from npe2 import PluginManager

pytestmark = pytest.mark.viewer

MINUTE = 60_000


@pytest.fixture
def viewer(make_napari_viewer):
    PluginManager.instance().discover()
    return make_napari_viewer()


@pytest.fixture
def docks(viewer):
    from napari_fewshot._napari.widgets.extraction import FeatureExtraction
    from napari_fewshot._napari.widgets.propagation import LabelPropagation
    from napari_fewshot._napari.widgets.training import AdapterTraining

    made = FeatureExtraction(viewer), AdapterTraining(viewer), LabelPropagation(viewer)
    for dock in made:
        viewer.window.add_dock_widget(dock, name=type(dock).__name__)
    return made


def test_without_layers_every_button_says_what_is_missing(docks):
    extraction, training, propagation = docks
    assert extraction.extract.reason == "open an image"
    assert "template" in training.train.reason
    assert "image" in propagation.propagate.reason
    assert extraction.cost.text() == "First: open an image."


def test_one_session_is_shared_and_shown_by_all_docks(docks, qtbot):
    extraction, training, propagation = docks
    assert extraction.session is training.session is propagation.session
    training.adapter.names.setCurrentIndex(training.adapter.names.findData("cosine"))
    assert training.session.settings.adapter == "cosine"
    extraction.session.configure(backbone="multiscale", adapter="classification")  # by a script
    qtbot.waitUntil(lambda: training.adapter.name == "classification")
    qtbot.waitUntil(lambda: extraction.backbone.name == "multiscale")


def test_an_adapter_without_settings_of_its_own_can_be_chosen(viewer, monkeypatch):
    from napari_fewshot._napari.widgets.training import AdapterTraining
    from napari_fewshot.adapters import ADAPTERS, AdapterEntry

    assert "nearest" not in ADAPTERS
    entry = AdapterEntry("The nearest mean.", lambda config, device, weights: None)
    monkeypatch.setitem(ADAPTERS._entries, "nearest", entry)
    dock = AdapterTraining(viewer)
    viewer.window.add_dock_widget(dock)
    dock.adapter.names.choose("nearest")
    assert not dock.status.text()
    assert dock.session.settings.adapter == "nearest"
    assert dock.adapter.about.text() == "The nearest mean."


def test_what_the_sample_has_is_chosen_without_a_click(viewer, docks):
    viewer.open_sample("napari-fewshot", "torso")
    extraction, _, propagation = docks
    assert extraction.image.layer is viewer.layers["torso"]
    assert extraction.labels.layer is viewer.layers["torso template"]
    assert propagation.image.layer is viewer.layers["torso"]
    assert propagation.into.layer is None


def test_a_newcomer_goes_from_top_to_bottom_with_the_defaults(viewer, docks, qtbot):
    viewer.open_sample("napari-fewshot", "torso")
    extraction, training, propagation = docks
    session = extraction.session
    extraction.extract.click()
    assert len(session.templates) == 1
    with qtbot.waitSignal(extraction.progress.finished, timeout=2 * MINUTE):
        pass
    qtbot.waitUntil(training.train.isEnabled)
    training.train.click()
    qtbot.waitUntil(propagation.propagate.isEnabled, timeout=2 * MINUTE)
    propagation.propagate.click()
    with qtbot.waitSignal(propagation.progress.finished, timeout=2 * MINUTE):
        pass
    truth = viewer.layers["torso truth"].data
    result = next(
        layer.data
        for layer in viewer.layers
        if layer._type_string == "labels" and "torso t" not in layer.name
    )
    found, there = result > 0, truth > 0
    assert 2 * (found & there).sum() / (found.sum() + there.sum()) > 0.8
    qtbot.waitUntil(lambda: len(training.scores.rows) > 0, timeout=2 * MINUTE)
    assert training.scores.table.rowCount() == len(training.scores.rows)
    statuses = {entry.status for entry in propagation.correct.table.model.slices}
    assert {"painted", "predicted"} <= statuses


def test_slices_are_listed_and_a_click_goes_there(viewer, docks, qtbot):
    from qtpy.QtCore import Qt

    viewer.open_sample("napari-fewshot", "torso")
    extraction, _, propagation = docks
    extraction.templates.add.click()
    table = propagation.correct.table

    def painted() -> list[int]:
        return [entry.index for entry in table.model.slices if entry.status == "painted"]

    qtbot.waitUntil(lambda: len(painted()) == 5)
    template = viewer.layers["torso template"].data
    assert painted() == [int(k) for k in np.flatnonzero(template.any(axis=(1, 2)))]
    place = table.view.model().index(2, 0)
    table.view.scrollTo(place)
    spot = table.view.visualRect(place).center()
    qtbot.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert viewer.dims.current_step[0] == 2


def test_one_key_reviews_the_slice_in_view_and_takes_it_back(viewer, docks, qtbot):
    viewer.open_sample("napari-fewshot", "torso")
    extraction, _, propagation = docks
    extraction.templates.add.click()
    qtbot.waitUntil(lambda: len(propagation.correct.table.model.slices) > 0)
    viewer.dims.set_current_step(0, 1)
    key = next(act for key, act in viewer.keymap.items() if str(key) == "K")

    def status() -> str:
        return propagation.correct.table.model.slices[1].status

    before = status()
    key(viewer)
    qtbot.waitUntil(lambda: status() == "reviewed")
    key(viewer)
    qtbot.waitUntil(lambda: status() == before)


def test_a_cancelled_extraction_leaves_the_docks_usable(viewer, docks, qtbot):
    viewer.open_sample("napari-fewshot", "torso")
    extraction, _, _ = docks
    extraction.extract.click()
    with qtbot.waitSignal(extraction.progress.finished, timeout=MINUTE):
        extraction.progress.cancel.click()
    assert extraction.extract.isEnabled()


def test_removing_the_layers_blocks_the_buttons_again(viewer, docks, qtbot):
    viewer.open_sample("napari-fewshot", "torso")
    extraction, _, propagation = docks
    extraction.templates.add.click()
    viewer.layers.clear()
    qtbot.waitUntil(lambda: extraction.templates.add.reason == "open an image")
    qtbot.waitUntil(lambda: propagation.propagate.reason == "open an image")
    assert not propagation.correct.table.model.slices


def test_docks_are_narrow_and_low(docks):
    for dock in docks:
        least = dock.minimumSizeHint().expandedTo(dock.minimumSize())
        assert least.width() <= 240
        assert least.height() <= 200
        assert dock.widget().minimumSizeHint().width() <= 300  # nothing is cut off


def test_everything_that_can_be_used_has_a_tooltip(docks):
    from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QPushButton

    used = [
        widget
        for dock in docks
        for kind in (QPushButton, QCheckBox, QComboBox, QAbstractSpinBox)
        for widget in dock.findChildren(kind)
    ]
    assert len(used) > 40
    assert not [widget for widget in used if not widget.toolTip()]


def test_docks_of_one_window_become_tabs_in_the_order_of_the_steps(viewer, docks, qtbot):
    from qtpy.QtWidgets import QDockWidget

    window = viewer.window._qt_window

    def dock_of(widget):
        while not isinstance(widget, QDockWidget):
            widget = widget.parentWidget()
        return widget

    first, *others = [dock_of(dock) for dock in docks]
    window.show()
    qtbot.waitUntil(lambda: set(window.tabifiedDockWidgets(first)) == set(others))


def test_patients_are_shown_as_radiologists_look(viewer):
    viewer.open_sample("napari-fewshot", "torso")
    assert tuple(viewer.scene.camera.orientation2d) == ("up", "left")


def test_a_view_with_other_images_is_left_alone(viewer):
    import numpy as np

    viewer.add_image(np.zeros((4, 5, 6)))
    viewer.open_sample("napari-fewshot", "torso")
    assert tuple(viewer.scene.camera.orientation2d) == ("down", "right")


def test_grey_values_and_clean_up_are_set_in_the_docks(docks):
    extraction, _, propagation = docks
    mode = extraction.intensity.fields["mode"]
    mode.setCurrentIndex(mode.findData("window"))
    found = extraction.session.settings.config.intensity
    assert (found.mode, found.low, found.high) == ("window", -160, 240)
    extraction.intensity.fields["low"].setValue(-1000)
    assert extraction.session.settings.config.intensity.low == -1000
    mode.setCurrentIndex(mode.findData("percentile"))
    assert extraction.session.settings.config.intensity.high == 99.5
    assert not extraction.status.text()
    propagation.cleanup.fields["min_fraction"].setValue(0.25)
    assert extraction.session.settings.config.propagation.cleanup.min_fraction == 0.25


def test_experts_beside_the_adapter_are_switched_off_and_on(docks, qtbot):
    from napari_fewshot._napari.widgets.training import EXPERTS

    _, training, _ = docks
    session, fields = training.session, training.experts.fields
    assert list(fields) == list(EXPERTS)
    assert fields["grey"].isEnabled()
    assert not training.beside.isExpanded()
    fields["carried"].click()
    assert not session.settings.config.experts.carried
    session.configure(experts={"carried": True, "choose": False})
    qtbot.waitUntil(lambda: not fields["choose"].isChecked())
    assert fields["carried"].isChecked()
    session.configure(backbone="multiscale")
    qtbot.waitUntil(lambda: not fields["hand_made"].isEnabled())
    assert not fields["grey"].isEnabled()
    session.configure(adapter="cosine")
    qtbot.waitUntil(training.beside.isHidden)
    session.configure(adapter="contrastive")
    qtbot.waitUntil(lambda: not training.beside.isHidden())


def test_a_model_is_polished_from_the_dock(viewer, docks, qtbot, monkeypatch):
    from napari_fewshot.segmenter import polishing

    monkeypatch.setattr(polishing, "STEPS", 3)
    viewer.open_sample("napari-fewshot", "torso")
    training = docks[1]
    session, button = training.session, training.polish
    assert button.reason == "train a model first"
    session.configure(contrastive={"steps": 20}, classification={"steps": 20})
    session.add_template("torso", "torso template")
    session.train(score=False).wait(60)
    qtbot.waitUntil(button.isEnabled)
    assert button.text() == "Polish (about 2 min)"
    assumed = session.estimate("polish").seconds
    button.click()
    assert training.progress.isVisibleTo(training)
    qtbot.waitUntil(lambda: session.model.polished_steps_ == 3, timeout=MINUTE)
    qtbot.waitUntil(lambda: session.estimate("polish").seconds != assumed)  # as measured
    session.configure(adapter="cosine")
    session.train(score=False).wait(60)
    qtbot.waitUntil(lambda: "contrastive" in button.reason)


def test_heavy_libraries_are_imported_once_in_the_background(docks):
    import sys

    from napari_fewshot._napari.widgets.dock import warm_up

    assert warm_up() is warm_up()
    warm_up().join(60)
    assert "torch.optim" in sys.modules


def test_results_are_refined_kept_and_discarded_from_the_dock(viewer, docks, qtbot):
    from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

    phantom = make_phantom("torso", shape=(12, 48, 48))
    viewer.add_image(phantom.image.data, name="image")
    painted = painted_labels(phantom, template_slices(phantom, 3))
    viewer.add_labels(painted.data, name="paint")
    propagation = docks[2]
    section, session = propagation.refine, propagation.session
    assert section.all.reason == "propagate first"
    session.configure(backbone="multiscale", adapter="classification", of_adapter={"steps": 60})
    session.add_template("image", "paint")
    session.train(score=False).wait(60)
    session.propagate("image").wait(60)
    qtbot.waitUntil(section.all.isEnabled)
    section.method.setCurrentIndex(section.method.findData("random-walker"))
    assert not section.prompts.isVisibleTo(section)
    assert section.keep.reason == "nothing was refined"
    labels = session.result_layer("image")
    before = labels.data.copy()
    section.all.click()
    qtbot.waitUntil(section.discard.isEnabled, timeout=MINUTE)
    qtbot.waitUntil(lambda: not session.jobs, timeout=MINUTE)
    assert (labels.data != before).any()
    section.discard.click()
    np.testing.assert_array_equal(labels.data, before)
    section.method.setCurrentIndex(section.method.findData("sam-vit-b"))
    strategy = section.prompts.fields["strategy"]
    strategy.setCurrentIndex(strategy.findData("boxes"))
    assert session.settings.config.propagation.refinement.prompts.strategy == "boxes"


def test_the_published_preset_is_chosen_in_one_dock_and_shown_in_all(docks, qtbot, tmp_path):
    extraction, training, propagation = docks
    (tmp_path / "other.pth").write_bytes(b"")
    training.session.configure(backbone="dinov2-s", weights=tmp_path / "other.pth")
    training.preset.choose("published")
    settings = training.session.settings
    assert (settings.backbone, settings.weights) == ("dinov2-b", None)  # no file of another one
    qtbot.waitUntil(lambda: extraction.backbone.name == "dinov2-b")
    qtbot.waitUntil(propagation.refined.isChecked)
    assert propagation.refine.method.value == "sam-vit-h"
    assert training.adapter.values()["head"] == "concat"
    said = "Published: backbone dinov2-b, refinement sam-vit-h."
    assert training.chain.text() == said

    extraction.backbone.names.choose("embedded")
    propagation.refined.click()
    wanted = (
        f"{said} Not as published: backbone embedded, chosen in Feature extraction. "
        "Not as published: refinement none, chosen in Label propagation."
    )
    qtbot.waitUntil(lambda: training.chain.text() == wanted)
    training.adapter.names.choose("classification")
    assert training.session.settings.config.classification.balance == 1
    assert training.session.settings.backbone == "embedded"
    training.adapter.names.choose("sam-decoder")
    assert training.session.settings.backbone == "sam-vit-b"
    training.preset.choose(None)
    assert training.session.settings.config.sam_decoder.start == "sam"
    assert training.session.settings.backbone == "embedded"
    qtbot.waitUntil(lambda: not training.chain.text())
    assert not training.status.text()


def test_what_is_propagated_is_refined_afterwards_if_so_chosen(viewer, docks, qtbot):
    viewer.open_sample("napari-fewshot", "torso")
    _, training, propagation = docks
    session = training.session
    session.configure(backbone="multiscale", adapter="cosine")
    session.add_template("torso", "torso template")
    session.train(score=False).wait(60)
    propagation.refine.method.choose("random-walker")
    assert session.settings.config.propagation.refinement.method is None
    propagation.refined.click()
    assert session.settings.config.propagation.refinement.method == "random-walker"
    qtbot.waitUntil(propagation.propagate.isEnabled)
    propagation.propagate.click()
    assert [job.stage for job in session.jobs] == ["propagate", "refine"]
    qtbot.waitUntil(lambda: not session.jobs, timeout=MINUTE)
    assert session.can_discard_refinement("torso")
    propagation.refined.click()
    assert session.settings.config.propagation.refinement.method is None
    propagation.propagate.click()
    assert [job.stage for job in session.jobs] == ["propagate"]


@pytest.fixture
def two(viewer, docks):
    """Dock of propagation, session, and two images of one shape; the first has a result."""
    from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

    phantom = make_phantom("torso", shape=(12, 48, 48))
    first = viewer.add_image(phantom.image.data, name="A")
    painted = painted_labels(phantom, template_slices(phantom, 3))
    viewer.add_labels(painted.data, name="paint")
    dock = docks[2]
    session = dock.session
    session.configure(backbone="multiscale", adapter="classification", of_adapter={"steps": 60})
    session.add_template(first, "paint")
    session.train(score=False).wait(60)
    dock.image.choose(first)
    dock.show_state()
    dock.propagate.click()
    session.jobs[0].wait(60)
    second = viewer.add_image(np.ascontiguousarray(phantom.image.data[::-1]), name="B")
    return dock, session, first, second


def test_into_follows_the_image(viewer, two):
    dock, session, first, second = two
    result = session.result_layer(first)
    assert dock.into.layer is result
    before = result.data.copy()
    dock.image.choose(second)
    assert dock.into.layer is None
    assert not dock.owner.isVisibleTo(dock)
    dock.propagate.click()
    session.jobs[0].wait(60)
    np.testing.assert_array_equal(result.data, before)
    assert session.result_layer(first) is result
    assert dock.into.layer is session.result_layer(second) is not result
    dock.image.choose(first)
    assert dock.into.layer is result
    session.propagate(first).wait(60)  # by a script, to a new layer
    dock.show_state()
    assert dock.into.layer is session.result_layer(first) is not result
    viewer.layers.remove(session.result_layer(first))
    dock.show_state()
    assert dock.into.layer is None


def test_a_layer_of_another_image_is_written_to_only_if_it_is_chosen(viewer, two):
    dock, session, first, second = two
    result = session.result_layer(first)
    dock.image.choose(second)
    index = next(k for k in range(dock.into.count()) if dock.into.itemData(k) is result)
    dock.into.setCurrentIndex(index)
    assert dock.owner.isVisibleTo(dock)
    assert dock.owner.text() == "“A predicted” holds labels of “A”. They would be replaced."
    dock.policy.setCurrentIndex(dock.policy.findData("fill"))
    assert dock.owner.text().endswith("filled up.")
    dock.show_state()
    assert dock.into.layer is result
    dock.image.choose(first)
    dock.image.choose(second)
    assert dock.into.layer is None
    dock.into.setCurrentIndex(index)
    dock.propagate.click()
    session.jobs[0].wait(60)
    assert session.result_layer(second) is result
    assert dock.into.layer is result
    assert not dock.owner.isVisibleTo(dock)
    assert session.result_layer(first) is None


def test_a_slice_with_strokes_over_its_prediction_says_so_until_it_is_reviewed(viewer, two, qtbot):
    dock, session, first, _ = two
    dock.image.choose(first)
    paint = viewer.layers["paint"]
    k = next(one.index for one in session.slices(first) if one.status == "predicted")
    session.go_to(k, first)
    assert not dock.correct.strokes.isVisibleTo(dock)
    viewer.layers.selection.active = paint
    paint.paint((k, 20, 20), 3)
    qtbot.waitUntil(lambda: dock.correct.strokes.isVisibleTo(dock))
    assert "only the strokes are learned" in dock.correct.strokes.text()
    assert "“paint”" in dock.correct.strokes.text()
    shown = dock.correct.table.model.index(k, 1)
    assert shown.data() == "strokes"
    assert "these strokes teach" in shown.data(3)  # the tooltip
    dock.correct.reviewed.click()
    qtbot.waitUntil(lambda: shown.data() == "reviewed")
    assert not dock.correct.strokes.isVisibleTo(dock)
    dock.correct.reviewed.click()
    qtbot.waitUntil(lambda: shown.data() == "strokes")
