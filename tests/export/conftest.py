"""Models that are exported: of volumes, and of coloured images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, Volume
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.types import Array

QUICK = {"steps": 60}


def fitted(**settings: Any) -> FewShotSegmenter:
    """A model of a torso, in which all is as by default but the length of training.

    Its labels count as having places, which small phantoms do not show, and its slices as close:
    position and neighbours are exported too.
    """
    phantom = make_phantom("torso", 0, (12, 128, 128))
    image = Volume(phantom.image.data, (2.5, 2.5, 2.5))
    painted = painted_labels(phantom, template_slices(phantom, 3))
    quick = {"contrastive": QUICK, "classification": QUICK}
    model = FewShotSegmenter(device="cpu", **{**quick, **settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_fewshot.segmenter.companions.have_places", lambda training: True)
        return model.fit(Template(image, painted.data))


@pytest.fixture(scope="session")
def model() -> FewShotSegmenter:
    return fitted().with_card(author="A lab", licence="CC-BY-4.0", note="A computed torso.")


@pytest.fixture(scope="session")
def other() -> Volume:
    """Another patient, whose slices are of the size of real ones."""
    return make_phantom("torso", 1, (8, 200, 256)).image


def cells(channels: int, seed: int = 0) -> tuple[Array, Array]:
    """An image (H, W, C) of round cells, and their labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((160, 176))
    labels = np.zeros(rows.shape, np.uint8)
    for _ in range(12):
        row, column = rng.uniform((10, 10), (150, 166))
        labels[np.hypot(rows - row, columns - column) < rng.uniform(6, 14)] = 1
    image = rng.normal(60, 8, (*labels.shape, channels)) + labels[..., None] * 90
    image[..., 0] += 30 * labels
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def colours() -> FewShotSegmenter:
    """A model of one image in colour, which knows no place in a volume."""
    image, labels = cells(3)
    model = FewShotSegmenter(device="cpu", contrastive=QUICK)
    model.fit(Template(Volume.of(image), labels))
    return model.with_card(author="A lab", licence="MIT")
