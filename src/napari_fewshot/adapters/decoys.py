"""Decoys: made-up background, so that what is like nothing in the templates stays background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..templates.pixels import Samples

__all__ = ["with_decoys"]


def with_decoys(samples: Samples, share: float, seed: int) -> Samples:
    """Add background pixels whose features are drawn column by column from all samples.

    A network that knows the templates only may call anything else by the name of a label: a
    few painted slices rarely show all that other images contain. Drawing every feature from
    another pixel keeps the range of each and breaks how they go together, as in the synthetic
    class of Shi and Horvath (2006, "Unsupervised learning with random forest predictors").

    Parameters
    ----------
    samples : Samples
        Of the templates, standardised or not.
    share : float
        Decoys for each sample; 0 adds none.
    seed : int
        Of the choice.

    Returns
    -------
    Samples
        The samples, then the decoys: class 0, in no slice (example number -1).
    """
    count = round(share * len(samples.features))
    if count == 0:
        return samples
    rng = np.random.default_rng(seed)
    size, columns = samples.features.shape
    made = np.empty((count, columns), dtype=samples.features.dtype)
    for column in range(columns):
        made[:, column] = samples.features[rng.integers(0, size, count), column]
    background = np.zeros((count, samples.class_count), dtype=bool)
    background[:, 0] = True
    return replace(
        samples,
        features=np.concatenate([samples.features, made]),
        classes=np.concatenate([samples.classes, np.zeros(count, samples.classes.dtype)]),
        possible=np.concatenate([samples.possible, background]),
        places=np.concatenate([samples.places, np.full((count, 3), -1, samples.places.dtype)]),
    )
