"""What was saved comes back whole, once, and is offered when its image is opened."""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.layers import Layer

from napari_fewshot import viewer_session
from napari_fewshot._napari.layers import image_layer
from napari_fewshot.errors import InputError

from ..conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def table(session):
    return [(i.index, i.status, i.score) for i in session.slices("image")]


@pytest.fixture
def scored(session, qtbot):
    """A session with a result, its landmarks and scores, saved."""
    session.train().wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    qtbot.waitUntil(lambda: session.scores is not None, timeout=1000 * MINUTE)
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)
    session.save().wait(MINUTE)
    return session


@pytest.fixture
def other_day(scored, make_napari_viewer, patient):
    """Another viewer with the same image, and its session."""
    viewer = make_napari_viewer()
    viewer.add_layer(Layer.create(*image_layer(patient[0].image, "image")))
    session = viewer_session(viewer)
    yield session, viewer
    session.close()


def test_scores_confidence_landmarks_and_the_next_slice_come_back(scored, viewer, other_day):
    session, other = other_day
    session.restore().wait(MINUTE)
    first, again = viewer.layers, other.layers
    confidence = again["image confidence"].data
    np.testing.assert_allclose(confidence, first["image confidence"].data, atol=1e-3)
    marks = again["image landmarks found"]
    np.testing.assert_allclose(marks.data, first["image landmarks found"].data)
    assert list(marks.features["name"]) == list(first["image landmarks found"].features["name"])
    assert list(marks.text.values) == list(first["image landmarks found"].text.values)
    for one, before in zip(table(session), table(scored), strict=True):
        assert one[:2] == before[:2]
        assert one[2] == pytest.approx(before[2], abs=1e-5)
    assert session.next_slice("image") == scored.next_slice("image")
    assert session.scores.dice == pytest.approx(scored.scores.dice, nan_ok=True)
    assert session.unscored == ""
    assert again["image confidence"].visible is False


def test_what_is_written_next_goes_on_with_the_restored_layers(scored, other_day):
    session, other = other_day
    session.restore().wait(MINUTE)
    names = [layer.name for layer in other.layers]
    session.update("image").wait(MINUTE)
    assert [layer.name for layer in other.layers] == names
    session.propagate("image", into=session.result_layer("image")).wait(MINUTE)
    assert [layer.name for layer in other.layers] == names


def test_a_second_restore_adds_nothing(scored, viewer, other_day, qtbot):
    for session, where in (other_day, (scored, viewer)):
        job = session.restore()
        job.wait(MINUTE)
        before = [layer.name for layer in where.layers], table(session)
        layer = session.result_layer("image")
        steps = len(layer._undo_history)
        session.restore().wait(MINUTE)
        assert ([layer.name for layer in where.layers], table(session)) == before
        assert session.result_layer("image") is layer
        assert len(layer._undo_history) == steps
        assert len(session.templates) == 1
        assert job.note.startswith("1 template, 1 result, landmarks and the model of ")


def test_a_restore_of_what_is_open_takes_no_undo_away(scored, viewer):
    layer = scored.result_layer("image")
    steps = len(layer._undo_history)  # one of the labels, one where chosen weights renewed them
    scored.restore().wait(MINUTE)
    assert len(layer._undo_history) == steps > 0
    for _ in range(steps):
        layer.undo()
    assert not [i for i in scored.slices("image") if i.status == "predicted"]


def test_strokes_that_wait_to_be_saved_are_not_doubled(scored, viewer):
    layer = scored.result_layer("image")
    k = next(i.index for i in scored.slices("image") if i.status == "predicted")
    stroke(layer, (k, 20, 20), 3)
    scored._storage.soon()
    scored.restore().wait(MINUTE)
    assert scored.result_layer("image") is layer
    assert layer.data[k, 20, 20] == 3
    assert "image predicted [1]" not in viewer.layers


def test_points_that_teach_come_back(session, viewer, other_day_of, qtbot):
    session.remove_template(session.templates[0])
    image = viewer.layers["image"]
    points = viewer.add_points(name="marks", ndim=3)
    for place in ((5, 20, 20), (9, 30, 12)):
        points.add(points.world_to_data(image.data_to_world(place)))
    session.add_template("image", points)
    session.train(score=False).wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    session.save().wait(MINUTE)
    again, other = other_day_of(session)
    again.restore().wait(MINUTE)
    (entry,) = again.templates
    assert entry.kind == "points"
    assert [p.position for p in entry.points(())] == [
        p.position for p in session.templates[0].points(())
    ]
    assert list(entry.labels.text.values) == ["1", "2"]
    assert "image landmarks found" in other.layers
    assert again.next_slice("image") == session.next_slice("image")
    count = len(other.layers)
    again.restore().wait(MINUTE)
    assert len(other.layers) == count


@pytest.fixture
def other_day_of(make_napari_viewer, patient):
    made = []

    def open_again(_):
        viewer = make_napari_viewer()
        viewer.add_layer(Layer.create(*image_layer(patient[0].image, "image")))
        made.append(viewer_session(viewer))
        return made[-1], viewer

    yield open_again
    for session in made:
        session.close()


def test_damaged_scores_and_confidence_are_left_out(scored, other_day):
    session, other = other_day
    folder = scored.autosave_folder
    (next(folder.glob("scores-*.npz"))).write_bytes(b"no archive")
    for path in (folder / "labels.zarr").glob("*-confidence/zarr.json"):
        path.write_text("")
    session.restore(folder).wait(MINUTE)
    assert session.result_layer("image") is not None
    assert "image confidence" not in other.layers
    assert {score for *_, score in table(session)} == {None}


def test_arrays_of_layers_that_are_gone_do_not_pile_up(scored, other_day):
    session, _ = other_day
    session.restore().wait(MINUTE)
    folder = session.autosave_folder
    scored.autosave_folder = None  # it keeps its own work in there as well
    session.save().wait(MINUTE)
    arrays = sorted(path.name for path in (folder / "labels.zarr").iterdir())
    assert len(arrays) == 3
    assert len(list(folder.glob("strokes-*.npz"))) == 2


def test_a_folder_with_work_of_another_day_is_not_written_over(scored, other_day, truth, qtbot):
    session, other = other_day
    session.autosave_folder = scored.autosave_folder
    other.add_labels(np.zeros_like(truth), name="mine", scale=other.layers["image"].scale)
    session.add_template("image", "mine")
    stroke(other.layers["mine"], (3, 20, 20), 2)
    session._storage.soon()
    session._storage.flush()  # it would save
    session.restore().wait(MINUTE)
    assert session.result_layer("image").data.any()
    assert "image predicted" in other.layers
    stroke(other.layers["mine"], (3, 30, 30), 2)  # now it goes on there
    before = (scored.autosave_folder / "session.json").stat().st_mtime_ns
    session._storage.soon()
    session._storage.flush()
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)
    assert (scored.autosave_folder / "session.json").stat().st_mtime_ns > before


# Unfinished work


def test_unfinished_work_is_offered_until_it_is_taken_or_left(scored, other_day, viewer):
    assert scored.unfinished() is None  # it is open
    session, other = other_day
    found = session.unfinished("image")
    assert found.folder == scored.autosave_folder
    assert found.image is other.layers["image"]
    assert found.when == f"{found.saved:%H:%M}"
    assert session.unfinished() == found
    session.leave_unfinished("image")
    assert session.unfinished() is None
    assert session.latest_autosave("image") == found.folder  # Restore still finds it


def test_restored_work_is_offered_no_more(scored, other_day):
    session, _ = other_day
    session.restore(session.unfinished().folder).wait(MINUTE)
    assert session.unfinished() is None


def test_work_that_was_begun_anew_is_not_interrupted(scored, other_day, patient):
    session, other = other_day
    other.add_labels(np.zeros((20, 48, 48), int), name="mine", scale=other.layers[0].scale)
    session.add_template("image", "mine")
    assert session.unfinished() is None


ODD = {
    "no role": lambda c: c["layers"][0].pop("role"),
    "no image": lambda c: c["layers"][0].pop("image"),
    "no provenance": lambda c: c["layers"][0].pop("provenance"),
    "axis 9": lambda c: c["layers"][0]["provenance"].update(axis=9),
    "slices in words": lambda c: c["layers"][1]["provenance"].update(predicted=[["a"]]),
    "slice 99": lambda c: c["layers"][1]["provenance"].update(predicted=[[99]]),
    "colours": lambda c: c["layers"][0].update(colours=[[1, 2]]),
    "features": lambda c: c["layers"][0].update(features={"index": [1], "name": [1, 2, 3]}),
    "points of words": lambda c: c["points"][0].update(data=[["a"]]),
    "points of 7 axes": lambda c: c["points"][0].update(ndim=7),
    "held-out score": lambda c: c.update(held_out={"dice": 5}),
    "layers": lambda c: c.update(layers=5),
    "format": lambda c: c.update(format="new"),
}


def test_an_odd_description_is_one_error(scored, other_day):
    session, _ = other_day
    folder = scored.autosave_folder
    scored.autosave_folder = None
    file = folder / "session.json"
    whole, refused = file.read_text(), []
    for name, change in ODD.items():
        content = json.loads(whole)
        change(content)
        file.write_text(json.dumps(content))
        job = session.restore(folder)
        try:
            job.wait(MINUTE)
        except InputError:
            refused.append(name)
    assert len(refused) > len(ODD) / 2  # what is open already is not looked at again
    file.write_text(whole)
    session.restore(folder).wait(MINUTE)


def test_what_is_not_known_of_a_label_comes_back():
    from napari_fewshot import HeldOutScore
    from napari_fewshot._napari.session.autosave.parts import held_out_from, held_out_to

    nan = float("nan")
    score = HeldOutScore(
        {1: 0.9, 2: nan}, 3, "neighbouring slices", doubtful=frozenset({2}), too_few={2: 0.25}
    )
    again = held_out_from(json.loads(json.dumps(held_out_to(score))), score.weights)
    assert again.dice == pytest.approx(score.dice, nan_ok=True)
    assert (again.doubtful, again.too_few) == ({2}, {2: 0.25})
    older = held_out_to(score)
    del older["too_few"]  # as kept by version 0.1.0
    assert held_out_from(older, score.weights).too_few == {}
