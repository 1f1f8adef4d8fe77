from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnknownNameError

MINUTE = 60

pytestmark = pytest.mark.viewer


def open_slices(session):
    """Slices whose labels are predicted and not yet a person's."""
    return [s.index for s in session.slices("image") if s.status == "predicted"]


def test_predicted_slices_are_refined_and_painted_ones_stay(predicted, viewer, patient):
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    job = predicted.refine("image", method="random-walker")
    assert job.stage == "refine"
    refined = job.wait(MINUTE)
    assert refined > 0
    changed = [k for k in range(len(before)) if (labels.data[k] != before[k]).any()]
    assert changed
    assert set(changed) <= set(open_slices(predicted))
    np.testing.assert_array_equal(labels.data[patient[2]], before[patient[2]])
    assert set(np.unique(labels.data)) <= set(np.unique(before))
    sure = viewer.layers["image confidence"].data
    assert ((sure >= 0) & (sure <= 1)).all()


def test_the_slice_in_view_comes_first_and_one_alone_can_be_refined(predicted, viewer):
    first, other = open_slices(predicted)[4], open_slices(predicted)[8]
    predicted.go_to(first, "image")
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    predicted.refine("image", method="random-walker", slices=[first]).wait(MINUTE)
    assert (labels.data[first] != before[first]).any()
    np.testing.assert_array_equal(labels.data[other], before[other])
    seen = []
    run_refine = predicted.refine("image", method="random-walker")
    take = run_refine._callbacks.piece
    run_refine._callbacks.piece = lambda piece: (seen.append(piece.index), take(piece))
    run_refine.wait(MINUTE)
    assert seen[0] == first


def test_discard_brings_all_back_but_what_was_painted_since(predicted, viewer):
    labels = predicted.result_layer("image")
    confidence = viewer.layers["image confidence"]
    before, sure = labels.data.copy(), confidence.data.copy()
    assert not predicted.can_discard_refinement("image")
    predicted.refine("image", method="random-walker").wait(MINUTE)
    assert predicted.can_discard_refinement("image")
    k = next(k for k in open_slices(predicted) if (labels.data[k] != before[k]).any())
    labels.selected_label = 5
    labels.paint([k, 2, 2], 5)
    stroke = labels.data[k] == 5
    stroke &= before[k] != 5
    assert predicted.discard_refinement("image") > 0
    expected = before.copy()
    expected[k][stroke] = 5
    np.testing.assert_array_equal(labels.data, expected)
    np.testing.assert_allclose(confidence.data, sure, atol=1e-3)
    assert not predicted.can_discard_refinement("image")
    assert predicted.discard_refinement("image") == 0


def test_a_refinement_is_one_undo_step(predicted):
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    predicted.refine("image", method="random-walker").wait(MINUTE)
    after = labels.data.copy()
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    labels.redo()
    np.testing.assert_array_equal(labels.data, after)


def test_what_is_kept_cannot_be_discarded(predicted):
    predicted.refine("image", method="random-walker").wait(MINUTE)
    after = predicted.result_layer("image").data.copy()
    predicted.keep_refinement("image")
    assert predicted.discard_refinement("image") == 0
    np.testing.assert_array_equal(predicted.result_layer("image").data, after)


def test_sam_refines_with_the_weights_that_are_set(predicted, tiny_sam):
    predicted.configure(
        sam_weights=tiny_sam, propagation={"refinement": {"prompts": {"agreement": 0.0}}}
    )
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    k = open_slices(predicted)[3]
    assert predicted.refine("image", method="sam-vit-b", slices=[k]).wait(MINUTE) == 1
    assert (labels.data[k] != before[k]).any()
    predicted.configure(sam_weights=None)


def test_weights_that_are_missing_are_said_and_nothing_is_changed(predicted, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    failures = []
    predicted.events.failed.connect(failures.append)
    before = predicted.result_layer("image").data.copy()
    job = predicted.refine("image", method="medsam")
    with pytest.raises(Exception, match="medsam_vit_b.pth"):
        job.wait(MINUTE)
    assert job.state == "failed"
    np.testing.assert_array_equal(predicted.result_layer("image").data, before)
    assert predicted.refine("image", method="random-walker").wait(MINUTE) > 0


def test_bad_requests_are_refused_at_once(predicted, trained, viewer):
    with pytest.raises(UnknownNameError, match="random-walker"):
        predicted.refine("image", method="random-walk")
    with pytest.raises(InputError, match=r"be within 0\.\.19"):
        predicted.refine("image", slices=[20])
    viewer.add_image(np.zeros((4, 8, 8)), name="other")
    with pytest.raises(InputError, match="have a prediction to refine"):
        predicted.refine("other")


def test_cancel_leaves_whole_slices_and_they_can_be_discarded(predicted, qtbot):
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    job = predicted.refine("image", method="random-walker")
    qtbot.waitUntil(lambda: bool((labels.data != before).any()), timeout=MINUTE * 1000)
    job.cancel()
    assert job.wait(MINUTE) is None
    assert job.state in ("cancelled", "done")
    predicted.discard_refinement("image")
    np.testing.assert_array_equal(labels.data, before)


def test_the_result_can_be_removed_while_it_is_refined(predicted, viewer):
    job = predicted.refine("image", method="random-walker")
    viewer.layers.remove(predicted.result_layer("image"))
    job.wait(MINUTE)
    assert job.state == "cancelled"
    assert predicted.discard_refinement("image") == 0


def test_the_result_can_be_removed_while_the_weights_are_loaded(predicted, viewer, monkeypatch):
    from napari_fewshot.predict.refiners import Refiner

    loading, gate, failures = threading.Event(), threading.Event(), []

    def load(self):
        loading.set()
        gate.wait(MINUTE)

    monkeypatch.setattr(Refiner, "load", load)
    predicted.events.failed.connect(failures.append)
    job = predicted.refine("image", method="random-walker")
    assert loading.wait(MINUTE)
    viewer.layers.remove(predicted.result_layer("image"))
    gate.set()
    assert job.wait(MINUTE) is None
    assert (job.state, failures) == ("cancelled", [])


def test_what_is_known_of_slices_is_asked_on_the_gui_thread_alone(predicted, monkeypatch):
    from napari_fewshot._napari.session.teaching import Provenance

    threads = set()

    def watched(real):
        def call(*given, **options):
            threads.add(threading.get_ident())
            return real(*given, **options)

        return call

    for name in ("_follow_undo", "teaches", "status", "strokes"):
        monkeypatch.setattr(Provenance, name, watched(getattr(Provenance, name)))
    assert predicted.refine("image", method="random-walker").wait(MINUTE) > 0
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("how", ["update", "propagate"])
def test_discard_leaves_what_another_run_has_written(predicted, viewer, how):
    labels = predicted.result_layer("image")
    predicted.refine("image", method="random-walker").wait(MINUTE)
    if how == "update":
        predicted.update("image").wait(MINUTE)
    else:
        predicted.propagate("image", into=labels, policy="overwrite").wait(MINUTE)
    after, sure = labels.data.copy(), viewer.layers["image confidence"].data.copy()
    assert not predicted.can_discard_refinement("image")
    assert predicted.discard_refinement("image") == 0
    np.testing.assert_array_equal(labels.data, after)
    np.testing.assert_array_equal(viewer.layers["image confidence"].data, sure)


def test_discard_brings_the_other_slices_back_when_one_was_predicted_again(predicted):
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    predicted.refine("image", method="random-walker").wait(MINUTE)
    again = next(k for k in open_slices(predicted) if (labels.data[k] != before[k]).any())
    predicted.propagate("image", into=labels, policy="overwrite", slices=[again]).wait(MINUTE)
    expected = before.copy()
    expected[again] = labels.data[again]
    predicted.discard_refinement("image")
    np.testing.assert_array_equal(labels.data, expected)


def test_discard_does_not_reach_into_another_layer(predicted, viewer):
    predicted.refine("image", method="random-walker").wait(MINUTE)
    old = predicted.result_layer("image")
    refined = old.data.copy()
    mine = viewer.add_labels(np.zeros(old.data.shape, np.uint8), name="mine", scale=old.scale)
    predicted.propagate("image", into=mine, slices=[1]).wait(MINUTE)
    after = mine.data.copy()
    assert predicted.discard_refinement("image") == 0
    np.testing.assert_array_equal(mine.data, after)
    np.testing.assert_array_equal(old.data, refined)


@pytest.mark.parametrize("undone", [False, True])
def test_two_refinements_are_discarded_together(predicted, viewer, undone):
    labels, confidence = predicted.result_layer("image"), viewer.layers["image confidence"]
    before, sure = labels.data.copy(), confidence.data.copy()
    k = open_slices(predicted)[4]
    predicted.refine("image", method="random-walker", slices=[k]).wait(MINUTE)
    assert (labels.data[k] != before[k]).any()
    predicted.refine("image", method="random-walker").wait(MINUTE)
    if undone:
        labels.undo()
        assert (labels.data[k] != before[k]).any()
    predicted.discard_refinement("image")
    np.testing.assert_array_equal(labels.data, before)
    np.testing.assert_allclose(confidence.data, sure, atol=1e-3)


def test_a_refinement_that_fails_leaves_the_one_before_to_discard(predicted, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    labels = predicted.result_layer("image")
    before = labels.data.copy()
    predicted.refine("image", method="random-walker").wait(MINUTE)
    with pytest.raises(Exception, match="medsam_vit_b.pth"):
        predicted.refine("image", method="medsam").wait(MINUTE)
    assert predicted.can_discard_refinement("image")
    predicted.discard_refinement("image")
    np.testing.assert_array_equal(labels.data, before)


def slow_propagation(session, **options):
    """A propagation that takes a few seconds."""
    real = session.model.extractor.maps

    def slow(source, indices, progress=lambda *_: None, **more):
        for item in real(source, indices, progress, **more):
            time.sleep(0.1)
            yield item

    session.model.extractor.maps = slow
    return session.propagate("image", **options)


def test_a_refinement_waits_for_the_propagation_and_refines_what_it_gives(trained, qtbot):
    trained.go_to(1, "image")
    propagation = slow_propagation(trained)
    qtbot.waitUntil(lambda: 1 in open_slices(trained), timeout=MINUTE * 1000)
    refinement = trained.refine("image", method="random-walker", slices=[1, 18])
    assert (propagation.state, refinement.state) == ("running", "waiting")
    assert refinement.wait(MINUTE) == 2
    assert propagation.state == "done"
    assert "empty" not in {s.status for s in trained.slices("image")}
    assert trained.can_discard_refinement("image")


def test_discard_lets_a_propagation_go_on(predicted, qtbot):
    labels = predicted.result_layer("image")
    predicted.refine("image", method="random-walker").wait(MINUTE)
    propagation = slow_propagation(predicted, into=labels, policy="overwrite")
    predicted.discard_refinement("image")
    propagation.wait(MINUTE)
    assert propagation.state == "done"


def test_undo_brings_the_confidence_back_too(trained, viewer):
    trained.propagate("image").wait(MINUTE)
    labels, confidence = trained.result_layer("image"), viewer.layers["image confidence"]
    sure = confidence.data.copy()
    trained.refine("image", method="random-walker").wait(MINUTE)
    refined = confidence.data.copy()
    assert (refined != sure).any()
    labels.undo()
    np.testing.assert_array_equal(confidence.data, sure)
    labels.redo()
    np.testing.assert_array_equal(confidence.data, refined)
    labels.undo()
    labels.undo()  # of the propagation
    assert not confidence.data.any()
    labels.redo()
    np.testing.assert_array_equal(confidence.data, sure)


def test_undo_of_a_discard_brings_the_refined_confidence_back(predicted, viewer):
    labels, confidence = predicted.result_layer("image"), viewer.layers["image confidence"]
    predicted.refine("image", method="random-walker").wait(MINUTE)
    refined, sure = labels.data.copy(), confidence.data.copy()
    predicted.discard_refinement("image")
    labels.undo()
    np.testing.assert_array_equal(labels.data, refined)
    np.testing.assert_array_equal(confidence.data, sure)
