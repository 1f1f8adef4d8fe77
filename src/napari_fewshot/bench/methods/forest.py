"""A random forest on hand-made features of pixels, as pixel classification tools train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ...config import IntensityConfig, ResamplingConfig
from ...config.base import StageConfig
from ...errors import NotFittedError
from ...templates.template import Template
from ...types import Array, Progress, Volume, no_progress
from .base import MethodContext, MethodEntry, Predicted
from .slice_set import SliceSet, label_volume, volume_stack

__all__ = ["ForestConfig", "ForestMethod"]

_AT_ONCE = 100_000


class ForestConfig(StageConfig):
    """Settings of the random forest.

    Parameters
    ----------
    trees : int
    max_depth : int, optional
        Largest depth of a tree; None: until leaves are pure.
    pixels_per_class : int
        Most pixels of each label, and of background, over all template slices.
    sigma_min, sigma_max : float
        Scales of the features in pixels, doubled from one to the next.
    intensity, resampling
        As for the segmenter.
    """

    trees: int = Field(default=100, ge=1)
    max_depth: int | None = Field(default=None, ge=1)
    pixels_per_class: int = Field(default=4000, ge=1)
    sigma_min: float = Field(default=1.0, gt=0)
    sigma_max: float = Field(default=16.0, gt=0)
    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()


class ForestMethod:
    """Intensity, edges and texture of each pixel at several scales, and a random forest on them.

    Parameters
    ----------
    settings : mapping
        Of :class:`ForestConfig`.
    context : MethodContext
    """

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        given = dict(settings)
        if context.intensity is not None:
            given = {"intensity": context.intensity, **given}
        self.config = ForestConfig.of(given, "settings")
        self.context = context
        self._learned: SliceSet | None = None

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Sample pixels of the known slices and grow the trees."""
        from sklearn.ensemble import RandomForestClassifier

        config = self.config
        learned = SliceSet.of(templates, config.intensity, config.resampling)
        rng = np.random.default_rng(self.context.seed)
        classes = [learned.classes(number) for number in range(len(learned))]
        chosen = _sample(classes, config.pixels_per_class, rng)
        features, targets = [], []
        for number, plane in enumerate(classes):
            pixels = np.flatnonzero(chosen[number])
            if pixels.size:
                features.append(self._features(learned.image(number))[pixels])
                targets.append(plane.ravel()[pixels])
            progress(number + 1, len(classes), "template features")
        forest = RandomForestClassifier(
            config.trees, max_depth=config.max_depth, n_jobs=1, random_state=self.context.seed
        )
        self._forest = forest.fit(np.concatenate(features), np.concatenate(targets))
        self._learned = learned

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label a volume slice by slice."""
        learned = self._learned
        if learned is None:
            raise NotFittedError("The forest is not fitted yet.")
        config = self.config
        stack = volume_stack(volume, axis, learned, config.intensity, config.resampling)
        count = len(learned.values) + 1

        def plane(index: int) -> Array:
            return self._classify(stack.slice(index), count)

        return label_volume(stack, learned, plane, progress)

    def _classify(self, image: Array, classes: int) -> Array:
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


def _sample(classes: Sequence[Array], most: int, rng: np.random.Generator) -> list[Array]:
    """Mark at most so many pixels of each class over all slices, drawn at random."""
    flat = np.concatenate([plane.ravel() for plane in classes])
    marks = np.zeros(flat.size, bool)
    for value in np.unique(flat[flat >= 0]):
        pixels = np.flatnonzero(flat == value)
        if pixels.size > most:
            pixels = rng.choice(pixels, most, replace=False)
        marks[pixels] = True
    return np.split(marks, np.cumsum([plane.size for plane in classes])[:-1])


ENTRIES = {
    "forest": MethodEntry(
        "forest",
        "random forest on the multiscale features of scikit-image, without position",
        ForestMethod,
        needs=("sklearn",),
    )
}
