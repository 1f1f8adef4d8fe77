"""Truth out of several files: masks merged to one label map, structures as points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...io import check_match, read_labels
from ...types import Landmark, Volume

__all__ = ["Structure", "centroids", "merged_masks"]

Structure = tuple[str, tuple[Path, ...]]
"""Name of a structure, and the masks that it is made of."""


def merged_masks(
    structures: Sequence[Structure], image: Callable[[], Volume] | None = None
) -> Volume:
    """Merge binary masks to one label map: the first structure has label 1, and so on.

    Voxels that two structures share go to the one that is named first.

    Parameters
    ----------
    structures : sequence of (name, paths)
        A structure without a file is known to be absent.
    image : callable, optional
        Reads the image, for the grid where no structure has a file.

    Raises
    ------
    InputError
        If a mask cannot be read, or lies on another grid than the others.
    """
    merged: Volume | None = None
    for label, (_, paths) in enumerate(structures, start=1):
        for path in paths:
            mask = read_labels(path)
            if merged is None:
                merged = mask.with_data(np.zeros(mask.shape, np.uint8), source=None, header=None)
            check_match(merged, mask)
            merged.data[(mask.data > 0) & (merged.data == 0)] = label
    if merged is None:
        if image is None:
            raise InputError("structures", "have a mask", "none")
        found = image()
        merged = found.with_data(np.zeros(found.shape, np.uint8), source=None, header=None)
    names = {label: name for label, (name, _) in enumerate(structures, start=1)}
    return merged.with_data(merged.data, names=names)


def centroids(truth: Callable[[], Volume]) -> list[Landmark]:
    """Centre of mass of each label, as a landmark of its name; none of a label that is absent.

    Parameters
    ----------
    truth : callable
        Reads the label map. Positions are in voxels of its file order.
    """
    volume = truth()
    landmarks = []
    for label, name in sorted(volume.names.items()):
        voxels = np.argwhere(volume.data == label)
        if voxels.size:
            centre = voxels.mean(axis=0)
            z, y, x = (0.0,) * (3 - volume.ndim) + tuple(float(v) for v in centre)
            landmarks.append(Landmark(name, label, (z, y, x)))
    return landmarks
