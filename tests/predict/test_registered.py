"""Labels of whole painted volumes, brought to other volumes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import Cancelled, FewShotSegmenter, Template, read_labels, read_volume
from napari_fewshot.phantoms import make_cohort, painted_labels
from napari_fewshot.predict import registered as module
from napari_fewshot.slices.registration import Registration
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.templates.known import UNKNOWN

pytest.importorskip("SimpleITK")

SHAPE = (16, 40, 40)
QUICK = {
    "device": "cpu",
    "contrastive": {"hidden": 16, "width": 8, "steps": 30, "targets": 96, "references": 8},
    "experts": {"flow": "lucas-kanade", "hand_made": False},
}


@pytest.fixture(scope="module")
def cohort():
    return make_cohort("torso", 3, shape=SHAPE)


@pytest.fixture(scope="module")
def fitted(cohort):
    templates = [Template(p.image, p.labels, slices="all") for p in cohort[:2]]
    return FewShotSegmenter(**QUICK).fit(templates)


def volumes(model):
    return model.volume_predictor().model.volumes


def stack_of(model, image, axis=0):
    return SliceStack(image, axis, model.config.intensity)


def dice(found, truth):
    labels = [v for v in np.unique(truth) if v]
    both = [((found == v) & (truth == v)).sum() for v in labels]
    sizes = [(found == v).sum() + (truth == v).sum() for v in labels]
    return np.mean([2 * b / s for b, s in zip(both, sizes, strict=True)])


def test_another_patient_is_labelled_better(fitted, cohort):
    image, truth = cohort[2].image, cohort[2].labels.data
    alone = fitted.with_weights(replace(fitted.weights_, registered=0.0))
    stages = set()
    found = fitted.predict(image, progress=lambda done, total, what: stages.add(what))
    assert "registration" in stages
    assert dice(found.labels, truth) > dice(alone.predict(image).labels, truth) + 0.02


def test_slices_and_regions_equal_the_whole(fitted, cohort):
    image = cohort[2].image
    whole = fitted.predict(image)
    region = fitted.predict(image, region=[(4, 9), (10, 30), None])
    inside = (slice(4, 9), slice(10, 30))
    assert (whole.labels[inside] != region.labels[inside]).mean() < 0.01  # but for components
    predictor = fitted.slice_predictor(image)
    preview = predictor.preview(7)
    for piece in predictor.run([7, 3]):
        at = np.moveaxis(whole.labels, predictor.axis, 0)[piece.index]
        assert (piece.labels != at).mean() < 0.02
    assert preview.labels.shape == piece.labels.shape


def test_an_image_that_was_painted_carries_instead(fitted, cohort):
    experts = fitted.volume_predictor().experts
    own = experts.of(stack_of(fitted, cohort[0].image), progress=lambda *_: None)
    assert type(own._carried).__name__ == "CarriedLabels"
    other = stack_of(fitted, cohort[2].image)
    assert type(experts.of(other, progress=lambda *_: None)._carried).__name__ == "RegisteredLabels"
    assert experts.of(other)._carried is None


def test_a_volume_of_something_else_stays_as_it_is(fitted):
    """What does not look like a template after the registration takes no part."""
    noise = np.random.default_rng(0).normal(0, 50, SHAPE).astype(np.float32)
    image = replace(make_cohort("torso", 1, shape=SHAPE)[0].image, data=noise)
    alone = fitted.with_weights(replace(fitted.weights_, registered=0.0))
    found, expected = fitted.predict(image), alone.predict(image)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_a_volume_of_another_size_is_not_registered(fitted, cohort, monkeypatch):
    monkeypatch.setattr(module, "register", lambda *_: pytest.fail("registered"))
    image = cohort[2].image
    part = replace(image, data=image.data[:7])
    experts = fitted.volume_predictor().experts
    assert experts.of(stack_of(fitted, part), progress=lambda *_: None)._carried is None
    flat = replace(image, data=image.data[3], spacing=image.spacing[1:], affine=None)
    assert fitted.predict(flat).labels.shape == flat.data.shape


def test_it_is_registered_once(fitted, cohort, monkeypatch):
    image = cohort[2].image
    fitted.predict(image)
    monkeypatch.setattr(module, "register", lambda *_: pytest.fail("registered again"))
    again = fitted.with_weights(replace(fitted.weights_, registered=0.5))
    again._extractors = fitted._extractors
    again.predict(image)
    assert len(list(fitted.slice_predictor(image).run([2]))) == 1


def test_a_prediction_is_cancelled_while_it_registers(cohort, fitted):
    def progress(done, total, what):
        if what == "registration":
            raise Cancelled

    fresh = FewShotSegmenter(**QUICK)
    fresh = fresh._handed_on(fresh, fitted._learned())
    with pytest.raises(Cancelled):
        fresh.predict(cohort[2].image, progress=progress)


def test_only_volumes_that_are_painted_in_most_slices(cohort):
    patient = cohort[0]
    few = painted_labels(patient, range(4, 11))
    many = painted_labels(patient, range(3, 12))
    for labels, count in ((few, 0), (many, 1)):
        model = FewShotSegmenter(**QUICK).fit(Template(patient.image, labels, axis=0))
        assert len(volumes(model)) == count
    (one,) = volumes(model)
    assert one.labels.shape == one.image.grey.shape == SHAPE
    known = (one.labels != UNKNOWN).all(axis=(1, 2))
    assert known.sum() == 9


def test_it_is_turned_off(cohort):
    off = QUICK | {"experts": QUICK["experts"] | {"registered": False}}
    template = Template(cohort[0].image, cohort[0].labels, slices="all")
    assert volumes(FewShotSegmenter(**off).fit(template)) == ()


def test_simpleitk_that_is_missing(fitted, cohort, monkeypatch, caplog):
    """Said by the training, and by a prediction with a model that needs it."""
    monkeypatch.setattr(module, "has_registration", lambda: False)
    template = Template(cohort[0].image, cohort[0].labels, slices="all")
    model = FewShotSegmenter(**QUICK).fit(template)
    assert volumes(model) == ()
    assert caplog.text.count("SimpleITK is not installed") == 1
    caplog.clear()
    image = cohort[2].image
    alone = fitted.with_weights(replace(fitted.weights_, registered=0.0)).predict(image)
    np.testing.assert_array_equal(fitted.predict(image).labels, alone.labels)
    assert caplog.text.count("napari-fewshot[registration]") == 1


def test_a_saved_model_predicts_the_same(fitted, cohort, tmp_path):
    fitted.save(tmp_path / "m")
    loaded = FewShotSegmenter.load(tmp_path / "m", device="cpu")
    for one, other in zip(volumes(fitted), volumes(loaded), strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.image.grey, other.image.grey)
        assert (one.image.spacing, one.known_labels) == (other.image.spacing, other.known_labels)
    image = cohort[2].image
    np.testing.assert_array_equal(loaded.predict(image).labels, fitted.predict(image).labels)


def test_the_held_out_score_counts_it(fitted):
    score = fitted.held_out_score()
    alone = FewShotSegmenter(**QUICK | {"experts": {"registered": False, "hand_made": False}})
    alone._training, alone._saved = fitted._training, replace(fitted._saved, volumes=())
    assert score.grouped_by == "volumes"
    assert score.mean > alone.held_out_score().mean + 0.02


def labels_of(model, places, labels, known, axis=0, window=None):
    """Planes by places that are given."""
    volume = replace(volumes(model)[0], labels=labels, known_labels=frozenset(known))
    stack = stack_of(model, make_cohort("torso", 1, shape=SHAPE)[0].image, axis)
    pair = volume, Registration(places.astype(np.float32), 1.0)
    found = module.RegisteredLabels(stack, [1, 2], [pair], window)
    return np.stack(list(found.planes(range(len(stack)))), axis=1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_are_read_where_places_lead(fitted, axis):
    labels = np.random.default_rng(0).integers(0, 3, SHAPE)
    places = np.indices(SHAPE)
    found = labels_of(fitted, places, labels, [1, 2], axis)
    back = np.moveaxis(found, 1, axis + 1)
    for value in (0, 1, 2):
        np.testing.assert_allclose(back[value], labels == value, atol=1e-6)


def test_coarse_places_and_windows(fitted):
    labels = np.zeros(SHAPE, int)
    labels[:, 20:] = 1
    places = np.indices((8, 20, 10)) * np.array([2, 2, 4]).reshape(3, 1, 1, 1)
    places = places + np.array([0.5, 0.5, 1.5]).reshape(3, 1, 1, 1)
    whole = labels_of(fitted, places, labels, [1, 2])
    np.testing.assert_allclose(whole[:, :, 5, 5], [[1] * 16, [0] * 16, [0] * 16], atol=1e-5)
    np.testing.assert_allclose(whole[:, :, 30, 5], [[0] * 16, [1] * 16, [0] * 16], atol=1e-5)
    window = slice(15, 26), slice(3, 9)
    np.testing.assert_array_equal(
        labels_of(fitted, places, labels, [1, 2], window=window), whole[:, :, *window]
    )


def test_nothing_is_said_of_what_is_unknown(fitted):
    labels = np.full(SHAPE, 1)
    labels[3:6] = UNKNOWN
    labels[8:] = 0
    found = labels_of(fitted, np.indices(SHAPE), labels, [1])
    assert found[:, 4, 9, 9].tolist() == [1, 1, 1]
    assert found[:, 1, 9, 9].tolist() == [0, 1, 0]
    assert found[:, 10, 9, 9].tolist() == [1, 0, 1]  # 2 was not looked for
    outside = labels_of(fitted, np.indices(SHAPE) - 100, labels, [1])
    assert (outside == 1).all()


def test_hippocampus_of_other_patients(shared_data):
    folder = shared_data / "hippocampus_mr"
    if not folder.exists():
        pytest.skip("shared data are not there")
    paths = sorted((folder / "images").iterdir())
    pairs = [(read_volume(p), read_labels(folder / "labels" / p.name)) for p in paths[:1]]
    model = FewShotSegmenter(**QUICK).fit([Template(i, t, slices="all") for i, t in pairs])
    alone = model.with_weights(replace(model.weights_, registered=0.0))
    scores = []
    for path in paths[20:23]:
        image, truth = read_volume(path), read_labels(folder / "labels" / path.name).data
        scores.append([dice(m.predict(image).labels, truth) for m in (model, alone)])
    ours, without = np.mean(scores, axis=0)
    assert ours > 0.7
    assert ours > without + 0.05
