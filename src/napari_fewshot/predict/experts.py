"""Several sources of label probabilities for a slice, and their weighted mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

import numpy as np

from ..adapters import Adapter
from ..arrays import release
from ..config import Companion
from ..features.extract import FeatureExtractor
from ..parallel import ordered_map, used_up
from ..scratch import IN_MEMORY, bands, scratch_array
from ..slices.flow_cache import FlowCache
from ..slices.stack import SliceStack, Window
from ..types import Array, Progress, Volume
from .carried import CarriedLabels, paint_of
from .landmark_finder import LandmarkFinder
from .learned import LearnedModel
from .probabilities import AdapterPredictor, Predictor, Tick, Watch, no_tick
from .registered import RegisteredLabels, Registrations

__all__ = ["MIN_PROBABILITY", "Experts", "FusedPredictor", "fused_plane"]

MIN_PROBABILITY = 1e-4
_MIN_CARRIED = 0.01
"""Labels are never carried so surely that other experts could not say otherwise."""
_POLISHED_ELSEWHERE = 0.4
"""Of its share in images that were not painted: it may have learned what is of the others alone."""

_Opinions = tuple[tuple[Array, ...], Array | None, float]


@dataclass(frozen=True, eq=False)
class Experts:
    """All that a learned model labels slices with.

    Parameters
    ----------
    model : LearnedModel
    adapter, extractor : Adapter, FeatureExtractor
        On the features of the backbone.
    beside : dict of str to tuple of Adapter and FeatureExtractor
        Adapters beside it, as :attr:`LearnedModel.beside`.
    polished : tuple of Adapter and FeatureExtractor, optional
        On the features of the polished network.
    flows : FlowCache, optional
        Motion between slices that was found before.
    registrations : Registrations
        Of template volumes with others, found before.
    points : FeatureExtractor, optional
        On the features that landmarks are placed by.
    """

    model: LearnedModel
    adapter: Adapter
    extractor: FeatureExtractor
    beside: Mapping[Companion, tuple[Adapter, FeatureExtractor]] = field(default_factory=dict)
    polished: tuple[Adapter, FeatureExtractor] | None = None
    flows: FlowCache | None = None
    registrations: Registrations = field(default_factory=Registrations)
    points: FeatureExtractor | None = None

    def finder(self, volume: Volume) -> LandmarkFinder:
        """Return what finds landmarks of a volume by what templates show."""
        return LandmarkFinder(volume, self.model, self.points)

    def adapters(self, *, is_painted: bool) -> list[tuple[Adapter, FeatureExtractor, float]]:
        """What labels slices by their features, with weights: in an image that was painted or not.

        Hand-made features and the polished network have their full weight in the former.
        """
        weights = self.model.weights
        shares = weights.shares(self.beside, is_painted=is_painted)
        fitted = [(self.adapter, self.extractor), *self.beside.values()]
        used = [(*one, share) for one, share in zip(fitted, shares, strict=True)]
        if self.polished is not None:
            share = weights.polished * (1 if is_painted else _POLISHED_ELSEWHERE)
            used = [(one, on, (1 - share) * weight) for one, on, weight in used]
            used.append((*self.polished, share))
        return [(adapter, on, weight) for adapter, on, weight in used if weight > 0]

    def of(
        self,
        stack: SliceStack,
        watch: Watch | None = None,
        window: Window | None = None,
        progress: Progress | None = None,
    ) -> Predictor:
        """Return what predicts the slices of a stack.

        Labels are carried, and hand-made features have their full weight, in an image that was
        painted. ``watch`` and ``window`` as for :class:`~.probabilities.AdapterPredictor`, the
        former of the backbone, or of hand-made features where these alone count. Template volumes
        are registered with an image that was not painted, which takes some seconds for each:
        ``progress`` is told. Where it is None, this is left out.
        """
        model = self.model
        painted = paint_of(stack, model.painted)
        adapters = []
        for adapter, extractor, weight in self.adapters(is_painted=painted is not None):
            adapters.append((AdapterPredictor(adapter, extractor, watch, window), weight))
            watch = None
        if painted is None:
            brought = None
            if progress is not None and model.weights.registered > 0:
                brought = RegisteredLabels.of(
                    stack, model.label_values, model.volumes, self.registrations, window, progress
                )
            return FusedPredictor(adapters, brought, model.weights.registered, model.temperature)
        carried = None
        if model.flow is not None and stack.volume.ndim == 3:
            carried = CarriedLabels(
                stack, painted, model.label_values, model.flow, window, self.flows
            )
        return FusedPredictor(adapters, carried, model.weights.carried, model.temperature)


class FusedPredictor:
    """A predictor out of adapters, each with a weight, and of labels that come from paint itself.

    A logarithmic opinion pool: with weights w of adapters, which sum to 1, weight v of labels that
    come from paint, and temperature T::

        p(class) ∝ exp((Σ w log p_adapter(class) + v log p_paint(class)) / T)

    At T = 1 an adapter alone is as it is.

    Parameters
    ----------
    adapters : sequence of (AdapterPredictor, float)
        Predictors with their weights.
    carried : CarriedLabels or RegisteredLabels, optional
        What gives labels from paint.
    carried_weight : float
        Weight of these where they are sure; :meth:`~.carried.CarriedLabels.weight` lowers it with
        the distance.
    temperature : float
        T, above 0.
    """

    def __init__(
        self,
        adapters: Sequence[tuple[AdapterPredictor, float]],
        carried: CarriedLabels | RegisteredLabels | None = None,
        carried_weight: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        self._temperature = temperature
        self._adapters = adapters
        self._carried = carried if carried_weight > 0 else None
        self._carried_weight = carried_weight

    def planes(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        """Class probabilities of working slices; see :class:`~.probabilities.Predictor`."""
        counts = [one.parts(stack) for one, _ in self._adapters]
        parts = sum(count for count in counts if count > 1)

        def tick_of_all(done: int, _: int) -> None:
            tick(done, parts)

        planes = [one.planes(stack, indices, tick_of_all) for one, _ in self._adapters]
        if self._carried is None and len(planes) == 1 and self._temperature == 1:
            return planes[0]
        return self._fused(self._opinions(planes, indices))

    def _opinions(
        self, planes: Sequence[Iterator[Array]], indices: Sequence[int]
    ) -> Iterator[_Opinions]:
        """What the adapters say of slices, with likelihoods of carried labels and their weight."""
        carried = self._carried
        likely = repeat(None, len(indices)) if carried is None else carried.planes(indices)
        with used_up(*planes, likely):
            for index, one, labels in zip(indices, zip(*planes, strict=True), likely, strict=True):
                weight = 0.0 if carried is None else carried.weight(index)
                yield one, labels, self._carried_weight * weight

    def _fused(self, opinions: Iterator[_Opinions]) -> Iterator[Array]:
        weights = [weight for _, weight in self._adapters]
        with used_up(opinions):
            first = next(opinions, None)
            if first is None:
                return
            # Of large planes, which lie on disk, their bands are fused side by side.
            yield from ordered_map(
                lambda one: fused_plane(one[0], weights, one[1], one[2], self._temperature),
                chain([first], opinions),
                side_by_side=first[0][0].nbytes <= IN_MEMORY,
            )


def fused_plane(
    planes: Sequence[Array],
    weights: Sequence[float],
    carried: Array | None = None,
    carried_weight: float = 0.0,
    temperature: float = 1.0,
) -> Array:
    """Fuse probabilities of one slice, as :class:`FusedPredictor` says.

    Parameters
    ----------
    planes : sequence of array, shape (L + 1, H, W)
        Class probabilities of each adapter.
    weights : sequence of float
        One for each of them.
    carried : array, shape (L + 1, H, W), optional
        Likelihoods of labels that come from paint.
    carried_weight : float
        Of these; at 0 they do not count.
    temperature : float
        What the mean of log-probabilities is divided by.

    Returns
    -------
    float32 array, shape (L + 1, H, W)
        It sums to 1 along the first axis; the only plane itself where there is nothing to fuse.
    """
    if carried_weight == 0:
        carried = None
    if len(planes) == 1 and carried is None and temperature == 1:
        return planes[0]
    result = scratch_array(planes[0].shape, np.float32)

    def fuse(rows: slice) -> None:
        band: Array = np.zeros_like(result[:, rows])
        for plane, weight in zip(planes, weights, strict=True):
            likely = np.maximum(plane[:, rows].astype(np.float32), MIN_PROBABILITY)
            band += np.float32(weight) * np.log(likely)
        if carried is not None:
            likely = np.maximum(carried[:, rows].astype(np.float32), _MIN_CARRIED)
            band += np.float32(carried_weight) * np.log(likely)
        band -= band.max(axis=0)
        band /= np.float32(temperature)
        np.exp(band, out=band)
        band /= band.sum(axis=0)
        result[:, rows] = band

    for _ in ordered_map(fuse, bands(result.shape[1], result[:, 0].size)):
        for array in (result, carried, *planes):
            release(array)
    return result
