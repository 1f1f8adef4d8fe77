"""How far to trust a model, as templates that were left out say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from ..predict.card import CardScore
from ..predict.learned import ExpertWeights

__all__ = ["HeldOutScore"]


@dataclass(frozen=True)
class HeldOutScore:
    """Dice of slices that took no part in the training.

    An estimate that tends to be optimistic: left-out slices lie between template slices of the
    same volume, and a person paints the slices that are easy to paint.

    Parameters
    ----------
    dice : dict of int to float
        For each label, over all held-out slices together; nan where that is not known: a label
        could be held out nowhere (it is painted on one slice only, say: nothing is left to learn it
        from; or no negative pair is left at the distance that is wanted), or it is in ``too_few``.
        Known-empty slices count: what is predicted there lowers the Dice.
    folds : int
    grouped_by : str
        ``"volumes"`` or ``"neighbouring slices"``.
    weights : ExpertWeights
        Of the experts, as chosen by what was held out, and as they are in this score.
    doubtful : frozenset of int
        Labels on two slices of a volume alone, whose Dice is that of one slice by the other, which
        is often far away: most are found better than it says.
    left : int
        Folds that it does not tell of yet: it is a first figure.
    too_few : dict of int to float
        Doubtful labels of which one slice taught less than half of the other, and this Dice. It
        says that the two slices differ, not how well a model finds the label that has both.
    """

    dice: dict[int, float]
    folds: int
    grouped_by: str
    weights: ExpertWeights = field(default_factory=ExpertWeights)
    doubtful: frozenset[int] = frozenset()
    left: int = 0
    too_few: dict[int, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean Dice over the labels that have one."""
        return _mean(self.dice.values())

    @property
    def for_comparison(self) -> float:
        """Mean Dice by which settings are compared: what is no estimate still favours one."""
        return _mean((self.dice | self.too_few).values())

    def for_card(self) -> CardScore:
        """What the card of a model keeps of it."""
        dice = {
            label: None if np.isnan(d) else round(float(d), 4) for label, d in self.dice.items()
        }
        return CardScore(dice=dice, folds=self.folds, grouped_by=self.grouped_by)


def _mean(dice: Iterable[float]) -> float:
    values = [value for value in dice if not np.isnan(value)]
    return float(np.mean(values)) if values else float("nan")
