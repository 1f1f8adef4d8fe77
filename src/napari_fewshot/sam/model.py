"""A SAM that is loaded, and the slices that it is asked about."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backbones.base import BackboneEntry
from ..backbones.weights import MissingWeightsError
from ..config import DEFAULT_SAM, ExtractionConfig, IntensityConfig
from ..device import choose_device
from ..errors import InputError
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..features.store import FeatureStore
from ..slices.axis import working_axis
from ..slices.stack import SliceSource, SliceStack, Window
from ..types import Array, FeatureMap, Volume
from .checkpoint import SAMS, SamCheckpoint, read_sam
from .predictor import SamPredictor

if TYPE_CHECKING:
    import torch

__all__ = [
    "ChangedSlices",
    "SamBackbone",
    "SamModel",
    "SliceEmbeddings",
    "VolumeSlices",
    "load_sam",
]

_KEPT = 4
"""Embeddings that stay in memory: 4 MB each."""


class SamBackbone:
    """The image encoder of a SAM behind the contract of :class:`~.base.Backbone`."""

    def __init__(self, checkpoint: SamCheckpoint) -> None:
        from .networks import build_encoder

        self.spec = checkpoint.sam.spec
        self.weights_hash = checkpoint.digest()
        self._network: Any = build_encoder(checkpoint)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode the middle slices; see :class:`~.base.Backbone`."""
        import torch

        side = self.spec.preprocessing.size
        if images.ndim != 5 or tuple(images.shape[-2:]) != (side, side):
            raise InputError(
                "images", f"have shape (B, S, 3, {side}, {side})", f"shape {tuple(images.shape)}"
            )
        with torch.inference_mode():
            features: torch.Tensor = self._network(images[:, images.shape[1] // 2])
            return features.float()

    def to(self, device: str) -> SamBackbone:
        """Move the weights to a torch device and return the backbone."""
        self._network.to(device)
        return self


def _load(name: str, weights: Path | None, blocks: int) -> SamBackbone:
    if blocks != 1:
        raise InputError("blocks", f"be 1 for {name}", blocks)
    return SamBackbone(read_sam(name, weights))


ENTRIES = {
    name: BackboneEntry(sam.spec, partial(_load, name), sam.available) for name, sam in SAMS.items()
}


class SliceEmbeddings:
    """Embeddings of the slices of one source; the last few are kept in memory.

    They are whole, with the cells of padding. Slices with other than 1 or 3 channels become grey,
    the mean of the channels.
    """

    def __init__(self, extractor: FeatureExtractor, source: SliceSource) -> None:
        self.extractor = extractor
        self.source: SliceSource = source
        if source.channels not in (1, 3):
            self.source = ChangedSlices(source, _grey, "grey", channels=1)
        self._kept: OrderedDict[int, torch.Tensor] = OrderedDict()

    def map(self, index: int) -> FeatureMap:
        """Feature map of slice ``index``, (C, g, g)."""
        ((_, features),) = self.extractor.maps(self.source, [index], padding=True)
        return next(features.parts())

    def __getitem__(self, index: int) -> torch.Tensor:
        """Embedding of slice ``index``: shape (C, g, g), float32, on the CPU."""
        import torch

        if index not in self._kept:
            self._kept[index] = torch.from_numpy(self.map(index).data.astype(np.float32))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[index]


class ChangedSlices:
    """The slices of another source, each changed in the same way.

    ``name`` tells the change apart from others in the digests; ``shape`` and ``channels`` are those
    of the result, by default those of the source.
    """

    def __init__(
        self,
        source: SliceSource,
        change: Callable[[Array], Array],
        name: str,
        shape: tuple[int, int] | None = None,
        channels: int | None = None,
    ) -> None:
        self._source, self._change, self._name = source, change, name
        self.shape = shape or source.shape
        self.channels = channels or source.channels

    def __len__(self) -> int:
        return len(self._source)

    def slice(self, index: int) -> Array:
        """Return a slice, changed."""
        return np.ascontiguousarray(self._change(self._source.slice(index)), dtype=np.float32)

    def window(self, index: int, window: Window) -> Array:
        """Return a part of a slice."""
        return self.slice(index)[:, *window]

    def digest(self, index: int) -> str:
        """Digest of the slice and of the change."""
        text = f"{self._name} {self._source.digest(index)}"
        return hashlib.sha256(text.encode()).hexdigest()


def _grey(plane: Array) -> Array:
    mean: Array = plane.mean(axis=0, keepdims=True)
    return mean


@dataclass(frozen=True, eq=False)
class SamModel:
    """A SAM that is loaded; made by :func:`load_sam`.

    Parameters
    ----------
    checkpoint : SamCheckpoint
    device : str
    store, cache : optional
        Where embeddings of slices are kept. They are shared with a segmenter that has the same
        SAM as its backbone: what one has encoded the other reads.
    """

    checkpoint: SamCheckpoint
    device: str = "cpu"
    store: FeatureStore | None = None
    cache: FeatureCache | None = None

    @cached_property
    def predictor(self) -> SamPredictor:
        """Prompt encoder and mask decoder."""
        return SamPredictor(self.checkpoint, self.device)

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """Image encoder with its store."""
        encoder = SamBackbone(self.checkpoint)
        return FeatureExtractor(encoder, ExtractionConfig(), self.device, self.store, self.cache)

    def require_several(self) -> None:
        """Raise :class:`InputError` if it makes one mask and predicts no IoU, as MedSAM does."""
        sam = self.checkpoint.sam
        if sam.one_mask:
            raise InputError(
                "sam",
                "make three masks and predict their IoU",
                sam.spec.name,
                "Take another SAM, or boxes.",
            )

    def embeddings(self, source: SliceSource) -> SliceEmbeddings:
        """Embeddings of the slices of a source."""
        return SliceEmbeddings(self.extractor, source)


def load_sam(
    name: str | SamModel = DEFAULT_SAM,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    store: FeatureStore | None = None,
    cache: FeatureCache | None = None,
    instead: str = "",
) -> SamModel:
    """Load a SAM once, for any number of images.

    Parameters
    ----------
    name : str or SamModel
        ``"sam-vit-b"``, ``"sam-vit-l"``, ``"sam-vit-h"`` or ``"medsam"``; one that is loaded is
        returned as it is.
    weights : path, optional
        Local checkpoint in place of the download.
    device : str
        As for :func:`~napari_fewshot.device.choose_device`.
    store, cache : optional
        Where embeddings of slices are kept, on disk and in memory.
    instead : str
        What needs no download, for the message where the weights cannot be had.

    Raises
    ------
    InputError
        If the name or the device does not exist.
    WeightsError
        If the weights are missing, damaged, or of another network.

    Examples
    --------
    >>> sam = load_sam("sam-vit-b", weights="sam_vit_b_01ec64.pth", store=FeatureStore())
    """
    if isinstance(name, SamModel):
        return name
    device = choose_device(device)
    try:
        checkpoint = read_sam(name, None if weights is None else Path(weights))
    except MissingWeightsError as error:  # it speaks of backbones
        raise error.of_sam(instead) from error
    return SamModel(checkpoint, device, store, cache)


class VolumeSlices:
    """The slices of a volume that are worked on, and arrays on its grid.

    ``slices`` count along the axis in file order; None: all. ``numbers`` are the same as ``stack``,
    which is not resampled, counts them.
    """

    def __init__(self, stack: SliceStack, slices: Sequence[int] | None = None) -> None:
        self.stack = stack
        _, self._order = stack.file_slices()
        for index in slices or ():
            if not 0 <= index < len(self._order):
                raise InputError("slices", f"be within 0..{len(self._order) - 1}", index)
        wanted = range(len(self._order)) if slices is None else slices
        self.numbers = [self._order[int(index)] for index in wanted]

    @classmethod
    def of(
        cls,
        volume: Volume,
        axis: int | str | None = None,
        intensity: IntensityConfig | dict[str, Any] | None = None,
        slices: Sequence[int] | None = None,
    ) -> VolumeSlices:
        """Cut a volume into slices.

        The axis is an integer in file order, or ``"axial"``, ``"coronal"``, ``"sagittal"`` in the
        patient; None: axial where the file says how it lies, else 0.
        """
        settings = IntensityConfig.of(intensity, "intensity")
        return cls(SliceStack(volume, working_axis(volume, axis), settings), slices)

    def file_slice(self, number: int) -> int:
        """Slice along the axis in file order."""
        return self._order.index(number)

    def empty(self, dtype: Any, value: float = 0) -> Array:
        """Make an array, shape (N, H, W), of the stack."""
        return np.full(self.stack.grid.shape, value, dtype)

    def in_file_order(self, array: Array) -> Array:
        """Bring an array of the stack to the shape and order of the volume."""
        return np.ascontiguousarray(self.stack.to_file(array))
