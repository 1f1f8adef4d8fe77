"""Random walker with prior models: labels drawn to the edges of the image, without a download."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import WalkerConfig
from ..features.planes import SliceStack
from ..types import Array
from .base import Region, SliceRefiner
from .settings import RefinerSettings

__all__ = ["RandomWalker", "make_walker", "random_walk"]

_MARGIN = 8
_TOLERANCE = 1e-3
_STEPS = 500


def make_walker(settings: RefinerSettings) -> Any:
    """Make the refiner of a stack, as the registry wants it."""

    def on(stack: SliceStack) -> SliceRefiner:
        return RandomWalker(stack, settings.config.walker)

    return on


class RandomWalker:
    """Random walker on the slices of a stack (Grady 2005, 2006).

    Parameters
    ----------
    stack : SliceStack
    config : WalkerConfig
    """

    def __init__(self, stack: SliceStack, config: WalkerConfig) -> None:
        self._stack = stack
        self._config = config

    def refine(self, index: int, region: Region) -> Region:
        """Refine slice ``index``; of labels that it has not, none is made."""
        labels, confidence = region.labels.copy(), region.confidence.copy()
        box = _box(labels)
        values, numbers = np.unique(labels[box], return_inverse=True)
        numbers = numbers.reshape(labels[box].shape)
        if len(values) < 2:
            return Region(labels, confidence)
        given = confidence[box]
        found = random_walk(
            self._stack.slice(index)[:, box[0], box[1]],
            spread(numbers, given, len(values)),
            _hold(given, self._config),
            self._config.beta,
        )
        best = found.argmax(axis=0)
        labels[box] = values[best]
        confidence[box] = np.take_along_axis(found, best[None], axis=0)[0]
        return Region(labels, confidence)


def spread(numbers: Array, confidence: Array, count: int) -> Array:
    """Probabilities of all labels, of the one that is chosen and how sure it is.

    What is left of the probability goes to the nearest other label.

    Parameters
    ----------
    numbers : int array, shape (H, W)
        Label of each pixel, 0..count - 1.
    confidence : float array, shape (H, W)
        Probability of that label.
    count : int
        Number of labels.

    Returns
    -------
    float32 array, shape (count, H, W)
        They sum to 1 at every pixel.
    """
    from scipy.ndimage import distance_transform_edt

    other = np.zeros_like(numbers)
    for number in range(count):
        inside = numbers == number
        if not inside.any() or inside.all():
            continue
        nearest = distance_transform_edt(inside, return_distances=False, return_indices=True)
        other[inside] = numbers[nearest[0][inside], nearest[1][inside]]
    result = np.zeros((count, *numbers.shape), np.float32)
    np.put_along_axis(result, other[None], (1 - confidence)[None], axis=0)
    np.put_along_axis(result, numbers[None], confidence[None], axis=0)
    return result


def random_walk(image: Array, prior: Array, hold: Array, beta: float) -> Array:
    """Probability that a walker from each pixel ends at each label.

    The walker steps to neighbouring pixels, rarely across edges of the image, and at every pixel
    may stop; where it stops, the prior says the label (Grady 2005, "Multilabel random walker
    image segmentation using prior models"; Grady 2006).

    Parameters
    ----------
    image : float array, shape (C, H, W)
        Grey values or colours.
    prior : float array, shape (L, H, W)
        Probabilities; they sum to 1 at every pixel.
    hold : float array, shape (H, W)
        How likely the walker stops at a pixel, above 0: large where the prior is sure.
    beta : float
        How much a step across an edge costs; of no meaning is the contrast of the image.

    Returns
    -------
    float32 array, shape (L, H, W)
        They sum to 1 at every pixel.
    """
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import cg

    shape = prior.shape[1:]
    count = shape[0] * shape[1]
    places = np.arange(count).reshape(shape)
    ends, weights = [], []
    steps = [((image[:, 1:] - image[:, :-1]) ** 2).sum(axis=0)]
    steps.append(((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum(axis=0))
    mean = max(float(np.mean([step.mean() for step in steps if step.size])), 1e-8)
    pairs = ((places[:-1], places[1:]), (places[:, :-1], places[:, 1:]))
    for (one, two), step in zip(pairs, steps, strict=True):
        ends.append((one.ravel(), two.ravel()))
        weights.append(np.exp(-beta * step.ravel() / mean) + 1e-6)
    rows = np.concatenate([end[0] for end in ends])
    columns = np.concatenate([end[1] for end in ends])
    weight = np.concatenate(weights).astype(np.float64)
    half = coo_array((weight, (rows, columns)), shape=(count, count))
    joined = (half + half.T).tocsr()
    degree = np.asarray(joined.sum(axis=1)).ravel() + hold.ravel()
    system = diags_array(degree) - joined
    scale = diags_array(1 / degree)
    result = np.empty((len(prior), count), np.float32)
    rest = np.ones(count)
    for number, one in enumerate(prior[1:], start=1):
        target = one.ravel().astype(np.float64)
        solved, _ = cg(
            system, hold.ravel() * target, x0=target, rtol=_TOLERANCE, maxiter=_STEPS, M=scale
        )
        result[number] = np.clip(solved, 0, 1)
        rest -= result[number]
    result[0] = np.clip(rest, 0, 1)
    result /= result.sum(axis=0)
    return result.reshape(prior.shape)


def _hold(confidence: Array, config: WalkerConfig) -> Array:
    return np.where(confidence >= config.confidence, 10.0, 1.0).astype(np.float64)


def _box(labels: Array) -> tuple[slice, slice]:
    """Rows and columns round what is not background, with a margin."""
    rows, columns = (np.flatnonzero((labels != 0).any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - _MARGIN), int(rows[-1]) + 1 + _MARGIN),
        slice(max(0, int(columns[0]) - _MARGIN), int(columns[-1]) + 1 + _MARGIN),
    )
