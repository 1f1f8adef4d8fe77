"""What fine-tuning came to, and the files that hold it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .history import History
from .learner import Learner
from .scans import ScanSummary
from .weights_file import STORY, Story

if TYPE_CHECKING:
    import torch

__all__ = ["Finetuned", "beside", "check_weights_name", "outputs_of"]


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What fine-tuning came to; made by :func:`finetune`.

    Parameters
    ----------
    weights : dict of str to tensor
        The best ones, of the start if none was better.
    story : Story
        Base, data, settings, scores: what a weights file says of itself.
    history : History
        Losses of every step, scores and ranks of some.
    summary : ScanSummary
        Of the images.
    left_out : tuple of (str, str)
        Images that were not learned from, and why.
    ended : str
        ``steps``, ``minutes``, ``stopped`` or ``collapsed``.
    """

    weights: dict[str, torch.Tensor]
    story: Story
    history: History
    summary: ScanSummary
    left_out: tuple[tuple[str, str], ...]
    ended: str
    _learner: Learner

    @property
    def better(self) -> bool:
        """Whether the weights are better than those of the start."""
        return self.story.better

    @property
    def verdict(self) -> str:
        """What it came to, in a line."""
        return self.story.verdict

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a weights file, for ``weights`` everywhere; :class:`InputError` for other names."""
        self._learner.write(check_weights_name(path), self.weights, {STORY: self.story.to_json()})


def check_weights_name(path: str | os.PathLike[str], parameter: str = "output") -> Path:
    """Refuse what does not end in ``.safetensors``."""
    if Path(path).suffix.lower() != ".safetensors":
        raise InputError(parameter, "end in .safetensors", Path(path))
    return Path(path)


def beside(output: Path, ending: str) -> Path:
    """A file beside the weights, of the same stem."""
    return output.with_name(f"{output.stem}{ending}")


def outputs_of(output: Path) -> list[Path]:
    """All files that a run writes."""
    return [output, *(beside(output, ending) for ending in (".csv", ".png", "_views.png"))]
