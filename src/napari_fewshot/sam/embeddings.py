"""Embeddings of slices: from the feature store where they are, else encoded and kept."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from ..config import ExtractionConfig
from ..errors import InputError
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..features.store import FeatureStore
from ..slices.stack import SliceSource
from ..types import Array
from .encoder import SamBackbone, SamCheckpoint

if TYPE_CHECKING:
    import torch

__all__ = ["SliceEmbeddings", "embedding_extractor"]

_HELD = 4


def embedding_extractor(
    checkpoint: SamCheckpoint,
    device: str = "cpu",
    store: FeatureStore | None = None,
    cache: FeatureCache | None = None,
) -> FeatureExtractor:
    """Make the extractor of a SAM's image encoder.

    It shares its store with a segmenter that has the same SAM as its backbone: what one has
    encoded the other reads.
    """
    return FeatureExtractor(SamBackbone(checkpoint), ExtractionConfig(), device, store, cache)


class SliceEmbeddings:
    """Embeddings of the slices of one source; the last few are held.

    Parameters
    ----------
    extractor : FeatureExtractor
        Of the image encoder of a SAM.
    source : SliceSource
        Slices; those with other than 1 or 3 channels become grey, the mean of the channels.
    """

    def __init__(self, extractor: FeatureExtractor, source: SliceSource) -> None:
        if not isinstance(extractor.backbone, SamBackbone):
            raise InputError("extractor", "have a SAM as its backbone", extractor.spec.name)
        self.extractor = extractor
        self.source = source if source.channels in (1, 3) else _Grey(source)
        self._held: OrderedDict[int, torch.Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the slices in pixels."""
        return self.source.shape

    def __getitem__(self, index: int) -> torch.Tensor:
        """Embedding of slice ``index``: shape (C, g, g), float32, on the CPU, with padding."""
        import torch

        if index not in self._held:
            ((_, fmap),) = self.extractor.maps(self.source, [index], padding=True)
            self._held[index] = torch.from_numpy(fmap.data.astype(np.float32))
            if len(self._held) > _HELD:
                self._held.popitem(last=False)
        return self._held[index]


class _Grey:
    """The mean of the channels of another source."""

    def __init__(self, source: SliceSource) -> None:
        self._source = source
        self.channels = 1

    @property
    def shape(self) -> tuple[int, int]:
        return self._source.shape

    def __len__(self) -> int:
        return len(self._source)

    def slice(self, index: int) -> Array:
        return np.asarray(self._source.slice(index).mean(axis=0, keepdims=True), dtype=np.float32)

    def digest(self, index: int) -> str:
        return hashlib.sha256(f"grey {self._source.digest(index)}".encode()).hexdigest()
