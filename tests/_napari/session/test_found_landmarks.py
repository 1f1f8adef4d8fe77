"""Landmarks that were found: listed, moved by a person, followed by others, learned from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_fewshot import viewer_session
from napari_fewshot._napari.session.found_points import Place
from napari_fewshot.errors import InputError

from .conftest import MINUTE

pytestmark = pytest.mark.viewer

PLACES = np.array([[40, 30], [60, 80], [110, 50], [150, 90], [170, 40]], float)
SHAPE = (200, 130)


def blobs():
    """Smooth discs, as an image of one kind of thing."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for _ in range(25):
        row, column = rng.uniform(0.15, 0.85, 2) * SHAPE
        image[np.hypot(rows - row, columns - column) < rng.uniform(8, 24)] = rng.uniform(60, 255)
    return ndimage.gaussian_filter(image, 1.0)


def varied(seed):
    """The same thing, shifted, and noisy; and its points."""
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-5, 5, 2)
    moved = ndimage.shift(blobs(), shift, order=1, mode="nearest")
    return (moved + rng.normal(0, 4, SHAPE)).astype(np.float32), PLACES + shift


@pytest.fixture
def viewer(make_napari_viewer):
    """Three images with landmarks, and one without."""
    viewer = make_napari_viewer()
    for seed in range(4):
        data, points = varied(seed)
        viewer.add_image(data, name=f"x{seed}", visible=seed == 3)
        if seed < 3:
            viewer.add_points(points, name=f"x{seed} points")
    return viewer


@pytest.fixture
def session(viewer):
    """A session that has found the landmarks of the fourth image."""
    found = viewer_session(viewer)
    found.configure(adapter="classification", of_adapter={"steps": 5, "update_steps": 3})
    for seed in range(3):
        found.add_template(f"x{seed}", f"x{seed} points")
    found.update("x3").wait(MINUTE)
    yield found
    found.close()


@pytest.fixture
def layer(session, viewer):
    return viewer.layers["x3 landmarks found"]


def drag(layer, row, to):
    """Move a point as a person does."""
    from napari.layers.base import ActionType

    layer.data[row] = to
    changed = {"action": ActionType.CHANGED, "data_indices": (row,), "vertex_indices": ((),)}
    layer.events.data(value=layer.data, **changed)


def followed(session, qtbot):
    """Wait until the others have followed."""
    qtbot.waitUntil(lambda: not session.landmarks.is_behind, timeout=20_000)


def test_all_are_listed_with_scores(session, layer):
    marks = session.landmarks.of("x3")
    assert [m.name for m in marks] == [f"point {k}" for k in range(1, 6)]
    assert {m.kind for m in marks} == {"found"}
    assert all(0.3 <= m.score <= 1 for m in marks)
    errors = np.linalg.norm(layer.data - varied(3)[1], axis=1)
    assert errors.max() < 4


def test_a_moved_point_stays_and_the_others_follow(session, layer, qtbot):
    before = layer.data.copy()
    drag(layer, 2, before[2] + [14, 10])
    assert session.landmarks.of("x3")[2].kind == "placed"
    followed(session, qtbot)
    names = list(layer.features["name"])
    now = dict(zip(names, layer.data, strict=True))
    np.testing.assert_array_equal(now["point 3"], before[2] + [14, 10])
    assert layer.features["y_mm"][names.index("point 3")] == pytest.approx(before[2][0] + 14)
    assert len(now) == 5
    moved = np.array([np.linalg.norm(now[f"point {k + 1}"] - before[k]) for k in (0, 1, 3, 4)])
    assert moved.max() > 0


def test_it_is_learned_and_shown_as_it_is_after_an_update(session, layer, qtbot):
    to = layer.data[1] + [6, 6]
    drag(layer, 1, to)
    followed(session, qtbot)
    templates = session._training.templates()
    assert [len(one.points) for one in templates] == [5, 5, 5, 1]
    assert templates[3].points[0].name == "point 2"
    assert session.labelling.next_step("x3") == "learn"
    session.update("x3").wait(MINUTE)
    names = list(layer.features["name"])
    np.testing.assert_array_equal(layer.data[names.index("point 2")], to)
    assert sorted(names) == [f"point {k}" for k in range(1, 6)]
    assert np.isnan(layer.features["score"][names.index("point 2")])


def test_what_was_moved_can_be_taken_back(session, layer, qtbot):
    before = layer.data.copy()
    drag(layer, 2, before[2] + [14, 10])
    followed(session, qtbot)
    session.landmarks.take_back(3, "x3")
    followed(session, qtbot)
    names = list(layer.features["name"])
    for k in range(5):
        at = layer.data[names.index(f"point {k + 1}")]
        np.testing.assert_allclose(at, before[k], atol=1e-6)
    assert {m.kind for m in session.landmarks.of("x3")} == {"found"}
    with pytest.raises(InputError, match="moved"):
        session.landmarks.take_back(3, "x3")


def test_a_point_goes_to_its_candidates_and_back(session, layer, qtbot):
    marks = session.landmarks.of("x3")
    one = next(m for m in marks if m.others)
    session.landmarks.show(one.label, "x3")
    assert layer.selected_data == {one.row}
    before = layer.data[one.row].copy()
    said = session.landmarks.next_place()
    assert f"place 2 of {one.others + 1}" in said
    assert np.linalg.norm(layer.data[one.row] - before) > 2
    assert session.landmarks.of("x3")[one.label - 1].kind == "placed"
    assert "where it was found" in session.landmarks.next_place(-1)
    np.testing.assert_allclose(layer.data[one.row], before)
    assert session.landmarks.of("x3")[one.label - 1].kind == "found"
    session.landmarks.next_place()
    followed(session, qtbot)
    assert len(layer.data) == 5
    layer.selected_data = set()
    with pytest.raises(InputError, match="one point"):
        session.landmarks.next_place()


def test_those_not_found_are_named_and_can_be_placed(session, viewer, layer, qtbot):
    session.configure(propagation={"landmarks": {"min_score": 0.99}})
    session.propagate("x3").wait(MINUTE)
    marks = session.landmarks.of("x3")
    assert {m.kind for m in marks} == {"missing"}
    assert all("below the least, 0.99" in m.why for m in marks)
    assert len(layer.data) == 0
    session.landmarks.place(4, "x3")
    assert layer.selected_data == {0}
    assert np.linalg.norm(layer.data[0] - varied(3)[1][3]) < 6
    followed(session, qtbot)
    marks = session.landmarks.of("x3")
    assert [m.kind for m in marks] == [*["missing"] * 3, "placed", "missing"]
    session.landmarks.take_back(4, "x3")
    followed(session, qtbot)
    assert {m.kind for m in session.landmarks.of("x3")} == {"missing"}
    assert len(layer.data) == 0


def test_points_of_a_person_survive_what_runs_meanwhile(session, layer):
    job = session.propagate("x3")
    to = layer.data[0] + [9, 3]
    drag(layer, 0, to)
    job.wait(MINUTE)
    names = list(layer.features["name"])
    assert names.count("point 1") == 1
    np.testing.assert_array_equal(layer.data[names.index("point 1")], to)


def test_the_work_is_there_again_after_it_was_saved(session, layer, viewer, tmp_path, qtbot):
    to = layer.data[0] + [9, 3]
    drag(layer, 0, to)
    followed(session, qtbot)
    session.save(tmp_path / "kept").wait(MINUTE)
    viewer.layers.remove(layer)
    session.restore(tmp_path / "kept").wait(MINUTE)
    marks = session.landmarks.of("x3")
    assert [m.kind for m in marks] == ["placed", *["found"] * 4]
    session.landmarks.take_back(1, "x3")
    followed(session, qtbot)
    assert session.landmarks.of("x3")[0].kind == "found"


def test_the_dock_lists_them_and_keys_move_the_selected_point(session, layer, viewer, qtbot):
    from napari_fewshot._napari.widgets.main import FewShotSegmentation

    dock = FewShotSegmentation(viewer)
    viewer.window.add_dock_widget(dock, name="Few-shot segmentation")
    dock.show_state()
    found = dock.found
    assert found.isVisibleTo(dock)
    assert [found.table.table.item(k, 0).text() for k in range(5)] == list(layer.features["name"])
    assert found.next.reason == "click a landmark in the list"
    one = next(m for m in session.landmarks.of("x3") if m.others)
    found.table.select(one.label)
    found.table.picked.emit(one.label)
    assert viewer.layers.selection.active is layer
    assert found.next.isEnabled()
    before = layer.data[one.row].copy()
    keys = {str(key): act for key, act in viewer.keymap.items()}
    keys["J"](viewer)
    assert np.linalg.norm(layer.data[one.row] - before) > 2
    assert "place 2 of" in found.said.text()
    keys["Shift+J"](viewer)
    np.testing.assert_allclose(layer.data[one.row], before)
    session.configure(propagation={"landmarks": {"min_score": 0.99}})
    session.propagate("x3").wait(MINUTE)
    dock.show_state()
    assert "0 of 5 are there" in found.table.missing.text()
    found.table.select(2)
    found._show_buttons()
    found.place.click()
    assert list(layer.features["name"]) == ["point 2"]
    layer.selected_data = set()
    found._on_next(1)
    assert "one point of landmarks that were found" in dock.status.text()


def test_candidates_and_what_was_not_found_come_back(session, viewer, layer, make_napari_viewer):
    session.configure(propagation={"landmarks": {"min_score": 0.99}})
    session.propagate("x3").wait(MINUTE)
    session.landmarks.place(2)
    found = viewer_session(viewer)._state.result_of(viewer.layers["x3"]).found
    found.choices[(), 2] = (Place(np.array([60.0, 80.0]), 0.6), Place(np.array([90.0, 70.0]), 0.2))
    before = session.landmarks.of("x3")
    session.save().wait(MINUTE)
    other = make_napari_viewer()
    for seed in range(4):
        other.add_image(varied(seed)[0], name=f"x{seed}")
    again = viewer_session(other)
    again.restore().wait(MINUTE)
    marks = again.landmarks.of("x3")
    assert [(m.name, m.kind, m.others) for m in marks] == [
        (m.name, m.kind, m.others) for m in before
    ]
    assert {mark.kind for mark in marks} == {"placed", "missing"}
    assert again._state.result_of(other.layers["x3"]).found.about() == found.about()
    again.landmarks.show(2, "x3")
    assert "where it was found" in again.landmarks.next_place()
    assert "place 2 of 2" in again.landmarks.next_place()
    np.testing.assert_allclose(other.layers["x3 landmarks found"].data[0], [90, 70])
    again.close()


def test_bad_points_are_told_or_left_out(session, viewer):
    image = viewer.layers["x3"]
    session.add_template(image, viewer.add_points(ndim=2, name="x3 empty"))
    assert len(session._training.templates()) == 3  # a layer without points teaches nothing
    layer = viewer.layers["x2 points"]
    layer.data = np.concatenate([layer.data[:4], [[500.0, 20.0]]])
    with pytest.raises(InputError, match=r"inside the image.*point 5 at .*Move it, or take it"):
        session.train(score=False).wait(MINUTE)
