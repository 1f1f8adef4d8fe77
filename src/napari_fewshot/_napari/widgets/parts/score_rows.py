"""What a held-out score says about each label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["GOOD", "WEAK", "LabelScore", "score_rows", "verdict"]

GOOD = 0.8
"""Dice from which corrections are mostly small."""
WEAK = 0.6
"""Dice below which more paint helps more than corrections."""

Trust = Literal["good", "check", "weak", "unknown"]

ADVICE: dict[Trust, str] = {
    "good": "trust",
    "check": "check",
    "weak": "paint more",
    "unknown": "paint again",
}


@dataclass(frozen=True)
class LabelScore:
    """Held-out Dice of one label.

    Parameters
    ----------
    value : int
        Label value.
    name : str
    dice : float
        0 to 1; nan where the label could be held out nowhere.
    """

    value: int
    name: str
    dice: float

    @property
    def trust(self) -> Trust:
        """What the Dice is worth."""
        if math.isnan(self.dice):
            return "unknown"
        if self.dice >= GOOD:
            return "good"
        return "check" if self.dice >= WEAK else "weak"

    @property
    def advice(self) -> str:
        """What to do about this label, in two words."""
        return ADVICE[self.trust]


def score_rows(dice: Mapping[int, float], names: Mapping[int, str]) -> list[LabelScore]:
    """Scores of labels, those that need paint first."""
    rows = [LabelScore(v, names.get(v) or f"label {v}", d) for v, d in dice.items()]
    return sorted(rows, key=lambda r: (-1.0 if math.isnan(r.dice) else r.dice, r.value))


def verdict(rows: list[LabelScore]) -> str:
    """One or two sentences: what to trust, and which label needs paint most."""
    sentences = []
    trusted = [row.name for row in rows if row.trust == "good"]
    if rows and len(trusted) == len(rows):
        return "All labels look good on slices that were left out."
    needy = [row.name for row in rows if row.trust in ("weak", "unknown")]
    if needy:
        sentences.append(f"Needs more paint: {_some(needy)}.")
    if trusted:
        sentences.append(f"Can be trusted: {_some(trusted)}.")
    return " ".join(sentences) or "Check all labels: none is sure yet."


def _some(names: list[str], most: int = 4) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
