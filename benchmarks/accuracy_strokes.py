"""Paint as people scribble it: one stroke for each label of a slice, drawn from the truth."""

from __future__ import annotations

import numpy as np

BACKGROUND = -1
PIXELS = 300
_BRUSH = 3  # pixels across
_FEWEST = 4 * _BRUSH
_NEAR = 1 / 8  # of the longer side: as far from the labels people paint background


def strokes(truth: np.ndarray, pixels: int = PIXELS) -> np.ndarray:
    """Strokes on a slice of label values (H, W): one inside each label, one in the background.

    Returned is int32 (H, W): a label's value where it is painted, :data:`BACKGROUND` on the stroke
    of background, 0 where nothing is known. A stroke runs through the middle of the largest part of
    its label, along it, and never over its edge; background is painted near the labels. About
    ``pixels`` are painted in all: what small labels have no room for goes to the larger ones.
    Nothing is drawn at random.
    """
    found = np.zeros(truth.shape, np.int32)
    regions = {int(value): _largest(truth == value) for value in np.unique(truth) if value}
    regions[BACKGROUND] = _largest(_near(truth))
    order = sorted(regions, key=lambda value: int(regions[value].sum()))
    left = pixels
    for number, value in enumerate(order):
        share = max(_FEWEST, left // (len(order) - number))
        painted = stroke(regions[value], share)
        found[painted] = value
        left -= int(painted.sum())
    return found


def stroke(region: np.ndarray, pixels: int) -> np.ndarray:
    """Pixels (H, W), bool, of a stroke of at most about so many pixels along a connected region."""
    from scipy.ndimage import distance_transform_edt
    from skimage.graph import MCP_Geometric

    painted = np.zeros(region.shape, bool)
    if not region.any():
        return painted
    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]

    def farthest(start: tuple[int, ...]) -> tuple[int, ...]:
        lengths, _ = MCP_Geometric(np.where(region, 1.0, -1.0)).find_costs([start])
        return _place(np.where(region, lengths, -1.0))

    first = farthest(_place(depth))
    last = farthest(first)
    # Near the edge a step costs up to five times as much: the way keeps to the middle.
    inner = MCP_Geometric(np.where(region, 1 + 4 / np.maximum(depth, 1), -1.0))
    inner.find_costs([first], [last])
    way = inner.traceback(last)
    middle = way[len(way) // 2]
    for row, column in sorted(way, key=lambda at: (_steps(at, middle), at)):
        if painted.sum() >= pixels:
            break
        reach = _BRUSH // 2
        rows = slice(max(0, row - reach), row + reach + 1)
        columns = slice(max(0, column - reach), column + reach + 1)
        painted[rows, columns] |= region[rows, columns]
    return painted


def _steps(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def _place(values: np.ndarray) -> tuple[int, ...]:
    """Row and column of the highest value, the first of equal ones."""
    return tuple(int(k) for k in np.unravel_index(int(values.argmax()), values.shape))


def _largest(mask: np.ndarray) -> np.ndarray:
    """Its largest connected part."""
    from scipy.ndimage import label

    parts, count = label(mask, np.ones((3, 3)))
    if count < 2:
        return mask
    result: np.ndarray = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    return result


def _near(truth: np.ndarray) -> np.ndarray:
    """Background not far from a label; all of it on a slice without."""
    from scipy.ndimage import distance_transform_edt

    background = truth == 0
    if background.all():
        return background
    result: np.ndarray = background & (
        distance_transform_edt(background) <= _NEAR * max(truth.shape)
    )
    return result
