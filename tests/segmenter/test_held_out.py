"""Folds that do not leak, and the score over them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_fewshot import Cancelled, NotFittedError, Template, Volume
from napari_fewshot.segmenter.held_out import HeldOutFolds, Learner, choose_folds
from napari_fewshot.segmenter.score import HeldOutScore
from napari_fewshot.slices.stack import SlicePosition
from napari_fewshot.templates.known import KnownSlice
from napari_fewshot.templates.training_set import TrainingSet
from napari_fewshot.types import FeatureMap

STACK = (60, 6, 6)


def example(index, volume=0, axis=0, labels=None, known=(1, 2)):
    plane = np.zeros(STACK[1:], np.int32) if labels is None else labels
    return KnownSlice(plane, SlicePosition(index, STACK, axis), frozenset(known), volume)


def test_one_slice_cannot_be_held_out():
    assert choose_folds([example(3)]) == ([], "neighbouring slices")
    assert choose_folds([example(3), example(3)])[0] == []  # one slice, painted in two goes


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_slices_are_held_out_one_by_one(count):
    folds, grouped = choose_folds([example(10 * k) for k in range(count)])
    assert folds == [[k] for k in range(count)]
    assert grouped == "neighbouring slices"


def test_neighbours_are_held_out_together():
    order = [30, 0, 20, 10, 50, 40, 5, 25]
    folds, _ = choose_folds([example(k) for k in order])
    depths = [sorted(order[k] for k in fold) for fold in folds]
    assert depths == [[0, 5], [10, 20], [25, 30], [40], [50]]
    assert all(fold == sorted(fold) for fold in folds)


def test_templates_of_one_slice_are_held_out_together():
    folds, _ = choose_folds([example(10), example(20), example(10, known=(2,))])
    assert folds == [[0, 2], [1]]


def test_volumes_are_held_out_whole():
    examples = [example(k, volume=v) for v in (0, 1, 2) for k in (1, 2)]
    assert choose_folds(examples) == ([[0, 1], [2, 3], [4, 5]], "volumes")
    many = [example(1, volume=v) for v in (0, 1, 0, 2, 3, 4, 5, 6, 6)]
    folds, _ = choose_folds(many)
    assert len(folds) == 5
    assert sorted(k for fold in folds for k in fold) == list(range(9))
    assert all(fold == sorted(fold) for fold in folds)
    for volume in range(7):
        members = {k for k, e in enumerate(many) if e.volume == volume}
        assert sum(bool(members & set(fold)) for fold in folds) == 1


# ------------------------------------------------------------------ the score


class Echo:
    """Predicts the first feature as a label number; remembers what it was fitted to."""

    fits: list[list[int]]

    def __init__(self, log):
        self.log = log

    def fit(self, examples, maps, label_values, progress=lambda *_: None):
        seen = [int(m.data[1, 0, 0]) for m in maps]
        assert seen == [e.position.index for e in examples]  # each with its own map
        self.log.append(seen)
        progress(1, 1, "training")
        return self

    def predict(self, features, place):
        assert int(features.data[1, 0, 0]) == place.index
        return (np.arange(3)[:, None, None] == features.data[:1]).astype(np.float32)


def planes(*rows):
    """A slice with one row of pixels for each value given."""
    plane = np.zeros(STACK[1:], np.int32)
    for row, value in enumerate(rows):
        plane[row] = value
    return plane


def scored(examples, predictions, log=None, progress=lambda *_: None):
    return folds_of(examples, predictions, log).score(progress)


def folds_of(examples, predictions, log=None):
    log = [] if log is None else log

    def maps(numbers):
        for k in numbers:
            number = np.full(STACK[1:], examples[k].position.index)
            yield FeatureMap(np.stack([predictions[k], number]), STACK[1:], (6.0, 6.0))

    sources = tuple((0, e.position.index) for e in examples)
    known = TrainingSet((), sources, tuple(examples), (4, 9), {}, frozenset())
    return HeldOutFolds(known, Learner(lambda: Echo(log), maps), {})


def labelled(index, *rows, **more):
    return example(index, labels=planes(*rows), **({"known": (4, 9)} | more))


def test_dice_counts_all_held_out_slices_together():
    examples = [labelled(0, 4, 4, 9), labelled(10, 4, 9, 9), labelled(20, 0)]
    predictions = [planes(1, 2, 2), planes(1, 2, 0), planes(1)]
    log = []
    score = scored(examples, predictions, log)
    # Label 4: truth 3 rows, found 3 rows (one on the empty slice), 2 in both.
    assert score.dice == {4: pytest.approx(4 / 6), 9: pytest.approx(4 / 6)}
    assert score.mean == pytest.approx(4 / 6)
    assert (score.folds, score.grouped_by) == (3, "neighbouring slices")
    assert log == [[10, 20], [0, 20], [0, 10]]


def test_what_is_done_is_told_and_goes_on_after_a_stop():
    examples = [labelled(0, 4, 4), labelled(10, 4, 9, 9), labelled(20, 4, 9)]
    predictions = [planes(1, 1), planes(1, 2, 0), planes(1, 2)]
    log, told, stop = [], [], [True]
    folds = folds_of(examples, predictions, log)

    def progress(done, total, what):
        if done == 1 and stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        folds.score(progress, told.append)
    assert not told
    stop.clear()
    score = folds.score(progress, told.append)
    # Slices with both labels come first; none is predicted twice.
    assert log == [[0, 20], [0, 10], [10, 20]]
    assert [(one.left, one.dice) for one in told] == [
        (1, {4: 1.0, 9: pytest.approx(4 / 5)}),
    ]
    assert score.left == 0
    assert score == folds_of(examples, predictions).score()


def test_labels_on_two_slices_are_doubtful():
    four = planes(1)
    examples = [labelled(0, 4, 9), labelled(10, 4), labelled(20, 4, 9), labelled(20, 9)]
    assert scored(examples, [four] * 4).doubtful == {9}
    assert scored(examples[:2], [four] * 2).doubtful == {4}  # of 9 nothing is known
    volumes = [labelled(0, 4, volume=v) for v in (0, 1)]
    assert not scored(volumes, [four] * 2).doubtful


def test_what_one_slice_does_not_tell_of_another_is_not_known():
    # Label 9 on two slices: of one it is found nowhere by the other. Label 4 on three is: 0.
    examples = [labelled(0, 4, 9), labelled(10, 4), labelled(20, 4, 9)]
    score = scored(examples, [planes(0)] * 3)
    assert score.dice == {4: 0, 9: pytest.approx(math.nan, nan_ok=True)}
    assert score.too_few == {9: 0}
    assert score.for_comparison == score.mean == 0
    assert score.for_card().dice == {4: 0, 9: None}
    # Half of it is found: something is known.
    half = scored(examples, [planes(1, 2), planes(1), planes(1)])
    assert half.dice[9] == pytest.approx(2 / 3)
    assert not half.too_few
    # Settings are compared by all that was found, known or not.
    third = scored(examples, [planes(1, 2, 2, 2), planes(1), planes(1)])
    assert third.too_few == {9: pytest.approx(0.4)}
    assert (third.mean, third.for_comparison) == (1, pytest.approx(0.7))


def test_unordered_templates_keep_their_maps():
    order = (50, 10, 40, 0, 30, 20, 5)
    examples = [labelled(k, 4, 9) for k in order]
    assert scored(examples, [planes(1, 2)] * 7).dice == {4: 1, 9: 1}


def test_unknown_pixels_and_labels_do_not_count():
    examples = [labelled(0, 4, -1, known=(4,)), labelled(10, 4, 9), labelled(20, 0, 9)]
    predictions = [planes(1, 1, 2), planes(1, 2), planes(0, 2)]
    score = scored(examples, predictions)
    assert score.dice == {4: 1, 9: 1}


def test_a_label_of_one_slice_cannot_be_scored():
    score = scored([labelled(0, 4, 9), labelled(10, 4)], [planes(1, 2), planes(1, 2)])
    assert score.dice[4] == 1
    assert math.isnan(score.dice[9])
    assert score.mean == 1


def test_folds_that_leave_nothing_to_learn_are_passed_over():
    log = []
    score = scored([labelled(0, 4), labelled(10, 0)], [planes(1), planes(0)], log)
    assert log == [[0]]
    assert math.isnan(score.mean)
    full = example(5, labels=np.full(STACK[1:], 4), known=(4, 9))
    scored([full, labelled(10, 4)], [planes(1), planes(1)], log)
    assert log == [[0], [10]]  # nothing but label 4 teaches no background


def test_a_fold_that_cannot_be_learned_is_passed_over(torso, quick):
    labels = np.zeros(torso.image.data.shape, np.uint8)
    labels[2, 20:26, 20:26] = labels[9, 3:-3, 3:-3] = 1  # alone, the second leaves no negative pair
    settings = {"steps": 2, "negative_distance": 10, "decoys": 0}
    model = quick(adapter="contrastive", contrastive=settings)
    model.fit(Template(torso.image, labels, slices=[2, 9]))
    score = model.held_out_score()
    assert score.folds == 2
    assert score.dice.keys() == {1}


def test_progress_and_cancel_within_a_fold():
    seen = []
    examples = [labelled(0, 4), labelled(10, 4)]
    scored(examples, [planes(1)] * 2, progress=lambda *report: seen.append(report))
    what = "held-out score"
    assert seen == [(0, 2, what), (1, 2, what), (1, 2, what), (2, 2, what)]

    def stop(done, total, what):
        raise Cancelled

    log = []
    with pytest.raises(Cancelled):
        scored(examples, [planes(1)] * 2, log, stop)
    assert len(log) == 1


# ------------------------------------------------------------------ of a segmenter


def test_score_of_a_segmenter(quick, torso, template):
    model = quick(adapter="classification").fit(template)
    before = model.predict(torso.image, landmarks=False).labels
    score = model.held_out_score()
    assert isinstance(score, HeldOutScore)
    assert (score.folds, score.grouped_by) == (4, "neighbouring slices")
    assert set(score.dice) == set(model.label_values_)
    assert 0.1 < score.mean < 1
    # It is still the model of all slices.
    np.testing.assert_array_equal(model.predict(torso.image, landmarks=False).labels, before)


def test_score_over_volumes(quick, discs):
    pairs = [discs(seed) for seed in range(3)]
    model = quick(adapter="classification").fit([Template(i, y) for i, y in pairs])
    score = model.held_out_score()
    assert (score.folds, score.grouped_by) == (3, "volumes")
    assert score.mean > 0.7


def test_two_templates_of_one_volume_are_one_volume(quick, discs):
    image, labels = discs()
    both = [Template(image, np.where(labels == v, v, 0)) for v in (1, 2)]
    assert quick(adapter="cosine").fit(both).held_out_score() is None
    volume = Volume.of(np.stack([image] * 2))
    stacked = [Template(volume, np.stack([labels, 0 * labels]), axis=0)]
    assert quick(adapter="cosine").fit(stacked).held_out_score() is None


def test_loaded_models_have_no_templates(fitted, tmp_path):
    fitted.save(tmp_path / "m.fewshot")
    with pytest.raises(NotFittedError, match="not in a loaded model"):
        type(fitted).load(tmp_path / "m.fewshot", device="cpu").held_out_score()
