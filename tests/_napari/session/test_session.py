"""The loop of a person: templates, training, propagation, corrections, updates."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter
from napari_fewshot._napari.layers import image_layer, labels_layer
from napari_fewshot._napari.session.teaching import provenance_of
from napari_fewshot.errors import InputError, NotFittedError, UnknownNameError

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def statuses(session, image="image"):
    return {info.index: info.status for info in session.slices(image)}


def dice(found, truth):
    return 2 * ((found > 0) & (truth > 0)).sum() / ((found > 0).sum() + (truth > 0).sum())


def of_status(session, status):
    return [k for k, found in statuses(session).items() if found == status]


# Settings and templates


def test_settings_are_checked_and_told(session):
    told = []
    session.events.settings.connect(lambda: told.append(session.settings.adapter))
    session.configure(adapter="contrastive", position=False, of_adapter={"steps": 50})
    assert told == ["contrastive"]
    settings = session.settings
    assert (settings.position, settings.of_adapter.steps) == (False, 50)
    session.configure(adapter="contrastive")
    assert told == ["contrastive"]  # nothing has changed
    before = session.settings
    for bad, message in (
        ({"adapter": "contrastiv"}, "Did you mean contrastive"),
        ({"backbone": "embeded"}, "embedded"),
        ({"stepz": 1}, "setting must be one of"),
        ({"of_adapter": {"steps": 0}}, "greater than or equal to 1"),
        ({"axis": 3}, "axis must"),
        ({"template_kind": "sparse"}, "dense or scribble"),
        ({"weights": "nowhere.pth"}, "existing file"),
        ({"memory_mb": -1}, "memory_mb"),
    ):
        with pytest.raises(InputError, match=message):
            session.configure(**bad)
        assert session.settings is before


def test_templates_follow_the_layers(session, viewer, patient):
    (entry,) = session.templates
    assert str(entry) == "paint → image: 3 slices"
    assert session.add_template("image", "paint") is entry
    assert of_status(session, "painted") == sorted(patient[2])
    empty = next(iter(of_status(session, "empty")))
    viewer.layers["paint"].data[empty, 20:24, 20:24] = 3
    viewer.layers["paint"].refresh()
    entry.provenance.forget()
    assert statuses(session)[empty] == "painted"
    assert "4 slices" in str(entry)
    viewer.layers.remove("paint")
    assert not session.templates


def test_what_cannot_be_a_template(session, viewer):
    viewer.add_labels(np.zeros((3, 4, 5), np.uint8), name="other")
    with pytest.raises(InputError, match="labels must have the shape of the image"):
        session.add_template("image", "other")
    with pytest.raises(UnknownNameError, match="Did you mean paint"):
        session.add_template("image", "pain")
    with pytest.raises(InputError, match="image must be a layer of type image"):
        session.add_template("paint", "paint")
    with pytest.raises(InputError, match="kind must be dense or scribble"):
        session.add_template("image", viewer.add_labels(np.zeros((20, 48, 48), int)), kind="points")


def test_without_paint_or_model_the_way_on_is_told(session, viewer):
    with pytest.raises(NotFittedError, match="train one, or load one"):
        session.propagate("image")
    viewer.layers["paint"].data = np.zeros_like(viewer.layers["paint"].data)
    with pytest.raises(InputError, match="Paint a slice"):
        session.train()
    session.remove_template(session.templates[0])
    with pytest.raises(InputError, match="Add an image with its labels"):
        session.train()


# Propagation


def test_a_volume_is_labelled_from_the_slice_in_view_on(trained, viewer, truth):
    viewer.dims.set_current_step(0, 12)
    seen = []
    trained.events.slices.connect(lambda: seen.append(of_status(trained, "predicted")))
    trained.propagate("image").wait(MINUTE)
    assert seen[0] == [] or 12 in seen[0]
    layer = trained.result_layer("image")
    assert "empty" not in statuses(trained).values()
    rest = of_status(trained, "predicted")
    assert dice(layer.data[rest], truth[rest]) > 0.5
    paint = viewer.layers["paint"]
    for k in of_status(trained, "painted"):
        np.testing.assert_array_equal(layer.data[k], paint.data[k])
    assert layer.features["name"].tolist() == paint.features["name"].tolist()
    np.testing.assert_allclose(layer.get_color(3), paint.get_color(3))
    image = viewer.layers["image"]
    for other in (layer, viewer.layers["image confidence"]):
        np.testing.assert_array_equal(other.scale, image.scale)
        np.testing.assert_array_equal(other.translate, image.translate)
        assert (other.units, other.axis_labels) == (image.units, image.axis_labels)
        assert other.metadata["shape"] == image.metadata["shape"]
    confidence = viewer.layers["image confidence"].data
    assert 0 < confidence[rest].min() <= confidence.max() <= 1


def test_landmarks_have_names_scores_and_places_in_the_patient(predicted, viewer, patient):
    layer = viewer.layers["image landmarks found"]
    assert set(layer.features) == {"name", "label", "score", "R", "A", "S"}
    names = patient[0].labels.names
    for place, (_, row) in zip(layer.data, layer.features.iterrows(), strict=True):
        assert names[row["label"]] == row["name"]
        assert 0 < row["score"] <= 1
        world = layer.data_to_world(place)
        np.testing.assert_allclose(world, (row["S"], row["A"], row["R"]), atol=1e-4)
    count = len(viewer.layers)
    layer_before = trained_points = layer
    predicted.propagate("image", into="image predicted", policy="overwrite").wait(MINUTE)
    assert len(viewer.layers) == count
    assert viewer.layers["image landmarks found"] is layer_before is trained_points


@pytest.mark.parametrize("policy", ["fill", "overwrite"])
def test_into_a_layer_of_the_user(trained, viewer, policy):
    """What is painted there stays, whatever the policy."""
    mine = np.zeros_like(viewer.layers["paint"].data)
    mine[4, 10:20, 10:20] = 2
    layer = viewer.add_labels(mine.copy(), name="mine", scale=viewer.layers["image"].scale)
    trained.propagate("image", into="mine", policy=policy, confidence=False).wait(MINUTE)
    np.testing.assert_array_equal(layer.data[4], mine[4])
    assert layer.data[5].any()
    assert "image confidence" not in viewer.layers
    trained.propagate("image", into="mine", policy=policy).wait(MINUTE)
    np.testing.assert_array_equal(layer.data[4], mine[4])


def test_fill_leaves_earlier_predictions_and_overwrite_does_not(predicted):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[3]
    layer.data[k] = 0
    layer.data[k, 5:15, 5:15] = 9
    predicted.propagate("image", into=layer, policy="fill").wait(MINUTE)
    assert (layer.data[k, 5:15, 5:15] == 9).all()
    assert (layer.data[k] > 0).sum() > 100
    predicted.propagate("image", into=layer, policy="overwrite").wait(MINUTE)
    assert not (layer.data[k, 5:15, 5:15] == 9).all()


def test_all_planes_take_part_in_the_end(trained, viewer, patient):
    trained.propagate("image", all_planes=True, landmarks=False).wait(5 * MINUTE)
    image, rest = patient[0].image, of_status(trained, "predicted")
    found = [trained.model.predict(image, axis=axis, landmarks=False) for axis in ("fused", None)]
    fused, alone = (
        np.asarray(labels_layer(image.with_data(one.labels), "labels")[0])[rest] for one in found
    )
    layer = trained.result_layer("image")
    assert (layer.data[rest] == fused).mean() > 0.999
    assert (layer.data[rest] != alone).mean() > 0.001
    shown = np.asarray(image_layer(image.with_data(found[0].confidence), "confidence")[0])[rest]
    np.testing.assert_allclose(viewer.layers["image confidence"].data[rest], shown, atol=0.02)
    layer.undo()
    assert not layer.data.any()
    with pytest.raises(InputError, match="policy must be new or overwrite with all_planes"):
        trained.propagate("image", into="paint", policy="fill", all_planes=True)


def test_what_cannot_take_the_result(trained, viewer):
    viewer.add_labels(np.zeros((3, 4, 5), np.uint8), name="other")
    with pytest.raises(InputError, match="have the shape of the image"):
        trained.propagate("image", into="other")
    with pytest.raises(InputError, match="policy must be one of new, fill, overwrite"):
        trained.propagate("image", policy="merge")
    with pytest.raises(InputError, match=r"slices must be within 0\.\.19"):
        trained.propagate("image", slices=[3, 20])
    assert not trained.jobs


def test_some_slices_only(trained):
    trained.propagate("image", slices=[4, 5], landmarks=False).wait(MINUTE)
    assert of_status(trained, "predicted") == [4, 5]


def test_a_run_is_one_step_back(predicted, viewer):
    layer = predicted.result_layer("image")
    first = layer.data.copy()
    predicted.configure(seed=7)
    predicted.train(score=False).wait(MINUTE)
    predicted.propagate("image", into=layer, policy="overwrite").wait(MINUTE)
    second = layer.data.copy()
    assert (first != second).any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, first)
    layer.redo()
    np.testing.assert_array_equal(layer.data, second)
    layer.undo()
    layer.undo()
    assert not layer.data.any()


def test_another_volume_in_the_viewer(trained, viewer):
    from napari.layers import Layer

    from napari_fewshot.phantoms import make_phantom

    other = make_phantom("torso", seed=3, shape=(16, 40, 44))
    viewer.add_layer(Layer.create(*image_layer(other.image, "other")))
    trained.propagate("other").wait(MINUTE)
    layer = trained.result_layer("other")
    assert layer.data.shape == (16, 40, 44)
    truth = np.asarray(image_layer(other.labels, "t")[0])
    assert dice(layer.data, truth) > 0.4
    assert trained.result_layer("image") is None


# Corrections


def test_strokes_on_a_prediction_stay_and_teach_alone(predicted, viewer):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    before = layer.data.copy()
    place = tuple(np.argwhere(before[k] == 0)[400])
    stroke(layer, (k, *place), 3)
    painted = layer.data[k] != before[k]
    assert painted.any()
    assert statuses(predicted)[k] == "predicted"
    templates = predicted._training.templates()
    assert [t.kind for t in templates] == ["dense", "scribble"]
    known = np.asarray(templates[1].labels.data)
    assert set(np.flatnonzero(known.any(axis=(1, 2)))) == {k}
    assert (known[k][painted] == 3).all()
    assert not known[k][~painted & (before[k] != 3)].any()
    predicted.update("image").wait(MINUTE)
    assert (layer.data[k][painted] == 3).all()


@pytest.mark.parametrize("tool", ["paint", "fill", "polygon", "setitem"])
def test_tools_that_tell_before_they_write(predicted, tool):
    """Of a change outside a stroke of the mouse napari tells before the array has changed."""
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    before = layer.data.copy()
    row, column = (int(n) for n in np.argwhere(before[k] == 0)[400])
    layer.brush_size = 3
    if tool == "paint":
        layer.paint((k, row, column), 3)
    elif tool == "fill":
        layer.fill((k, row, column), 3)
    elif tool == "polygon":
        corners = [[k, row, column], [k, row, column + 6], [k, row + 6, column + 6]]
        layer.paint_polygon(corners, 3)
    else:
        layer.data_setitem((np.array([k]), np.array([row]), np.array([column])), 3)
    changed = layer.data[k] != before[k]
    assert changed.any()
    assert provenance_of(layer).strokes((k,))[changed].all()


def test_undoing_a_run_takes_its_statuses_back(predicted):
    layer = predicted.result_layer("image")
    assert "empty" not in statuses(predicted).values()
    layer.undo()
    assert set(statuses(predicted).values()) == {"painted", "empty"}
    layer.redo()
    assert "empty" not in statuses(predicted).values()


def test_settings_of_the_clean_up_count_without_training_again(predicted):
    from scipy.ndimage import label

    layer = predicted.result_layer("image")
    model = predicted.model
    predicted.configure(propagation={"cleanup": {"min_fraction": 1}})
    predicted.propagate("image", into=layer, policy="overwrite").wait(MINUTE)
    assert predicted.model is model
    painted = {k for k, status in statuses(predicted).items() if status == "painted"}
    for value in model.label_values_:
        parts, count = label(layer.data == value)
        alone = [n for n in range(1, count + 1) if not painted & set(np.nonzero(parts == n)[0])]
        assert len(alone) <= 1


def test_points_are_taken_where_they_are_shown(session, viewer):
    """A layer made with napari's button while nothing is selected has another scale."""
    image = viewer.layers["image"]
    world = image.data_to_world((7, 20, 30))
    layer = viewer.add_points([world], name="marks", features={"name": ["tip"]})
    assert not np.allclose(layer.scale, image.scale)
    entry = session.add_template("image", "marks")
    assert entry.slices() == [(7,)]
    template = session._training.templates()[-1]
    np.testing.assert_allclose(template.points[0].position, (7, 20, 30))


def test_an_undone_stroke_is_none(predicted):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    place = tuple(np.argwhere(layer.data[k] == 0)[400])
    stroke(layer, (k, *place), 3)
    assert len(predicted._training.templates()) == 2
    layer.undo()
    assert len(predicted._training.templates()) == 1


def test_a_corrected_prediction_teaches_when_the_person_says_so(predicted, truth):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    layer.data[k] = truth[k]
    assert k not in predicted._training.templates()[0].slices
    predicted.go_to(k, "image")
    predicted.accept()
    assert statuses(predicted)[k] == "painted"
    assert k in predicted._training.templates()[0].slices
    predicted.update("image").wait(MINUTE)
    np.testing.assert_array_equal(layer.data[k], truth[k])
    with pytest.raises(InputError, match="have a prediction to accept"):
        predicted.accept(predicted.templates[0].slices()[0][-1])


def test_an_empty_slice_can_be_reviewed(session, viewer):
    k = of_status(session, "empty")[0]
    viewer.dims.set_current_step(0, k)
    session.mark_reviewed()
    assert statuses(session)[k] == "reviewed"
    (template,) = session._training.templates()
    assert k in template.slices
    assert not np.asarray(template.labels.data)[k].any()
    session.unmark_reviewed()
    assert statuses(session)[k] == "empty"
    viewer.layers["image"].translate = (1000, 0, 0)
    with pytest.raises(InputError, match="a place beyond the image"):
        session.mark_reviewed()


def test_update_learns_and_redoes_all_slices(predicted, viewer, truth):
    layer = predicted.result_layer("image")
    before = layer.data.copy()
    for k in of_status(predicted, "predicted")[::4]:
        layer.data[k] = truth[k]
        predicted.accept(k, "image")
    model = predicted.model
    predicted.update("image").wait(MINUTE)
    assert predicted.model is not model
    assert predicted.model.training_set_.describe().startswith("8 known")
    rest = of_status(predicted, "predicted")
    assert dice(layer.data[rest], truth[rest]) > dice(before[rest], truth[rest]) - 0.05
    assert (layer.data[rest] != before[rest]).any()
    layer.undo()  # the update is one step
    np.testing.assert_array_equal(layer.data[rest], before[rest])


def test_update_before_any_result_makes_one(trained):
    trained.update("image").wait(MINUTE)
    assert "empty" not in statuses(trained).values()


def test_live_redoes_the_slice_in_view_after_a_stroke(predicted, viewer, qtbot):
    layer = predicted.result_layer("image")
    k = of_status(predicted, "predicted")[5]
    predicted.go_to(k, "image")
    predicted.live = True
    jobs = []
    predicted.events.job.connect(lambda job: jobs.append((job.name, job.state)))
    before = layer.data.copy()
    place = tuple(np.argwhere(before[k] == 0)[400])
    stroke(layer, (k, *place), 3)
    qtbot.waitUntil(lambda: ("Updating the slice in view", "done") in jobs, timeout=20_000)
    others = [j for j in range(len(before)) if j != k]
    np.testing.assert_array_equal(layer.data[others], before[others])
    assert layer.data[(k, *place)] == 3
    predicted.live = False
    jobs.clear()
    stroke(layer, (k, *place), 4)
    qtbot.wait(400)
    assert not [job for job in jobs if job[0].startswith("Updating")]


def test_paint_in_the_template_after_a_run_counts_and_is_copied(predicted, viewer, truth):
    k = of_status(predicted, "predicted")[4]
    paint = viewer.layers["paint"]
    paint.data[k] = truth[k]
    predicted.templates[0].provenance.forget()
    assert statuses(predicted)[k] == "painted"
    predicted.update("image").wait(MINUTE)
    np.testing.assert_array_equal(predicted.result_layer("image").data[k], truth[k])


def test_the_next_slice_is_one_to_paint_and_changes_when_it_is_painted(predicted, viewer, truth):
    first = predicted.next_slice("image")
    assert statuses(predicted)[first] == "predicted"
    scores = {info.index: info.score for info in predicted.slices("image")}
    assert scores[first] == max(v for v in scores.values() if v is not None)
    predicted.go_to(first)
    assert viewer.dims.current_step[0] == first == predicted.slice_in_view("image")
    predicted.accept(image="image")
    second = predicted.next_slice("image")
    assert second != first
    for k in of_status(predicted, "predicted"):
        predicted.accept(k, "image")
    assert predicted.next_slice("image") is None


def test_before_a_prediction_the_next_slice_is_in_the_widest_gap(session, patient):
    painted = sorted(patient[2])
    suggested = session.next_slice("image")
    distance = {k: min(abs(k - p) for p in painted) for k in range(20)}
    assert distance[suggested] == max(distance.values())


# Scores, points, scribbles


def test_the_score_comes_after_the_model_and_names_the_labels(session, patient, tmp_path):
    told = []
    session.events.trained.connect(lambda: told.append("trained"))
    session.events.scored.connect(lambda: told.append("scored"))
    session.train()
    while session.jobs:
        session.jobs[0].wait(MINUTE)
    assert told[0] == "trained"
    assert {*told[1:]} == {"scored"}  # first figures, and all of them
    assert set(session.scores.dice) == set(session.model.label_values_)
    session.save_model(tmp_path / "scored.fewshot")
    card = FewShotSegmenter.load(tmp_path / "scored.fewshot", device="cpu").card_
    assert card.score == session.scores.for_card()
    assert session.label_names().items() >= dict(patient[0].labels.names).items()
    colours = session.label_colours()
    assert set(colours) == set(session.model.label_values_)
    assert all(len(c) == 4 and 0 <= min(c) <= max(c) <= 1 for c in colours.values())


def test_points_teach_landmarks_beside_labels_of_the_same_numbers(session, viewer, patient):
    from napari.layers import Layer

    from napari_fewshot._napari.layers import landmarks_layer

    phantom = patient[0]
    marks = [m for m in phantom.landmarks if m.name][:3]
    layer = Layer.create(*landmarks_layer(marks, phantom.image, "marks"))
    viewer.add_layer(layer)
    session.configure(propagation={"landmarks": {"min_score": 0.05}})
    session.remove_template(session.templates[0])
    session.add_template("image", "marks")
    session.train(score=False).wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    assert session.result_layer("image") is None  # landmarks alone need no labels layer
    found = viewer.layers["image landmarks found"].features
    assert set(found["name"]) <= {mark.name for mark in marks}
    session.add_template("image", "paint")
    session.train(score=False).wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    found = viewer.layers["image landmarks found"].features
    assert set(found["name"]) <= {mark.name for mark in marks}
    labels = {mark.name: mark.label for mark in marks}
    assert all(labels[row["name"]] == row["label"] for _, row in found.iterrows())
    drawn = set(np.unique(session.result_layer("image").data))
    assert drawn <= {0, *patient[0].labels.names}


@pytest.mark.parametrize("own", [True, False])
def test_scribbles_are_kept_and_completed(session, viewer, truth, own):
    entry = session.templates[0]
    session.remove_template(entry)
    scribbles = np.zeros_like(truth)
    for k in (6, 13):
        for value in np.unique(truth[k]):
            places = np.argwhere(truth[k] == value)[::7]
            scribbles[k][tuple(places.T)] = value or 255
    layer = viewer.add_labels(
        scribbles.copy(), name="scribbles", scale=viewer.layers["image"].scale
    )
    session.add_template("image", "scribbles", kind="scribble")
    session.train(score=False).wait(MINUTE)
    into = {"into": "scribbles", "policy": "overwrite"} if own else {}
    session.propagate("image", **into).wait(MINUTE)
    result = session.result_layer("image")
    assert (result is layer) is own
    wanted = scribbles if own else np.where(scribbles == 255, 0, scribbles)
    drawn = scribbles > 0
    np.testing.assert_array_equal(result.data[drawn], wanted[drawn])
    assert dice(np.where(result.data == 255, 0, result.data), truth) > 0.5
    (template,) = session._training.templates()
    known = np.asarray(template.labels.data)
    np.testing.assert_array_equal(
        known[drawn], np.where(scribbles == 255, -1, scribbles.astype(int))[drawn]
    )
    assert not known[~drawn].any()


def test_estimates_come_before_the_work(session):
    for stage in ("extract", "train", "score", "propagate", "update"):
        found = session.estimate(stage, "image")
        assert found.seconds is not None
        assert found.seconds >= 0
    session.configure(backbone="embedded")
    assert session.estimate("extract", "image").megabytes is None  # nothing is kept on disk
    session.configure(backbone="dinov2-s")
    assert session.estimate("extract", "image").megabytes > 1
    session.configure(backbone="embedded")
    before = session.estimate("propagate", "image").seconds
    session.extract("image").wait(MINUTE)
    assert session.estimate("propagate", "image").seconds < before


def test_a_prediction_is_estimated_as_the_last_one_took(predicted, monkeypatch):
    from napari_fewshot._napari.session import propagation

    here, hours = threading.get_ident(), iter([0.0, 3600.0])
    clock = SimpleNamespace(
        perf_counter=lambda: 0.0 if threading.get_ident() == here else next(hours)
    )
    monkeypatch.setattr(propagation, "time", clock)
    assert predicted.estimate("propagate", "image").seconds < 60
    predicted.propagate("image").wait(MINUTE)  # its features are there
    assert predicted.estimate("propagate", "image").seconds == pytest.approx(3600)
