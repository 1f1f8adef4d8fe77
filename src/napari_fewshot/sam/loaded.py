"""A SAM that is loaded, and the slices that it is asked about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..config import DEFAULT_SAM, IntensityConfig
from ..device import choose_device
from ..errors import InputError
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..features.store import FeatureStore
from ..slices.stack import SliceSource, SliceStack, working_axis
from ..types import Array, Volume
from .embeddings import SliceEmbeddings, embedding_extractor
from .encoder import SamCheckpoint, read_sam
from .predictor import SamPredictor

__all__ = ["SamLabels", "SamModel", "VolumeSlices", "load_sam", "open_volume"]


@dataclass(frozen=True, eq=False)
class SamModel:
    """A SAM that is loaded; made by :func:`load_sam`.

    Parameters
    ----------
    checkpoint : SamCheckpoint
    device : str
    store, cache : optional
        Where embeddings of slices are kept.
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
        return embedding_extractor(self.checkpoint, self.device, self.store, self.cache)

    def require_points(self) -> None:
        """Raise :class:`InputError` if it was trained with boxes alone, as MedSAM was."""
        sam = self.checkpoint.sam
        if sam.one_mask:
            raise InputError(
                "sam",
                "have been trained with points",
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
    return SamModel(
        read_sam(name, None if weights is None else Path(weights)), device, store, cache
    )


@dataclass(frozen=True, eq=False)
class SamLabels:
    """What prompts to SAM gave for a volume.

    Parameters
    ----------
    labels : int32 array, shape of the volume in file order
        0 is background.
    confidence : float32 array of that shape
        Probability of the value that ``labels`` has there; 1 on slices without a prompt.
    names : mapping of int to str
        Of label values, where they are known.
    """

    labels: Array
    confidence: Array
    names: Mapping[int, str] = field(default_factory=dict)


class VolumeSlices:
    """The slices of a volume that are worked on, and arrays on its grid.

    Parameters
    ----------
    stack : SliceStack
        Without resampling.
    slices : sequence of int, optional
        Slices along the axis in file order; None: all.

    Attributes
    ----------
    numbers : list of int
        The slices that are worked on, as the stack counts them.
    """

    def __init__(self, stack: SliceStack, slices: Sequence[int] | None = None) -> None:
        self.stack = stack
        _, order = stack.file_slices()
        for index in slices or ():
            if not 0 <= index < len(order):
                raise InputError("slices", f"be within 0..{len(order) - 1}", index)
        self.numbers = order if slices is None else [order[int(index)] for index in slices]
        self._file = {number: index for index, number in enumerate(order)}

    def file_slice(self, number: int) -> int:
        """Slice along the axis in file order."""
        return self._file[number]

    def empty(self, dtype: Any, value: float = 0) -> Array:
        """Make an array, shape (N, H, W), of the stack."""
        return np.full(self.stack.grid.shape, value, dtype)

    def in_file_order(self, array: Array) -> Array:
        """Bring an array of the stack to the shape and order of the volume."""
        stack = self.stack
        return np.ascontiguousarray(stack.to_file(array))


def open_volume(
    volume: Volume,
    axis: int | str | None = None,
    intensity: IntensityConfig | dict[str, Any] | None = None,
    slices: Sequence[int] | None = None,
) -> VolumeSlices:
    """Cut a volume into slices.

    Parameters
    ----------
    volume : Volume
        The image.
    axis : int or str, optional
        An integer in file order, ``"axial"``, ``"coronal"`` or ``"sagittal"`` in the patient.
        None: axial where the file says how it lies, else 0.
    intensity : IntensityConfig or dict, optional
        How grey values become 0..1.
    slices : sequence of int, optional
        Slices along the axis in file order that are worked on; None: all.

    Raises
    ------
    InputError
        If the axis or a slice is none of the volume.
    """
    settings = IntensityConfig.of(intensity, "intensity")
    stack = SliceStack(volume, working_axis(volume, axis), settings)
    return VolumeSlices(stack, slices)
