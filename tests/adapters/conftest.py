"""Toy problems whose answer is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_fewshot.adapters import PixelClassifier
from napari_fewshot.adapters.projection import Projection
from napari_fewshot.templates import Samples

Toy = Callable[..., Samples]
Classify = Callable[[PixelClassifier, np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def classify() -> Classify:
    """Class probabilities of standardised vectors."""

    def run(classifier: PixelClassifier, features: np.ndarray) -> np.ndarray:
        columns = features.shape[1]
        first = classifier.projection()
        still = Projection.of(first, np.zeros(columns, np.float32), np.ones(columns, np.float32))
        return classifier.predict(still.features(torch.from_numpy(features))).numpy()

    return run


@pytest.fixture(scope="session")
def toy() -> Toy:
    """Clusters in eight dimensions: background round the origin, labels round their corners."""

    def make(labels: int = 2, count: int = 200, seed: int = 0, absent: tuple[int, ...] = ()):
        rng = np.random.default_rng(seed)
        centres = np.zeros((labels + 1, 8))
        for label in range(1, labels + 1):
            centres[label, label - 1] = 4.0
        classes = np.repeat([c for c in range(labels + 1) if c not in absent], count)
        features = centres[classes] + rng.normal(0, 0.7, (len(classes), 8))
        return Samples(
            features=features.astype(np.float32),
            classes=classes.astype(np.int64),
            possible=np.eye(labels + 1, dtype=bool)[classes],
            places=np.zeros((len(classes), 3), np.float32),
            label_values=tuple(10 * label for label in range(1, labels + 1)),
            frequency=np.bincount(classes, minlength=labels + 1) / len(classes),
        )

    return make
