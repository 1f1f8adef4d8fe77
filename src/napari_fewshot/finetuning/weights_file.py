"""Fine-tuned weights as a file, with their story; and the files of them that lie in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from ..backbones.checkpoint import with_digest
from ..io.outputs import replacing
from ..types import plain_name

if TYPE_CHECKING:
    import torch

__all__ = ["RANK", "STORY", "Story", "list_finetuned", "read_story", "write_tensors"]

STORY = "napari-fewshot finetune"
"""Entry of the metadata that holds the story, as JSON."""

RANK = "rank of the features"
"""What weights are judged by where nothing is labelled."""
_WORDS = ("backbone", "base", "base_hash", "method", "measure")
_DOUBT = "; the rank says little of labels: give labelled images as a probe"


@dataclass(frozen=True)
class Story:
    """How weights came to be.

    Parameters
    ----------
    backbone : str
        What they are for.
    base, base_hash : str
        Weights that the training began with: their file, or the place that they come from, and
        the digest by which models and features know them.
    method : str
    steps : int
        Of the weights that are kept.
    data : dict
        Summary of the images, without their names.
    settings : dict
    measure : str
        What the score is.
    scores : dict of str to float
        By step; ``"0"`` is the start.
    start, best : float
    better : bool
        Whether the gain counted; else the weights are those of the start.
    share : float
        Of what was learned, in a mean with the weights of the start.
    """

    backbone: str
    base: str
    base_hash: str
    method: str
    steps: int
    data: dict[str, Any]
    settings: dict[str, Any]
    measure: str
    scores: dict[str, float]
    start: float
    best: float
    better: bool
    share: float = 1.0

    @property
    def learned_from(self) -> str:
        """How much, in words."""
        counts = [(self.data.get(name), name) for name in ("images", "slices")]
        return ", ".join(f"{n} {name}" for n, name in counts if isinstance(n, int)) or "unknown"

    @property
    def verdict(self) -> str:
        """The last line."""
        doubt = _DOUBT if self.measure == RANK else ""
        if not self.better:
            start = f"{self.measure} {self.start:.3f}"
            return f"no better than the start ({start}): the old weights are kept{doubt}"
        mean = "" if self.share == 1 else f", in a mean with the start ({self.share:.0%} learned)"
        gain = f"{self.best - self.start:.3f}"
        return (
            f"better than the start by {gain}: {self.measure} {self.start:.3f} before, "
            f"{self.best:.3f} after {self.steps} steps{mean}{doubt}"
        )

    def to_json(self) -> str:
        """Text for the metadata of a file."""
        return json.dumps(self.__dict__, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read :meth:`to_json`; ValueError for what it did not write.

        Words lose their control characters: they may be those of a stranger.
        """
        found = TypeAdapter(cls).validate_json(text)
        words: dict[str, Any] = {name: plain_name(getattr(found, name)) for name in _WORDS}
        return replace(found, **words)


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file, whole or not at all."""
    from safetensors.torch import save

    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # Written here: safetensors hides what the disk says, and makes files for their owner alone.
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(save(whole, with_digest(whole, metadata)))


def read_story(path: Path) -> Story | None:
    """The story of a weights file; None of a file that fine-tuning did not write."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(STORY)
        return None if text is None else Story.from_json(text)
    except (OSError, SafetensorError, ValueError):
        return None


def list_finetuned(folder: Path) -> list[tuple[Path, Story]]:
    """Fine-tuned weights in a folder, by name."""
    paths = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return [(path, story) for path in paths if (story := read_story(path)) is not None]
