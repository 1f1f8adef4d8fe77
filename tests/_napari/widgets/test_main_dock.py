"""The one dock in a real viewer: what is said, what a click does, and how it looks."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_fewshot import read_volume, viewer_session, write_image
from napari_fewshot._napari.widgets.main import FewShotSegmentation
from napari_fewshot.phantoms import make_phantom

pytestmark = pytest.mark.viewer

MINUTE = 60_000
SHAPE = (9, 40, 40)


def add_image(viewer, name="one", seed=0):
    data = np.random.default_rng(seed).normal(50, 3, SHAPE).astype(np.float32)
    data[:, 10:25, 10:30] += 60
    return viewer.add_image(data, name=name)


def add_labels(viewer, name="one labels", slices=(2, 6)):
    labels = np.zeros(SHAPE, np.uint8)
    for k in slices:
        labels[k, 10:25, 10:30] = 1
    return viewer.add_labels(labels, name=name)


@pytest.fixture
def labelled(viewer, dock, qtbot):
    add_image(viewer)
    add_labels(viewer)
    qtbot.waitUntil(dock.learn.learn.isEnabled)
    dock.learn.learn.click()
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
    dock.show_state()
    return dock


def works(dock):
    return [job for job in dock.session.jobs if job.stage not in ("score", "save")]


def texts(dock):
    from qtpy.QtWidgets import QAbstractButton, QLabel

    shown = [one for one in dock.findChildren(QLabel) if one.isVisibleTo(dock)]
    shown += [one for one in dock.findChildren(QAbstractButton) if one.isVisibleTo(dock)]
    return [one.text() for one in shown]


def test_it_is_the_first_entry_of_the_menu():
    from npe2 import PluginManifest

    parts = PluginManifest.from_distribution("napari-fewshot").contributions
    assert parts.widgets[0].display_name == "Few-shot segmentation"
    assert parts.menus["napari/layers/segment"][0].command == parts.widgets[0].command


def test_without_an_image_it_offers_the_sample(viewer, dock, qtbot):
    dock.show_state()
    assert dock.learn.cost.text() == "First: open an image."
    assert dock.sample.isVisibleTo(dock)
    dock.sample.click()
    template = viewer.layers["torso template"]
    assert viewer.layers.selection.active is template
    place = viewer.dims.current_step[0]
    assert template.data[place].any()
    qtbot.waitUntil(lambda: not dock.sample.isVisibleTo(dock))
    assert dock.learn.learn.isEnabled()
    assert dock.labels.list.count() == len(set(np.unique(template.data)) - {0})
    assert dock.in_view.text() == "Image in view: torso"


def test_words_of_the_first_level_are_those_of_the_user(labelled):
    said = " ".join(texts(labelled)).lower()
    for word in ("adapter", "backbone", "reference", "decoy", "held-out", "dice", "template"):
        assert word not in said, word
    assert "estimated agreement with your painting" in said


def test_one_button_learns_and_labels_and_painting_goes_on_in_the_result(viewer, labelled):
    session = labelled.session
    result = session.result_layer("one")
    assert (result.data[4, 10:25, 10:30] == 1).mean() > 0.9
    assert viewer.layers.selection.active is result
    assert not viewer.layers["one labels"].visible
    assert labelled.learn.learn.text() == "Label again"
    assert not labelled.learn.cost.text()
    assert labelled.learn.progress.text.text() == "Learning and labelling one: done"
    assert labelled.learn.taught.text() == "Learns from 2 painted slices of one."
    for section in (labelled.correct, labelled.others, labelled.save):
        assert section.isExpanded()


def test_the_agreement_is_shown_label_by_label(labelled, qtbot):
    qtbot.waitUntil(lambda: len(labelled.learn.scores.rows) == 1, timeout=MINUTE)
    assert labelled.learn.agreement.text() == "Estimated agreement with your painting:"


def test_a_label_is_added_named_and_painted_with(viewer, dock, qtbot):
    image = add_image(viewer)
    qtbot.waitUntil(dock.labels.add_label.isEnabled)
    assert dock.learn.learn.reason == "add a label and paint it on a slice"
    dock.labels.add_label.click()
    layer = viewer.layers["one labels"]
    assert viewer.layers.selection.active is layer
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    dock.show_state()
    item = dock.labels.list.item(0)
    assert item.text() == "label 1"
    item.setText("nucleus")
    assert dock.session.painting.labels()[0].name == "nucleus"
    dock.labels.add_label.click()
    dock.show_state()
    assert layer.selected_label == 2
    spot = dock.labels.list.visualItemRect(dock.labels.list.item(0)).center()
    qtbot.mouseClick(dock.labels.list.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert layer.selected_label == 1
    layer.paint((2, 15, 15), 1)
    qtbot.waitUntil(dock.learn.learn.isEnabled)
    assert dock.image is image
    dock.labels.list.setCurrentRow(0)
    dock.show_state()
    dock.labels.remove.click()
    assert not layer.data.any()


def test_landmarks_are_marked_and_named(viewer, dock, qtbot):
    add_image(viewer)
    qtbot.waitUntil(dock.labels.mark.isEnabled)
    dock.labels.mark.click()
    points = viewer.layers["one landmarks"]
    points.add([2, 20, 20])
    qtbot.waitUntil(lambda: dock.labels.points.table.rowCount() == 1)
    dock.labels.points.table.item(0, 1).setText("tip")
    assert list(points.features["name"]) == ["tip"]


def test_other_open_images_are_labelled_with_one_click(viewer, labelled, qtbot):
    for number, name in enumerate(("two", "three"), 1):
        add_image(viewer, name, number)
    others = labelled.others
    qtbot.waitUntil(lambda: others.open_images.text() == "All open images (2)")
    others.open_images.click()
    qtbot.waitUntil(lambda: not works(labelled), timeout=MINUTE)
    qtbot.waitUntil(lambda: others.counts.text() == "2 labelled")
    assert [others.list.item(k).text() for k in range(2)] == ["two", "three"]
    for name in ("two", "three"):
        assert labelled.session.result_layer(name).data.any()
    qtbot.waitUntil(lambda: others.open_images.reason == "all open images have labels")


def test_a_folder_is_labelled_and_looked_through(viewer, labelled, qtbot, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in (1, 2):
        image = add_image(viewer, f"file {seed}", seed)
        phantom = make_phantom("torso", shape=SHAPE)
        write_image(folder / f"{seed}.nii.gz", image.data, phantom.image)
        viewer.layers.remove(image)
    others = labelled.others
    others.out.line.setText(str(tmp_path / "out"))
    others.label_files(folder)
    qtbot.waitUntil(lambda: not works(labelled), timeout=MINUTE)
    qtbot.waitUntil(lambda: others.counts.text() == "2 labelled")
    assert read_volume(tmp_path / "out" / "1_labels.nii.gz").data.any()
    qtbot.waitUntil(lambda: others.review.isVisibleTo(labelled))


def test_what_is_wrong_stands_below_its_button_and_nothing_says_done(labelled, tmp_path):
    learn = labelled.learn
    assert learn.progress.isVisibleTo(labelled)
    (tmp_path / "empty").mkdir()
    labelled.save.out.line.setText("")
    labelled.save.labels.click()  # the image has no file
    status = labelled.status
    assert "Choose a folder under “Labels to”" in status.text()
    layout = status.parentWidget().layout()
    assert layout.itemAt(layout.indexOf(status) - 1).widget() is labelled.save.labels
    assert "color" in status.styleSheet()
    assert not learn.progress.isVisibleTo(labelled)


def test_labels_are_written_to_a_folder(viewer, labelled, qtbot, tmp_path):
    labelled.save.out.line.setText(str(tmp_path / "labels"))
    (tmp_path / "labels").mkdir()
    labelled.save.labels.click()
    qtbot.waitUntil(lambda: labelled.save.said.text().startswith("Written"), timeout=MINUTE)
    found = read_volume(tmp_path / "labels" / "one_labels.nii.gz")
    np.testing.assert_array_equal(found.data, labelled.session.result_layer("one").data)
    labelled.save.labels.click()  # what we wrote may be written again
    qtbot.waitUntil(lambda: not labelled.session.jobs, timeout=MINUTE)
    assert labelled.save.said.text().startswith("Written")


def test_doubt_is_shown_as_colours_and_hidden_again(viewer, labelled):
    layer = viewer.layers["one confidence"]
    assert not layer.visible
    labelled.correct.unsure.click()
    assert layer.visible
    labelled.correct.unsure.click()
    assert not layer.visible


def test_channels_of_one_image_are_offered_together(viewer, dock, qtbot):
    add_image(viewer, "cells 450 nm")
    add_image(viewer, "cells 515 nm", 1)
    add_labels(viewer, "cells 515 nm labels")
    choice = dock.learn.channels
    qtbot.waitUntil(lambda: choice.all.text() == "All 2 channels together")
    assert not choice.all.isChecked()
    choice.all.click()
    dock.show_state()
    assert len(dock.session.channels.of(viewer.layers["cells 450 nm"])) == 2
    dock.learn.learn.click()
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
    assert dock.session.result_layer("cells 450 nm").data.any()
    item = choice.list.item(0)
    item.setCheckState(Qt.CheckState.Unchecked)
    assert len(dock.session.channels.of(viewer.layers["cells 450 nm"])) == 1


def test_time_points_are_offered_where_there_are_some(viewer, dock, qtbot):
    data = np.random.default_rng(0).normal(50, 3, (2, *SHAPE)).astype(np.float32)
    data[:, :, 10:25, 10:30] += 60
    viewer.add_image(data, name="movie")
    labels = np.zeros(data.shape, np.uint8)
    labels[0, 4, 10:25, 10:30] = 1
    viewer.add_labels(labels, name="movie labels")
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: dock.learn.places.isVisibleTo(dock))
    dock.show_state()
    dock.learn.learn.click()
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
    assert all(one.any() for one in dock.session.result_layer("movie").data)


def test_sixty_one_labels_have_their_whole_names(viewer, dock, qtbot):
    add_image(viewer)
    labels = add_labels(viewer)
    names = {k: f"structure number {k} on the left" for k in range(1, 62)}
    labels.features = {"index": [0, *names], "name": ["background", *names.values()]}
    labels.data[2, 0, :40], labels.data[2, 1, :21] = np.arange(1, 41), np.arange(41, 62)
    labels.refresh()
    dock.session.painting._known.clear()
    dock.show_state()
    assert dock.labels.list.count() == 61
    assert dock.labels.list.item(60).text() == names[61]
    metrics = dock.labels.list.fontMetrics()
    room = 300 - 60
    assert metrics.horizontalAdvance(names[61]) < room


def test_it_fits_225_pixels(labelled):
    labelled.learn.more.expand(animate=False)
    labelled.learn.channels.show()
    room = 225 - labelled.verticalScrollBar().sizeHint().width()
    assert labelled.widget().minimumSizeHint().width() <= room


def test_everything_that_can_be_used_has_a_tooltip(labelled):
    from qtpy.QtWidgets import QCheckBox, QComboBox, QPushButton

    used = [w for kind in (QPushButton, QCheckBox, QComboBox) for w in labelled.findChildren(kind)]
    assert len(used) > 20
    assert not [widget for widget in used if not widget.toolTip()]


def test_the_docks_for_experts_share_the_session(viewer, labelled):
    from npe2 import PluginManager

    PluginManager.instance().discover()
    found = labelled.open_dock("Adapter training")
    assert found.session is labelled.session is viewer_session(viewer)
    assert found.scores is not labelled.learn.scores


def test_unfinished_work_is_offered(labelled, make_napari_viewer, qtbot):
    labelled.session.save().wait(60)
    again = make_napari_viewer()
    made = FewShotSegmentation(again)
    again.window.add_dock_widget(made, name="Few-shot segmentation")
    add_image(again)
    qtbot.waitUntil(lambda: not made.resume.isHidden())
    made.resume.resume.click()
    qtbot.waitUntil(lambda: made.session.result_layer("one") is not None, timeout=MINUTE)
    qtbot.waitUntil(lambda: not made.session.jobs, timeout=MINUTE)
    made.show_state()
    assert made.correct.isExpanded()
    made.session.close()


def test_what_goes_on_is_said_from_the_first_moment(viewer, dock, qtbot, monkeypatch):
    from napari_fewshot._napari.session.jobs import Job

    steps, hold = [], threading.Event()
    run, progress = Job.run, Job.progress

    def held(job):
        hold.wait(60)
        run(job)

    def told(job, done, total, what):
        steps.append(what)
        progress(job, done, total, what)

    monkeypatch.setattr(Job, "run", held)
    monkeypatch.setattr(Job, "progress", told)
    add_image(viewer)
    add_labels(viewer)
    qtbot.waitUntil(dock.learn.learn.isEnabled)
    dock.learn.learn.click()
    row = dock.learn.progress
    assert row.text.text() == "Learning and labelling one: preparing"
    assert (row.bar.minimum(), row.bar.maximum()) == (0, 0)  # it moves to and fro
    hold.set()
    qtbot.waitUntil(lambda: not works(dock), timeout=MINUTE)
    assert "slice in view" in steps[: steps.index("slices")]


def test_how_a_label_is_named_is_said_until_all_are(viewer, dock, qtbot):
    add_image(viewer)
    qtbot.waitUntil(dock.labels.add_label.isEnabled)
    dock.labels.add_label.click()
    dock.show_state()
    labels = dock.labels.list
    assert "double click, or F2" in dock.labels.hint.text()
    assert labels.item(0).font().italic()
    labels.setCurrentRow(0)
    qtbot.keyClick(labels, Qt.Key.Key_F2)
    editor = labels.viewport().findChild(QLineEdit)
    editor.selectAll()
    qtbot.keyClicks(editor, "liver")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dock.session.painting.labels()[0].name == "liver")
    dock.show_state()
    assert not dock.labels.hint.text()
    assert not labels.item(0).font().italic()
