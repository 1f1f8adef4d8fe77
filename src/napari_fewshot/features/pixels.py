"""Feature maps to pixel vectors, and where those pixels lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..types import Array, FeatureMap

__all__ = ["gather_pixels", "pixel_chunks"]


def gather_pixels(features: FeatureMap, flat: Array) -> Array:
    """Features at chosen pixels of a slice, bilinear between cell centres.

    Parameters
    ----------
    features : FeatureMap
        Features of the slice.
    flat : int array, shape (n,)
        Flat indices into the (H, W) slice.

    Returns
    -------
    array, shape (n, C), float32
    """
    height, width = features.data.shape[1:]
    if features.is_dense:
        import torch

        whole = features.data.reshape(features.channels, -1)
        run = len(flat) > 0 and flat[-1] - flat[0] + 1 == len(flat) and (np.diff(flat) == 1).all()
        columns = whole[:, flat[0] : flat[-1] + 1] if run else whole[:, flat]
        # torch transposes several times faster than numpy.
        vectors = torch.from_numpy(columns).t().contiguous().to(torch.float32)
        return np.asarray(vectors.numpy())
    rows, columns = np.divmod(flat, features.shape[1])
    y = np.clip((rows + 0.5) * height / features.extent[0] - 0.5, 0, height - 1)
    x = np.clip((columns + 0.5) * width / features.extent[1] - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    dy, dx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    cells = features.data.astype(np.float32)
    upper = cells[:, top, left] * (1 - dx) + cells[:, top, right] * dx
    lower = cells[:, bottom, left] * (1 - dx) + cells[:, bottom, right] * dx
    mixed = upper * (1 - dy) + lower * dy
    return np.ascontiguousarray(mixed.T, dtype=np.float32)


def pixel_chunks(features: FeatureMap, size: int) -> Iterator[tuple[int, int, Array]]:
    """Walk over all pixels of a slice: ``(start, stop, vectors of shape (stop - start, C))``."""
    total = features.shape[0] * features.shape[1]
    for start in range(0, total, size):
        stop = min(total, start + size)
        yield start, stop, gather_pixels(features, np.arange(start, stop))
