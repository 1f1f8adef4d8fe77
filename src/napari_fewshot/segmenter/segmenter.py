"""FewShotSegmenter: composes the stages; it alone knows their order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..adapters import ADAPTERS, Adapter, build_adapter
from ..backbones import backbone_entry, get_backbone
from ..config import PropagationConfig, SegmenterConfig
from ..device import choose_device
from ..errors import InputError, NotFittedError, WeightsError
from ..features.extract import FeatureExtractor
from ..features.planes import SliceStack, from_stack
from ..features.store import FeatureStore
from ..geometry import Frame, resolve_axis
from ..propagation.cleanup import clean_labels
from ..propagation.collect import Collected, LabelProbabilities, collect
from ..propagation.fusion import fused_probabilities
from ..propagation.volume import slice_probabilities
from ..sampling.template import Template
from ..types import Array, FeatureMap, Landmark, Progress, Volume, joint_progress, no_progress
from .held_out import HeldOutScore, held_out_score
from .model_file import SavedModel, read_model, restored, write_model
from .prediction import Prediction
from .training_set import TrainingSet

__all__ = ["FUSED", "FewShotSegmenter"]

FUSED = "fused"
"""Axis of a prediction that averages the probabilities of all three planes."""


class FewShotSegmenter:
    """Learns from a few painted slices, labels the rest of the volume and other volumes.

    Parameters
    ----------
    backbone : str, optional
        Where features come from; see ``napari-fewshot backbones``.
    adapter : str, optional
        ``"cosine"``, ``"classification"`` or ``"contrastive"``.
    preset : {"published"}, optional
        Settings of the papers instead of our defaults.
    weights : path, optional
        Local checkpoint of the backbone.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    store : FeatureStore or path, optional
        Where features of token backbones are kept between runs.
    **settings
        Settings of single stages, as configurations or dicts: see
        :class:`~napari_fewshot.config.SegmenterConfig`.

    Attributes
    ----------
    config : SegmenterConfig
    label_values_ : tuple of int
        Labels that were learned; set by :meth:`fit`, like all names with a final underscore.
    names_ : dict of int to str

    Raises
    ------
    UnknownNameError
        If the backbone, the adapter or a setting does not exist.
    InputError
        If a setting breaks its limit or the device is not present.

    Examples
    --------
    >>> model = FewShotSegmenter(backbone="embedded", adapter="contrastive")
    >>> model.fit(Template(image, labels))
    >>> prediction = model.predict(image)
    """

    def __init__(
        self,
        *,
        weights: str | os.PathLike[str] | None = None,
        device: str = "auto",
        store: FeatureStore | str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:
        given = {name: value for name, value in settings.items() if value is not None}
        self.config = SegmenterConfig.of(given, "settings")
        ADAPTERS.get(self.config.adapter)
        backbone_entry(self.config.backbone)
        self.device = choose_device(device)
        self.weights = None if weights is None else Path(weights)
        self.store = (
            store if store is None or isinstance(store, FeatureStore) else FeatureStore(Path(store))
        )
        self._extractor: FeatureExtractor | None = None
        self._adapter: Adapter | None = None
        self._saved: SavedModel | None = None
        self._training: TrainingSet | None = None

    def with_settings(self, **changes: Any) -> FewShotSegmenter:
        """Return an unfitted segmenter with other settings, on the same device and store."""
        settings = dict(self.config.changed(changes))
        return type(self)(weights=self.weights, device=self.device, store=self.store, **settings)

    # ------------------------------------------------------------------ what was learned

    @property
    def label_values_(self) -> tuple[int, ...]:
        """Label values that were learned, sorted."""
        return self._learned().label_values

    @property
    def names_(self) -> dict[int, str]:
        """Names of the label values."""
        return dict(self._learned().names)

    @property
    def training_set_(self) -> TrainingSet:
        """Known slices that it was fitted to; not there in a loaded model."""
        if self._training is None:
            raise NotFittedError("The templates are known after fit only, not in a loaded model.")
        return self._training

    @property
    def weights_hash(self) -> str:
        """Digest of the backbone's weights."""
        return self.extractor.backbone.weights_hash

    @property
    def extractor(self) -> FeatureExtractor:
        """The feature extractor; the backbone is loaded on first use."""
        config = self.config
        if self._extractor is None:
            backbone = get_backbone(config.backbone, self.weights, config.extraction.blocks)
            self._extractor = FeatureExtractor(backbone, config.extraction, self.device, self.store)
        found = self._extractor.backbone.weights_hash
        if self._saved is not None and found != self._saved.weights_hash:
            raise WeightsError(
                f"weights must be those that the model was trained with "
                f"({self._saved.weights_hash[:12]}); got {found[:12]} for "
                f"backbone {config.backbone}. Give the same checkpoint, or train again."
            )
        return self._extractor

    def _learned(self) -> SavedModel:
        if self._saved is None:
            raise NotFittedError("The segmenter is not fitted yet; call fit or load a model.")
        return self._saved

    # ------------------------------------------------------------------ learning

    def fit(
        self, templates: Template | Sequence[Template], progress: Progress = no_progress
    ) -> FewShotSegmenter:
        """Learn from templates.

        Parameters
        ----------
        templates : Template or sequence of Template
            What a person knows of one or more images.
        progress : callable
            ``progress(done, total, what)``; it may raise ``Cancelled``. A segmenter whose fit
            was cancelled is as it was before.

        Raises
        ------
        InputError
            If nothing is painted, no pixel is background, or images do not go together.
        WeightsError
            If the backbone's weights cannot be had.
        """
        given = [templates] if isinstance(templates, Template) else list(templates)
        training = TrainingSet.of(given, self.config)
        saved, self._saved = self._saved, None
        try:
            extractor = self.extractor
            adapter = build_adapter(self.config, self.device)
            maps = training.maps(extractor, progress=progress)
            adapter.fit(training.examples, maps, training.label_values, progress)
        except BaseException:
            self._saved = saved
            raise
        self._adapter, self._training = adapter, training
        self._saved = SavedModel(
            config=self.config,
            weights_hash=extractor.backbone.weights_hash,
            label_values=training.label_values,
            names=training.names,
            point_labels=training.point_labels,
            axes=training.axes,
            channels=training.channels,
            adapter=adapter.state(),
        )
        return self

    def held_out_score(self, progress: Progress = no_progress) -> HeldOutScore | None:
        """Estimate the Dice of each label by leaving template slices out in turn.

        It trains up to five adapters; call it when the result has been shown. None with fewer
        than two template slices.

        Raises
        ------
        NotFittedError
            If this segmenter was not fitted itself (a loaded model has no templates).
        """
        training = self.training_set_

        def maps(numbers: Sequence[int]) -> Iterator[FeatureMap]:
            return training.maps(self.extractor, numbers)

        return held_out_score(
            lambda: build_adapter(self.config, self.device),
            training.examples,
            maps,
            training.label_values,
            progress,
        )

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        volume: Volume | npt.ArrayLike,
        *,
        axis: int | str | None = None,
        landmarks: bool = True,
        progress: Progress = no_progress,
    ) -> Prediction:
        """Label every slice of a volume.

        Parameters
        ----------
        volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
            The image to label.
        axis : int or str, optional
            Axis of the slices: an integer in file order, ``"axial"``, ``"coronal"`` or
            ``"sagittal"`` in the patient, or ``"fused"`` for the mean of all three planes.
            None: the axis of the templates.
        landmarks : bool
            Whether to look for landmarks.
        progress : callable
            ``progress(done, total, what)``; it may raise ``Cancelled``.

        Returns
        -------
        Prediction

        Raises
        ------
        NotFittedError
            Before :meth:`fit` or :meth:`load`.
        InputError
            If the volume has another number of channels than the templates.
        """
        learned = self._learned()
        image = Volume.of(volume)
        stacks = [
            SliceStack(image, number, self.config.intensity, self.config.resampling)
            for number in self._axes(image, axis)
        ]
        if stacks[0].channels != learned.channels:
            raise InputError(
                "volume",
                f"have {learned.channels} channel(s), as the templates",
                f"{stacks[0].channels}",
            )
        if len(stacks) == 1:
            planes = self._probabilities(stacks[0], progress)
        else:
            counters = joint_progress([len(stack) for stack in stacks], progress)
            parts = zip(stacks, counters, strict=True)
            planes = fused_probabilities(
                [(stack, self._probabilities(stack, counter)) for stack, counter in parts]
            )
        return self._assemble(stacks[0], planes, landmarks)

    def _axes(self, image: Volume, axis: int | str | None) -> list[int]:
        if image.ndim == 2:
            return [0]
        if axis == FUSED:
            return [0, 1, 2]
        if axis is not None:
            return [resolve_axis(axis, Frame.of(image.affine, image.ndim), image.ndim)]
        return [self._learned().axes[0]]

    def _probabilities(self, stack: SliceStack, progress: Progress) -> Iterator[tuple[int, Array]]:
        if self._adapter is None:
            self._adapter = restored(self._learned(), self.device)
        return slice_probabilities(
            stack, self.extractor, self._adapter, self.config.propagation.smoothing, progress
        )

    def _assemble(
        self, stack: SliceStack, planes: Iterator[tuple[int, Array]], landmarks: bool
    ) -> Prediction:
        learned, settings = self._learned(), self.config.propagation
        shape, values = stack.grid.shape, learned.label_values
        kept = LabelProbabilities(shape, len(values)) if landmarks else None
        found = _cleaned(collect(planes, shape, values, kept), settings.cleanup)
        points = (
            []
            if kept is None
            else kept.landmarks(values, learned.names, settings.landmarks, stack.spacing, values)
        )
        ndim = stack.volume.ndim
        return Prediction(
            labels=from_stack(found.labels, stack.frame, stack.axis, ndim).copy(),
            confidence=from_stack(found.confidence, stack.frame, stack.axis, ndim).copy(),
            landmarks=tuple(_in_file_order(point, stack) for point in points),
            names=dict(learned.names),
        )

    # ------------------------------------------------------------------ files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file (safetensors; conventionally ``*.fewshot``), whole or not at all.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        InputError
            If the folder cannot be written.
        """
        write_model(path, self._learned())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        weights: str | os.PathLike[str] | None = None,
        device: str = "auto",
        store: FeatureStore | str | os.PathLike[str] | None = None,
        propagation: PropagationConfig | dict[str, Any] | None = None,
    ) -> FewShotSegmenter:
        """Read a model file; the backbone is loaded on first use.

        ``propagation`` changes settings of the propagation; those not given stay as saved.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, foreign or too new.
        """
        saved = read_model(path)
        settings = saved.config.changed({} if propagation is None else {"propagation": propagation})
        model = cls(weights=weights, device=device, store=store, **dict(settings))
        model._saved = replace(saved, config=settings)
        return model


def _cleaned(found: Collected, config: Any) -> Collected:
    """Apply the component rules; a voxel that lost its label trusts background instead."""
    labels = clean_labels(found.labels, config)
    removed = labels != found.labels
    confidence = found.confidence
    confidence[removed] = 1 - confidence[removed]
    return Collected(labels, confidence)


def _in_file_order(point: Landmark, stack: SliceStack) -> Landmark:
    """Bring a landmark from the order of the stack to that of the file."""
    if stack.volume.ndim == 2:
        return point
    depth, row, column = point.position
    place = [row, column]
    place.insert(stack.axis, depth)
    moved = stack.frame.points_from_canonical(np.array([place]), stack.volume.shape)[0]
    return replace(point, position=(float(moved[0]), float(moved[1]), float(moved[2])))
