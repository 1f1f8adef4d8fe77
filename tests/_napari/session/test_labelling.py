"""The one button, labels as a list, and many images as one job, without widgets."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Cancelled, read_volume, viewer_session, write_image
from napari_fewshot._napari.session.jobs import Job
from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.segmenter import learning

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer

QUICK = {
    "backbone": "multiscale",
    "adapter": "classification",
    "of_adapter": {"hidden": 32, "steps": 60, "batch": 256, "update_steps": 10},
}


@pytest.fixture
def fresh(viewer):
    """A session in which nothing was added, and its viewer's image is in view."""
    viewer.layers["paint"].name = "image paint"
    found = viewer_session(viewer)
    found.configure(**QUICK)
    yield found
    found.close()


def test_one_request_learns_and_labels(viewer, fresh):
    labelling = fresh.labelling
    assert labelling.next_step() == "learn"
    job = labelling.learn(score=False)
    assert job.name == "Learning and labelling image"
    job.wait(MINUTE)
    assert [str(one.labels) for one in fresh.templates] == ["image paint"]
    assert fresh.result_layer("image").data.any()
    assert not any(layer.name.endswith("landmarks found") for layer in viewer.layers)
    assert fresh.landmarks.of("image") == ()  # nobody asked for centres of labels
    assert labelling.next_step() == "again"
    model = fresh.model
    labelling.learn().wait(MINUTE)  # nothing was painted since
    assert fresh.model is model
    stroke(viewer.layers["image predicted"], (3, 20, 20), 2)
    fresh._review._after_stroke()
    assert labelling.next_step() == "learn"
    labelling.learn(score=False).wait(MINUTE)
    assert fresh.model is not model


def test_the_slice_in_view_is_labelled_before_it_is_learned_twice(viewer, fresh, monkeypatch):
    fresh.go_to(2, "image")
    send, learn_more = Job.send, learning.self_labelled
    sent = []

    def sending(self, piece):
        sent.append(getattr(piece, "index", None))
        send(self, piece)

    def cancelled(*_):
        assert sent[-1] == 2
        raise Cancelled("enough")

    monkeypatch.setattr(Job, "send", sending)
    monkeypatch.setattr(learning, "self_labelled", cancelled)
    job = fresh.labelling.learn(score=False)
    job.wait(MINUTE)
    assert job.state == "cancelled"
    assert sent[-1] == 2
    assert fresh.model is None
    monkeypatch.setattr(learning, "self_labelled", learn_more)
    assert fresh.labelling.next_step() == "learn"
    fresh.labelling.learn(score=False).wait(MINUTE)  # it goes on as if nothing had been
    assert [layer.name for layer in viewer.layers].count("image predicted") == 1
    assert fresh.result_layer("image").data.any(axis=(1, 2)).all()


def test_without_paint_it_says_what_to_do(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((4, 32, 32), np.float32), name="empty")
    session = viewer_session(viewer)
    with pytest.raises(InputError, match="Add a label, and paint it"):
        session.labelling.learn()
    session.close()


def test_labels_are_one_list_for_all_images(viewer, fresh):
    painting, image = fresh.painting, viewer.layers["image"]
    there = [one.value for one in painting.labels()]
    value = painting.add_label(image, "lesion")
    assert value == max(there) + 1
    layer = viewer.layers["image paint"]
    assert viewer.layers.selection.active is layer
    assert (layer.mode, layer.selected_label) == ("paint", value)
    assert painting.labels()[-1].title == "lesion"
    painting.rename(value, "")
    assert painting.labels()[-1].title == f"label {value}"
    other = viewer.add_image(np.zeros_like(image.data), name="other")
    made = painting.choose(other, 2)
    assert made.name == "other labels"
    assert made.selected_label == 2
    assert (made.get_color(2) == layer.get_color(2)).all()
    assert painting.chosen(other) == 2


def test_what_is_painted_is_in_the_list_and_goes_with_undo(viewer, fresh):
    painting, layer = fresh.painting, viewer.layers["image paint"]
    before = painting.values()
    stroke(layer, (3, 20, 20), 77)
    assert painting.values() == sorted([*before, 77])
    layer.undo()
    assert painting.values() == before


def test_a_label_that_is_removed_is_erased_and_comes_back_with_undo(viewer, fresh):
    painting, layer = fresh.painting, viewer.layers["image paint"]
    painting.adopt()
    before = layer.data.copy()
    value = painting.labels()[0].value
    painting.remove(value)
    assert value not in [one.value for one in painting.labels()]
    assert not (layer.data == value).any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_landmarks_are_marked_in_a_layer_of_their_own(viewer, fresh):
    image = viewer.layers["image"]
    points = fresh.painting.mark_landmarks(image)
    assert (points.name, points.mode) == ("image landmarks", "add")
    assert fresh.painting.mark_landmarks(image) is points
    assert [one.kind for one in fresh.templates] == ["points"]


def test_all_open_images_are_one_job(viewer, fresh, patient):
    image = viewer.layers["image"]
    for name in ("second", "third"):
        viewer.add_image(image.data.copy(), name=name, scale=image.scale, units=image.units)
    viewer.add_image(np.zeros((3, 20, 48, 48, 2, 2), np.float32), name="bad")
    fresh.labelling.learn("image", score=False).wait(MINUTE)
    viewer.layers.remove("bad")
    names = [one.name for one in fresh.batch.open_images()]
    assert names == ["second", "third"]
    job = fresh.batch.label()
    job.wait(MINUTE)
    assert [(one.name, one.state) for one in fresh.batch.items] == [
        ("second", "done"),
        ("third", "done"),
    ]
    own = fresh.result_layer("image").data
    for name in names:
        found = fresh.result_layer(name)
        assert found.name == f"{name} predicted"
        assert (found.data == own).mean() > 0.95
    assert not fresh.batch.open_images()
    with pytest.raises(InputError, match="choose a folder"):
        fresh.batch.label()


def test_an_image_that_fails_does_not_stop_the_others(viewer, fresh):
    image = viewer.layers["image"]
    viewer.add_image(np.zeros((20, 48, 48, 3), np.uint8), name="colour", rgb=True)
    viewer.add_image(image.data.copy(), name="grey", scale=image.scale, units=image.units)
    fresh.labelling.learn("image", score=False).wait(MINUTE)
    job = fresh.batch.label()
    job.wait(MINUTE)
    colour, grey = fresh.batch.items
    assert colour.state == "failed"
    assert "channel" in colour.note
    assert grey.state == "done"
    assert job.note == "done, but 1 of 2 failed"


def test_all_time_points_are_labelled(make_napari_viewer, patient):
    viewer = make_napari_viewer()
    phantom, painted, _ = patient
    data = np.stack([phantom.image.data, phantom.image.data[:, :, ::-1], phantom.image.data])
    paint = np.zeros(data.shape, np.uint8)
    paint[1] = painted.data[:, :, ::-1]
    viewer.add_image(data, name="movie")
    viewer.add_labels(paint, name="movie labels")
    viewer.dims.set_current_step(0, 1)
    session = viewer_session(viewer)
    session.configure(**QUICK)
    session.labelling.learn(score=False).wait(MINUTE)
    result = session.result_layer("movie")
    (rest,) = [job for job in session.jobs if job.stage == "batch"]
    assert rest.name == "Labelling 2 more time points of movie"
    rest.wait(MINUTE)
    assert session.result_layer("movie") is result
    assert all(one.any() for one in result.data)
    assert (result.data[0] == result.data[2]).all()
    session.close()


def test_channels_are_learned_from_together(make_napari_viewer):
    viewer = make_napari_viewer()
    drawn = np.random.default_rng(0)
    data = [drawn.normal(50, 3, (9, 40, 40)).astype(np.float32) for _ in range(2)]
    data[0][:, 10:25, 10:30] += 60
    data[1][:, 10:25, 10:18] += 60  # what is 1 and what is 2 is in both channels alone
    layers = [viewer.add_image(one, name=f"c{k}") for k, one in enumerate(data)]
    labels = np.zeros((9, 40, 40), np.uint8)
    labels[4, 10:25, 10:18], labels[4, 10:25, 18:30] = 1, 2
    viewer.add_labels(labels, name="c0 labels")
    session = viewer_session(viewer)
    session.configure(**QUICK)
    session.channels.join(layers)
    session.labelling.learn(score=False).wait(MINUTE)
    found = session.result_layer("c1")
    assert found is session.result_layer("c0")
    wanted = np.zeros((9, 40, 40), int)
    wanted[:, 10:25, 10:18], wanted[:, 10:25, 18:30] = 1, 2
    assert (found.data == wanted).mean() > 0.97
    assert not session.batch.open_images()
    session.channels.forget(layers[1])
    assert session.batch.open_images() == [layers[1]]
    session.close()


def test_a_folder_of_files_is_labelled_beside_them(viewer, fresh, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in (1, 2):
        phantom = make_phantom("torso", seed=seed, shape=(20, 48, 48))
        write_image(folder / f"patient-{seed}.nii.gz", phantom.image.data, phantom.image)
    (folder / "torn.nii.gz").write_bytes(b"nothing")
    fresh.labelling.learn(score=False).wait(MINUTE)
    fresh.batch.files(folder).wait(MINUTE)
    states = [(one.name, one.state) for one in fresh.batch.items]
    assert states == [
        ("patient-1.nii.gz", "done"),
        ("patient-2.nii.gz", "done"),
        ("torn.nii.gz", "failed"),
    ]
    assert read_volume(folder / "patient-2_labels.nii.gz").data.any()
    fresh.batch.files(folder, tmp_path / "out").wait(MINUTE)
    assert (tmp_path / "out" / "patient-1_labels.nii.gz").is_file()


def test_a_cancelled_job_says_what_is_not_labelled(viewer, fresh):
    image = viewer.layers["image"]
    for name in ("second", "third"):
        viewer.add_image(image.data.copy(), name=name, scale=image.scale, units=image.units)
    fresh.labelling.learn("image", score=False).wait(MINUTE)
    job = fresh.batch.label()
    job.cancel()
    job.wait(MINUTE)
    assert job.state == "cancelled"
    assert {one.state for one in fresh.batch.items} == {"waiting"}
    assert {one.note for one in fresh.batch.items} == {"not labelled"}
