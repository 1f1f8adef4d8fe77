"""Random walker with prior models: labels drawn to the edges of the image; no download."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from ...config import WalkerConfig
from ...slices.stack import SliceStack
from ...types import Array
from .base import RefinerEntry, Region, SliceRefiner
from .looks import grey_scales, joined_with_looks, noise_level
from .odds import label_box, label_odds
from .settings import RefinerSettings

__all__ = ["RandomWalker", "make_walker", "random_walk"]

WALKER = "random-walker"

_LOGGER = logging.getLogger(__name__)

_SCALES = (0.0, 1.0, 2.0)
_SURE = 30.0
_TOLERANCE = 1e-3
_STEPS = 500


def make_walker(settings: RefinerSettings) -> Callable[[SliceStack], SliceRefiner]:
    """Make the refiner of stacks, as the registry wants it."""
    return lambda stack: RandomWalker(stack, settings.config.walker)


class RandomWalker:
    """Random walker on the slices of a stack, with prior models (Grady 2005, 2006).

    The prior is the prediction, joined with what uncertain pixels look like beside the pixels
    round them. Edges are those of the slice and of two blurred copies of it, which makes them
    less a matter of noise.

    Parameters
    ----------
    stack : SliceStack
        The image.
    config : WalkerConfig
    """

    def __init__(self, stack: SliceStack, config: WalkerConfig) -> None:
        self._stack = stack
        self._config = config
        self._has_warned = False

    def refine(self, index: int, region: Region) -> Region:
        """Refine slice ``index``; of labels that it has not, none is made.

        A slice whose walk is not solved stays as it is, with one warning for all of them.
        """
        config = self._config
        labels, confidence = region.labels.copy(), region.confidence.copy()
        box = label_box(labels, 4 * int(np.ceil(config.reach)))
        values, numbers = np.unique(labels[box], return_inverse=True)
        numbers = numbers.reshape(labels[box].shape)
        unsure = confidence[box] < config.confidence
        if len(values) < 2 or not unsure.any():
            return Region(labels, confidence)
        odds = label_odds(numbers, confidence[box], len(values))
        image = self._stack.slice(index)
        looks = grey_scales(image, _SCALES)[:, box[0], box[1]]
        if config.looks:
            contrast = float(np.hypot(config.contrast, noise_level(image)))
            odds[:, unsure] = joined_with_looks(
                odds, looks, unsure, config.looks, config.reach, contrast
            )
        found = random_walk(looks, odds, np.where(unsure, config.hold, _SURE), config.beta)
        if found is None:
            self._warn(index)
            return Region(labels, confidence)
        labels[box][unsure] = values[found.argmax(axis=0)[unsure]]
        confidence[box][unsure] = found.max(axis=0)[unsure]
        return Region(labels, confidence)

    def _warn(self, index: int) -> None:
        if not self._has_warned:
            _LOGGER.warning(
                "The random walker found no solution for slice %d: it stays as it was predicted, "
                "as do others of which the same is true. A lower refinement.walker.beta helps.",
                index,
            )
        self._has_warned = True


def random_walk(image: Array, prior: Array, hold: Array, beta: float) -> Array | None:
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
    float32 array, shape (L, H, W), or None
        They sum to 1 at every pixel. None where the solver did not converge.
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
        solved, unsolved = cg(
            system, hold.ravel() * target, x0=target, rtol=_TOLERANCE, maxiter=_STEPS, M=scale
        )
        if unsolved or not np.isfinite(solved).all():
            return None
        result[number] = np.clip(solved, 0, 1)
        rest -= result[number]
    result[0] = np.clip(rest, 0, 1)
    result /= result.sum(axis=0)
    return result.reshape(prior.shape)


ENTRIES = {
    WALKER: RefinerEntry(
        WALKER,
        "labels drawn to the edges of the image; no download",
        available=lambda: True,
        make=make_walker,
    )
}
