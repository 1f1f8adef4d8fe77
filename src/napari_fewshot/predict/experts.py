"""Several sources of label probabilities for a slice, and their weighted mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..adapters import Adapter
from ..arrays import release
from ..features.extract import FeatureExtractor
from ..parallel import ordered_map
from ..scratch import bands, scratch_array
from ..slices.flow_cache import FlowCache
from ..slices.stack import SliceStack, Window
from ..types import Array
from .carried import CarriedLabels
from .learned import LearnedModel
from .probabilities import AdapterPredictor, Predictor, Tick, Watch, no_tick

__all__ = ["Experts", "FusedPredictor", "fused_plane"]

_LEAST_PROBABLE = 1e-4
_LEAST_CARRIED = 0.01
"""Labels are never carried so surely that other experts could not say otherwise."""


@dataclass(frozen=True, eq=False)
class Experts:
    """All that a learned model labels slices with.

    Parameters
    ----------
    model : LearnedModel
    adapter, extractor : Adapter, FeatureExtractor
        On the features of the backbone.
    hand_made : tuple of Adapter and FeatureExtractor, optional
        On hand-made features.
    flows : FlowCache, optional
        Motion between slices that was found before.
    """

    model: LearnedModel
    adapter: Adapter
    extractor: FeatureExtractor
    hand_made: tuple[Adapter, FeatureExtractor] | None = None
    flows: FlowCache | None = None

    def of(
        self, stack: SliceStack, watch: Watch | None = None, window: Window | None = None
    ) -> Predictor:
        """Return what predicts the slices of a stack.

        Labels are carried, and hand-made features have their full weight, in an image that was
        painted. ``watch`` and ``window`` as for :class:`~.probabilities.AdapterPredictor`, the
        former of the backbone.
        """
        model = self.model
        main = AdapterPredictor(self.adapter, self.extractor, watch, window)
        painted = next((one for one in model.painted if one.is_of(stack)), None)
        adapters = [(main, 1.0)]
        if self.hand_made is not None:
            weight = model.weights.elsewhere if painted is None else model.weights.hand_made
            second = AdapterPredictor(*self.hand_made, window=window)
            adapters = [(main, 1 - weight), (second, weight)]
        carried = None
        if painted is not None and model.flow is not None and stack.volume.ndim == 3:
            carried = CarriedLabels(
                stack, painted, model.label_values, model.flow, window, self.flows
            )
        return FusedPredictor(adapters, carried, model.weights.carried)


class FusedPredictor:
    """A predictor out of adapters, each with a weight, and of labels that are carried.

    Probabilities are the weighted mean of log-probabilities, made to sum to 1: a logarithmic
    opinion pool. An adapter alone is as it is.
    """

    def __init__(
        self,
        adapters: Sequence[tuple[AdapterPredictor, float]],
        carried: CarriedLabels | None = None,
        carried_weight: float = 0.0,
    ) -> None:
        self._adapters = [(one, weight) for one, weight in adapters if weight > 0]
        self._carried = carried if carried_weight > 0 else None
        self._carried_weight = carried_weight

    def planes(
        self, stack: SliceStack, indices: Sequence[int], tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        """Class probabilities of working slices; see :class:`~.probabilities.Predictor`."""
        (first, _), *others = self._adapters
        streams = [first.planes(stack, indices, tick)]
        streams += [one.planes(stack, indices) for one, _ in others]
        if self._carried is None:
            return ordered_map(self._fused, zip(*streams, strict=True)) if others else streams[0]
        streams.append(self._carried.planes(indices))
        carried = self._carried
        weights = (self._carried_weight * carried.weight(index) for index in indices)
        return ordered_map(
            self._with_carried, zip(zip(*streams, strict=True), weights, strict=True)
        )

    def _fused(self, planes: Sequence[Array]) -> Array:
        return fused_plane(planes, [weight for _, weight in self._adapters])

    def _with_carried(self, one: tuple[tuple[Array, ...], float]) -> Array:
        (*planes, carried), weight = one
        if not weight:
            return self._fused(planes)
        return fused_plane(planes, [w for _, w in self._adapters], carried, weight)


def fused_plane(
    planes: Sequence[Array],
    weights: Sequence[float],
    carried: Array | None = None,
    carried_weight: float = 0.0,
) -> Array:
    """Fuse probabilities (L + 1, H, W) of one slice; ``carried`` are likelihoods."""
    if len(planes) == 1 and carried is None:
        return planes[0]
    result = scratch_array(planes[0].shape, np.float32)
    for rows in bands(result.shape[1], result[:, 0].size):
        band: Array = np.zeros_like(result[:, rows])
        for plane, weight in zip(planes, weights, strict=True):
            band += np.float32(weight) * np.log(np.maximum(plane[:, rows], _LEAST_PROBABLE))
        if carried is not None:
            likely = np.maximum(carried[:, rows], _LEAST_CARRIED)
            band += np.float32(carried_weight) * np.log(likely)
        band -= band.max(axis=0)
        np.exp(band, out=band)
        band /= band.sum(axis=0)
        result[:, rows] = band
    for array in (result, *planes):
        release(array)
    return result
