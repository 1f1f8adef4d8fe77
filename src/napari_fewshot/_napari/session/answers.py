"""Answers to clicks on a slice, on the worker: by a SAM, or by the model and a random walk."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...config import SegmenterConfig
from ...features.cache import FeatureCache
from ...types import Array, Volume
from ..preferences import open_store
from .jobs import Job
from .slicing import Key, Slicing

if TYPE_CHECKING:
    from ...sam.clicks import Clicks, MaskChoice
    from ...sam.model import SamModel, VolumeSlices
    from ...segmenter import FewShotSegmenter

__all__ = ["WALKER", "Answers", "Asked", "ClickChoice"]

WALKER = "random-walker"
"""Without a SAM: by the model and the edges of the image."""


@dataclass(frozen=True, eq=False)
class ClickChoice:
    """What clicks may mean.

    Parameters
    ----------
    added, removed : bool array, shape (rows, columns)
        Of the slice in the layer: where the label comes, and where it goes.
    iou, stability : float, optional
        As of :class:`~napari_fewshot.sam.clicks.MaskChoice`; None without a SAM.
    """

    added: Array
    removed: Array
    iou: float | None = None
    stability: float | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked about a slice; nothing of it changes meanwhile.

    Parameters
    ----------
    volume : Volume
        The image at the place in view.
    where : hashable
        Tells this image and place from others.
    slicing : Slicing
        Of the layer that is painted in.
    key : tuple of int
        The slice in that layer.
    points, inside, boxes : array
        As for :func:`napari_fewshot.sam_prompt`, in voxels of the volume.
    label : int
        The label in hand.
    painted : bool array, shape (rows, columns)
        Where it is now.
    method : str
        Name of a SAM, or ``WALKER``.
    sam_file : Path, optional
        Its checkpoint; None: fetched.
    device : str
    config : SegmenterConfig
    model : FewShotSegmenter, optional
        What says where the label may be.
    """

    volume: Volume
    where: Hashable
    slicing: Slicing
    key: Key
    points: Array
    inside: Array
    boxes: Array
    label: int
    painted: Array
    method: str
    sam_file: Path | None
    device: str
    config: SegmenterConfig
    model: FewShotSegmenter | None

    @property
    def axis(self) -> int | None:
        """Axis of the slices; None for an image of two axes."""
        return self.slicing.axis if self.slicing.spatial == 3 else None

    def plane_of(self, array: Array) -> Array:
        """The slice in an array of the volume, (rows, columns), a view."""
        if self.axis is None:
            return array
        plane: Array = np.moveaxis(array, self.axis, 0)[self.key[-1]]
        return plane

    def voxels(self, mask: Array) -> tuple[Array, ...]:
        """Indices in the layer of the voxels of a mask of the slice."""
        rows, columns = np.nonzero(mask)
        places: list[Array] = [rows, columns]
        if self.axis is not None:
            places.insert(self.axis, np.full(len(rows), self.key[-1]))
        return (*(np.full(len(rows), k) for k in self.key[:-1]), *places)


class Answers:
    """Answers one request after the other, and keeps what the next one on the slice needs."""

    def __init__(self, cache: FeatureCache) -> None:
        self._cache = cache
        self._sam: tuple[Hashable, SamModel] | None = None
        self._work: tuple[Hashable, VolumeSlices] | None = None
        self._predicted: tuple[Hashable, Array, Array] | None = None

    def forget(self) -> None:
        """Let the image go; a network stays loaded."""
        self._work = self._predicted = None

    def to(self, asked: Asked, job: Job) -> tuple[ClickChoice, ...]:
        """Choices, the best first; up to three with a SAM."""
        from ...sam.clicks import on_one_slice

        work = self._slices(asked)
        number, clicks = on_one_slice(work.stack, asked.points, asked.inside, asked.boxes)
        if asked.method == WALKER:
            return (self._walked(asked, work, number, clicks, job),)
        from ...sam.clicks import clicked_masks

        model = self._loaded(asked)
        job.check()
        embedding = model.embeddings(work.stack)[number]
        job.check()
        found = clicked_masks(model.predictor, embedding, clicks, work.stack)
        none = np.zeros(asked.painted.shape, bool)

        def choice(one: MaskChoice) -> ClickChoice:
            mask = _in_layer(work, number, one.mask, asked)
            return ClickChoice(mask & ~asked.painted, none, one.iou, one.stability)

        return tuple(choice(one) for one in found)

    def _slices(self, asked: Asked) -> VolumeSlices:
        """The slices of the image, whose range of grey values is found once."""
        from ...sam.model import VolumeSlices

        wanted = (asked.where, asked.axis, asked.config.intensity.model_dump_json())
        if self._work is None or self._work[0] != wanted:
            slices = VolumeSlices.of(asked.volume, asked.axis, asked.config.intensity)
            self._work = wanted, slices
        return self._work[1]

    def _loaded(self, asked: Asked) -> SamModel:
        from ...sam.model import load_sam

        wanted = (asked.method, asked.sam_file, asked.device)
        if self._sam is None or self._sam[0] != wanted:
            model = load_sam(
                asked.method,
                weights=asked.sam_file,
                device=asked.device,
                store=open_store(),
                cache=self._cache,
            )
            self._sam = wanted, model
        return self._sam[1]

    def _walked(
        self, asked: Asked, work: VolumeSlices, number: int, clicks: Clicks, job: Job
    ) -> ClickChoice:
        from ...predict.clicks import corrected_by_clicks

        painted = _in_stack(work, number, asked.painted, asked)
        probability = None
        if asked.model is not None and asked.label in asked.model.label_values_:
            likely = self._probability(asked, asked.model, job)
            probability = _in_stack(work, number, likely, asked)
        middles = (clicks.boxes[:, :2] + clicks.boxes[:, 2:]) / 2  # each is a click inside
        points = np.concatenate([clicks.points, middles])
        inside = np.concatenate([clicks.inside, np.ones(len(middles), bool)])
        walker = asked.config.propagation.refinement.walker
        image = work.stack.slice(number)
        found = corrected_by_clicks(image, painted, probability, points, inside, walker)
        added, removed = (
            _in_layer(work, number, one, asked) for one in (found.added, found.removed)
        )
        return ClickChoice(added, removed)

    def _probability(self, asked: Asked, model: FewShotSegmenter, job: Job) -> Array:
        """Of the label on the slice, (rows, columns); kept until another slice is asked about."""
        wanted = (asked.where, asked.axis, asked.key, id(model))
        if self._predicted is None or self._predicted[0] != wanted:
            predictor = model.slice_predictor(asked.volume, axis=asked.axis, landmarks=False)
            found = predictor.preview(asked.key[-1], lambda *_: job.check())
            self._predicted = wanted, found.labels, found.confidence
        _, labels, confidence = self._predicted
        # What the chosen label leaves may be any of the others.
        return np.where(labels == asked.label, confidence, (1 - confidence) / 2)


def _in_layer(work: VolumeSlices, number: int, mask: Array, asked: Asked) -> Array:
    """A mask of a slice of the stack as the layer has it, (rows, columns)."""
    whole = np.zeros(work.stack.grid.shape, mask.dtype)  # what is not written takes no memory
    whole[number] = mask
    return asked.plane_of(work.stack.to_file(whole)).copy()


def _in_stack(work: VolumeSlices, number: int, plane: Array, asked: Asked) -> Array:
    """A slice of the layer, (rows, columns), as the stack has it."""
    whole = np.zeros(work.stack.grid.shape, plane.dtype)
    asked.plane_of(work.stack.to_file(whole))[...] = plane
    found: Array = whole[number].copy()
    return found
