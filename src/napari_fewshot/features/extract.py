"""Features of slices: from memory, from the store, or from the backbone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial

from ..backbones.base import Backbone
from ..config import ExtractionConfig
from ..device import choose_device
from ..errors import FewShotError, InputError
from ..parallel import ordered_map, used_up
from ..slices.grey import COLOURS, GreySlices
from ..slices.stack import SliceSource, Window
from ..types import FeatureMap, Progress, SliceFeatures, TiledFeatures, no_progress
from .cache import FeatureCache
from .encode import Precision, SliceEncoder, context_slices
from .store import ENTRY_OVERHEAD, FeatureStore, PackedMap, pack

__all__ = ["RECIPE", "FeatureExtractor", "signature"]

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


def _entry_key(digests: Iterable[str]) -> str:
    """Name of the entry of a slice: digest of the digests of it and of its context slices."""
    text = " ".join(digests)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


WHAT = "features"
_BATCHES = 8
"""So many batches are looked for in the store at once, and their slices read ahead."""


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
    in_grey : bool
        Whether it sees slices of three colours in grey.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: ExtractionConfig,
        device: str = "cpu",
        store: FeatureStore | None = None,
        cache: FeatureCache | None = None,
        *,
        in_grey: bool = False,
    ) -> None:
        self.device = choose_device(device)
        self.backbone = backbone.to(self.device)
        self.spec = backbone.spec
        self.store = store if self.spec.store else None
        self.cache = cache
        self.in_grey = in_grey
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

    def of_grey(self) -> FeatureExtractor:
        """The same for slices in grey."""
        return self._like(self.cache, in_grey=True)

    def keeping(self, cache: FeatureCache) -> FeatureExtractor:
        """The same, with features in memory; itself where these are kept already."""
        return self if self.cache is not None else self._like(cache, in_grey=self.in_grey)

    def _like(self, cache: FeatureCache | None, *, in_grey: bool) -> FeatureExtractor:
        own = self.backbone, self._encoder.config, self.device, self.store
        return FeatureExtractor(*own, cache, in_grey=in_grey)

    def _seen(self, source: SliceSource) -> SliceSource:
        return GreySlices(source) if self.in_grey and source.channels == COLOURS else source

    def parts(self, source: SliceSource, window: Window | None = None) -> int:
        """Number of parts in which the features of each slice, or of a window of it, come."""
        source = self._seen(source)
        layout = self._encoder.layout(source)
        return len(layout.numbers(window)) if layout.is_dense_cut else 1

    def map(self, source: SliceSource, k: int) -> SliceFeatures:
        """Features of slice ``k``."""
        return next(self.maps(source, [k]))[1]

    def maps(
        self,
        source: SliceSource,
        indices: Sequence[int],
        progress: Progress = no_progress,
        *,
        padding: bool = False,
        window: Window | None = None,
    ) -> Iterator[tuple[int, SliceFeatures]]:
        """Features of slices, one after the other, in memory that does not grow with them.

        Pixel grids of slices that are cut into tiles come in parts, each encoded when it is read.

        Parameters
        ----------
        source : SliceSource
            The slices.
        indices : sequence of int
            Slices, in the order in which they are wanted.
        progress : callable
            Called after every slice, when it is in the store. It may raise
            :class:`~napari_fewshot.errors.Cancelled`.
        padding : bool
            Keep cells that see padding alone, where the input of a network has one size: what
            the mask decoder of SAM was trained with.
        window : (slice, slice), optional
            Rows and columns that are wanted. What comes in parts may leave out the others.

        Returns
        -------
        iterator of (int, FeatureMap or TiledFeatures)

        Raises
        ------
        InputError
            If an index is not in the source; before anything is encoded.
        FewShotError
            If the disk is too small for the features (checked first), memory does not suffice
            for one input, or features are not finite.
        """
        source = self._seen(source)
        wanted = [int(k) for k in indices]
        for k in wanted:
            if not 0 <= k < len(source):
                raise InputError("indices", f"be within 0..{len(source) - 1}", k)
        self._check_space(source, wanted)
        maps = self._maps(source, wanted, progress, window)
        return maps if padding else ((k, fmap.without_padding()) for k, fmap in maps)

    def stored_bytes(self, source: SliceSource, n: int) -> int | None:
        """Disk space for ``n`` slices, none of them stored yet; None if not known yet.

        0 without a store.
        """
        if self.store is None:
            return 0
        source = self._seen(source)
        if self._encoder.features is None:
            return None
        height, width = self._encoder.layout(source).grid
        values = self._encoder.features * self._encoder.groups(source) * height * width
        return (2 * values + ENTRY_OVERHEAD) * n

    def _maps(
        self, source: SliceSource, wanted: list[int], progress: Progress, window: Window | None
    ) -> Iterator[tuple[int, SliceFeatures]]:
        found: Iterator[SliceFeatures]
        if len(self._encoder.layout(source).origins) > 1:
            ticks = (partial(progress, done, len(wanted), WHAT) for done in range(len(wanted)))
            found = map(partial(self._cut, source, wanted, window), wanted, ticks)
        elif self._encoder.is_shared_out:
            found = ordered_map(partial(self._slice, source, wanted), wanted)
        else:
            found = self._in_batches(source, wanted)
        with used_up(found):
            for done, (k, features) in enumerate(zip(wanted, found, strict=True), 1):
                progress(done, len(wanted), WHAT)
                yield k, features

    def _slice(self, source: SliceSource, wanted: list[int], k: int) -> FeatureMap:
        """A slice that is not cut, by itself."""
        key = self._key(source, k)
        found = self._kept(key)
        if found is not None:
            return found.unpack()
        (fresh,) = self._encoder.slices(source, [k])
        return self._keep(source, wanted, key, fresh)

    def _in_batches(self, source: SliceSource, wanted: list[int]) -> Iterator[FeatureMap]:
        """Slices that are not cut; equal ones have one key and are encoded once."""
        size = _BATCHES * self._encoder.batch
        for start in range(0, len(wanted), size):
            window = wanted[start : start + size]
            keys = {k: self._key(source, k) for k in window}
            kept = {key: self._kept(key) for key in set(keys.values())}
            found = {key: one.unpack() for key, one in kept.items() if one is not None}
            missing = {key: k for k, key in keys.items() if key not in found}
            fresh = zip(missing, self._encoder.slices(source, list(missing.values())), strict=True)
            for k in window:
                while keys[k] not in found:
                    key, features = next(fresh)
                    found[key] = self._keep(source, wanted, key, features)
                yield found[keys[k]]

    def _cut(
        self,
        source: SliceSource,
        wanted: list[int],
        window: Window | None,
        k: int,
        tick: Callable[[], None],
    ) -> SliceFeatures:
        """A slice of several tiles: pixel grids part by part, grids of tokens whole.

        ``tick`` is called after each tile of those.
        """
        layout = self._encoder.layout(source)
        if layout.is_dense_cut:
            groups = self._encoder.groups(source)
            if self._encoder.features is None:
                next(self._encoder.parts(source, k, window=window))
            channels = (self._encoder.features or 0) * groups
            read = partial(self._parts, source, window, k)
            return TiledFeatures(layout.shape, channels, read)
        key = self._key(source, k)
        found = self._kept(key)
        if found is not None:
            return found.unpack()
        (fresh,) = self._encoder.parts(source, k, tick)
        return self._keep(source, wanted, key, fresh)

    def _parts(self, source: SliceSource, window: Window | None, k: int) -> Iterator[FeatureMap]:
        """Parts of a pixel grid: from the cache if all are there, else encoded and put there.

        Those of a window are rounded as the cache does, but not put there: of some, a part alone
        is as it should be.
        """
        fresh = self._encoder.parts(source, k, window=window)
        if self.cache is None:
            yield from fresh
            return
        numbers = self._encoder.layout(source).numbers(window)
        keys = [self._part_keys(source, k)[number] for number in numbers]
        kept = [self.cache.get(self.signature, key) for key in keys]
        found = [one for one in kept if one is not None]
        if len(found) == len(keys):
            for one in found:
                yield one.unpack()
            return
        for key, part in zip(keys, fresh, strict=True):
            packed = pack(part)
            if window is None:
                self.cache.put(self.signature, {key: packed})
            yield packed.unpack()

    def _part_keys(self, source: SliceSource, k: int) -> list[str]:
        name = self._key(source, k)
        return [f"{name} {number}" for number in range(len(self._encoder.layout(source).origins))]

    def has(self, source: SliceSource, k: int) -> bool:
        """Whether the features of slice ``k`` are kept, in memory or in the store."""
        if self.store is None and self.cache is None:
            return False
        source = self._seen(source)
        key = self._key(source, k)
        keys = self._part_keys(source, k) if self._encoder.layout(source).is_dense_cut else [key]
        if self.cache is not None and all(self.cache.has(self.signature, one) for one in keys):
            return True
        return self.store is not None and self.store.has(self.signature, key)

    def _key(self, source: SliceSource, k: int) -> str:
        """Name of the features of slice ``k``; of its content only where they are kept."""
        if self.store is None and self.cache is None:
            return str(k)
        near = context_slices(k, len(source), self.spec.context)
        return _entry_key(source.digest(n) for n in near)

    def _kept(self, key: str) -> PackedMap | None:
        """Features in memory, else in the store."""
        found = None if self.cache is None else self.cache.get(self.signature, key)
        if found is None and self.store is not None:
            found = self.store.get(self.signature, key)
            if found is not None and self.cache is not None:
                self.cache.put(self.signature, {key: found})
        return found

    def _keep(
        self, source: SliceSource, wanted: list[int], key: str, fresh: FeatureMap
    ) -> FeatureMap:
        """Round new features as the store does, and keep them."""
        if self._encoder.features != self._known_features:
            self._known_features = self._encoder.features
            self._check_space(source, wanted)  # now with the true number of features
        if self.spec.stride == 1 and not self.spec.store and self.cache is None:
            return fresh
        packed = pack(fresh)
        if self.store is not None:
            self.store.put(self.signature, {key: packed})
        if self.cache is not None:
            self.cache.put(self.signature, {key: packed})
        return packed.unpack()

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
