"""Golden: the session that scripts drive, its methods, events, jobs and errors."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from napari_fewshot import InputError, NotFittedError, UnknownNameError, viewer_session

from .person import Golden, Person

pytestmark = pytest.mark.viewer

GOLDEN = Golden("scripting")
MINUTE = 60


@pytest.fixture
def viewer(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    """A viewer without docks, and a patient with its template."""
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    person = Person(make_napari_viewer(), qtbot)
    person.open_patient(tmp_path)
    return person.viewer


@pytest.fixture
def session(viewer):
    found = viewer_session(viewer)
    found.configure(backbone="multiscale", adapter="cosine")
    return found


def test_methods_and_signatures(session):
    """A script that works today finds everything where it was."""
    public = {name for name in dir(type(session)) if not name.startswith("_")}
    kinds = {}
    for name in sorted(public):
        found = inspect.getattr_static(type(session), name)
        if callable(found):
            parameters = inspect.signature(found).parameters.values()
            kinds[name] = [str(one.replace(annotation=one.empty)) for one in parameters]
        else:
            kinds[name] = "can be set" if getattr(found, "fset", None) else "can be read"
    GOLDEN.look("session", kinds)
    GOLDEN.look("events", sorted(session.events.signals))
    GOLDEN.look("settings", [n for n in dir(session.settings) if not n.startswith("_")])


def test_what_it_tells_and_gives(session, viewer, assert_same_labels):
    told: list[str] = []
    session.events.job.connect(lambda job: told.append(f"{job.name}: {job.state}"))
    for name in ("settings", "trained", "scored", "propagated"):
        getattr(session.events, name).connect(lambda *_, name=name: told.append(name))
    entry = session.add_template("patient", "patient_labels")
    assert session.add_template("patient", "patient_labels") is entry
    assert session.templates == (entry,)
    model = session.train(score=False).wait(MINUTE)
    assert model is session.model
    job = session.propagate("patient", landmarks=False)
    prediction = job.wait(MINUTE)
    assert (job.state, job.fraction, job.stage) == ("done", 1.0, "propagate")
    result = session.result_layer("patient")
    assert_same_labels(result.data, GOLDEN.array("propagated", result.data))
    assert prediction.labels.shape == result.data.shape
    assert "patient landmarks found" not in viewer.layers
    assert session.images_of(result) == (viewer.layers["patient"],)
    session.autosave_folder = None
    assert session.update("patient").wait(MINUTE) is not None
    session.refine("patient", method="random-walker").wait(MINUTE)
    assert session.can_discard_refinement("patient")
    assert session.discard_refinement("patient") > 0
    GOLDEN.look("told", [line for line in told if not line.startswith("Saving")])
    session.remove_template(entry)
    assert session.templates == ()


def test_policies_and_slices(session, viewer):
    session.add_template("patient", "patient_labels")
    session.train(score=False).wait(MINUTE)
    session.propagate("patient", slices=[8, 9], confidence=False).wait(MINUTE)
    result = session.result_layer("patient")
    made = [info.index for info in session.slices("patient") if info.status == "predicted"]
    assert made == [k for k in (8, 9) if k in made]
    assert made
    assert "patient confidence" not in viewer.layers
    mine = viewer.add_labels(np.zeros_like(result.data), name="mine", scale=result.scale)
    mine.data[made[0], 10:14, 10:14] = 7
    session.propagate("patient", into="mine", policy="fill", landmarks=False).wait(MINUTE)
    assert (mine.data[made[0], 10:14, 10:14] == 7).all()
    assert session.result_layer("patient") is mine


def test_errors(session, viewer):
    """What is refused at once, and how it is said."""
    refused = {}

    def refuse(what, error, act):
        with pytest.raises(error) as found:
            act()
        refused[what] = re.sub(r" at 0x\w+", "", str(found.value))

    refuse("no template", InputError, session.train)
    refuse("no model", NotFittedError, lambda: session.propagate("patient"))
    refuse("no such layer", UnknownNameError, lambda: session.add_template("patient", "nothing"))
    refuse("another type", InputError, lambda: session.add_template("patient", "patient"))
    refuse("no such setting", UnknownNameError, lambda: session.configure(colour=1))
    refuse("no such backbone", UnknownNameError, lambda: session.configure(backbone="nothing"))
    refuse("axis", InputError, lambda: session.configure(axis=5))
    refuse("not to accept", InputError, lambda: session.accept(3, "patient"))
    refuse("nothing to review", InputError, lambda: session.mark_reviewed(3, "patient"))
    refuse("nothing to refine", InputError, lambda: session.refine("patient"))
    refuse("no folder", InputError, session.save)
    refuse("nothing saved", InputError, session.restore)
    GOLDEN.look("refused", refused)
