"""The refinement that follows a prediction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..predict.refiners import Refiner, get_refiner

if TYPE_CHECKING:
    from .segmenter import FewShotSegmenter

__all__ = ["load_refiner"]


def load_refiner(
    model: FewShotSegmenter,
    refine: str | Refiner | None = None,
    sam_weights: str | os.PathLike[str] | None = None,
) -> Refiner | None:
    """Load what refines the predictions of a model, with its settings and on its device.

    Parameters
    ----------
    model : FewShotSegmenter
        Fitted or not.
    refine : str or Refiner, optional
        As for :meth:`FewShotSegmenter.predict`.
    sam_weights : path, optional
        Checkpoint of SAM in place of the download.

    Returns
    -------
    Refiner or None
        None where neither ``refine`` nor the configuration names a method.
    """
    if isinstance(refine, Refiner):
        return refine.load()
    config = model.config.propagation.refinement
    method = refine or config.method
    if method is None:
        return None
    return get_refiner(
        method,
        config=config,
        sam_weights=sam_weights,
        device=model.device,
        seed=model.config.seed,
        store=model.store,
        cache=model.cache,
    ).load()
