"""What went wrong on a walk through the viewer, and must not again."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest

from napari_fewshot import FeatureStore
from napari_fewshot._napari.session import result_layers, undo

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def status(session, index):
    return session.slices("image")[index].status


def made(session):
    return [info.index for info in session.slices("image") if info.status == "predicted"]


def test_autosave_that_is_switched_off_saves_no_more_when_layers_go(predicted, viewer):
    predicted.autosave_folder = None  # while a save waits for its moment
    viewer.layers.remove("paint")
    assert "paint" not in viewer.layers


def test_the_store_of_features_stays_below_its_limit(session, monkeypatch):
    limited = partial(FeatureStore, limit_gb=0)
    monkeypatch.setattr("napari_fewshot._napari.session.jobs.open_store", limited)
    store = FeatureStore()
    old = store.root / "features-v1" / "network" / ("0" * 40)  # features of a run before
    for start in (
        session.extract,
        lambda: session.train(score=False),
        lambda: session.propagate("image"),
        lambda: session.update("image"),
    ):
        old.mkdir(parents=True)
        (old / "data").write_bytes(b"1234")
        assert store.size() > 0
        start().wait(MINUTE)
        assert store.size() == 0


def test_an_update_that_waits_keeps_the_settings_that_it_was_asked_with(predicted, viewer, patient):
    image = viewer.layers["image"]
    other = viewer.add_image(image.data.copy(), name="other", scale=image.scale)
    predicted.extract()  # it waits for this
    first = predicted.update("image")
    predicted.configure(propagation={"cleanup": {"min_size": 1_000_000}})
    second = predicted.update(other)
    first.wait(MINUTE)
    assert predicted.result_layer("image").data[made(predicted)].any()
    second.wait(MINUTE)
    assert not predicted.result_layer("other").data.any()


def test_reviewed_with_an_empty_template_selected_keeps_what_is_seen(predicted, viewer):
    result, index = predicted.result_layer("image"), made(predicted)[4]
    viewer.layers.selection.active = viewer.layers["paint"]
    predicted.go_to(index, "image")
    before = result.data[index].copy()
    assert before.any()
    assert predicted.review_layer(image="image") is result
    predicted.mark_reviewed(image="image")
    assert status(predicted, index) == "reviewed"
    predicted.update("image").wait(MINUTE)
    np.testing.assert_array_equal(result.data[index], before)


def test_a_template_slice_that_was_erased_is_predicted_again(predicted, viewer, patient):
    template, result, index = viewer.layers["paint"], predicted.result_layer("image"), patient[2][1]
    copied = result.data[index].copy()
    erase(template, index)
    predicted.update("image").wait(MINUTE)
    assert status(predicted, index) == "predicted"
    assert (result.data[index] != copied).any()
    result.undo()  # the copy comes back with the update undone
    np.testing.assert_array_equal(result.data[index], copied)
    result.redo()
    assert status(predicted, index) == "predicted"


def test_the_copy_of_a_template_that_went_stays(predicted, viewer, patient):
    result, index = predicted.result_layer("image"), patient[2][1]
    copied = result.data[index].copy()
    image = viewer.layers["image"]
    more = viewer.add_labels(np.zeros_like(result.data), name="more", scale=image.scale)
    predicted.add_template("image", more)
    stroke(more, (made(predicted)[0], 20, 20), 3)
    predicted.mark_reviewed(made(predicted)[0], "image")
    viewer.layers.remove("paint")
    predicted.update("image").wait(MINUTE)
    np.testing.assert_array_equal(result.data[index], copied)


def test_a_second_result_has_layers_of_its_own(predicted, viewer):
    image = viewer.layers["image"]
    first = viewer.layers["image confidence"]
    before, found = first.data.copy(), viewer.layers["image landmarks found"].data.copy()
    predicted.configure(propagation={"cleanup": {"min_size": 1_000_000}})  # another result
    predicted.propagate(image).wait(MINUTE)
    np.testing.assert_array_equal(first.data, before)
    np.testing.assert_array_equal(viewer.layers["image landmarks found"].data, found)
    assert "image confidence [1]" in viewer.layers
    viewer.layers.remove("image predicted [1]")
    predicted.propagate(image).wait(MINUTE)  # it goes on with what was left over
    assert "image confidence [2]" not in viewer.layers


def erase(layer, index):
    rows, columns = np.nonzero(layer.data[index])
    with layer.block_history():
        layer.data_setitem((np.full_like(rows, index), rows, columns), 0)


def test_an_autosave_folder_that_is_gone_is_not_what_is_restored(worked_folder, predicted, viewer):
    kept = worked_folder
    before = predicted.result_layer("image").data.copy()
    predicted.autosave_folder = kept.parent / "other"
    predicted.save().wait(MINUTE)
    assert predicted.latest_autosave("image") == kept.parent / "other"
    shutil.rmtree(kept.parent / "other")
    assert predicted.latest_autosave("image") == kept
    predicted.restore().wait(MINUTE)
    np.testing.assert_array_equal(predicted.result_layer("image").data, before)


def test_without_any_saved_session_restore_is_closed(predicted, viewer, tmp_path):
    from napari_fewshot._napari.widgets.propagation import LabelPropagation

    dock = LabelPropagation(viewer)
    viewer.window.add_dock_widget(dock)
    predicted.autosave_folder = tmp_path / "gone"
    dock.show_state()
    assert not dock.restore.isEnabled()
    (tmp_path / "gone").mkdir()  # nothing was saved to it
    dock.show_state()
    assert not dock.restore.isEnabled()
    predicted.save().wait(MINUTE)
    dock.show_state()
    assert dock.restore.isEnabled()


@pytest.fixture
def worked_folder(predicted):
    """Folder to which a session was saved by itself."""
    folder = predicted.autosave_folder
    predicted.save().wait(MINUTE)
    return folder


def test_undo_and_redo_keep_the_size_of_a_run(predicted, monkeypatch):
    layer = predicted.result_layer("image")
    (size,) = (undo._size(step) for step in layer._undo_history)
    assert size > 0
    layer.undo()
    layer.redo()
    assert [undo._size(step) for step in layer._undo_history] == [size]
    monkeypatch.setattr(undo, "MAX_BYTES", 0)
    predicted.refine("image", method="random-walker").wait(MINUTE)
    assert len(layer._undo_history) == 1  # the propagation went, though it was redone


def test_refinements_that_nobody_keeps_or_discards_take_no_more_than_a_limit(
    predicted, monkeypatch
):
    result = predicted._state.result_of(predicted._view.image("image"))
    for _ in range(2):
        predicted.refine("image", method="random-walker").wait(MINUTE)
    last = {key: own[-1] for key, own in result.refined.items()}
    assert any(len(own) == 2 for own in result.refined.values())
    monkeypatch.setattr(result_layers, "MAX_BYTES", 0)
    predicted.refine("image", method="random-walker").wait(MINUTE)
    steps = {id(step) for own in result.refined.values() for step in own}
    assert len(steps) == 1
    assert not steps & {id(step) for step in last.values()}
    assert predicted.can_discard_refinement("image")
