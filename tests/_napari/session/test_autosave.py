"""What a save writes is one moment: voxels, and what is known of them."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest

from napari_fewshot._napari.session.autosave_files import read_autosave
from napari_fewshot._napari.session.jobs import Job
from napari_fewshot._napari.session.spares import Spares
from napari_fewshot._napari.session.teaching import provenance_of

from .conftest import MINUTE, stroke

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
