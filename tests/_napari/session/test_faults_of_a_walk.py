"""What went wrong on a walk through the viewer, and must not again."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FeatureStore

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
    monkeypatch.setattr("napari_fewshot._napari.session.jobs.STORE_LIMIT_GB", 0)
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
