"""Decoys: made-up background beside the samples of the templates."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.adapters.classification import ClassificationClassifier
from napari_fewshot.adapters.contrastive import ContrastiveClassifier
from napari_fewshot.config import ClassificationConfig, ContrastiveConfig, SegmenterConfig
from napari_fewshot.templates.pixels import Samples, with_decoys


def corners(rng: np.random.Generator, count: int = 400) -> Samples:
    """Background near (-1, -1, ...), one label near (1, 1, ...): nothing elsewhere."""
    classes = np.repeat([0, 1], count)
    features = (2 * classes[:, None] - 1 + rng.normal(0, 0.1, (2 * count, 6))).astype(np.float32)
    return Samples(
        features=features,
        classes=classes,
        possible=np.eye(2, dtype=bool)[classes],
        places=np.zeros((2 * count, 3), np.float32),
        label_values=(1,),
        frequency=np.array([0.5, 0.5]),
    )


def test_decoys_keep_the_range_of_each_feature_and_break_what_goes_together() -> None:
    samples = corners(np.random.default_rng(0))
    more = with_decoys(samples, 0.5, seed=3)
    made = more.features[len(samples.features) :]
    assert len(made) == 400
    assert np.array_equal(more.features[: len(samples.features)], samples.features)
    for column in range(6):
        assert np.isin(made[:, column], samples.features[:, column]).all()
    assert np.abs(np.corrcoef(samples.features.T)[0, 1]) > 0.95
    assert np.abs(np.corrcoef(made.T)[0, 1]) < 0.2
    assert (more.classes[len(samples.classes) :] == 0).all()
    assert np.array_equal(np.unique(more.possible[-400:], axis=0), [[True, False]])
    assert (more.places[-400:, 0] == -1).all()
    assert np.array_equal(with_decoys(samples, 0.5, seed=3).features, more.features)
    assert with_decoys(samples, 0.0, seed=3) is samples


@pytest.mark.parametrize("kind", ["classification", "contrastive"])
def test_what_is_like_nothing_in_the_templates_stays_background(kind: str, classify) -> None:
    samples = corners(np.random.default_rng(1))
    # Two features say label, three say background: the templates show no such pixel.
    strange = np.tile(np.array([1, 1, 1, 1, -1, -1], np.float32), (50, 1))
    usual = np.ones((50, 6), np.float32)
    shares = {}
    for decoys in (0.0, 0.5):
        classifier = (
            ClassificationClassifier(ClassificationConfig(decoys=decoys, steps=300))
            if kind == "classification"
            else ContrastiveClassifier(ContrastiveConfig(decoys=decoys, steps=300))
        )
        classifier.fit(samples, seed=0)
        assert classify(classifier, usual)[:, 1].min() > 0.8
        shares[decoys] = classify(classifier, strange)[:, 1].mean()
    assert shares[0.5] < 0.5 < shares[0.0]


def test_the_published_preset_has_none() -> None:
    published = SegmenterConfig(preset="published")
    assert published.classification.decoys == published.contrastive.decoys == 0
    assert SegmenterConfig().contrastive.decoys > 0
