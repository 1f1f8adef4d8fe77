"""What the session tells of itself is true in every state: scores, settings, slices, pairs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, NotFittedError
from napari_fewshot._napari.session.teaching import provenance_of
from napari_fewshot._napari.wording import in_viewer
from napari_fewshot.backbones.weights import MissingWeightsError, WeightsSource
from napari_fewshot.errors import InputError

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def status(session, k):
    return session.slices("image")[k].status


def predicted_slices(session):
    return [info.index for info in session.slices("image") if info.status == "predicted"]


@pytest.fixture
def gate(monkeypatch):
    """Trainings wait for it, so that something can be done meanwhile."""
    opened, begun = threading.Event(), threading.Event()
    fit = FewShotSegmenter.fit

    def slowly(self, *given, **more):
        begun.set()
        opened.wait(MINUTE)
        return fit(self, *given, **more)

    monkeypatch.setattr(FewShotSegmenter, "fit", slowly)
    opened.begun = begun
    yield opened
    opened.set()


# Settings


def test_a_setting_that_is_changed_in_a_training_neither_kills_nor_enters_it(session, gate):
    job = session.train(score=False)
    assert gate.begun.wait(MINUTE)
    session.configure(position=not session.settings.position, seed=5)
    gate.set()
    model = job.wait(MINUTE)
    assert (job.state, session.model) == ("done", model)
    assert model.config.seed == 0
    assert session.outdated == ("seed", "position")
    session.configure(position=model.config.position.use, seed=0)
    assert session.outdated == ()


def test_a_changed_setting_marks_the_model_until_it_has_learned_it(trained):
    assert trained.outdated == ()
    trained.configure(of_adapter={"hidden": 16})
    assert trained.outdated == ("settings of classification",)
    trained.configure(adapter="cosine")
    assert trained.outdated == ("adapter",)
    trained.configure(propagation={"cleanup": {"min_size": 7}})  # it counts from the next run on
    trained.configure(experts={"polish_minutes": 3})
    assert trained.outdated == ("adapter",)
    trained.train(score=False).wait(MINUTE)
    assert trained.outdated == ()


def test_an_update_learns_what_was_set_since(predicted):
    predicted.configure(seed=5)
    assert predicted.outdated == ("seed",)
    predicted.update("image").wait(MINUTE)
    assert predicted.outdated == ()
    assert predicted.model.config.seed == 5


def test_a_loaded_model_is_as_it_is_set(trained, tmp_path):
    trained.save_model(tmp_path / "model")
    trained.configure(adapter="cosine")
    trained.load_model(tmp_path / "model")
    assert trained.outdated == ()


def test_what_was_cancelled_says_why(session, gate, tmp_path):
    first = session.train(score=False)
    assert gate.begun.wait(MINUTE)
    second = session.train(score=False)
    gate.set()
    second.wait(MINUTE)
    assert (first.state, first.note) == ("cancelled", "a new training was begun")
    assert (second.state, second.note) == ("done", "")


def test_a_newer_request_is_named_as_the_reason(trained):
    first, second = trained.propagate("image"), trained.propagate("image")
    second.wait(MINUTE)
    assert (first.state, first.note) == ("cancelled", "a newer request took its place")


def test_each_of_two_updates_has_what_it_was_asked_with(predicted, viewer, monkeypatch):
    """One that runs is not given what a later one takes."""
    opened, begun = threading.Event(), threading.Event()
    updated = FewShotSegmenter.updated
    asked = []

    def slowly(self, templates, *given, **more):
        asked.append(
            (self.config.propagation.cleanup.min_size, sum(len(t.slices) for t in templates))
        )
        begun.set()
        opened.wait(MINUTE)
        return updated(self, templates, *given, **more)

    monkeypatch.setattr(FewShotSegmenter, "updated", slowly)
    image = viewer.layers["image"]
    other = viewer.add_image(image.data.copy(), name="other", scale=image.scale)
    first = predicted.update("image")
    assert begun.wait(MINUTE)
    k = predicted_slices(predicted)[3]
    predicted.accept(k, "image")
    predicted.configure(propagation={"cleanup": {"min_size": 2}})
    second = predicted.update(other)
    opened.set()
    for job in (first, second):
        job.wait(MINUTE)
        assert job.state == "done"
    (size, slices), (later_size, later_slices) = asked
    assert (later_size, later_slices) == (2, slices + 1)
    assert size != 2


# Scores


def test_why_there_is_no_score(session, tmp_path, qtbot):
    assert session.unscored == "Train first."
    session.train(score=False).wait(MINUTE)
    assert "“Score afterwards”" in session.unscored
    job = session.train()
    job.wait(MINUTE)
    assert session.unscored.startswith(("Being scored", "The score is computed when"))
    first = []
    session.events.scored.connect(lambda: first.append(session.labelling.agreement.left))
    qtbot.waitUntil(lambda: session.scores is not None, timeout=1000 * MINUTE)
    assert session.unscored == ""
    assert first == list(range(first[0], -1, -1))  # figures of some parts, then of all
    assert first[0] > 0
    session.save_model(tmp_path / "model")
    session.load_model(tmp_path / "model")
    assert "comes from a file" in session.unscored


def test_a_score_that_a_person_stops_is_said_to_be_stopped(session, qtbot, monkeypatch):
    began = threading.Event()
    score = FewShotSegmenter.held_out_score

    def scored(self, progress, told):
        began.set()
        return score(self, progress, told)

    monkeypatch.setattr(FewShotSegmenter, "held_out_score", scored)
    session.train().wait(MINUTE)
    qtbot.waitUntil(began.is_set, timeout=1000 * MINUTE)
    assert session.unscored.startswith("Being scored")
    session.cancel()
    qtbot.waitUntil(lambda: not session.jobs, timeout=1000 * MINUTE)
    assert "was cancelled" in session.unscored


def test_a_score_that_fails_says_why(session, qtbot, monkeypatch):
    def fail(self, progress, told):
        raise NotFittedError("no examples")

    monkeypatch.setattr(FewShotSegmenter, "held_out_score", fail)
    session.train().wait(MINUTE)
    qtbot.waitUntil(lambda: "no examples" in session.unscored, timeout=1000 * MINUTE)


def test_one_slice_has_no_score(session, viewer, patient, qtbot):
    paint = viewer.layers["paint"]
    for k in patient[2][1:]:
        paint.data[k] = 0
    provenance_of(paint).forget()
    session.train().wait(MINUTE)
    qtbot.waitUntil(lambda: "two template slices" in session.unscored, timeout=1000 * MINUTE)


def test_landmarks_alone_have_no_score(session, viewer, qtbot):
    session.remove_template(session.templates[0])
    image = viewer.layers["image"]
    points = viewer.add_points([image.data_to_world((5, 20, 20))], name="marks", ndim=3)
    session.add_template("image", points)
    session.train().wait(MINUTE)
    qtbot.waitUntil(lambda: "landmarks" in session.unscored, timeout=1000 * MINUTE)


# Slices


def test_the_list_follows_undo_and_redo(predicted, qtbot):
    layer, told = predicted.result_layer("image"), []
    before = predicted.slices("image")
    predicted.events.slices.connect(lambda: told.append(predicted.slices("image")))
    layer.undo()
    assert told
    assert not [info for info in told[-1] if info.status == "predicted" or info.score is not None]
    count = len(told)
    layer.redo()
    assert len(told) > count
    assert [i.status for i in told[-1]] == [i.status for i in before]


def test_accepted_can_be_taken_back(predicted):
    layer, k = predicted.result_layer("image"), predicted_slices(predicted)[4]
    before = layer.data[k].copy()
    predicted.accept(k, "image")
    info = predicted.slices("image")[k]
    assert (info.status, info.accepted) == ("painted", True)
    assert any(k in t.slices for t in predicted._training.templates())
    predicted.unaccept(k, "image")
    info = predicted.slices("image")[k]
    assert (info.status, info.accepted) == ("predicted", False)
    assert not any(k in t.slices for t in predicted._training.templates())
    np.testing.assert_array_equal(layer.data[k], before)
    predicted.unaccept(k, "image")  # there is nothing to take back


def test_strokes_on_an_accepted_slice_stay_when_it_is_taken_back(predicted):
    layer, k = predicted.result_layer("image"), predicted_slices(predicted)[4]
    predicted.accept(k, "image")
    row, column = (int(n) for n in np.argwhere(layer.data[k] == 0)[400])
    stroke(layer, (k, row, column), 3)
    predicted.unaccept(k, "image")
    assert predicted.slices("image")[k].strokes
    predicted.update("image").wait(MINUTE)
    assert layer.data[k, row, column] == 3


# Pairs


def test_painted_as_acts_on_a_template_that_was_added(session, viewer):
    (entry,) = session.templates
    dense = session._training.templates()
    changed = session.retype_template(entry, "scribble")
    assert session.templates == (changed,)
    found = session._training.templates()
    assert [t.kind for t in dense] == ["dense"]
    assert [t.kind for t in found] == ["scribble"]
    assert (changed.image, changed.labels) == (entry.image, entry.labels)
    assert session.add_template("image", "paint") is changed
    with pytest.raises(InputError, match="kind must be dense or scribble"):
        session.retype_template(changed, "points")
    with pytest.raises(InputError, match="entry must be a template"):
        session.retype_template(entry, "dense")


def test_a_pair_that_may_be_a_mistake_is_said(session, viewer):
    from napari.utils.notifications import notification_manager

    image = viewer.layers["image"]
    other = viewer.add_image(image.data[::-1].copy(), name="second", scale=image.scale)
    assert session.doubt(image, viewer.layers["paint"]) == ""
    assert "belongs to “image”, not to “second”" in session.doubt(other, viewer.layers["paint"])
    mine = viewer.add_labels(np.zeros(image.data.shape, int), name="second labels")
    mine.scale, mine.translate = image.scale, image.translate
    other.translate = image.translate
    assert session.doubt(other, mine) == ""
    assert "By its name “second labels” belongs to “second”" in session.doubt(image, mine)
    mine.name = "labels"
    assert session.doubt(image, mine) == ""
    mine.translate = np.asarray(image.translate) + 3 * np.asarray(image.scale)
    assert "does not lie on “image”" in session.doubt(image, mine)
    notification_manager.records.clear()
    session.add_template("image", mine)
    assert "does not lie on “image”" in notification_manager.records[-1].message


def test_labels_of_an_image_that_was_removed_are_still_of_it(predicted, viewer):
    image, layer = viewer.layers["image"], predicted.result_layer("image")
    other = viewer.add_image(image.data[::-1].copy(), name="second", scale=image.scale)
    k = predicted_slices(predicted)[4]
    row, column = (int(n) for n in np.argwhere(layer.data[k] == 0)[400])
    stroke(layer, (k, row, column), 3)
    data = image.data
    viewer.layers.remove(image)
    assert predicted.owner_of(layer, other) == "image"
    with pytest.raises(InputError, match="painted or marked for another image; got paint of image"):
        predicted.propagate(other, into=layer)
    again = viewer.add_image(data, name="image", scale=other.scale)
    assert predicted.owner_of(layer, again) == ""


def test_to_replace_what_is_not_there_makes_a_new_layer(trained, viewer):
    trained.propagate("image", policy="overwrite", landmarks=False).wait(MINUTE)
    assert trained.result_layer("image").name == "image predicted"


# Words


@pytest.mark.parametrize("of_sam", [False, True])
def test_missing_weights_are_told_in_words_of_the_viewer(of_sam):
    source = WeightsSource("dinov2-s", "Apache-2.0", hub_id="timm/net", size_mb=88.0)
    error = MissingWeightsError(source, ["HF_HUB_OFFLINE is set", "no network"])
    if of_sam:
        error = error.of_sam("refine with random-walker, which needs no download")
    assert "weights FILE" in str(error)
    text = in_viewer(error)
    assert "--" not in text
    assert text.startswith("The weights of dinov2-s (88 MB) are not here")
    assert len(text.splitlines()) == 2
    way = "random-walker" if of_sam else "Weights in Feature extraction, or the backbone embedded"
    assert way in text


def test_a_job_without_weights_fails_in_these_words(session, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    said = []
    session.events.failed.connect(said.append)
    session.configure(backbone="dinov2-s", adapter="cosine")
    job = session.train(score=False)
    with pytest.raises(MissingWeightsError):
        job.wait(MINUTE)
    assert said == [f"Training failed: {job.problem}"]
    assert "--weights" not in job.problem
    assert "Feature extraction" in job.problem
