"""Templates that are learned twice: as painted, then with what was sure where no paint is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import (
    Cancelled,
    FeatureCache,
    FewShotSegmenter,
    Landmark,
    NotFittedError,
    SegmenterConfig,
    Template,
)
from napari_fewshot.segmenter import learning
from napari_fewshot.segmenter.self_training import (
    can_train_itself,
    self_labelled,
    with_unpainted,
)
from napari_fewshot.templates.known import UNKNOWN
from napari_fewshot.templates.training_set import TrainingSet
from napari_fewshot.types import no_progress

BACKGROUND = 255


def strokes(labels):
    """A line through the middle of each label, and one along two edges of the slice."""
    found = np.zeros(labels.shape, np.int32)
    for value in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == value)
        row = int(np.median(rows))
        found[row, columns[rows == row]] = value
    found[1, :] = found[:, 1] = BACKGROUND
    return found


def scribbles(image, labels, **known):
    return Template(image, labels, kind="scribble", background=BACKGROUND, **known)


@pytest.fixture(scope="module")
def on_slices(torso, slices):
    """Strokes on three slices of a volume."""
    data = np.zeros(torso.labels.shape, np.int32)
    for k in slices[:3]:
        data[k] = strokes(torso.labels.data[k])
    return scribbles(torso.image, data, axis=0)


@pytest.fixture(scope="module")
def model(quick, on_slices):
    return quick().fit(on_slices)


def sure_of(model, training=None):
    """Templates of a model with what it is sure of."""
    experts = model.volume_predictor().experts
    return self_labelled(training or model.training_set_, experts, no_progress)


def without(quick, **settings):
    return quick(experts={"self_training": False}, **settings)


def mean_dice(model, image, truth):
    found = np.asarray(model.predict(image).labels)
    values = [v for v in np.unique(truth) if v]
    pairs = [(found == v, truth == v) for v in values]
    return np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs])


# ------------------------------------------------------------------ what becomes known


def test_paint_is_never_overruled(model):
    before, after = model.training_set_, sure_of(model)
    assert after.sources == before.sources
    added = 0
    for one, other in zip(before.examples, after.examples, strict=True):
        painted = one.labels != UNKNOWN
        np.testing.assert_array_equal(other.labels[painted], one.labels[painted])
        assert {*np.unique(other.labels)} <= {UNKNOWN, 0, *model.label_values_}
        added += int((other.labels != UNKNOWN).sum()) - int(painted.sum())
        assert replace(other, labels=one.labels) != other
    assert added > 1000
    assert all((one.labels == UNKNOWN).any() for one in before.examples)  # as they were


def test_what_is_added_is_mostly_right(model, torso):
    right = total = 0
    for one, before in zip(sure_of(model).examples, model.training_set_.examples, strict=True):
        truth = torso.labels.data[one.original]
        new = (before.labels == UNKNOWN) & (one.labels != UNKNOWN)
        right, total = right + int((one.labels == truth)[new].sum()), total + int(new.sum())
    assert right > 0.9 * total


def test_paint_of_another_template_is_not_overruled_either(quick, on_slices, torso, slices):
    """Of two that scribble on one slice, each learns what is sure, but nothing of the other's."""
    data = np.zeros_like(on_slices.label_volume.data)
    data[slices[0], 2:6] = BACKGROUND
    both = quick().fit([scribbles(torso.image, data, axis=0), on_slices])
    before, after = both.training_set_, sure_of(both)
    pairs = [k for k, one in enumerate(before.examples) if one.original == slices[0]]
    assert len(pairs) == 2
    for k, other in (pairs, pairs[::-1]):
        painted = before.examples[other].labels != UNKNOWN
        alone = painted & (before.examples[k].labels == UNKNOWN)
        assert alone.any()
        assert (after.examples[k].labels[alone] == UNKNOWN).all()
        assert (after.examples[k].labels != before.examples[k].labels).any()


def test_where_nothing_is_sure_paint_alone_is_learned(quick, on_slices, torso, monkeypatch):
    monkeypatch.setattr("napari_fewshot.predict.sure._CONFIDENT", 1.0)
    unsure = quick().fit(on_slices)
    alone = without(quick, cache=FeatureCache()).fit(on_slices)  # features rounded alike
    expected, found = (np.asarray(m.predict(torso.image).labels) for m in (alone, unsure))
    assert (expected != found).mean() < 1e-3  # the former predicts from rounded features too


# ------------------------------------------------------------------ when it takes place


def test_images_that_are_painted_wholly_are_learned_once(quick, discs, torso, monkeypatch):
    monkeypatch.setattr(learning, "self_labelled", lambda *_: pytest.fail("learned twice"))
    image, labels = discs()
    quick().fit(Template(image, labels))
    quick().fit(Template(torso.image, torso.labels, slices="all"))


@pytest.mark.parametrize(
    "settings",
    [
        {"experts": {"self_training": False}},
        {"adapter": "cosine"},
        {"preset": "published", "backbone": "embedded"},
    ],
)
def test_it_is_left_out(quick, discs, settings, monkeypatch):
    monkeypatch.setattr(learning, "self_labelled", lambda *_: pytest.fail("learned twice"))
    image, labels = discs()
    quick(**settings).fit(scribbles(image, strokes(labels)))


def of(*templates):
    return TrainingSet.of(list(templates), SegmenterConfig())


def test_strokes_beside_whole_slices_are_learned_twice(on_slices, template, torso):
    assert can_train_itself(with_unpainted(of(template, on_slices)))
    full = np.where(torso.labels.data == 0, BACKGROUND, torso.labels.data)
    known = of(scribbles(torso.image, full, axis=0))
    assert not can_train_itself(with_unpainted(known))  # nothing is unknown


def test_landmarks_are_not_guessed(discs):
    image, labels = discs()
    tip = Landmark("tip", 3, (0, 10, 10))
    assert can_train_itself(with_unpainted(of(scribbles(image, strokes(labels)))))
    assert not can_train_itself(with_unpainted(of(scribbles(image, strokes(labels), points=[tip]))))


def test_held_out_slices_are_judged_by_paint_alone(model, monkeypatch):
    monkeypatch.setattr(learning, "self_labelled", lambda *_: pytest.fail("learned twice"))
    score = model.held_out_score()
    assert score is not None
    assert any((one.labels == UNKNOWN).any() for one in model.training_set_.examples)


# ------------------------------------------------------------------ slices without paint


def test_unpainted_slices_lie_evenly_between_painted_ones(template, torso, slices):
    training = of(template)
    more = with_unpainted(training)
    added = [k for k, one in enumerate(more.examples) if (one.labels == UNKNOWN).all()]
    assert {more.sources[k] for k in added}.isdisjoint(training.sources)
    assert len({more.sources[k] for k in added}) == len(torso.labels.data) - len(slices)
    assert [one for k, one in enumerate(more.examples) if k not in added] == [*training.examples]
    assert all(more.examples[k].position.index == more.sources[k][1] for k in added)


def test_large_slices_are_few_and_volumes_have_their_share(template, discs, monkeypatch):
    monkeypatch.setattr("napari_fewshot.segmenter.self_training.MAX_SLICES", 5)
    training = of(template)
    assert len(with_unpainted(training).examples) == len(training.examples) + 5
    pixels = training.examples[0].labels.size
    monkeypatch.setattr("napari_fewshot.segmenter.self_training._MAX_PIXELS", 3 * pixels)
    assert len(with_unpainted(training).examples) == len(training.examples) + 3
    other = np.asarray(template.volume.data) + 1
    both = of(template, Template(other, template.label_volume.data, axis=0))
    added = [source for source in with_unpainted(both).sources if source not in both.sources]
    assert [number for number, _ in added] == [0, 1]
    monkeypatch.setattr("napari_fewshot.segmenter.self_training._MAX_PIXELS", pixels - 1)
    assert with_unpainted(training) is training
    assert not can_train_itself(with_unpainted(training))


def test_large_images_that_are_read_as_they_are_indexed_are_read_no_further(template, monkeypatch):
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(np.asarray(template.volume.data), chunks=(1, -1, -1))
    training = of(Template(lazy, template.label_volume.data, axis=0))
    assert with_unpainted(training).sources == with_unpainted(of(template)).sources
    monkeypatch.setattr("napari_fewshot.segmenter.self_training.LARGE", lazy.nbytes - 1)
    assert with_unpainted(training) is training
    assert with_unpainted(of(template)) is not of(template)


def test_transformers_encode_no_more_slices(on_slices, template):
    assert can_train_itself(with_unpainted(of(template)))
    assert not can_train_itself(of(template))
    assert can_train_itself(of(on_slices))  # between strokes


def test_where_labels_were_not_looked_for_nothing_is_guessed(template, torso):
    """What is none of the labels that it knows may be one that it does not."""
    other = np.asarray(template.volume.data) + 1
    some = np.where(template.label_volume.data == 1, 1, 0)
    both = of(template, Template(other, some, axis=0))
    added = [source for source in with_unpainted(both).sources if source not in both.sources]
    assert {number for number, _ in added} == {0}


def test_what_is_added_of_unpainted_slices_is_mostly_right(fitted, torso):
    experts = fitted.volume_predictor().experts
    more = with_unpainted(fitted.training_set_)
    known = self_labelled(more, experts, no_progress)
    right = total = 0
    for (_, index), one in zip(known.sources, known.examples, strict=True):
        if (0, index) not in fitted.training_set_.sources:
            new = one.labels != UNKNOWN
            right += int((one.labels == torso.labels.data[index])[new].sum())
            total += int(new.sum())
    assert total > torso.labels.data.size / 3
    assert right > 0.9 * total


def test_the_model_remembers_paint_alone(fitted, template, slices):
    """What is carried, repainted and shown is what the person said."""
    assert [index for _, index in fitted.training_set_.sources] == sorted(slices)
    known = fitted.training_set_.examples
    assert all((one.labels != UNKNOWN).all() and not one.scribbled for one in known)


def test_at_once_there_is_a_model_that_has_learned_once(quick, template, torso):
    early = []
    model = quick(cache=FeatureCache()).fit(template, at_once=early.append)
    alone = without(quick, cache=FeatureCache()).fit(
        template, at_once=lambda _: pytest.fail("twice")
    )
    (once,) = early
    found, expected, twice = (
        np.asarray(one.predict(torso.image).confidence) for one in (once, alone, model)
    )
    np.testing.assert_array_equal(found, expected)
    assert (found != twice).any()


# ------------------------------------------------------------------ what comes of it


def test_it_finds_more_of_a_volume(quick, model, on_slices, torso):
    truth = torso.labels.data
    alone = without(quick).fit(on_slices)
    assert mean_dice(model, torso.image, truth) > mean_dice(alone, torso.image, truth)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("adapter", ["contrastive", "classification"])
def test_images_of_two_dimensions(quick, discs, colour, adapter):
    """One label in one image, two labels in two images."""
    image, truth = discs(colour=colour)
    binary = quick(adapter=adapter).fit(scribbles(image, strokes((truth > 0).astype(np.uint8))))
    assert binary.label_values_ == (1,)
    assert mean_dice(binary, image, truth > 0) > 0.7
    other, its_truth = discs(1, colour=colour)
    both = [scribbles(image, strokes(truth)), scribbles(other, strokes(its_truth))]
    model = quick(adapter=adapter).fit(both)
    assert mean_dice(model, other, its_truth) > 0.7


def test_model_files_predict_as_what_was_learned(model, torso, tmp_path):
    model.save(tmp_path / "model.fewshot")
    again = FewShotSegmenter.load(tmp_path / "model.fewshot", device="cpu")
    assert again.config.experts.self_training
    expected, found = (np.asarray(m.predict(torso.image).confidence) for m in (model, again))
    np.testing.assert_array_equal(expected, found)
    with pytest.raises(NotFittedError):
        _ = again.training_set_


def test_the_same_seed_gives_the_same(quick, model, on_slices, torso):
    again = quick().fit(on_slices)
    expected, found = (np.asarray(m.predict(torso.image).confidence) for m in (model, again))
    np.testing.assert_array_equal(expected, found)


def test_both_trainings_count_as_one(quick, on_slices):
    told = []

    def progress(done, total, what):
        if what == "training":
            told.append((done, total))

    model = quick().fit(on_slices, progress)
    steps = 2 * model.config.contrastive.steps
    assert {total for _, total in told} == {steps}
    assert told == sorted(told)
    assert told[-1] == (steps, steps)


def test_it_is_cancelled_between_the_trainings(quick, model, on_slices, torso):
    again = quick().fit(on_slices)

    def progress(done, total, what):
        if what == "slices to learn more from":
            raise Cancelled

    with pytest.raises(Cancelled):
        again.fit(on_slices, progress)
    expected, found = (np.asarray(m.predict(torso.image).labels) for m in (model, again))
    np.testing.assert_array_equal(expected, found)


# ------------------------------------------------------------------ corrections


def corrected(on_slices, torso, index):
    data = on_slices.label_volume.data.copy()
    data[index] = strokes(torso.labels.data[index])
    return replace(on_slices, labels=on_slices.label_volume.with_data(data))


def test_updates_learn_what_was_sure_before(model, on_slices, torso, slices, monkeypatch):
    known = []
    learned = learning.self_labelled

    def noted(*given):
        known.append((given[0], learned(*given)))
        return known[-1][1]

    monkeypatch.setattr(learning, "self_labelled", noted)
    paint = corrected(on_slices, torso, slices[3])
    updated = model.updated(paint)
    ((before, after),) = known
    assert before is updated.training_set_
    for one, other in zip(before.examples, after.examples, strict=True):
        painted = one.labels != UNKNOWN
        np.testing.assert_array_equal(one.labels[painted], other.labels[painted])
        assert (other.labels != UNKNOWN).sum() > 2 * painted.sum()
    monkeypatch.setattr(learning, "_AT_ONCE", 2 * torso.labels.data[0].size)
    model.updated(paint)
    more = [a is not b for a, b in zip(*(t.examples for t in known[1]), strict=True)]
    assert more == [True, True, False, False]  # as many as are quick


def test_new_labels_are_learned_from_paint_alone(model, on_slices, torso, slices, monkeypatch):
    monkeypatch.setattr(learning, "self_labelled", lambda *_: pytest.fail("guessed"))
    data = on_slices.label_volume.data.copy()
    data[slices[3], 4:6, 4:20] = 99
    updated = model.updated(replace(on_slices, labels=on_slices.label_volume.with_data(data)))
    assert 99 in updated.label_values_
