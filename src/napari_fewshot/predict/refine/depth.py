"""How sure a label is where nobody said: the deeper in its region, the surer."""

from __future__ import annotations

import numpy as np

from ...types import Array

__all__ = ["depth_confidence"]

_REACH = 3.0


def depth_confidence(labels: Array, reach: float = _REACH) -> Array:
    """Confidence of a slice of labels that came without one.

    It is 0.5 at the border of a region and grows to 1 at ``reach`` pixels from it, or in the
    middle of regions that are thinner; a region that is nothing but border is sure.

    Parameters
    ----------
    labels : int array, shape (H, W)
        Background (0) is a region too.
    reach : float
        Pixels.

    Returns
    -------
    float32 array, shape (H, W)
    """
    from scipy.ndimage import distance_transform_edt, maximum
    from skimage.measure import label as find_components
    from skimage.segmentation import find_boundaries

    border = find_boundaries(labels, connectivity=1, mode="thick")
    if not border.any():
        return np.ones(labels.shape, np.float32)
    depth = distance_transform_edt(~border)
    numbers = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    parts, count = find_components(numbers, background=-1, return_num=True, connectivity=1)
    deepest = np.asarray(maximum(depth, parts, np.arange(1, count + 1)))[parts - 1]
    share = np.minimum(1.0, depth / np.clip(deepest, 1.0, reach))
    return np.where(deepest == 0, 1.0, 0.5 + 0.5 * share).astype(np.float32)
