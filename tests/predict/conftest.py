"""A blurred prediction of two discs whose edges are sharp in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class Scene:
    """Slices of an image with truth, and labels with confidence that miss its edges."""

    image: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Six slices; the first and the last are empty. Labels 3 and 200."""
    rng = np.random.default_rng(0)
    planes, rows, columns = np.indices((6, 48, 56))
    truth = np.zeros(planes.shape, np.uint8)
    inside = (planes > 0) & (planes < 5)
    truth[inside & (np.hypot(rows - 22, columns - 15 - planes) < 10)] = 3
    truth[inside & (np.hypot(rows - 26, columns - 36) < 8 + planes % 2)] = 200
    image = np.where(truth == 3, 160.0, np.where(truth == 200, 90.0, 20.0))
    image += rng.normal(0, 6, image.shape)
    values = np.array([0, 3, 200], np.uint8)
    odds = np.stack([(truth == v).astype(float) for v in values])
    odds = np.roll(gaussian_filter(odds, (0, 0, 3, 3)), 2, axis=2)  # blurred, and two rows off
    odds += 0.1 * gaussian_filter(rng.normal(0, 1, odds.shape), (0, 0, 2, 2))
    odds = np.clip(odds, 1e-3, None)
    odds /= odds.sum(axis=0)
    odds[:, ~inside] = np.array([1, 0, 0])[:, None]
    labels = values[odds.argmax(axis=0)]
    return Scene(image.astype(np.int16), truth, labels, odds.max(axis=0).astype(np.float32))
