"""What the features of a slice depend on, as names for the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

from ..backbones.base import Backbone
from ..config import ExtractionConfig
from .batching import Precision

__all__ = ["RECIPE", "entry_key", "signature"]

RECIPE = 1
"""Raised whenever preparing, tiling or stitching changes the features of a slice."""


def signature(backbone: Backbone, config: ExtractionConfig, precision: Precision) -> str:
    """JSON of all that features depend on apart from the slices themselves.

    Two extractions of equal signature give the same features for the same slice, but for
    rounding: batches, threads and processor decide the last bits. The batch size is no part of
    it; ``precision`` is the one in use, since ``auto`` depends on the machine.
    """
    spec = backbone.spec
    return json.dumps(
        {
            "recipe": RECIPE,
            "backbone": spec.name,
            "weights": backbone.weights_hash,
            "stride": spec.stride,
            "context": spec.context,
            "preprocessing": asdict(spec.preprocessing),
            "settings": config.model_dump(exclude={"batch", "precision"}, mode="json"),
            "precision": precision,
        },
        sort_keys=True,
    )


def entry_key(digests: Iterable[str]) -> str:
    """Name of the entry of a slice: digest of the digests of it and of its context slices."""
    text = " ".join(digests)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
