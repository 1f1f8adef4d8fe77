"""Features of slices: from memory, from the store, or from the backbone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from ..backbones.base import Backbone
from ..config import ExtractionConfig
from ..device import choose_device
from ..errors import FewShotError, InputError
from ..slices.stack import SliceSource
from ..types import Array, FeatureMap, Progress, no_progress
from .cache import FeatureCache
from .encode import Precision, SliceEncoder, context_slices
from .store import ENTRY_OVERHEAD, FeatureStore, PackedMap, pack

__all__ = ["RECIPE", "FeatureExtractor", "entry_key", "signature"]

RECIPE = 1
"""Raised whenever preparing, tiling or stitching changes the features of a slice."""


def signature(backbone: Backbone, config: ExtractionConfig, precision: Precision) -> str:
    """JSON of all that features depend on apart from the slices and the last bits.

    These depend on batches, threads and processor. ``precision`` is in use, thus never ``auto``.
    """
    spec = backbone.spec
    return json.dumps(
        {
            "recipe": RECIPE,
            "backbone": spec.name,
            "weights": backbone.weights_hash,
            "stride": spec.stride,
            "context": spec.context,
            "preprocessing": asdict(spec.preprocessing),
            "settings": config.model_dump(exclude={"batch", "precision"}, mode="json"),
            "precision": precision,
        },
        sort_keys=True,
    )


def entry_key(digests: Iterable[str]) -> str:
    """Name of the entry of a slice: digest of the digests of it and of its context slices."""
    text = " ".join(digests)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


WHAT = "features"


class FeatureExtractor:
    """Feature maps of the slices of a source.

    A map is the same whether it was stored or just encoded: maps are rounded to float16 (and
    returned as float32 where they exceed its range), except those of pixel grids that are
    never stored, which stay float32 unless there is a cache.

    Parameters
    ----------
    backbone : Backbone
        Moved to ``device``.
    config : ExtractionConfig
    device : str
        As for :func:`~napari_fewshot.device.choose_device`.
    store : FeatureStore, optional
        Not used for backbones whose spec says ``store=False``.
    cache : FeatureCache, optional
        Features in memory, of any backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: ExtractionConfig,
        device: str = "cpu",
        store: FeatureStore | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.backbone = backbone.to(self.device)
        self.spec = backbone.spec
        self.store = store if self.spec.store else None
        self.cache = cache
        self._encoder = SliceEncoder(self.backbone, config, self.device)
        self._known_features = self._encoder.features
        self.signature = signature(self.backbone, config, self._encoder.precision)

    @property
    def precision(self) -> Precision:
        """The precision in use; ``auto`` is resolved."""
        return self._encoder.precision

    @property
    def seconds_per_slice(self) -> float | None:
        """Mean time of encoding a slice; None before the first."""
        return self._encoder.seconds_per_slice

    def map(self, source: SliceSource, k: int) -> FeatureMap:
        """Feature map of slice ``k``."""
        return next(self.maps(source, [k]))[1]

    def maps(
        self,
        source: SliceSource,
        indices: Sequence[int],
        progress: Progress = no_progress,
        *,
        padding: bool = False,
    ) -> Iterator[tuple[int, FeatureMap]]:
        """Feature maps of slices, one after the other, in memory that does not grow with them.

        Parameters
        ----------
        source : SliceSource
            The slices.
        indices : sequence of int
            Slices, in the order in which they are wanted.
        progress : callable
            Called after every batch, when its finished slices are in the store. It may raise
            :class:`~napari_fewshot.errors.Cancelled`.
        padding : bool
            Keep cells that see padding alone, where the input of a network has one size: what
            the mask decoder of SAM was trained with.

        Returns
        -------
        iterator of (int, FeatureMap)

        Raises
        ------
        InputError
            If an index is not in the source; before anything is encoded.
        FewShotError
            If the disk is too small for the features (checked first), memory does not suffice
            for one input, or features are not finite.
        """
        wanted = [int(k) for k in indices]
        for k in wanted:
            if not 0 <= k < len(source):
                raise InputError("indices", f"be within 0..{len(source) - 1}", k)
        self._check_space(source, wanted)
        maps = self._maps(source, wanted, progress)
        return maps if padding else ((k, fmap.without_padding()) for k, fmap in maps)

    def stored_bytes(self, source: SliceSource, n: int) -> int | None:
        """Disk space for ``n`` slices, none of them stored yet; None if not known yet.

        0 without a store.
        """
        if self.store is None:
            return 0
        if self._encoder.features is None:
            return None
        height, width = self._encoder.layout(source).grid
        values = self._encoder.features * self._encoder.groups(source) * height * width
        return (2 * values + ENTRY_OVERHEAD) * n

    def _maps(
        self, source: SliceSource, wanted: list[int], progress: Progress
    ) -> Iterator[tuple[int, FeatureMap]]:
        """Go through windows at fixed places, so that a run that goes on forms equal batches.

        Features of other batches differ in their last bits.
        """
        size = self._encoder.window(source)
        for start in range(0, len(wanted), size):
            window = wanted[start : start + size]
            keys = {k: self._key(source, k) for k in window}
            found = self._stored(keys.values())
            # Equal slices have one key and are encoded once.
            missing = {key: k for k, key in keys.items() if key not in found}
            if not missing:
                progress(start + len(window), len(wanted), WHAT)
            for batch in self._encode(source, wanted, list(missing.values())):
                found.update(self._keep(source, {keys[k]: data for k, data in batch}))
                progress(start + sum(keys[k] in found for k in window), len(wanted), WHAT)
            for k in window:
                yield k, found[keys[k]]

    def _key(self, source: SliceSource, k: int) -> str:
        """Name of the features of slice ``k``; of its content only where they are kept."""
        if self.store is None and self.cache is None:
            return str(k)
        near = context_slices(k, len(source), self.spec.context)
        return entry_key(source.digest(n) for n in near)

    def _stored(self, keys: Iterable[str]) -> dict[str, FeatureMap]:
        found = {key: self._kept(key) for key in set(keys)}
        return {key: one.unpack() for key, one in found.items() if one is not None}

    def _kept(self, key: str) -> PackedMap | None:
        """Features in memory, else in the store."""
        found = None if self.cache is None else self.cache.get(self.signature, key)
        if found is None and self.store is not None:
            found = self.store.get(self.signature, key)
            if found is not None and self.cache is not None:
                self.cache.put(self.signature, {key: found})
        return found

    def has(self, source: SliceSource, k: int) -> bool:
        """Whether the features of slice ``k`` are kept, in memory or in the store."""
        if self.store is None and self.cache is None:
            return False
        key = self._key(source, k)
        in_memory = self.cache is not None and self.cache.has(self.signature, key)
        return in_memory or (self.store is not None and self.store.has(self.signature, key))

    def _encode(
        self, source: SliceSource, wanted: list[int], missing: list[int]
    ) -> Iterator[list[tuple[int, Array]]]:
        for batch in self._encoder.encode(source, missing):
            if self._encoder.features != self._known_features:
                self._known_features = self._encoder.features
                self._check_space(source, wanted)  # now with the true number of features
            yield batch

    def _keep(self, source: SliceSource, fresh: dict[str, Array]) -> dict[str, FeatureMap]:
        """Round new features as the store does, and keep them."""
        layout = self._encoder.layout(source)
        shape, extent = layout.shape, layout.extent
        if self.spec.stride == 1 and not self.spec.store and self.cache is None:
            return {key: FeatureMap(data, shape, extent) for key, data in fresh.items()}
        packed = {key: pack(data, shape, extent) for key, data in fresh.items()}
        if self.store is not None and packed:
            self.store.put(self.signature, packed)
        if self.cache is not None:
            self.cache.put(self.signature, packed)
        return {key: one.unpack() for key, one in packed.items()}

    def _check_space(self, source: SliceSource, wanted: list[int]) -> None:
        needed = self.stored_bytes(source, len(set(wanted)))
        if self.store is None or not needed:
            return
        try:
            self.store.require_space(needed)
        except FewShotError:
            # Naming the slices reads the volume, so ask only now which are stored already.
            keys = {self._key(source, k) for k in wanted}
            missing = sum(not self.store.has(self.signature, key) for key in keys)
            self.store.require_space(self.stored_bytes(source, missing) or 0)
