"""A random forest on hand-made features of pixels, as pixel classification tools train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ...adapters.base import fitted
from ...templates.known import class_plane
from ...templates.template import Template
from ...types import Array, Progress, no_progress
from . import MethodContext, MethodEntry
from .baseline import Baseline, BaselineConfig, collect_slices

__all__ = ["ForestConfig", "ForestMethod"]

_AT_ONCE = 100_000


class ForestConfig(BaselineConfig):
    """Settings of the random forest."""

    trees: int = Field(default=100, ge=1)
    max_depth: int | None = Field(default=None, ge=1)
    """Of a tree; None: until leaves are pure."""
    pixels_per_class: int = Field(default=4000, ge=1)
    """Most pixels of each label, and of background, over all template slices."""
    sigma_min: float = Field(default=1.0, gt=0)
    """Scales of the features in pixels, doubled from one to the next up to ``sigma_max``."""
    sigma_max: float = Field(default=16.0, gt=0)


class ForestMethod(Baseline[ForestConfig]):
    """Intensity, edges and texture of each pixel at several scales, and a random forest on them."""

    name = "forest"

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        super().__init__(ForestConfig.of(context.with_intensity(settings), "settings"), context)
        self._forest: Any = None

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Sample pixels of the known slices and grow the trees."""
        from sklearn.ensemble import RandomForestClassifier

        config = self.config
        training = collect_slices(templates, config)
        planes = [class_plane(known, training.label_values) for known in training.examples]
        chosen = _sample(planes, config.pixels_per_class, self.context.seed)
        features, targets = [], []
        for number, plane in enumerate(planes):
            pixels = np.flatnonzero(chosen[number])
            if pixels.size:
                features.append(self._features(training.image(number))[pixels])
                targets.append(plane.ravel()[pixels])
            progress(number + 1, len(planes), "template features")
        forest = RandomForestClassifier(
            config.trees, max_depth=config.max_depth, n_jobs=1, random_state=self.context.seed
        )
        self._forest = forest.fit(np.concatenate(features), np.concatenate(targets))
        self.training = training

    def classify(self, image: Array) -> Array:
        """Class probabilities of a slice."""
        classes = len(fitted(self.training, self.name).label_values) + 1
        features = self._features(image)
        result = np.zeros((classes, len(features)), np.float32)
        # In parts: the forest gives its probabilities in float64, for each tree.
        for start in range(0, len(features), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            result[self._forest.classes_, part] = self._forest.predict_proba(features[part]).T
        return result.reshape(classes, *image.shape[1:])

    def _features(self, image: Array) -> Array:
        """Features of all pixels of a slice (C, H, W), shape (H · W, F)."""
        from skimage.feature import multiscale_basic_features

        found = multiscale_basic_features(
            np.moveaxis(image, 0, -1),
            sigma_min=self.config.sigma_min,
            sigma_max=self.config.sigma_max,
            channel_axis=-1,
        )
        result: Array = found.reshape(-1, found.shape[-1])
        return result


def _sample(classes: Sequence[Array], limit: int, seed: int) -> list[Array]:
    """Mark at most so many pixels of each class over all slices, drawn at random."""
    rng = np.random.default_rng(seed)
    flat = np.concatenate([plane.ravel() for plane in classes])
    marks = np.zeros(flat.size, bool)
    for value in np.unique(flat[flat >= 0]):
        pixels = np.flatnonzero(flat == value)
        if pixels.size > limit:
            pixels = rng.choice(pixels, limit, replace=False)
        marks[pixels] = True
    return np.split(marks, np.cumsum([plane.size for plane in classes])[:-1])


ENTRIES = {
    "forest": MethodEntry(
        "forest",
        "random forest on the multiscale features of scikit-image, without position",
        ForestMethod,
    )
}
