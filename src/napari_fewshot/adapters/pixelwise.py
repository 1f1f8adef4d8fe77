"""The pixel adapter: samples pixels, standardises them, and asks a pixel classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..config import PositionConfig, SamplingConfig, SegmenterConfig
from ..errors import InputError
from ..slices.grid import resize_plane
from ..slices.stack import SlicePosition
from ..templates.augmentation import FeatureRequirements
from ..templates.known import KnownSlice
from ..templates.pixels import Samples, plan_pixels
from ..types import Array, FeatureMap, Progress, SliceFeatures, no_progress
from .base import AdapterState, PixelClassifier, fitted
from .projection import Projection, sample_cells
from .standardiser import Standardiser

if TYPE_CHECKING:
    import torch

__all__ = ["PixelAdapter", "collect_samples", "gather_pixels"]


_POSITION_COLUMNS = 3
_PIXELS_AT_ONCE = 4096  # what the layers of a network make of them fits into the cache
_ROWS_AT_ONCE = 16  # at least; a whole number of them is a whole number of images for linear


def gather_pixels(features: FeatureMap, flat: Array) -> Array:
    """Features at chosen pixels of a slice, bilinear between cell centres; float32 (n, C).

    ``flat`` (n,) are flat indices into the (H, W) slice.
    """
    height, width = features.data.shape[1:]
    if features.is_dense:
        import torch

        whole = features.data.reshape(features.channels, -1)
        run = len(flat) > 0 and flat[-1] - flat[0] + 1 == len(flat) and (np.diff(flat) == 1).all()
        columns = whole[:, flat[0] : flat[-1] + 1] if run else whole[:, flat]
        # torch transposes several times faster than numpy.
        vectors = torch.from_numpy(columns).t().contiguous().to(torch.float32)
        return np.asarray(vectors.numpy())
    rows, columns = np.divmod(flat, features.shape[1])
    y = np.clip((rows + 0.5) * height / features.extent[0] - 0.5, 0, height - 1)
    x = np.clip((columns + 0.5) * width / features.extent[1] - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    dy, dx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    first, last = int(top.min(initial=height - 1)), int(bottom.max(initial=0))
    cells = features.data[:, first : last + 1].astype(np.float32)
    top, bottom = top - first, bottom - first
    upper = cells[:, top, left] * (1 - dx) + cells[:, top, right] * dx
    lower = cells[:, bottom, left] * (1 - dx) + cells[:, bottom, right] * dx
    mixed = upper * (1 - dy) + lower * dy
    return np.ascontiguousarray(mixed.T, dtype=np.float32)


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
        columns = _POSITION_COLUMNS if self.position.use else 0
        if self.standardise:
            standardiser = Standardiser.of(samples.features, columns, self.position.weight)
        else:
            standardiser = Standardiser.identity(samples.features.shape[1])
        standardiser.apply(samples.features, out=samples.features)
        self.classifier.fit(samples, self.seed, progress)
        self._set_standardiser(standardiser)
        self._classes = samples.class_count
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
        standardiser.apply(samples.features, out=samples.features)
        self.classifier.update(samples, before, self.seed, progress)
        self._set_standardiser(standardiser)
        self._classes = samples.class_count
        return self

    def _samples(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
    ) -> Samples:
        return collect_samples(
            examples,
            maps,
            label_values,
            self.sampling,
            position=self.position.use,
            rng=np.random.default_rng(self.seed),
        )

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
            _POSITION_COLUMNS if self.position.use else 0,
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


def collect_samples(
    examples: Sequence[KnownSlice],
    maps: Iterable[SliceFeatures],
    label_values: Sequence[int],
    sampling: SamplingConfig,
    *,
    position: bool,
    rng: np.random.Generator,
) -> Samples:
    """Choose pixels from the labels, then read their features map by map.

    Only the chosen pixels stay in memory. ``maps`` come in the order of ``examples``.
    """
    planes = [e.labels for e in examples]
    maps = iter(maps)
    first = next(maps)  # tells how many features a pixel has
    columns = first.channels + (_POSITION_COLUMNS if position else 0)
    chosen, frequency = plan_pixels(planes, label_values, sampling, rng, columns)
    values = np.array([0, *label_values])
    features = np.empty((sum(map(len, chosen)), columns), dtype=np.float32)
    classes, possible, places = [], [], []
    rest = features
    for number, (example, fmap) in enumerate(zip(examples, chain([first], maps), strict=True)):
        flat = chosen[number]
        _gather_parts(fmap, flat, rest[: len(flat), : first.channels])
        if position:
            rest[: len(flat), first.channels :] = example.position.columns(flat)
        rest = rest[len(flat) :]
        found = np.searchsorted(values, example.labels.reshape(-1)[flat])
        classes.append(found)
        possible.append(_possible(found, values, example.known_labels))
        row, column = np.divmod(flat, example.labels.shape[1])
        places.append(np.stack([np.full(len(flat), number), row, column], axis=1))
    return Samples(
        features=features,
        classes=np.concatenate(classes).astype(np.int64),
        possible=np.concatenate(possible),
        places=np.concatenate(places).astype(np.float32),
        label_values=tuple(int(v) for v in label_values),
        frequency=frequency,
        planes=planes,
    )


def _gather_parts(features: SliceFeatures, flat: Array, out: Array) -> None:
    """Write features at chosen pixels of a slice, flat indices (n,), to ``out`` (n, C)."""
    rows, columns = np.divmod(flat, features.shape[1])
    for part in features.parts():
        row, column = rows - part.origin[0], columns - part.origin[1]
        height, width = part.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        if inside.any():
            out[inside] = gather_pixels(part, row[inside] * width + column[inside])


def _possible(classes: Array, values: Array, known: frozenset[int]) -> Array:
    table = np.eye(len(values), dtype=bool)
    table[0] = [v == 0 or int(v) not in known for v in values]
    result: Array = table[classes]
    return result
