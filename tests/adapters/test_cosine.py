"""Cosine similarity to the mean feature of each label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from napari_fewshot.adapters.cosine import CosineClassifier
from napari_fewshot.config import CosineConfig
from napari_fewshot.errors import InputError


def test_similarity_and_rule_against_a_naive_computation(toy, classify):
    samples = toy(labels=3)
    classifier = CosineClassifier(CosineConfig(threshold=0.6)).fit(samples, seed=0)
    targets = np.random.default_rng(1).normal(1, 2, (300, 8)).astype(np.float32)
    means = np.stack([samples.features[samples.classes == c].mean(0) for c in (1, 2, 3)])
    naive = 1 - cdist(targets, means, "cosine")
    np.testing.assert_allclose(classifier.similarity(torch.from_numpy(targets)), naive, atol=1e-5)

    probabilities = classify(classifier, targets)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    expected = np.where(naive.max(1) > 0.6, naive.argmax(1) + 1, 0)
    np.testing.assert_array_equal(probabilities.argmax(1), expected)
    assert len(set(expected.tolist())) == 4


def test_a_vector_of_zeros_is_background(toy, classify):
    classifier = CosineClassifier(CosineConfig()).fit(toy(), seed=0)
    assert classify(classifier, np.zeros((1, 8), np.float32)).argmax() == 0


def test_absent_label_is_not_predicted(toy, classify):
    samples = toy(labels=3, absent=(2,))
    classifier = CosineClassifier(CosineConfig()).fit(samples, seed=0)
    probabilities = classify(classifier, toy(labels=3).features)
    assert probabilities.shape == (800, 4)
    assert 2 not in probabilities.argmax(1)


def test_without_any_label(toy):
    with pytest.raises(InputError, match="only background"):
        CosineClassifier(CosineConfig()).fit(toy(absent=(1, 2)), seed=0)


def test_features_that_say_nothing_are_no_error(toy, classify):
    samples = toy()
    blank = replace(samples, features=np.zeros_like(samples.features))
    classifier = CosineClassifier(CosineConfig()).fit(blank, seed=0)
    assert (classify(classifier, samples.features).argmax(1) == 0).all()
