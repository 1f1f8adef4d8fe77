"""What the docks say of the session as it is, and what can be taken back in them."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_fewshot import viewer_session
from napari_fewshot._napari.widgets.extraction import FeatureExtraction
from napari_fewshot._napari.widgets.propagation import LabelPropagation
from napari_fewshot._napari.widgets.training import AdapterTraining

pytestmark = pytest.mark.viewer

SHAPE = (9, 40, 40)
MINUTE = 60


@pytest.fixture
def viewer(make_napari_viewer, tmp_path, monkeypatch):
    """A viewer with two images, each with labels that have its name."""
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    found = make_napari_viewer()
    add_images(found)
    return found


def add_images(viewer):
    data = np.random.default_rng(0).normal(50, 3, SHAPE).astype(np.float32)
    data[:, 10:25, 10:30] += 60
    for name in ("one", "two"):
        viewer.add_image(data.copy(), name=name)
        labels = np.zeros(SHAPE, np.uint8)
        for k in (2, 6):
            labels[k, 10:25, 10:30] = 1
        viewer.add_labels(labels, name=f"{name} labels")


@pytest.fixture
def session(viewer):
    found = viewer_session(viewer)
    found.configure(backbone="multiscale", adapter="cosine")
    yield found
    found.close()


def dock(viewer, kind):
    made = kind(viewer)
    viewer.window.add_dock_widget(made, name=kind.__name__)
    return made


@pytest.fixture
def predicted(viewer, session):
    session.add_template("one", "one labels")
    session.train(score=False).wait(MINUTE)
    session.propagate("one").wait(MINUTE)
    viewer.layers.selection.active = viewer.layers["one"]
    return session


# Feature extraction


def test_the_labels_follow_the_image_and_a_wrong_pair_is_said(viewer, session):
    extraction = dock(viewer, FeatureExtraction)
    for name in ("one", "two", "one"):
        extraction.image.choose(viewer.layers[name])
        assert extraction.labels.layer is viewer.layers[f"{name} labels"]
        assert not extraction.doubt.text()
    extraction.labels.choose(viewer.layers["two labels"])
    extraction.show_state()
    assert "belongs to “two”, not to “one”" in extraction.doubt.text()
    extraction.image.choose(viewer.layers["two"])
    assert not extraction.doubt.text()


def test_painted_as_changes_the_template_that_is_there(viewer, session):
    extraction = dock(viewer, FeatureExtraction)
    extraction.image.choose(viewer.layers["one"])
    extraction.templates.add.click()
    extraction.show_state()
    assert session.templates[0].kind == "dense"
    pick(extraction.kind, "scribble")
    assert session.templates[0].kind == "scribble"
    assert session.settings.template_kind == "dense"  # others are added as before
    extraction.show_state()
    assert extraction.kind.value == "scribble"
    extraction.image.choose(viewer.layers["two"])
    assert extraction.kind.value == "dense"
    pick(extraction.kind, "scribble")
    assert session.settings.template_kind == "scribble"


def test_points_have_numbers_and_are_named_in_the_dock(viewer, session, qtbot):
    extraction = dock(viewer, FeatureExtraction)
    marks = {}
    for name in ("one", "two"):
        marks[name] = viewer.add_points(
            [[2, 10, 10], [3, 12, 12], [4, 30, 8]], name=f"{name} marks"
        )
        extraction.image.choose(viewer.layers[name])
        extraction.labels.choose(marks[name])
        extraction.templates.add.click()
    assert list(marks["two"].text.values) == ["1", "2", "3"]
    extraction.show_state()
    table = extraction.points.table
    assert [table.item(row, 0).text() for row in range(3)] == ["1", "2", "3"]
    assert not table.item(0, 0).flags() & Qt.ItemFlag.ItemIsEditable
    table.item(1, 1).setText("tip")
    assert list(marks["two"].features["name"]) == ["", "tip", ""]
    assert list(marks["two"].text.values) == ["1", "tip", "2"]
    qtbot.waitUntil(lambda: "as many in each image" in extraction.points.problem.text())
    assert "in Feature extraction" in extraction.points.problem.text()
    extraction.image.choose(viewer.layers["one"])
    extraction.labels.choose(marks["one"])
    extraction.show_state()
    table.item(1, 1).setText("tip")
    qtbot.waitUntil(lambda: not extraction.points.problem.text())
    marks["one"].add([5, 5, 5])  # a click goes on counting
    qtbot.waitUntil(lambda: table.rowCount() == 4)
    assert list(marks["one"].text.values) == ["1", "tip", "2", "3"]
    assert marks["one"].features["name"].iloc[-1] == ""
    qtbot.waitUntil(lambda: "3 in one, 2 in two" in extraction.points.problem.text())
    session.remove_template(session.templates[0])
    assert not np.any(marks["one"].text.values != "")


def test_a_text_of_ones_own_beside_points_stays(viewer, session):
    marks = viewer.add_points([[2, 10, 10]], text=["mine"], name="one marks")
    session.add_template("one", marks)
    assert list(marks.text.values) == ["mine"]


def test_a_text_that_points_get_later_stays(viewer, session):
    marks = viewer.add_points([[2, 10, 10], [3, 12, 12]], name="one marks")
    session.add_template("one", marks)
    assert list(marks.text.values) == ["1", "2"]
    marks.text = {"string": ["mine", "too"]}
    marks.add([5, 5, 5])
    assert list(marks.text.values)[:2] == ["mine", "too"]
    session.remove_template(session.templates[0])
    assert list(marks.text.values)[:2] == ["mine", "too"]


def pick(choice, value):
    """Choose as a person does."""
    choice.choose(value)
    choice.activated.emit(choice.currentIndex())


# Adapter training


def test_the_dock_says_why_there_is_no_score_and_what_has_changed(viewer, session, qtbot):
    training = dock(viewer, AdapterTraining)
    session.add_template("one", "one labels")
    assert training.scores.verdict.text() == "Train first."
    session.train(score=False).wait(MINUTE)
    qtbot.waitUntil(lambda: "“Score afterwards”" in training.scores.verdict.text())
    assert not training.changed.text()
    session.configure(adapter="classification")
    qtbot.waitUntil(lambda: bool(training.changed.text()))
    assert training.changed.text().startswith("Changed since the training: adapter.")


# Label propagation


def test_accepted_is_taken_back_by_the_same_button(viewer, predicted, qtbot):
    propagation = dock(viewer, LabelPropagation)
    propagation.image.choose(viewer.layers["one"])
    predicted.go_to(4, "one")
    propagation.show_state()
    propagation.correct.accept.click()
    propagation.show_state()
    assert predicted.slices("one")[4].accepted
    assert propagation.correct.accept.isEnabled()
    propagation.correct.accept.click()
    assert predicted.slices("one")[4].status == "predicted"


def test_the_list_is_new_after_undo(viewer, predicted, qtbot):
    propagation = dock(viewer, LabelPropagation)
    propagation.image.choose(viewer.layers["one"])
    propagation.show_state()
    assert "7 predicted" in propagation.correct.table.counts.text()
    predicted.result_layer("one").undo()
    qtbot.waitUntil(lambda: "predicted" not in propagation.correct.table.counts.text())
    predicted.result_layer("one").redo()
    qtbot.waitUntil(lambda: "7 predicted" in propagation.correct.table.counts.text())


def test_into_names_an_image_that_was_removed(viewer, predicted):
    propagation = dock(viewer, LabelPropagation)
    layer = predicted.result_layer("one")
    viewer.layers.remove("one")
    propagation.image.choose(viewer.layers["two"])
    propagation.show_state()
    assert propagation.into.layer is None
    propagation.into.choose(layer)
    assert "holds labels of “one”" in propagation.owner.text()


@pytest.mark.parametrize("kind", [FeatureExtraction, AdapterTraining, LabelPropagation])
def test_unfinished_work_is_offered_and_continued(predicted, make_napari_viewer, kind, qtbot):
    predicted.save().wait(MINUTE)
    again = make_napari_viewer()
    made = dock(again, kind)
    assert made.resume.isHidden()
    add_images(again)
    qtbot.waitUntil(lambda: not made.resume.isHidden())
    text = made.resume.text.text()
    assert text.startswith("Unfinished work on “one” from ")
    assert text.endswith(". Continue?")
    made.resume.resume.click()
    qtbot.waitUntil(made.resume.isHidden, timeout=1000 * MINUTE)
    session = made.session
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)
    assert session.result_layer("one").name == "one predicted"
    if kind is LabelPropagation:
        qtbot.waitUntil(lambda: made.progress.text.text().startswith("Restoring: 1 template"))
        made.image.choose(again.layers["one"])
        made.show_state()
        assert made.into.layer is session.result_layer("one")
    session.close()


def test_unfinished_work_may_be_left(predicted, make_napari_viewer, qtbot):
    predicted.save().wait(MINUTE)
    again = make_napari_viewer()
    add_images(again)
    made = dock(again, LabelPropagation)
    qtbot.waitUntil(lambda: not made.resume.isHidden())
    made.resume.leave.click()
    qtbot.waitUntil(made.resume.isHidden)
    made.session.close()


def test_what_is_wrong_is_said_in_words_of_the_viewer(
    viewer, session, qtbot, monkeypatch, tmp_path
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    training = dock(viewer, AdapterTraining)
    session.add_template("one", "one labels")
    session.configure(backbone="dinov2-s")
    training.show_state()
    training.train.click()
    qtbot.waitUntil(lambda: "failed" in training.progress.text.text(), timeout=1000 * MINUTE)
    text = training.progress.text.text()
    assert "--" not in text
    assert "Weights in Feature extraction" in text


# Narrow docks and long names


@pytest.mark.parametrize("kind", [FeatureExtraction, AdapterTraining, LabelPropagation])
def test_a_dock_of_225_pixels_shows_all(viewer, predicted, kind):
    made = dock(viewer, kind)
    made.show_state()
    room = 225 - made.verticalScrollBar().sizeHint().width()
    assert made.widget().minimumSizeHint().width() <= room


def test_long_names_are_shortened_in_the_middle(viewer, session, qtbot):
    made = dock(viewer, FeatureExtraction)
    name = "sub-0012_ses-01_acq-highres_T1w_of_a_patient_with_a_long_name"
    viewer.layers["one"].name = name
    made.image.choose(viewer.layers[name])
    made.image.setFixedWidth(150)
    text = made.image.shown_text()
    assert "…" in text
    assert text[:4] == name[:4]
    assert text[-4:] == name[-4:]
    assert made.image.itemData(made.image.currentIndex(), Qt.ItemDataRole.ToolTipRole) == name
    made.resume.offer(name, "11:55")
    assert "on “sub-0012_ses-0…th_a_long_name” from 11:55" in made.resume.text.text()
