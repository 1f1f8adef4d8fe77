"""What the making of a refiner needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...config import RefinementConfig
from ...features.cache import FeatureCache
from ...features.store import FeatureStore

__all__ = ["RefinerSettings"]


@dataclass(frozen=True)
class RefinerSettings:
    """What the making of a refiner needs to know.

    Parameters
    ----------
    config : RefinementConfig
    weights : Path, optional
        Checkpoint of SAM in place of the download.
    device : str
    seed : int
        Of random prompts.
    store, cache : optional
        Where embeddings of slices are kept.
    """

    config: RefinementConfig
    weights: Path | None = None
    device: str = "cpu"
    seed: int = 0
    store: FeatureStore | None = None
    cache: FeatureCache | None = None
