"""What classification and contrastive share: they learn, repeat, and leave no traces."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.classification import ClassificationClassifier
from napari_fewshot.adapters.contrastive import ContrastiveClassifier
from napari_fewshot.adapters.cosine import CosineClassifier
from napari_fewshot.config import ClassificationConfig, ContrastiveConfig, CosineConfig
from napari_fewshot.errors import Cancelled, InputError, NotFittedError


def classification(**settings):
    config = ClassificationConfig(**({"hidden": 24, "steps": 160, "batch": 128} | settings))
    return ClassificationClassifier(config)


def contrastive(head="bilinear", **settings):
    small = {"hidden": 24, "width": 12, "steps": 160, "targets": 96, "pairs": 4, "references": 8}
    return ContrastiveClassifier(ContrastiveConfig(head=head, **(small | settings)))


MAKERS = {
    "classification": classification,
    "bilinear": contrastive,
    "concat": lambda **s: contrastive("concat", **s),
    "concat as published": lambda **s: contrastive(
        "concat", **({"loss": "both", "pair_loss": 1.0, "pixel_loss": 0.0, "balance": 1.0} | s)
    ),
    "similarity": lambda **s: contrastive("concat", **({"loss": "similarity"} | s)),
}
all_makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


@all_makers
@pytest.mark.parametrize("labels", [1, 3])
def test_separable_classes_are_learned(make, labels, toy, classify):
    classifier = make().fit(toy(labels), seed=0)
    fresh = toy(labels, seed=1)
    probabilities = classify(classifier, fresh.features)
    assert probabilities.shape == (len(fresh.classes), labels + 1)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities.argmax(1) == fresh.classes).mean() > 0.95


@pytest.mark.parametrize("loss", ["similarity", "both"])
def test_similarity_loss_separates_the_shared_outputs(loss, toy):
    samples = toy(2)
    within, between = [], []
    for steps in (1, 160):
        network = contrastive("concat", loss=loss, steps=steps).fit(samples, seed=0).network
        with torch.inference_mode():
            outputs = network.shared(torch.from_numpy(samples.features))
        unit = torch.nn.functional.normalize(outputs, dim=1)
        one, two = unit[samples.classes == 1], unit[samples.classes == 2]
        within.append(float((one @ one.T).mean()))
        between.append(float((one @ two.T).mean()))
    assert within[1] > 0.95
    assert between[1] < between[0] - 0.2


def test_temperature_is_learned_and_saved(toy):
    classifier = contrastive(loss="both").fit(toy(2), seed=0)
    state = classifier.state()
    assert abs(state.tensors["temperature"].item()) > 1e-3
    again = contrastive(loss="both").restore(state)
    assert again.network.temperature.item() == state.tensors["temperature"].item()


def test_nothing_that_is_saved_is_a_scalar(toy):
    """A model file gives scalars back with a dimension, which the network then refuses."""
    state = contrastive(loss="both", steps=2).fit(toy(2), seed=0).state()
    assert all(tensor.ndim > 0 for tensor in state.tensors.values())


def test_models_with_a_similarity_but_no_temperature_can_be_read(toy, classify):
    """The weight alone used to switch the similarity on, and nothing else was saved of it."""
    samples = toy(2)
    classifier = contrastive(similarity_loss=0.5).fit(samples, seed=0)
    state = classifier.state()
    del state.tensors["temperature"]
    again = contrastive(similarity_loss=0.5).restore(state)
    np.testing.assert_array_equal(
        classify(again, samples.features), classify(classifier, samples.features)
    )


def test_no_negative_pair_far_enough_is_an_error(toy):
    samples = toy(1)
    samples = replace(samples, planes=[np.full((1, 1), samples.label_values[0])])
    with pytest.raises(InputError, match=r"contrastive\.negative_distance.*0 takes negative pairs"):
        contrastive(negative_distance=4.0, decoys=0.0).fit(samples, seed=0)


@all_makers
def test_same_seed_same_bytes(make, toy):
    samples = toy()
    states = [
        make(steps=15, dropout=0.2).fit(samples, seed=seed).state().tensors for seed in (3, 3, 4)
    ]
    assert {n: t.tobytes() for n, t in states[0].items()} == {
        n: t.tobytes() for n, t in states[1].items()
    }
    assert any(not np.array_equal(states[0][n], states[2][n]) for n in states[0])


@all_makers
def test_random_state_of_the_caller_neither_counts_nor_changes(make, toy, classify):
    samples = toy()
    found = []
    for number in (1, 2):
        torch.manual_seed(number)
        np.random.seed(number)
        random.seed(number)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        threads = torch.get_num_threads()
        found.append(classify(make(steps=15, dropout=0.2).fit(samples, seed=0), samples.features))
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])
        assert random.getstate() == before[2]
        assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(found[0], found[1])


@all_makers
def test_state_and_back(make, toy, classify):
    samples = toy(3)
    classifier = make(steps=15, dropout=0.3).fit(samples, seed=0)
    copy = make(steps=15, dropout=0.3).restore(classifier.state())
    np.testing.assert_allclose(
        classify(copy, samples.features), classify(classifier, samples.features), atol=1e-5
    )


@all_makers
def test_a_label_without_samples_is_never_predicted(make, toy, classify):
    samples = toy(3, absent=(2,))
    classifier = make().fit(samples, seed=0)
    fresh = toy(3, seed=1)
    predicted = classify(classifier, fresh.features).argmax(1)
    assert 2 not in predicted
    known = fresh.classes != 2
    assert (predicted[known] == fresh.classes[known]).mean() > 0.95


@all_makers
def test_a_label_of_one_sample(make, toy, classify):
    samples = toy(2)
    first = int(np.flatnonzero(samples.classes == 2)[0])
    keep = [*np.flatnonzero(samples.classes != 2).tolist(), first]
    few = type(samples)(
        samples.features[keep],
        samples.classes[keep],
        samples.possible[keep],
        samples.places[keep],
        samples.label_values,
        np.bincount(samples.classes[keep], minlength=3) / len(keep),
    )
    probabilities = classify(make(balance=1.0).fit(few, seed=0), samples.features[[first]])
    assert probabilities.argmax() == 2


@all_makers
@pytest.mark.parametrize(
    ("absent", "message"), [((0,), "leave some pixels as background"), ((1, 2), "only background")]
)
def test_one_class_is_refused(make, absent, message, toy):
    with pytest.raises(InputError, match=message):
        make().fit(toy(absent=absent), seed=0)


@pytest.mark.parametrize(
    "make", [*MAKERS.values(), lambda: CosineClassifier(CosineConfig())], ids=[*MAKERS, "cosine"]
)
def test_unfitted_use(make, classify):
    for use in (lambda c: classify(c, np.zeros((1, 8), np.float32)), lambda c: c.state()):
        with pytest.raises(NotFittedError, match="not fitted yet; call fit first"):
            use(make())


@all_makers
def test_progress_counts_steps_and_may_cancel(make, toy):
    seen = []
    make(steps=25).fit(toy(), 0, lambda *report: seen.append(report))
    assert seen == [(10, 25, "training"), (20, 25, "training"), (25, 25, "training")]

    def stop(done, total, what):
        raise Cancelled

    state = torch.get_rng_state()
    with pytest.raises(Cancelled):
        make(steps=10**6).fit(toy(), 0, stop)
    assert torch.equal(torch.get_rng_state(), state)


@all_makers
def test_one_step(make, toy, classify):
    samples = toy()
    found = classify(make(steps=1).fit(samples, seed=0), samples.features)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
