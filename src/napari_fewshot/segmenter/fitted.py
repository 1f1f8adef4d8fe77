"""What a segmenter has learned: to read, and to hand on to one with other settings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from ..adapters.memory import remembered_count
from ..config import HAND_MADE, NO_REFINEMENT, PropagationConfig, SegmenterConfig
from ..errors import NotFittedError
from ..features.cache import FeatureCache
from ..features.extract import FeatureExtractor
from ..features.store import FeatureStore
from ..io.formats import split_inside
from ..io.outputs import content_digest
from ..predict.card import ModelCard
from ..predict.learned import ExpertWeights, LearnedModel
from ..predict.planes import can_learn_planes
from ..predict.refiners import Refiner, get_refiner
from ..templates.training_set import TrainingSet
from .companions import companions, starts_with_places
from .extractors import Adapters, Extractors
from .held_out import HeldOutFolds
from .model_file import check_weights
from .score import HeldOutScore


class Fitted:
    """Settings, and what was learned with them; names with a final underscore come with a fit.

    Parameters are those of :class:`~napari_fewshot.FewShotSegmenter`, as they are used.
    """

    def __init__(
        self,
        config: SegmenterConfig,
        weights: Path | None,
        device: str,
        store: FeatureStore | None,
        cache: FeatureCache | None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.device = device
        self.store = store
        self.cache = cache
        self._extractors = Extractors(config, weights, device, store, cache)
        self._saved: LearnedModel | None = None
        self._adapters: Adapters | None = None
        self._training: TrainingSet | None = None
        self._before: LearnedModel | None = None
        self._folds: HeldOutFolds | None = None

    @property
    def weights_hash(self) -> str:
        """Digest of the backbone's weights."""
        return self.extractor.backbone.weights_hash

    @property
    def extractor(self) -> FeatureExtractor:
        """The feature extractor; the backbone is loaded on first use."""
        extractor = self._extractors.main
        if self._saved is not None:
            check_weights(self._saved, extractor.backbone)
        return extractor

    def extractors(self, training: TrainingSet | None = None) -> list[FeatureExtractor]:
        """Those of all features that it learns from: from these templates, or from any in grey.

        :attr:`extractor` is the first.
        """
        main, names = self.extractor, tuple(HAND_MADE)
        if training is not None:
            places = starts_with_places(self.config, training)
            names = companions(self.config, training, places=places)
        return [main, *self._extractors.beside(main, names).values()]

    @property
    def label_values_(self) -> tuple[int, ...]:
        """Label values that were learned, sorted."""
        return self._learned().label_values

    @property
    def names_(self) -> dict[int, str]:
        """Names of the label values."""
        return dict(self._learned().names)

    @property
    def point_labels_(self) -> frozenset[int]:
        """Labels that were learned from landmarks only."""
        return self._learned().point_labels

    @property
    def fuses_planes_(self) -> bool:
        """Whether volumes can be predicted along ``"fused"`` planes."""
        learned = self._learned()
        return len(learned.axes) > 1 or can_learn_planes(learned)

    @property
    def weights_(self) -> ExpertWeights:
        """Weights of the experts."""
        return self._learned().weights

    @property
    def card_(self) -> ModelCard:
        """What it was trained on, how well it does, and what :meth:`with_card` wrote on it."""
        return self._learned().card

    @property
    def polished_steps_(self) -> int:
        """Steps that the network of :meth:`polish` has learned for; 0 without one."""
        polished = self._learned().polished
        return 0 if polished is None else polished.steps

    @property
    def refinement(self) -> str | None:
        """What refines predictions if no other is asked for; None also for landmarks that stay."""
        learned = self._saved
        nothing = learned is not None and learned.unrefined.issuperset(learned.label_values)
        return None if nothing else self.config.propagation.refinement.method

    def load_refiner(
        self, refine: str | Refiner | None = None, sam_weights: str | os.PathLike[str] | None = None
    ) -> Refiner | None:
        """Load what refines predictions, with the settings and on the device of this segmenter.

        ``refine`` as for :meth:`predict`; None where neither it nor :attr:`refinement` names a
        method. ``sam_weights`` is a checkpoint of SAM in place of the download.
        """
        if isinstance(refine, Refiner):
            return refine.load()
        method = refine or self.refinement
        if method is None or method == NO_REFINEMENT:
            return None
        return get_refiner(
            method,
            config=self.config.propagation.refinement,
            sam_weights=sam_weights,
            device=self.device,
            seed=self.config.seed,
            store=self.store,
            cache=self.cache,
        ).load()

    @property
    def remembers_(self) -> bool:
        """Whether it keeps something of its templates by which it learns on without their images.

        Pixels (``sampling.remembered``), or, with SAM's decoder, the embeddings of labels. Models
        of earlier versions keep no pixels.
        """
        return self.remembered_pixels_ > 0 or "targets" in self._learned().adapter.tensors

    @property
    def remembered_pixels_(self) -> int:
        """Pixels of the templates whose features it keeps for each of its adapters, at most."""
        learned = self._learned()
        return max(remembered_count(one) for one in (learned.adapter, *learned.beside.values()))

    @property
    def training_set_(self) -> TrainingSet:
        """Known slices that it was fitted to; not there in a loaded model."""
        if self._training is None:
            raise NotFittedError("The templates are known after fit only, not in a loaded model.")
        return self._training

    def _learned(self) -> LearnedModel:
        if self._saved is None:
            raise NotFittedError("The segmenter is not fitted yet; call fit or load a model.")
        return self._saved

    def with_settings(self, **changes: Any) -> Self:
        """Return an unfitted segmenter with other settings, on the same device, store and cache."""
        model = type(self)(
            weights=self.weights,
            device=self.device,
            store=self.store,
            cache=self.cache,
            **dict(self.config.changed(changes)),
        )
        same = ("backbone", "extraction")
        if all(getattr(model.config, name) == getattr(self.config, name) for name in same):
            model._extractors = self._extractors  # loaded once
        return model

    def with_base(self, base: Fitted | None) -> Self:
        """Return one that has learned the same, and goes on from a model; None: from no other.

        A loaded model goes on from itself. One that was saved amid its work does from what it
        went on from then: its templates are there still.
        """
        model = self._handed_on(self.with_settings(), self._learned())
        model._before = None if base is None else base._learned()
        return model

    @property
    def base_(self) -> Self | None:
        """The model that it goes on from, whose templates are not here; None: there is none."""
        if self._before is None:
            return None
        model = self.with_settings()
        model._saved = model._before = self._before
        return model

    def with_propagation(self, settings: PropagationConfig | dict[str, Any]) -> Self:
        """Return one that has learned the same, with settings of propagation as :meth:`load`."""
        model = self.with_settings(propagation=settings)
        return self._handed_on(model, replace(self._learned(), config=model.config))

    def with_weights(self, weights: ExpertWeights) -> Self:
        """Return one that has learned the same, with other weights, as of a HeldOutScore."""
        return self._handed_on(self.with_settings(), replace(self._learned(), weights=weights))

    def with_card(
        self,
        *,
        author: str | None = None,
        licence: str | None = None,
        note: str | None = None,
        score: HeldOutScore | None = None,
        files: Iterable[str | os.PathLike[str]] = (),
    ) -> Self:
        """Return one that has learned the same, with these on its card; None: as it is there.

        ``score`` is what :meth:`held_out_score` gave. ``files`` are label maps and tables of points
        that it learned from: ``predict`` knows them by their digests, which join those that are
        there, and never replaces them. :class:`InputError` if a text is too long.
        """
        card = self.card_.written({"author": author, "licence": licence, "note": note})
        paths = [split_inside(Path(path))[0] for path in files]
        digests = {digest for path in paths if (digest := content_digest(path))}
        card = card.model_copy(update={"files": card.files | digests})
        if score is not None:
            card = card.model_copy(update={"score": score.for_card()})
        return self._with(card)

    def _with(self, card: ModelCard) -> Self:
        return self._handed_on(self.with_settings(), replace(self._learned(), card=card))

    def _handed_on(self, model: Self, learned: LearnedModel) -> Self:
        model._saved, model._adapters, model._training = learned, self._adapters, self._training
        model._before = self._before
        return model
