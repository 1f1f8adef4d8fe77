"""Strokes in a template layer, where its image has a prediction, teach alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot._napari.session.teaching import provenance_of

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def info(session, k):
    return session.slices("image")[k]


def templates(session):
    """Dense slices with their labels, and what is known of others."""
    dense, scribbles = {}, {}
    for template in session._training.templates():
        data = np.asarray(template.labels.data)
        if template.kind == "dense":
            dense |= {k: data[k] for k in template.slices}
        else:
            scribbles |= {int(k): data[k] for k in np.flatnonzero(data.any(axis=(1, 2)))}
    return dense, scribbles


@pytest.fixture
def drawn(predicted, viewer):
    """(session, template layer, result, slice, voxels): a stroke of label 3 in the template."""
    paint, result = viewer.layers["paint"], predicted.result_layer("image")
    made = [one.index for one in predicted.slices("image") if one.status == "predicted"]
    k = max(made, key=lambda k: len(np.unique(result.data[k])))
    row, column = (int(n) for n in np.argwhere(result.data[k] == 0)[400])
    viewer.layers.selection.active = paint
    stroke(paint, (k, row, column), 3)
    voxels = paint.data[k] == 3
    assert voxels.any()
    return predicted, paint, result, k, voxels


def test_a_stroke_over_a_prediction_teaches_alone_and_the_rest_stays_predicted(drawn):
    session, _, result, k, voxels = drawn
    before = result.data[k].copy()
    assert (info(session, k).status, info(session, k).strokes) == ("predicted", True)
    dense, scribbles = templates(session)
    assert k not in dense
    np.testing.assert_array_equal(scribbles[k], np.where(voxels, 3, 0))
    session.update("image").wait(MINUTE)
    assert (result.data[k][voxels] == 3).all()
    assert set(np.unique(result.data[k])) >= set(np.unique(before)) - {3}
    rest = ~voxels
    kept = (result.data[k][rest] > 0).sum() / (before[rest] > 0).sum()
    assert 0.7 < kept < 1.4
    assert (info(session, k).status, info(session, k).strokes) == ("predicted", True)
    result.undo()  # the update; what was painted stays in its own layer
    np.testing.assert_array_equal(result.data[k], before)
    assert k not in templates(session)[0]
    result.redo()
    assert (result.data[k][voxels] == 3).all()
    session.refine("image", method="random-walker", slices=[k]).wait(MINUTE)
    assert (result.data[k][voxels] == 3).all()


def test_an_undone_stroke_over_a_prediction_is_none(drawn):
    session, paint, result, k, voxels = drawn
    session.propagate("image", into=result, policy="overwrite", slices=[k]).wait(MINUTE)
    assert (result.data[k][voxels] == 3).all()
    paint.undo()
    assert not info(session, k).strokes
    assert k not in {**templates(session)[0], **templates(session)[1]}
    session.propagate("image", into=result, policy="overwrite", slices=[k]).wait(MINUTE)
    assert not (result.data[k][voxels] == 3).all()
    paint.redo()
    assert info(session, k).strokes
    assert k in templates(session)[1]


def test_a_slice_is_dense_once_it_is_reviewed_until_that_is_taken_back(drawn, viewer):
    session, paint, result, k, voxels = drawn
    assert session.review_layer(k, "image") is paint
    session.mark_reviewed(k, "image")
    assert (info(session, k).status, info(session, k).strokes) == ("reviewed", False)
    np.testing.assert_array_equal(templates(session)[0][k], np.where(voxels, 3, 0))
    session.update("image").wait(MINUTE)
    np.testing.assert_array_equal(result.data[k], np.where(voxels, 3, 0))
    session.unmark_reviewed(k, "image")
    assert (info(session, k).status, info(session, k).strokes) == ("predicted", True)
    assert k not in templates(session)[0]
    session.update("image").wait(MINUTE)
    assert len(np.unique(result.data[k])) > 2
    assert (result.data[k][voxels] == 3).all()


@pytest.mark.parametrize("how", ["accept", "review"])
def test_a_prediction_that_is_taken_for_right_has_the_strokes_beside_it(drawn, viewer, how):
    session, _, result, k, voxels = drawn
    wanted = np.where(voxels, 3, result.data[k])
    viewer.layers.selection.active = viewer.layers["image"]
    assert session.review_layer(k, "image") is viewer.layers["paint"]
    viewer.layers.selection.active = result
    (session.accept if how == "accept" else session.mark_reviewed)(k, "image")
    np.testing.assert_array_equal(templates(session)[0][k], wanted)
    assert not info(session, k).strokes
    session.update("image").wait(MINUTE)
    np.testing.assert_array_equal(result.data[k], wanted)


def test_a_reviewed_template_slice_keeps_strokes_in_the_result(drawn, viewer):
    session, paint, result, k, voxels = drawn
    row, column = (int(n) for n in np.argwhere((result.data[k] == 0) & ~voxels)[-60])
    stroke(result, (k, row, column), 4)
    assert result.data[k, row, column] == 4
    viewer.layers.selection.active = paint
    session.mark_reviewed(k, "image")
    assert templates(session)[0][k][row, column] == 4
    session.update("image").wait(MINUTE)
    assert result.data[k, row, column] == 4
    assert (result.data[k][voxels] == 3).all()


def test_without_a_prediction_a_template_slice_is_dense(drawn, viewer):
    session, paint, result, k, _ = drawn
    painted = [one.index for one in session.slices("image") if one.status == "painted"]
    stroke(paint, (painted[0], 3, 3), 3)  # a slice that was painted before
    viewer.layers.remove(result)
    other = k + 1 if k + 1 not in painted else k - 1
    stroke(paint, (other, 20, 20), 3)
    dense, scribbles = templates(session)
    assert sorted(dense) == sorted([*painted, other])
    assert sorted(scribbles) == [k]
    assert (info(session, k).status, info(session, k).strokes) == ("painted", True)


def test_a_stroke_that_is_being_drawn_is_no_dense_slice(predicted, viewer):
    paint, result = viewer.layers["paint"], predicted.result_layer("image")
    k = [one.index for one in predicted.slices("image") if one.status == "predicted"][5]
    before = result.data[k].copy()
    provenance_of(paint).forget()
    paint.brush_size = 3
    paint._begin_stroke()
    paint.paint((k, 20, 20), 3)
    predicted.propagate("image", into=result, policy="overwrite", slices=[k + 1]).wait(MINUTE)
    np.testing.assert_array_equal(result.data[k], before)
    paint._commit_stroke()
    assert info(predicted, k).strokes


def test_strokes_over_a_prediction_are_restored(drawn, viewer, tmp_path):
    session, paint, result, k, _ = drawn
    before = templates(session)
    session.save(tmp_path / "kept").wait(MINUTE)
    viewer.layers.remove(paint)
    viewer.layers.remove(result)
    session.restore(tmp_path / "kept").wait(MINUTE)
    after = templates(session)
    for one, other in zip(before, after, strict=True):
        assert sorted(one) == sorted(other)
        for key, plane in one.items():
            np.testing.assert_array_equal(other[key], plane)
    assert (info(session, k).status, info(session, k).strokes) == ("predicted", True)


def test_scribbles_that_are_added_later_are_shown_too(session, viewer, truth):
    """Also in a layer of scribbles: what was painted there after the first run."""
    session.remove_template(session.templates[0])
    scribbles = np.zeros_like(truth)
    for k in (6, 13):
        for value in np.unique(truth[k]):
            scribbles[k][tuple(np.argwhere(truth[k] == value)[::7].T)] = value or 255
    layer = viewer.add_labels(scribbles, name="scribbles", scale=viewer.layers["image"].scale)
    session.add_template("image", layer, kind="scribble")
    session.train(score=False).wait(MINUTE)
    session.propagate("image").wait(MINUTE)
    result = session.result_layer("image")
    stroke(layer, (6, 20, 20), 4)
    voxels = layer.data[6] == 4
    session.propagate("image", into=result, policy="overwrite", slices=[6]).wait(MINUTE)
    assert (result.data[6][voxels] == 4).all()
    layer.undo()
    session.propagate("image", into=result, policy="overwrite", slices=[6]).wait(MINUTE)
    assert not (result.data[6][voxels] == 4).all()


# What a run does to slices, and its undo


def test_undoing_a_copy_over_a_prediction_makes_it_no_paint(predicted, viewer, truth):
    result, paint = predicted.result_layer("image"), viewer.layers["paint"]
    k = [one.index for one in predicted.slices("image") if one.status == "predicted"][4]
    paint.data[k] = truth[k]
    predicted.templates[0].provenance.forget()
    predicted.propagate("image", into=result, policy="overwrite", slices=[k]).wait(MINUTE)
    assert provenance_of(result).status((k,)) == "painted"
    result.undo()
    assert provenance_of(result).status((k,)) == "predicted"
    result.redo()
    assert provenance_of(result).made((k,)) == "copied"


def test_paint_on_a_copy_stays_paint_after_the_next_run(predicted):
    result = predicted.result_layer("image")
    k = next(one.index for one in predicted.slices("image") if one.status == "painted")
    stroke(result, (k, 20, 20), 3)
    voxels = result.data[k] == 3
    for _ in range(2):
        result.data[1] = 9  # so that the run changes it
        predicted.propagate("image", into=result, policy="overwrite", slices=[1]).wait(MINUTE)
    assert provenance_of(result).teaches((k,)) == "whole"
    assert (result.data[k][voxels] == 3).all()
