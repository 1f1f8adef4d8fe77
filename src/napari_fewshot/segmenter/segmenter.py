"""FewShotSegmenter: composes the stages; it alone knows their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..adapters import check_adapter
from ..backbones import backbone_entry
from ..config import PropagationConfig, SegmenterConfig
from ..device import choose_device
from ..errors import InputError
from ..features.cache import FeatureCache
from ..features.store import FeatureStore
from ..predict.card import CARD_FIELDS
from ..predict.landmark_finder import LandmarkFinder
from ..predict.learned import LearnedModel
from ..predict.predictor import PredictionRequest, VolumePredictor
from ..predict.refiners import Refiner, check_method
from ..predict.sink import FUSED, Prediction
from ..predict.slice_predictor import SlicePredictor
from ..slices.region import Region
from ..templates.template import Template
from ..templates.training_set import TrainingSet
from ..types import Landmark, Progress, Volume, no_progress
from .extractors import Adapters
from .fitted import Fitted
from .held_out import HeldOutFolds
from .learning import Learning
from .model_file import read_model, restored_polished, write_model
from .planes import plane_teacher
from .polishing import polished
from .score import HeldOutScore

__all__ = ["FUSED", "FewShotSegmenter"]


class FewShotSegmenter(Fitted):
    """Learns from a few painted slices, labels the rest of the volume and other volumes.

    Raises :class:`UnknownNameError` if the backbone, the adapter or a setting does not exist,
    and :class:`InputError` if a setting breaks its limit, the device is not present, or the
    adapter does not work with the backbone.

    Parameters
    ----------
    backbone : str, optional
        Where features come from; see ``napari-fewshot backbones``.
    adapter : str, optional
        ``"cosine"``, ``"classification"``, ``"contrastive"``, or ``"sam-decoder"`` with a SAM as
        the backbone.
    preset : {"published"}, optional
        Settings of the papers instead of our defaults, backbone and SAM included.
    weights : path, optional
        Local checkpoint of the backbone.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
    store : FeatureStore or path, optional
        Where features of token backbones are kept between runs.
    cache : FeatureCache, optional
        Where features are kept in memory, to train and predict again at once.
    **settings
        Settings of single stages, as configurations or dicts: see
        :class:`~napari_fewshot.config.SegmenterConfig`.

    Attributes
    ----------
    config : SegmenterConfig
    label_values_ : tuple of int
        Labels that were learned; set by :meth:`fit`, like all names with a final underscore.
    names_ : dict of int to str

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
        cache: FeatureCache | None = None,
        **settings: Any,
    ) -> None:
        given = {name: value for name, value in settings.items() if value is not None}
        config = SegmenterConfig.of(given, "settings")
        backbone_entry(config.backbone)
        check_adapter(config)
        refinement = config.propagation.refinement.method
        if refinement is not None:
            check_method(refinement, "settings.propagation.refinement.method")
        super().__init__(
            config,
            None if weights is None else Path(weights),
            choose_device(device),
            FeatureStore(Path(store)) if isinstance(store, (str, os.PathLike)) else store,
            cache,
        )

    def fit(
        self,
        templates: Template | Sequence[Template],
        progress: Progress = no_progress,
        *,
        at_once: Callable[[FewShotSegmenter], None] | None = None,
    ) -> FewShotSegmenter:
        """Learn from templates: what a person knows of one or more images.

        ``progress(done, total, what)`` may raise ``Cancelled``; the segmenter is then as it was
        before. Where it learns twice (``experts.self_training``), ``at_once`` is given a segmenter
        that has learned once.

        :class:`InputError` if nothing is painted, no pixel is background, or images do not go
        together; :class:`WeightsError` if the backbone's weights cannot be had.
        """
        training = TrainingSet.of(templates, self.config)
        state = self._saved, self._before
        self._saved = self._before = None

        def once(adapters: Adapters) -> None:
            if at_once is not None:
                model = self.with_settings()
                model._become(adapters, training)
                at_once(model)

        try:
            adapters = self._learning(training).fit(training, progress, once)
        except BaseException:
            self._saved, self._before = state
            raise
        self._become(adapters, training)
        return self

    def extended(
        self, templates: Template | Sequence[Template], progress: Progress = no_progress
    ) -> FewShotSegmenter:
        """Learn from more images without those of before: a new segmenter that knows both.

        ``templates`` come to what it knew when it was loaded, or knows now if it was fitted here:
        it recalls the pixels that it keeps of its templates (``sampling.remembered``), and goes on
        carrying and registering their labels. Labels may come; weights of the experts stay.

        Raises what :meth:`fit` does, :class:`NotFittedError` before it, and :class:`InputError` if
        images have another number of channels, or the model keeps nothing (:attr:`remembers_`).
        """
        if not self.remembers_:
            raise InputError(
                "model",
                "keep pixels of its templates to learn on from",
                "none: it was trained so, or by an earlier version",
                "Train anew from all images.",
            )
        model = self.with_settings()
        model._saved = model._before = self._before or self._learned()
        return model._learned_on(templates, progress, whole=True)

    def updated(
        self,
        templates: Template | Sequence[Template],
        progress: Progress = no_progress,
        *,
        at_once: Callable[[FewShotSegmenter], None] | None = None,
    ) -> FewShotSegmenter:
        """Learn on after a correction: a new segmenter, in a fraction of the time of a fit.

        Adapters start from those here, also where labels have come or gone, and are trained for
        ``update_steps``. Images with another number of channels are fitted anew. ``templates`` are
        all that is known now, not only what is new; ``progress`` is as for :meth:`fit`. Before it,
        ``at_once`` is given one that carries this paint and has not yet learned from it, if labels
        are carried and none has come or gone. Raises what :meth:`fit` does, and
        :class:`NotFittedError` before it.
        """
        return self._learned_on(templates, progress, at_once=at_once)

    def _learned_on(
        self,
        templates: Template | Sequence[Template],
        progress: Progress,
        *,
        whole: bool = False,
        at_once: Callable[[FewShotSegmenter], None] | None = None,
    ) -> FewShotSegmenter:
        """A segmenter that went on from here; ``whole``: trained as long as by a fit."""
        learned, before = self._learned(), self._before
        training = TrainingSet.of(templates, self.config, *_labels_of(before))
        model = self.with_settings()
        if learned.channels != training.channels:
            if before is None:
                return model.fit(templates, progress)
            raise InputError(
                "templates",
                f"have {learned.channels} channels, as those that the model learned from",
                training.channels,
            )
        if at_once is not None and learned.can_carry(training):
            at_once(self._handed_on(self.with_settings(), learned.repainted(training)))
        model._before = before
        learning = model._learning(training, learned)
        if whole and self.remembered_pixels_:
            adapters = learning.fit(training, progress)
            if learned.label_values == training.label_values:  # the network stays as it is
                adapters = replace(adapters, polished=restored_polished(learned, self.device))
        else:
            adapters = learning.update(learned, self.device, training, progress)
        model._become(adapters, training)
        stays = {name: getattr(learned.card, name) for name in (*CARD_FIELDS, "files")}
        card = model.card_.model_copy(update=stays)
        return model.with_weights(learned.weights)._with(card)

    def _learning(self, training: TrainingSet, learned: LearnedModel | None = None) -> Learning:
        own = self.config, self._extractors, self.extractor
        return Learning.of(*own, training, self._before, learned)

    def _become(self, adapters: Adapters, training: TrainingSet) -> None:
        self._adapters, self._training, self._folds = adapters, training, None
        own = adapters.main, adapters.beside, adapters.polished, adapters.landmarks
        learned = LearnedModel.of(self.config, self.weights_hash, training, *own)
        if self._before is not None:
            learned = learned.with_earlier(self._before)
        name = "" if self.weights is None else self.weights.name
        self._saved = replace(learned, weights_name=name)

    def polish(
        self, minutes: float | None = None, progress: Progress = no_progress
    ) -> FewShotSegmenter:
        """Return one whose embedded network has learned from the templates too, as one more expert.

        In at most so many ``minutes`` (None: ``experts.polish_minutes``). When ``progress`` raises
        ``Cancelled``, it has the best so far. One that was polished goes on from there. InputError
        with another backbone than ``embedded``, or landmarks alone; a loaded model has no
        templates: :class:`NotFittedError`.
        """
        training, adapters, learned = self.training_set_, self._restored(), self._learned()
        own = self.config, self.extractor, adapters.polished
        found = polished(*own, training, minutes, progress)
        state = None if found is None else found.state()
        model = self._handed_on(self.with_settings(), replace(learned, polished=state))
        model._adapters = replace(adapters, polished=found)
        return model

    def held_out_score(
        self,
        progress: Progress = no_progress,
        told: Callable[[HeldOutScore], None] = lambda score: None,
    ) -> HeldOutScore | None:
        """Estimate the Dice of each label by leaving template slices out in turn.

        It trains up to five adapters of each kind, and with ``experts.choose`` it chooses weights
        of the experts for :meth:`with_weights`. ``told`` is given the score so far after each. When
        ``progress`` raises ``Cancelled``, the next call goes on. None with fewer than two template
        slices. A loaded model has no templates: :class:`NotFittedError`.
        """
        if self._folds is None:
            learned, choose = self._learned(), self.config.experts.choose and self.config.fuses
            learning = self._learning(self.training_set_, learned)
            known, one, others = learning.learners(self.training_set_)
            by = self._extractors.registrations if learned.volumes else None
            own = known, one, others, learned.flow, by
            self._folds = HeldOutFolds(*own, choose=choose, usual=learning.usual)
        score = self._folds.score(progress, told)
        self._folds = None
        return score

    def predict(
        self,
        volume: Volume | npt.ArrayLike,
        *,
        axis: int | str | None = None,
        landmarks: bool = True,
        refine: str | Refiner | None = None,
        region: Region | None = None,
        known_landmarks: Sequence[Landmark] = (),
        progress: Progress = no_progress,
    ) -> Prediction:
        """Label the slices of a volume.

        Raises :class:`NotFittedError` before :meth:`fit` or :meth:`load`,
        :class:`UnknownNameError` if the refinement does not exist, and :class:`InputError` for
        other channels than in the templates, one plane that is fused, a region beyond the image, or
        known landmarks that are none of the model or of the image.

        Parameters
        ----------
        volume : Volume or array, shape (Z, Y, X) or (Y, X), channels last if RGB
            The image to label.
        axis : int or str, optional
            Axis of the slices: an integer in file order, ``"axial"``, ``"coronal"`` or
            ``"sagittal"`` in the patient, or ``"fused"`` for the mean of all planes that
            templates are painted in; with one, the others are learned from what is found
            along it, which takes as long as training and two more predictions. None: the axis
            of the templates; others are warned of.
        landmarks : bool
            Whether to look for landmarks.
        refine : str or Refiner, optional
            How to make the cleaned labels more exact: ``"random-walker"``, ``"auto"``, the name
            of a SAM, what :func:`~napari_fewshot.get_refiner` gave, or ``"none"``. None: the
            method of the configuration, which by default is none.
        region : sequence of pairs of int, optional
            The part to label: (first, one behind the last) or None along each spatial axis in file
            order; one pair alone is a range of slices. Elsewhere labels and confidence are 0. In it
            they are those of the whole volume, but that components and landmarks end with it.
        known_landmarks : sequence of Landmark
            Those of the model that somebody has placed in this volume: they are in the result as
            they are, and the others are placed so that they lie to them as in the templates.
        progress : callable
            ``progress(done, total, what)``; it may raise ``Cancelled``.

        Returns
        -------
        Prediction
            ``labels`` (integers) and ``confidence`` (float32, the probability of the label that
            stands there), both of the shape of the image without channels, in the order of its
            file; ``landmarks`` in voxels of it.
        """
        refiner = self.load_refiner(refine)  # what cannot be had is seen before the work
        known = tuple(known_landmarks)
        request = PredictionRequest(axis, landmarks, refiner, region, known)
        return self.volume_predictor().predict(Volume.of(volume), request, progress)

    def slice_predictor(
        self,
        volume: Volume | npt.ArrayLike,
        *,
        axis: int | str | None = None,
        landmarks: bool = True,
        known_landmarks: Sequence[Landmark] = (),
    ) -> SlicePredictor:
        """Prepare the prediction of single slices of a volume, in any order, without refinement.

        Parameters and errors are those of :meth:`predict`, but ``axis`` may not be ``"fused"``.
        """
        request = PredictionRequest(axis, landmarks, known_landmarks=tuple(known_landmarks))
        return self.volume_predictor().slices(Volume.of(volume), request)

    def landmark_finder(self, volume: Volume | npt.ArrayLike) -> LandmarkFinder:
        """Prepare to find the landmarks of a volume again and again, as some become known."""
        return self.volume_predictor().experts.finder(Volume.of(volume))

    def volume_predictor(self) -> VolumePredictor:
        """Return what volumes are predicted with: the parts of this segmenter, loaded."""
        experts = self._extractors.experts(self._learned(), self._restored(), self.extractor)
        return VolumePredictor(experts, plane_teacher(self, experts.model))

    def _restored(self) -> Adapters:
        if self._adapters is None:
            self._adapters = Adapters.restored(self._learned(), self.device)
        return self._adapters

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model file (safetensors; conventionally ``*.fewshot``), whole or not at all.

        :class:`NotFittedError` before :meth:`fit`; :class:`InputError` if it cannot be written.
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
        cache: FeatureCache | None = None,
        propagation: PropagationConfig | dict[str, Any] | None = None,
        channels: Sequence[int] | None = None,
    ) -> FewShotSegmenter:
        """Read a model file; the backbone is loaded on first use.

        ``propagation``: a dict changes the settings that it names, a configuration all of them.
        ``channels`` are those to read of images where others stand for those of the templates.

        :class:`ModelFileError` if the file is missing, damaged, foreign or too new.
        """
        saved = read_model(path).changed(propagation, channels)
        model = cls(weights=weights, device=device, store=store, cache=cache, **dict(saved.config))
        model._saved = saved
        model._before = saved if model.remembers_ else None
        return model


def _labels_of(before: LearnedModel | None) -> tuple[dict[int, str], frozenset[int]]:
    """Names of the labels of a model to go on from, and which of them are landmarks."""
    return ({}, frozenset()) if before is None else (before.names, before.point_labels)
