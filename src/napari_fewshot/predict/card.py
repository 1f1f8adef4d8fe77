"""What a model file says of its model to whoever is given it."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_serializer

from .. import __version__
from ..errors import InputError
from ..templates.training_set import TrainingSet
from ..types import plain_name

__all__ = ["CARD_FIELDS", "CardScore", "ModelCard"]

CARD_FIELDS = ("author", "licence", "note")
"""What a person writes on a card."""
LONGEST = 2000
"""Characters of each of these."""

_Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Text = Annotated[str, Field(max_length=LONGEST), AfterValidator(plain_name)]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class CardScore(BaseModel):
    """Held-out Dice, as :class:`~napari_fewshot.HeldOutScore` has it; None where there is none."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    dice: dict[int, Annotated[float, Field(ge=0, le=1)] | None]
    folds: _Count
    grouped_by: _Text

    @property
    def mean(self) -> float:
        """Mean Dice of the labels that have one."""
        values = [value for value in self.dice.values() if value is not None]
        return sum(values) / len(values) if values else math.nan


class ModelCard(BaseModel):
    """What a model was trained on, how well it does, and what its author says of it.

    Parameters
    ----------
    made_with : str
        Version of napari-fewshot; empty in files from before there were cards.
    images, slices : int
        Different images, and known slices of them.
    painted : dict of int to int
        Slices on which each label is painted, or has a landmark.
    score : CardScore, optional
        Held-out score, where there was one.
    author, licence, note : str
        As given by :meth:`~napari_fewshot.FewShotSegmenter.with_card`; the licence as an SPDX name.
    files : frozenset of str
        SHA-256 of the label maps and tables of points that it learned from, as far as they are
        known. They have no names here; ``predict`` replaces none of them.
    """

    model_config = ConfigDict(frozen=True)

    made_with: _Text = ""
    images: _Count = 0
    slices: _Count = 0
    painted: dict[int, _Count] = Field(default_factory=dict)
    score: CardScore | None = None
    author: _Text = ""
    licence: _Text = ""
    note: _Text = ""
    files: frozenset[_Digest] = frozenset()

    @field_serializer("files")
    def _sorted(self, files: frozenset[str]) -> list[str]:
        return sorted(files)  # so that the same training gives the same file

    @classmethod
    def of(cls, training: TrainingSet) -> Self:
        """Count what is learned from."""
        examples = training.examples
        return cls(
            made_with=__version__,
            images=len({example.volume for example in examples}),
            slices=len(examples),
            painted={
                value: sum(bool((example.labels == value).any()) for example in examples)
                for value in training.label_values
            },
        )

    def with_earlier(self, earlier: ModelCard) -> Self:
        """Return the card of a model that learned on: counts of both, words of the one before."""
        painted = dict(earlier.painted)
        for value, count in self.painted.items():
            painted[value] = painted.get(value, 0) + count
        counts = {"images": self.images + earlier.images, "slices": self.slices + earlier.slices}
        words = {name: getattr(earlier, name) for name in CARD_FIELDS}
        return self.model_copy(update={**counts, **words, "painted": painted})

    def written(self, fields: dict[str, str | None]) -> Self:
        """Return the card with these words on it; None leaves those that are there.

        Raises
        ------
        InputError
            If one is too long.
        """
        changes = {
            name: plain_name(text.strip()) for name, text in fields.items() if text is not None
        }
        for name, text in changes.items():
            if len(text) > LONGEST:
                raise InputError(name, f"have at most {LONGEST} characters", text)
        return self.model_copy(update=changes)
