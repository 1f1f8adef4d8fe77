"""Small patients, quick settings, and a model fitted once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

SHAPE = (24, 48, 48)
QUICK: dict[str, Any] = {
    "device": "cpu",
    "classification": {"hidden": 32, "steps": 120, "batch": 256},
    "contrastive": {"hidden": 32, "width": 16, "steps": 120, "targets": 192, "references": 16},
}


@pytest.fixture(scope="session")
def quick():
    """A segmenter with quick settings."""
    return lambda **settings: FewShotSegmenter(**(QUICK | settings))


@pytest.fixture(scope="session")
def torso():
    return make_phantom("torso", shape=SHAPE)


@pytest.fixture(scope="session")
def slices(torso):
    return template_slices(torso, 4)


@pytest.fixture(scope="session")
def template(torso, slices):
    return Template(torso.image, painted_labels(torso, slices))


@pytest.fixture(scope="session")
def fitted(quick, template):
    """Fitted once, with the default adapter; not to be fitted again."""
    return quick().fit(template)


@pytest.fixture(scope="session")
def painted_twice(quick, template, torso):
    """Fitted to axial slices, and to fewer coronal ones of the same image."""
    coronal = painted_labels(torso, [20, 28], axis=1)
    return quick(adapter="cosine").fit([template, Template(torso.image, coronal)])


@pytest.fixture(scope="session")
def predicted(fitted, torso):
    return fitted.predict(torso.image)


@pytest.fixture(scope="session")
def discs():
    """A grey image of 2D with two bright discs of their own texture, and its labels."""

    def make(seed: int = 0, shape: tuple[int, int] = (48, 56), colour: bool = False):
        rng = np.random.default_rng(seed)
        rows, columns = np.indices(shape)
        labels = np.zeros(shape, np.uint8)
        for value in (1, 2):
            centre = rng.integers(12, 16), 15 + (value - 1) * 24 + rng.integers(0, 4)
            labels[np.hypot(rows - centre[0], columns - centre[1]) < 9] = value
        grey = np.array([40, 200, 120])[labels] + rng.normal(0, 8, shape)
        if colour:
            hue = np.array([[90, 90, 90], [140, 60, 70], [60, 140, 70]])[labels]
            image = hue + rng.normal(0, 8, (*shape, 3))
            return np.clip(image, 0, 255).astype(np.uint8), labels
        return np.clip(grey, 0, 255).astype(np.uint8), labels

    return make


@pytest.fixture(scope="session")
def dice():
    def compute(found, truth, label):
        found, truth = np.asarray(found) == label, np.asarray(truth) == label
        return 2 * (found & truth).sum() / max(1, found.sum() + truth.sum())

    return compute
