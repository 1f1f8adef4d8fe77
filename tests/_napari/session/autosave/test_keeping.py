"""Models, autosave and restore: no work of a person is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter
from napari_fewshot.errors import FewShotError, InputError, ModelFileError, NotFittedError

from ..conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def statuses(session, image="image"):
    return {info.index: info.status for info in session.slices(image)}


def test_a_model_goes_to_the_command_line_and_comes_back(trained, tmp_path, viewer):
    trained.save_model(tmp_path / "torso.fewshot")
    loaded = FewShotSegmenter.load(tmp_path / "torso.fewshot")
    assert loaded.names_ == trained.model.names_
    trained.configure(adapter="cosine")
    trained.load_model(tmp_path / "torso.fewshot")
    assert trained.settings.adapter == "classification"
    assert trained.model.label_values_ == loaded.label_values_
    trained.propagate("image").wait(MINUTE)
    with pytest.raises(ModelFileError):
        trained.load_model(tmp_path / "nothing.fewshot")
    assert trained.model is not None


def test_a_model_is_not_saved_over_the_file_of_a_layer(trained, tmp_path, viewer):
    path = tmp_path / "image.nii.gz"
    path.write_text("an image")
    viewer.layers["image"].metadata["source"] = path
    with pytest.raises(InputError, match="not be the file of an open layer"):
        trained.save_model(path)
    assert path.read_text() == "an image"


@pytest.mark.parametrize("name", ["model.fewshot", "session.json"])
def test_a_session_is_not_saved_over_files_of_something_else(trained, tmp_path, name):
    (tmp_path / name).write_text("{}")
    job = trained.save(tmp_path)
    with pytest.raises(InputError, match="hold nothing but a session of its own"):
        job.wait(MINUTE)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    trained.save(tmp_path / "new").wait(MINUTE)
    trained.save(tmp_path / "new").wait(MINUTE)


def test_without_a_model_none_is_saved(session, tmp_path):
    with pytest.raises(NotFittedError):
        session.save_model(tmp_path / "torso.fewshot")
    assert not list(tmp_path.glob("*.fewshot"))


def test_autosave_begins_with_the_first_result(trained, folders, qtbot, viewer):
    assert trained.autosave_folder is None
    trained.propagate("image").wait(MINUTE)
    folder = trained.autosave_folder
    assert folder.is_relative_to(folders / "data")
    qtbot.waitUntil((folder / "session.json").exists, timeout=20_000)
    assert trained.latest_autosave("image") == folder
    first = (folder / "session.json").stat().st_mtime_ns
    stroke(trained.result_layer("image"), (4, 20, 20), 3)

    def saved_again():
        return (folder / "session.json").stat().st_mtime_ns > first

    qtbot.waitUntil(saved_again, timeout=20_000)


def test_it_can_be_switched_off_and_put_elsewhere(trained, tmp_path, qtbot):
    trained.autosave_folder = None
    trained.propagate("image").wait(MINUTE)
    assert trained.autosave_folder is None
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="autosave_folder must be a folder"):
        trained.autosave_folder = tmp_path / "file"
    trained.autosave_folder = tmp_path / "mine"
    assert trained.save().wait(MINUTE) == tmp_path / "mine"
    assert (tmp_path / "mine" / "session.json").exists()
    trained.autosave_folder = None
    with pytest.raises(InputError, match="folder must be given"):
        trained.save()


@pytest.fixture
def worked(predicted, truth):
    """A session in which much was done: (session, slices of each act)."""
    layer = predicted.result_layer("image")
    made = [k for k, status in statuses(predicted).items() if status == "predicted"]
    layer.data[made[2]] = truth[made[2]]
    predicted.accept(made[2], "image")
    predicted.mark_reviewed(made[4], "image")
    place = tuple(np.argwhere(layer.data[made[6]] == 0)[300])
    stroke(layer, (made[6], *place), 3)
    return predicted


def test_restored_is_what_was_saved(worked, viewer, tmp_path):
    layer = worked.result_layer("image")
    before, states = layer.data.copy(), statuses(worked)
    templates = worked._training.templates()
    worked.save(tmp_path / "kept").wait(MINUTE)
    names = worked.model.names_
    viewer.layers.remove(layer)
    viewer.layers.remove("paint")
    assert set(statuses(worked).values()) == {"empty"}
    worked.restore(tmp_path / "kept").wait(MINUTE)
    found = worked.result_layer("image")
    np.testing.assert_array_equal(found.data, before)
    assert statuses(worked) == states
    assert found.features["name"].tolist() == layer.features["name"].tolist()
    np.testing.assert_array_equal(found.scale, viewer.layers["image"].scale)
    assert found.units == viewer.layers["image"].units
    again = worked._training.templates()
    assert [t.kind for t in again] == [t.kind for t in templates]
    for one, other in zip(again, templates, strict=True):
        np.testing.assert_array_equal(one.labels.data, other.labels.data)
    assert worked.model.names_ == names
    worked.update("image").wait(MINUTE)  # and it goes on from there


def test_the_next_day_it_is_found_for_the_image(worked, make_napari_viewer, patient, qtbot):
    from napari.layers import Layer

    from napari_fewshot import viewer_session
    from napari_fewshot._napari.layers import image_layer

    worked.save().wait(MINUTE)
    before = worked.result_layer("image").data.copy()
    other = make_napari_viewer()
    session = viewer_session(other)
    with pytest.raises(InputError, match="hold a saved session"):
        session.restore()
    other.add_layer(Layer.create(*image_layer(patient[0].image, "image")))
    session.restore().wait(MINUTE)
    np.testing.assert_array_equal(session.result_layer("image").data, before)
    session.close()


def test_without_its_image_nothing_is_added_and_the_remedy_is_told(worked, viewer, tmp_path):
    worked.save(tmp_path / "kept").wait(MINUTE)
    viewer.layers.clear()
    viewer.add_image(np.zeros((4, 5, 6)), name="image")
    with pytest.raises(InputError, match=r"images must be open: image of shape \(20, 48, 48\)"):
        worked.restore(tmp_path / "kept").wait(MINUTE)
    assert [layer.name for layer in viewer.layers] == ["image"]


@pytest.mark.parametrize("damage", ["json", "array", "newer", "none"])
def test_what_is_no_saved_session(worked, viewer, tmp_path, damage):
    folder = tmp_path / "kept"
    worked.save(folder).wait(MINUTE)
    count = len(viewer.layers)
    if damage == "json":
        (folder / "session.json").write_text("{")
    elif damage == "array":
        for path in (folder / "labels.zarr").glob("*/zarr.json"):
            path.write_text("")
    elif damage == "newer":
        content = json.loads((folder / "session.json").read_text())
        (folder / "session.json").write_text(json.dumps({**content, "format": 99}))
    else:
        (folder / "session.json").unlink()
    with pytest.raises(InputError, match="folder must"):
        worked.restore(folder).wait(MINUTE)
    assert len(viewer.layers) == count


def test_only_slices_that_changed_are_written_again(worked, tmp_path):
    folder = tmp_path / "kept"
    worked.autosave_folder = folder
    worked.save().wait(MINUTE)

    def times():
        chunks = (folder / "labels.zarr").rglob("c/*/*/0/0")
        return {path: path.stat().st_mtime_ns for path in chunks}

    before = times()
    worked.result_layer("image").data[7, :3, :3] = 2
    worked.save().wait(MINUTE)
    after = times()
    assert len([path for path in after if after[path] != before.get(path)]) == 1


def test_a_folder_that_cannot_be_written_is_told(worked, tmp_path):
    (tmp_path / "file").write_text("")
    job = worked.save(tmp_path / "file" / "inside")
    with pytest.raises(FewShotError, match="could not be saved"):
        job.wait(MINUTE)
    assert worked.slices("image")


def test_old_autosaves_of_an_image_make_way(viewer, tmp_path, monkeypatch):
    from napari_fewshot._napari.session.autosave import folder as autosave_folder

    image = viewer.layers["image"]
    for k in range(14):
        monkeypatch.setattr(autosave_folder.time, "strftime", lambda _, k=k: f"2026-01-{k:02}")
        folder = autosave_folder.new_autosave(tmp_path, image)
        assert not folder.exists()
        folder.mkdir(parents=True)
        (folder / "session.json").write_text("{}")
    kept = sorted(path.parent.name for path in tmp_path.rglob("session.json"))
    assert kept == [f"2026-01-{k:02}" for k in range(4, 14)]


def test_a_template_that_is_open_is_not_opened_twice(predicted, viewer, tmp_path):
    predicted.mark_reviewed(3, "image")
    predicted.save(tmp_path / "kept").wait(MINUTE)
    viewer.layers.remove(predicted.result_layer("image"))
    predicted.remove_template(predicted.templates[0])
    predicted.restore(tmp_path / "kept").wait(MINUTE)
    assert [layer.name for layer in viewer.layers].count("paint") == 1
    assert "paint [1]" not in viewer.layers
    assert str(predicted.templates[0]) == "paint → image: 3 slices"
    assert statuses(predicted)[3] == "reviewed"
