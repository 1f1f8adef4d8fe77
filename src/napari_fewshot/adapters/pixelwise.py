"""The pixel adapter: samples pixels, standardises them, and asks a pixel classifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..config import PositionConfig, SamplingConfig, SegmenterConfig
from ..errors import InputError
from ..slices.grid import resize_plane
from ..slices.stack import SlicePosition
from ..templates.augmentation import FeatureRequirements
from ..templates.known import KnownSlice
from ..templates.pixels import Samples
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress
from .base import AdapterState, PixelClassifier, fitted
from .memory import Remembered
from .projection import Projection, sample_cells
from .sampling import POSITION_COLUMNS, collect_samples
from .standardiser import Standardiser

if TYPE_CHECKING:
    import torch

__all__ = ["PixelAdapter"]


_PIXELS_AT_ONCE = 4096  # what the layers of a network make of them fits into the cache
_ROWS_AT_ONCE = 16  # at least; a whole number of them is a whole number of images for linear


class PixelAdapter:
    """Turns a pixel classifier into an adapter for feature maps.

    Parameters
    ----------
    classifier : PixelClassifier
    sampling : SamplingConfig
    position : PositionConfig
    on_tokens : bool
        Compute probabilities on the token grid and interpolate them, instead of interpolating
        features to pixels: faster, coarser. Without effect on pixel grids.
    standardise : bool
        False leaves the features as the backbone gives them.
    seed : int
    """

    def __init__(
        self,
        classifier: PixelClassifier,
        sampling: SamplingConfig,
        position: PositionConfig,
        *,
        on_tokens: bool = False,
        standardise: bool = True,
        seed: int = 0,
    ) -> None:
        self.classifier = classifier
        self.sampling = sampling
        self.position = position
        self.on_tokens = on_tokens
        self.standardise = standardise
        self.seed = seed
        self._standardiser: Standardiser | None = None
        self._projection: Projection | None = None
        self._classes = 0
        self._earlier: tuple[Remembered, Sequence[int]] | None = None
        self._memory: Remembered | None = None

    @classmethod
    def of(
        cls, config: SegmenterConfig, classifier: PixelClassifier, *, standardise: bool = True
    ) -> Self:
        """Make the adapter of a classifier with the settings of a configuration."""
        return cls(
            classifier,
            config.sampling,
            config.position,
            on_tokens=config.propagation.resolution == "tokens",
            standardise=standardise,
            seed=config.seed,
        )

    @property
    def requirements(self) -> FeatureRequirements:
        """Probabilities of tokens are interpolated over a whole map."""
        return FeatureRequirements(whole=self.on_tokens)

    @property
    def label_count(self) -> int:
        """Number of labels that were learned."""
        return self._classes - 1

    def fit(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        progress: Progress = no_progress,
    ) -> PixelAdapter:
        """Sample pixels from the examples and fit the classifier; see :class:`~.base.Adapter`."""
        samples = self._samples(examples, maps, label_values)
        columns = POSITION_COLUMNS if self.position.use else 0
        if self.standardise:
            standardiser = Standardiser.of(samples.features, columns, self.position.weight)
        else:
            standardiser = Standardiser.identity(samples.features.shape[1])
        with self._learning(samples, standardiser):
            self.classifier.fit(samples, self.seed, progress)
        return self

    def update(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        before: Sequence[int],
        progress: Progress = no_progress,
    ) -> PixelAdapter:
        """Sample anew and train the classifier on; the statistics of features stay."""
        standardiser = fitted(self._standardiser, "The adapter")
        samples = self._samples(examples, maps, label_values)
        with self._learning(samples, standardiser):
            self.classifier.update(samples, before, self.seed, progress)
        return self

    @contextmanager
    def _learning(self, samples: Samples, standardiser: Standardiser) -> Iterator[None]:
        """Standardise samples, in place, for what learns from them within."""
        self._memory = Remembered.of(samples, self.sampling.remembered, self.seed)
        standardiser.apply(samples.features, out=samples.features)
        yield
        self._set_standardiser(standardiser)
        self._classes = samples.class_count

    def _samples(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
    ) -> Samples:
        samples = collect_samples(
            examples,
            maps,
            label_values,
            self.sampling,
            position=self.position.use,
            rng=np.random.default_rng(self.seed),
        )
        if self._earlier is None:
            return samples
        remembered, before = self._earlier
        return remembered.joined(samples, before)

    def recall(self, state: AdapterState, before: Sequence[int]) -> bool:
        """Learn from the pixels that a model kept too; see :class:`~.base.Adapter`."""
        values = state.values.get("memory")
        if values is None:
            return False
        used = bool(state.values.get("position", self.position.use))
        self.position = self.position.model_copy(update={"use": used})  # as the pixels have it
        own = state.tensors["mean"], state.tensors["scale"]
        self._earlier = Remembered.unpacked(state.tensors, values, *own), tuple(before)
        return True

    def predict(
        self, features: FeatureMap, position: SlicePosition, rows: slice = slice(None)
    ) -> Array:
        """Class probabilities, shape (L + 1, H, W), float32; see :class:`~.base.Adapter`."""
        projection = fitted(self._projection, "The adapter")
        if features.channels != projection.columns:
            raise InputError(
                "image",
                f"give {projection.columns} features for each pixel, as the templates did",
                f"{features.channels}",
                "It must have as many channels as the templates.",
            )
        if self.on_tokens and not features.is_dense:
            return self._predict_tokens(features, position)
        height, width = features.shape
        first, last, _ = rows.indices(height)
        result = np.empty((self._classes, last - first, width), dtype=np.float32)
        cells, y, x = None, np.empty(0), np.empty(0)
        if not features.is_dense:
            (h, w), extent = features.data.shape[1:], features.extent
            y = ((np.arange(first, last) + 0.5) * (h / extent[0]) - 0.5).clip(0, h - 1)
            x = (np.arange(width) + 0.5) * (w / extent[1]) - 0.5
            top = int(y[0])  # no more cells than these rows lie between
            cells = projection.features(_pixel_major(features.data[:, top : int(y[-1]) + 2]))
            y -= top
        step = max(_ROWS_AT_ONCE, _PIXELS_AT_ONCE // width)
        for start in range(first, last, step):
            stop = min(last, start + step)
            if cells is None:
                projected = projection.features(_pixel_major(features.data[:, start:stop]))
            else:
                projected = sample_cells(cells, y[start - first : stop - first], x)
            flat = np.arange(start * width, stop * width)
            found = self._probabilities(projected.view(len(flat), -1), features, position, flat)
            result[:, start - first : stop - first] = found.T.reshape(self._classes, -1, width)
        return result

    def _predict_tokens(self, features: FeatureMap, position: SlicePosition) -> Array:
        height, width = features.data.shape[1:]
        rows = _centres(height, features.extent[0], features.shape[0])
        columns = _centres(width, features.extent[1], features.shape[1])
        flat = (rows[:, None] * features.shape[1] + columns[None]).reshape(-1)
        projection = fitted(self._projection, "The adapter")
        projected = projection.features(_pixel_major(features.data).flatten(0, 1))
        coarse = self._probabilities(projected, features, position, flat).T
        coarse = np.ascontiguousarray(coarse).reshape(self._classes, height, width)
        covered = (round(features.extent[0]), round(features.extent[1]))
        fine = resize_plane(coarse, covered)
        return np.ascontiguousarray(fine[:, : features.shape[0], : features.shape[1]])

    def _probabilities(
        self,
        projected: torch.Tensor,
        features: FeatureMap,
        position: SlicePosition,
        flat: Array,
    ) -> Array:
        """Class probabilities (n, L + 1) of projected features, which are overwritten."""
        if self.position.use:
            projection = fitted(self._projection, "The adapter")
            places = _in_slice(features, position, flat)
            projection.add_position(projected, position.columns(places))
        found: Array = self.classifier.predict(projected).cpu().numpy()
        return found

    def _set_standardiser(self, standardiser: Standardiser) -> Projection:
        self._standardiser = standardiser
        self._projection = projection = Projection.of(
            self.classifier.projection(),
            standardiser.mean,
            standardiser.scale,
            POSITION_COLUMNS if self.position.use else 0,
        )
        return projection

    def state(self) -> AdapterState:
        """Tensors and values of the fitted adapter; see :class:`~.base.Adapter`."""
        standardiser = fitted(self._standardiser, "The adapter")
        inner = self.classifier.state()
        tensors = {f"classifier.{name}": t for name, t in inner.tensors.items()}
        tensors |= {"mean": standardiser.mean, "scale": standardiser.scale}
        values: dict[str, Any] = {
            "classes": self._classes,
            "classifier": inner.values,
            "position": self.position.use,
        }
        if self._memory is not None:
            kept, about = self._memory.packed(standardiser.mean, standardiser.scale)
            tensors, values = tensors | kept, values | {"memory": about}
        return AdapterState(tensors, values)

    def restore(self, state: AdapterState) -> PixelAdapter:
        """Become the adapter that ``state`` was taken from."""
        prefix = "classifier."
        inner = {
            n.removeprefix(prefix): t for n, t in state.tensors.items() if n.startswith(prefix)
        }
        self.classifier.restore(AdapterState(inner, state.values["classifier"]))
        used = bool(state.values.get("position", self.position.use))
        self.position = self.position.model_copy(update={"use": used})
        standardiser = Standardiser(state.tensors["mean"], state.tensors["scale"])
        projection = self._set_standardiser(standardiser)
        self._classes = int(state.values["classes"])
        self._memory = None
        if (about := state.values.get("memory")) is not None:
            own = standardiser.mean, standardiser.scale
            self._memory = Remembered.unpacked(state.tensors, about, *own)
            if len(self._memory.frequency) != self._classes:
                raise ValueError(f"{len(self._memory.frequency)} remembered classes")
        # One pixel tells whether all parts fit each other.
        probabilities = self.classifier.predict(projection.bias[None].clone())
        if probabilities.shape != (1, self._classes):
            raise ValueError(f"shape {tuple(probabilities.shape)} for a pixel")
        return self


def _pixel_major(data: Array) -> torch.Tensor:
    """Features of cells, (C, h, w), as (h, w, C)."""
    import torch

    return torch.from_numpy(data).permute(1, 2, 0)


def _in_slice(features: FeatureMap, position: SlicePosition, flat: Array) -> Array:
    """Flat indices in the slice of pixels of a part of it."""
    if features.origin == (0, 0) and features.shape[1] == position.stack_shape[2]:
        return flat
    row, column = np.divmod(flat, features.shape[1])
    places: Array = (row + features.origin[0]) * position.stack_shape[2] + features.origin[1]
    return places + column


def _centres(cells: int, extent: float, pixels: int) -> Array:
    """Pixel nearest to the centre of each cell."""
    centre = (np.arange(cells) + 0.5) * extent / cells - 0.5
    return np.clip(np.round(centre), 0, pixels - 1).astype(np.int64)
