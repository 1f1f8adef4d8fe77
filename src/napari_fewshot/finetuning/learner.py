"""The contract of what learns from images without labels: one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..backbones import Backbone
from ..types import Array

if TYPE_CHECKING:
    import torch

__all__ = ["Learner"]


class Learner(Protocol):
    """A copy of a backbone that learns.

    What counts is the running mean of its weights, which may be taken after any step.
    """

    method: str
    """How it learns, in a few words."""

    def step(self, number: int) -> dict[str, float]:
        """Take a step, a function of its number and of what was learned before; losses by name."""
        ...

    def averaged(self) -> dict[str, torch.Tensor]:
        """The running mean of the weights, on the CPU, under the names of a weights file."""
        ...

    def backbone(self) -> Backbone:
        """The backbone with that mean, to encode with; it changes with the next step."""
        ...

    def state(self) -> dict[str, Any]:
        """All that :meth:`restore` needs to go on as if nothing had happened: tensors, numbers."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; KeyError, ValueError or RuntimeError if it is of another network."""
        ...

    def pictures(self, number: int) -> Array:
        """What a step would see, shape (rows, columns, H, W, 3), uint8."""
        ...

    def write(
        self, path: Path, weights: Mapping[str, torch.Tensor], about: Mapping[str, str]
    ) -> None:
        """Write weights in the format that the backbone is read from."""
        ...
