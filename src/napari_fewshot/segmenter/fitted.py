"""What a segmenter has learned, to read."""

from __future__ import annotations

from ..config import SegmenterConfig
from ..errors import NotFittedError
from ..predict.card import ModelCard
from ..predict.learned import ExpertWeights, LearnedModel
from ..templates.training_set import TrainingSet


class Fitted:
    """Settings, and what was learned with them; names with a final underscore come with a fit."""

    def __init__(self, config: SegmenterConfig) -> None:
        self.config = config
        self._saved: LearnedModel | None = None
        self._training: TrainingSet | None = None

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
