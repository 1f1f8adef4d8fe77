"""Work of a person is not lost by what runs beside it, nor by what is undone, closed or changed."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import numpy as np
import pytest
from qtpy.QtTest import QTest

from napari_fewshot import viewer_session
from napari_fewshot._napari.session.slicing import Slicing
from napari_fewshot._napari.session.teaching import provenance_of
from napari_fewshot.errors import FewShotError

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def of_status(session, status, image="image"):
    return [info.index for info in session.slices(image) if info.status == status]


def empty_place(layer, k):
    return (k, *(int(n) for n in np.argwhere(layer.data[k] == 0)[400]))


# Strokes while something is written


def test_a_stroke_that_is_being_drawn_is_not_written_over(predicted, viewer):
    """napari tells of a stroke when the button is released; a slice may come before."""
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    place = empty_place(layer, k)
    layer.brush_size = 3
    layer._begin_stroke()
    layer.paint(place, 3)
    painted = layer.data[k] == 3
    predicted.propagate("image", into=layer, policy="overwrite", slices=[k]).wait(MINUTE)
    layer._commit_stroke()
    assert layer.data[place] == 3
    assert provenance_of(layer).strokes((k,))[place[1:]]
    assert (layer.data[k][painted] == 3).all()


def test_a_stroke_while_a_run_writes_survives_its_undo_and_redo(predicted):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    layer.data[k] = 99  # so that the run changes all of the slice
    done = []

    def paint(*_):
        if not done and not (layer.data[k] == 99).any():
            done.append(empty_place(layer, k))
            stroke(layer, done[0], 3)

    predicted.events.slices.connect(paint)
    predicted.go_to(k, "image")
    predicted.propagate("image", into=layer, policy="overwrite").wait(MINUTE)
    predicted.events.slices.disconnect(paint)
    (place,) = done
    assert layer.data[place] == 3
    layer.undo()
    assert layer.data[place] == 3
    layer.redo()
    assert layer.data[place] == 3


def test_some_slices_with_clean_up_leave_the_others(predicted):
    layer = predicted.result_layer("image")
    others = [k for k in of_status(predicted, "predicted") if k != 4]
    before = layer.data.copy()
    predicted.configure(propagation={"cleanup": {"min_size": 5}})
    predicted.propagate("image", into=layer, policy="overwrite", slices=[4]).wait(MINUTE)
    np.testing.assert_array_equal(layer.data[others], before[others])


def test_what_was_accepted_still_teaches_when_the_result_goes_into_another_layer(predicted, viewer):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    predicted.accept(k, "image")
    mine = viewer.add_labels(np.zeros_like(layer.data), name="mine", scale=layer.scale)
    predicted.propagate("image", into=mine, policy="overwrite").wait(MINUTE)
    assert k in predicted._training.templates()[0].slices


# Undo


def test_paint_on_a_slice_whose_prediction_was_undone_is_paint(predicted):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    layer.undo()
    assert not layer.data[k].any()
    stroke(layer, (k, 20, 20), 3)
    assert of_status(predicted, "predicted") == []
    assert k in of_status(predicted, "painted")


def test_a_stroke_is_no_reason_to_read_all_slices_again(predicted, monkeypatch):
    layer = predicted.result_layer("image")
    provenance, read = provenance_of(layer), []
    keys = provenance.slicing.keys()
    for key in keys:
        provenance.is_filled(key)
    real = Slicing.plane
    monkeypatch.setattr(
        Slicing,
        "plane",
        lambda self, array, key: (read.append(key), real(self, array, key))[1],
    )
    stroke(layer, (6, 20, 20), 3)
    assert {provenance.is_filled(key) for key in keys[4:9]} == {True}
    assert set(read) == {(6,)}


def test_a_live_update_reads_only_what_teaches_and_the_slice_in_view(predicted, monkeypatch):
    predicted.autosave_folder = None
    painted, made = of_status(predicted, "painted"), of_status(predicted, "predicted")
    predicted.go_to(made[5], "image")
    predicted.live, read = True, set()
    real = Slicing.plane
    monkeypatch.setattr(
        Slicing,
        "plane",
        lambda self, array, key: (read.add(key[-1]), real(self, array, key))[1],
    )
    stroke(predicted.result_layer("image"), (made[5], 20, 20), 3)
    predicted._review._after_stroke()
    (job,) = predicted.jobs
    job.wait(MINUTE)
    predicted.slices("image")
    assert made[5] in read
    assert read <= {made[5], *painted}


# Closing


def named(folder):
    return [s["name"] for s in json.loads((folder / "session.json").read_text())["layers"]]


def test_closing_while_a_run_writes_saves_all_layers(predicted, viewer, qtbot):
    predicted.save().wait(MINUTE)
    folder = predicted.autosave_folder
    kept = named(folder)
    job = predicted.update("image")
    stroke(predicted.result_layer("image"), (6, 20, 20), 3)
    predicted._storage.soon()
    qtbot.waitUntil(lambda: job.fraction > 0, timeout=20_000)
    viewer.close()
    assert named(folder) == kept == ["paint", "image predicted"]


@pytest.mark.parametrize("how", ["window", "viewer", "session"])
def test_the_last_strokes_are_kept_when_the_window_closes(predicted, viewer, how):
    predicted.save().wait(MINUTE)
    folder = predicted.autosave_folder
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    stroke(layer, empty_place(layer, k), 3)
    {
        "window": viewer.window._qt_window.close,
        "viewer": viewer.close,
        "session": predicted.close,
    }[how]()
    (saved,) = [
        s
        for s in json.loads((folder / "session.json").read_text())["layers"]
        if s["role"] == "result"
    ]
    assert [k] in saved["strokes"]


def test_a_stroke_before_a_pause_is_saved_by_and_by(predicted, monkeypatch):
    """Also of a person who makes none."""
    from napari_fewshot._napari.session.autosave import storage

    monkeypatch.setattr(storage, "_SOON_MS", 200)
    monkeypatch.setattr(storage, "_AT_LATEST_S", 0.5)
    predicted.save().wait(MINUTE)
    predicted._storage._timer = None
    file = predicted.autosave_folder / "session.json"
    before, until = file.stat().st_mtime_ns, time.monotonic() + 10
    while file.stat().st_mtime_ns == before and time.monotonic() < until:
        predicted._storage.soon()
        QTest.qWait(50)
    assert file.stat().st_mtime_ns > before


def test_another_image_does_not_take_the_folder_of_the_first(predicted, viewer):
    predicted.save().wait(MINUTE)
    first = predicted.autosave_folder
    kept = named(first)
    data = viewer.layers["image"].data
    viewer.layers.clear()
    viewer.add_image(np.asarray(data) + 1, name="other")
    predicted.propagate("other").wait(MINUTE)
    predicted.save().wait(MINUTE)
    assert named(first) == kept
    assert predicted.latest_autosave("other") == predicted.autosave_folder != first


def test_nor_does_it_take_a_folder_that_was_restored(predicted, viewer, make_napari_viewer):
    predicted.save().wait(MINUTE)
    first = predicted.autosave_folder
    kept = named(first)
    image = viewer.layers["image"]
    other = make_napari_viewer()
    other.add_image(np.asarray(image.data), name="image", metadata=dict(image.metadata))
    session = viewer_session(other)
    session.restore(first).wait(MINUTE)
    assert session.autosave_folder == first
    other.layers.clear()
    assert session.autosave_folder is None
    assert named(first) == kept
    session.close()


def test_a_damaged_model_does_not_keep_paint_from_coming_back(
    predicted, viewer, make_napari_viewer
):
    predicted.save().wait(MINUTE)
    (predicted.autosave_folder / "model.fewshot").write_bytes(b"no model")
    image = viewer.layers["image"]
    other = make_napari_viewer()
    other.add_image(np.asarray(image.data), name="image", metadata=dict(image.metadata))
    session = viewer_session(other)
    job = session.restore(predicted.autosave_folder)
    job.wait(MINUTE)
    assert session.model is None
    assert session.templates
    assert "without the model" in job.note
    session.close()


def test_a_window_that_stays_open_keeps_its_session(trained, viewer, monkeypatch):
    """A person presses the cross, is asked, and says no."""
    from qtpy.QtGui import QCloseEvent
    from qtpy.QtWidgets import QApplication

    main = viewer.window._qt_window
    monkeypatch.setattr(type(main), "closeEvent", lambda self, event: event.ignore())
    event = QCloseEvent()
    QApplication.sendEvent(main, event)
    assert not event.isAccepted()
    monkeypatch.undo()
    trained.propagate("image").wait(MINUTE)
    assert "empty" not in {info.status for info in trained.slices("image")}


# Jobs


def test_a_job_ends_once_when_its_bar_lets_events_through(qapp):
    """Bars of napari process events, and with them the timer of the jobs."""
    from napari_fewshot._napari.session.jobs import Callbacks, Job, JobRunner

    ended, running = [], []
    runner = JobRunner(lambda job: None, lambda job: moved())

    def moved():
        if not running:
            running.append(1)
            time.sleep(0.05)
            runner.tick()

    def work(name):
        return lambda job: (time.sleep(0.01), name)[1]

    first = Job("first", "train", work("first"), Callbacks(end=lambda: ended.append("first")))
    second = Job("second", "train", work("second"), Callbacks(end=lambda: ended.append("second")))
    runner.start(first)
    runner.start(second)
    assert second.wait(MINUTE) == "second"
    assert first.result == "first"
    assert ended == ["first", "second"]
    runner.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("napari-fewshot ")]


def test_waiting_for_a_job_where_another_was_told_of(session):
    """A script goes on as soon as the model is there."""
    jobs = []

    def go_on():
        jobs.append(session.propagate("image"))
        jobs[-1].wait(MINUTE)

    session.events.trained.connect(go_on)
    session.train(score=False).wait(MINUTE)
    assert [job.state for job in jobs] == ["done"]


def test_a_live_stroke_does_not_stop_a_whole_run(predicted, viewer, qtbot):
    layer = predicted.result_layer("image")
    predicted.live = True
    told = []
    predicted.events.job.connect(lambda job: told.append((job.name, job.state)))
    job = predicted.update("image")
    stroke(layer, empty_place(layer, of_status(predicted, "predicted")[5]), 3)
    predicted._review._after_stroke()
    assert len(predicted.jobs) == 2
    job.wait(MINUTE)
    assert job.state == "done"
    qtbot.waitUntil(lambda: ("Updating the slice in view", "done") in told, timeout=20_000)


def test_settings_of_propagation_do_not_stop_a_training(session):
    job = session.train(score=False)
    session.configure(propagation={"cleanup": {"min_fraction": 1}})
    assert job.wait(MINUTE) is not None


# What changes in between


def test_a_result_as_template_is_not_taken_for_paint(predicted, viewer):
    made = of_status(predicted, "predicted")
    viewer.dims.order = (1, 0, 2)
    predicted.add_template("image", "image predicted")
    viewer.dims.order = (0, 1, 2)
    assert of_status(predicted, "predicted") == made


def test_landmarks_of_an_update_have_the_labels_of_their_layer(predicted, viewer, patient):
    from napari.layers import Layer

    from napari_fewshot._napari.layers import landmarks_layer

    phantom = patient[0]
    marks = [type(m)(f"mark {n}", n, m.position, None) for n, m in enumerate(phantom.landmarks, 1)]
    viewer.add_layer(Layer.create(*landmarks_layer(marks[:3], phantom.image, "marks")))
    predicted.configure(propagation={"landmarks": {"min_score": 0.01}})
    predicted.add_template("image", "marks")
    predicted.update("image").wait(MINUTE)
    found = viewer.layers["image landmarks found"].features
    wanted = {mark.name: mark.label for mark in marks}
    rows = [(row["name"], row["label"]) for _, row in found.iterrows() if row["name"] in wanted]
    assert rows
    assert all(wanted[name] == label for name, label in rows)


def test_weights_that_are_chosen_count_for_the_next_update(predicted, tmp_path):
    chosen = tmp_path / "other.safetensors"
    chosen.write_bytes(b"none")
    predicted.configure(weights=chosen)
    job = predicted.update("image")
    with contextlib.suppress(FewShotError):  # whatever the backbone says of the file
        job.wait(MINUTE)
    assert job.error is not None or predicted.model.weights == chosen


def test_weights_of_another_backbone_do_not_go_to_a_loaded_model(trained, tmp_path):
    trained.save_model(tmp_path / "kept.fewshot")
    chosen = tmp_path / "other.safetensors"
    chosen.write_bytes(b"none")
    trained.configure(backbone="embedded", weights=chosen)
    trained.load_model(tmp_path / "kept.fewshot")
    assert (trained.settings.backbone, trained.settings.weights) == ("multiscale", None)
    assert trained.propagate("image").wait(MINUTE) is not None


def test_a_loaded_model_is_not_replaced_by_a_training_that_ran(trained, tmp_path):
    trained.save_model(tmp_path / "kept.fewshot")
    job = trained.train(score=False)
    trained.load_model(tmp_path / "kept.fewshot")
    loaded = trained.model
    job.wait(MINUTE)
    assert trained.model is loaded


def test_less_memory_counts_at_once(predicted):
    assert predicted._state.cache.size > 0
    predicted.configure(memory_mb=0)
    assert predicted.model.cache.size == 0


def test_of_a_result_that_is_gone_no_scores_stay(predicted, viewer):
    viewer.layers.remove(predicted.result_layer("image"))
    assert {info.score for info in predicted.slices("image")} == {None}
    predicted.remove_template(predicted.templates[0])
    viewer.dims.order = (1, 0, 2)
    assert len(predicted.slices("image")) == 48


def test_layers_that_are_gone_are_let_go(predicted, viewer, qtbot):
    import gc
    import weakref

    predicted.propagate("image", landmarks=False, confidence=False).wait(MINUTE)
    gone = weakref.ref(predicted.result_layer("image"))
    viewer.layers.remove(gone())
    predicted.train(score=False).wait(MINUTE)
    predicted.propagate("image").wait(MINUTE)
    viewer.layers.remove(predicted.result_layer("image"))
    for _ in range(3):
        qtbot.wait(50)
        gc.collect()
    assert gone() is None
