"""Settings of the few-shot mask decoder."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from .base import StageConfig

__all__ = ["SamDecoderConfig"]

_TEMPLATES, _PASSES = (5, 20, 50), (50, 80, 100)


class SamDecoderConfig(StageConfig):
    """SAM's mask decoder, prompted by the embeddings of the templates.

    Parameters
    ----------
    start : {"sam", "he"}
        What the two output tokens start as: ``sam`` as a mask of SAM and the opposite of
        another, ``he`` (published) at random, which learns much more slowly.
    passes : int
        Most passes over the template slices and their copies; 0 (published): 50 for five
        slices or fewer, 80 for 20, 100 for 50 or more, and between these in proportion.
    best_pass : bool
        With three template slices or more, one is held out (a volume, with three volumes or
        more), and the pass that predicts it best is kept (published). False learns from all of
        them and keeps the last pass: one slice says little of when to stop.
    refit : bool
        With a slice held out: learn anew from all of them, for as many passes as were best
        (published: no). One of a few slices is much to leave unused.
    patience : int
        Passes without a better one after which training ends; 0: never early.
    variants : int
        Augmented copies of each template slice, which are encoded once.
    flips : bool
        Whether copies may be mirrored.
    learning_rate : float
        Of Adam.
    dice_loss : float
        Weight of a Dice term beside the cross-entropy (published: 0). Without it small labels
        are learned late: background is most of what the cross-entropy sees.
    update_passes : int
        Passes after a correction, which go on from what was learned before.
    """

    start: Literal["sam", "he"] = "sam"
    passes: int = Field(default=0, ge=0)
    best_pass: bool = False
    refit: bool = True
    patience: int = Field(default=15, ge=0)
    variants: int = Field(default=4, ge=0)
    flips: bool = False
    learning_rate: float = Field(default=1e-4, gt=0)
    dice_loss: float = Field(default=1.0, ge=0)
    update_passes: int = Field(default=10, ge=1)

    def passes_over(self, templates: int) -> int:
        """Most passes over so many template slices."""
        return self.passes or round(float(np.interp(templates, _TEMPLATES, _PASSES)))
