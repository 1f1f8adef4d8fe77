"""What a save writes is one moment: voxels, and what is known of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from napari_fewshot._napari.session.autosave import folder as autosave_folder
from napari_fewshot._napari.session.autosave.folder import Autosave, read_autosave
from napari_fewshot._napari.session.autosave.spares import Spares
from napari_fewshot._napari.session.jobs import Job
from napari_fewshot._napari.session.teaching import provenance_of
from napari_fewshot.errors import InputError

from ..conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def of_status(session, status):
    return [info.index for info in session.slices("image") if info.status == status]


def empty_place(layer, k):
    return (k, *(int(n) for n in np.argwhere(layer.data[k] == 0)[400]))


@contextlib.contextmanager
def busy(session):
    """The worker is at something else: what is asked for meanwhile waits."""
    gate = threading.Event()
    job = session._runner.start(Job("Busy", "extract", lambda job: gate.wait(MINUTE)))
    try:
        yield
    finally:
        gate.set()
        job.wait(MINUTE)


def saved(folder, name):
    content = read_autosave(folder)
    return next(layer for layer in content["layers"] if layer["name"] == name)


def test_what_a_person_does_during_a_save_is_not_in_it(predicted, viewer, tmp_path):
    layer = predicted.result_layer("image")
    first, second, third = of_status(predicted, "predicted")[4:7]
    stroke(layer, empty_place(layer, first), 3)
    before, known = layer.data.copy(), provenance_of(layer).to_json()
    strokes = {key: plane.copy() for key, plane in provenance_of(layer).stroke_planes().items()}
    painted = viewer.layers["paint"].data.copy()
    with busy(predicted):
        job = predicted.save(tmp_path / "kept")
        for k in (first, second):
            stroke(layer, empty_place(layer, k), 2)
        layer.data[third] = 0
        predicted.accept(third, "image")
        stroke(viewer.layers["paint"], (second, 20, 20), 1)
    job.wait(MINUTE)
    found = saved(tmp_path / "kept", layer.name)
    np.testing.assert_array_equal(found["data"], before)
    assert found["provenance"] == known
    assert found["stroke_planes"].keys() == strokes.keys()
    for key, plane in strokes.items():
        np.testing.assert_array_equal(found["stroke_planes"][key], plane)
    np.testing.assert_array_equal(saved(tmp_path / "kept", "paint")["data"], painted)


def test_each_of_several_saves_has_its_own_moment(predicted, tmp_path):
    layer = predicted.result_layer("image")
    predicted.autosave_folder = tmp_path / "kept"
    predicted.save().wait(MINUTE)  # whose memory the next one takes
    k = of_status(predicted, "predicted")[4]
    with busy(predicted):
        moments = []
        for value in (1, 2):
            layer.data[k] = value
            moments.append((predicted.save(tmp_path / f"{value}"), predicted.save()))
        layer.data[k] = 3
    for value, jobs in enumerate(moments, 1):
        for job in jobs:
            job.wait(MINUTE)
        assert (saved(tmp_path / f"{value}", layer.name)["data"][k] == value).all()
    assert (saved(tmp_path / "kept", layer.name)["data"][k] == 2).all()
    assert (layer.data[k] == 3).all()


def test_a_copy_shares_memory_with_nothing_that_is_in_use(predicted):
    spares, data = Spares(), predicted.result_layer("image").data
    copies = [spares.copied(data) for _ in range(3)]
    for k, one in enumerate(copies):
        np.testing.assert_array_equal(one, data)
        assert not any(np.shares_memory(one, other) for other in (data, *copies[:k]))


def test_a_stroke_that_is_being_drawn_is_saved_when_it_has_ended(predicted, tmp_path, qtbot):
    layer = predicted.result_layer("image")
    predicted.autosave_folder = tmp_path / "kept"
    k = of_status(predicted, "predicted")[5]
    place = empty_place(layer, k)
    layer.brush_size = 3
    layer._begin_stroke()
    layer.paint(place, 3)
    predicted._storage._on_timer()
    assert not predicted.jobs  # it waits
    layer._commit_stroke()
    predicted._storage._on_timer()
    qtbot.waitUntil(lambda: not predicted.jobs, timeout=20_000)
    found = saved(tmp_path / "kept", layer.name)
    assert found["data"][place] == 3
    assert found["stroke_planes"][k,][place[1:]] == 3


def test_what_was_undone_in_a_hidden_layer_is_saved_as_undone(predicted, tmp_path):
    """napari tells of no undo where it draws nothing."""
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    layer.visible = False
    layer.undo()
    predicted.save(tmp_path / "kept").wait(MINUTE)
    found = saved(tmp_path / "kept", layer.name)
    assert not found["data"][k].any()
    assert [k] not in found["provenance"]["predicted"]


class Killed(BaseException):
    """The process is no more."""


def at_a_plane(monkeypatch):
    from napari_fewshot._napari.session.autosave import planes

    write, written = planes.PlaneFiles.write, []

    def once(self, *given, **named):
        if written:
            raise Killed
        written.append(write(self, *given, **named))
        return written[0]

    monkeypatch.setattr(planes.PlaneFiles, "write", once)


def at(name):
    def kill(monkeypatch):
        def killed(*given, **named):
            raise Killed

        monkeypatch.setattr(autosave_folder, name, killed)

    return kill


def at_the_end(monkeypatch):
    def dumps(*given, **named):
        raise Killed

    monkeypatch.setattr(autosave_folder, "json", SimpleNamespace(dumps=dumps, loads=json.loads))


def behind_the_model(monkeypatch):
    stage = autosave_folder.stage_model

    def staged(*given):
        stage(*given)
        raise Killed

    monkeypatch.setattr(autosave_folder, "stage_model", staged)


def contents(folder):
    """What a folder gives back, by value."""
    found = read_autosave(folder)
    layers = [
        (
            one["data"].tobytes(),
            one["provenance"],
            {key: plane.tobytes() for key, plane in one["stroke_planes"].items()},
            None if one["confidence"] is None else one["confidence"].tobytes(),
        )
        for one in found["layers"]
    ]
    scores = [[s.descriptor.tobytes() for s in one.scores] for one in found["slice_scores"]]
    return layers, scores, found["model"].read_bytes()


@pytest.mark.parametrize(
    ("kill", "is_new"),
    [(at_a_plane, False), (at("stage_model"), False), (behind_the_model, False),
     (at_the_end, False), (at("place_model"), True)],
    ids=["between layers", "before the model", "behind the model", "at the end", "when named"],
)  # fmt: skip
def test_a_save_that_is_killed_leaves_the_one_before_or_is_whole(
    predicted, viewer, tmp_path, monkeypatch, kill, is_new
):
    layer, folder = predicted.result_layer("image"), tmp_path / "kept"
    autosave = Autosave(folder)

    def taken():
        return predicted._storage._taken(np.array)

    autosave.write(taken())
    first = contents(folder)
    for turn, (value, k) in enumerate([(3, 4), (1, 5), (2, 4)]):
        before = contents(folder)
        stroke(layer, empty_place(layer, of_status(predicted, "predicted")[k]), value)
        viewer.layers["paint"].data[turn] = value
        predicted._state.model = predicted.model.with_card(note=f"turn {turn}")
        with monkeypatch.context() as patch:
            kill(patch)
            with pytest.raises(Killed):
                (Autosave(folder) if turn else autosave).write(taken())
        if not is_new:
            assert contents(folder) == before
        else:
            assert contents(folder) != before
    Autosave(folder).write(taken())
    whole = contents(folder)
    assert whole != first
    Autosave(tmp_path / "other").write(taken())
    assert contents(tmp_path / "other") == whole
    assert sorted(p.suffix for p in folder.iterdir()) == sorted(
        p.suffix for p in (tmp_path / "other").iterdir()
    )


def test_names_in_a_description_lead_nowhere_else(predicted, tmp_path):
    folder = tmp_path / "kept"
    predicted.save(folder).wait(MINUTE)
    content = json.loads((folder / "session.json").read_text())
    name = content["layers"][0]["array"]
    shutil.copytree(folder / "labels.zarr" / name, tmp_path / "elsewhere")
    for part, other in (("array", "../../elsewhere"), ("strokes_file", "../secret.npz")):
        changed = json.loads((folder / "session.json").read_text())
        changed["layers"][0][part] = other
        (tmp_path / "kept" / "session.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match="folder|array"):
            read_autosave(folder)
        (folder / "session.json").write_text(json.dumps(content))
    read_autosave(folder)


def test_a_folder_that_was_emptied_meanwhile_is_filled_again(predicted, tmp_path):
    folder = tmp_path / "kept"
    autosave = Autosave(folder)
    autosave.write(predicted._storage._taken(np.array))
    before = contents(folder)
    for path in list(folder.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    autosave.write(predicted._storage._taken(np.array))
    assert contents(folder) == before
    shutil.rmtree(folder)
    autosave.write(predicted._storage._taken(np.array))
    assert contents(folder) == before
