"""Random walker with prior models: labels drawn to the edges of the image; no download."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from ..config import WalkerConfig
from ..slices.stack import SliceStack
from ..types import Array
from .refiners import WALKER, RefinerEntry, RefinerSettings, Region, SliceRefiner

__all__ = ["RandomWalker", "random_walk"]

_LOGGER = logging.getLogger(__name__)

_SCALES = (0.0, 1.0, 2.0)
_KNOWN_WEIGHT = 30.0
_TOLERANCE = 1e-3
_MAX_STEPS = 500
_FADE = 2.0  # pixels, from the nearest other label
_FRACTION = 0.95  # of the chosen label's probability: the most that the nearest other one has
_WINDOW = 4 / 3  # in sigmas
_SUPPORT = 0.5
_FLOOR = 1e-3


class RandomWalker:
    """Random walker on the slices of a stack, with prior models (Grady 2005, 2006).

    The prior is the prediction, joined with what uncertain pixels look like beside the pixels
    round them. Edges are those of the slice and of two blurred copies of it, which makes them
    less a matter of noise.
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
        box = label_box(labels, 4 * int(np.ceil(config.sigma)))
        values, numbers = np.unique(labels[box], return_inverse=True)
        numbers = numbers.reshape(labels[box].shape)
        uncertain = confidence[box] < config.confidence
        if len(values) < 2 or not uncertain.any():
            return Region(labels, confidence)
        probabilities = label_probabilities(numbers, confidence[box], len(values))
        image = self._stack.slice(index)
        appearance = grey_scales(image, _SCALES)[:, box[0], box[1]]
        if config.appearance:
            contrast = float(np.hypot(config.contrast, noise_level(image)))
            probabilities[:, uncertain] = joined_with_appearance(
                probabilities, appearance, uncertain, config.appearance, config.sigma, contrast
            )
        prior_weight = np.where(uncertain, config.prior_weight, _KNOWN_WEIGHT)
        found = random_walk(appearance, probabilities, prior_weight, config.beta)
        if found is None:
            self._warn(index)
            return Region(labels, confidence)
        labels[box][uncertain] = values[found.argmax(axis=0)[uncertain]]
        confidence[box][uncertain] = found.max(axis=0)[uncertain]
        return Region(labels, confidence)

    def _warn(self, index: int) -> None:
        if not self._has_warned:
            _LOGGER.warning(
                "The random walker found no solution for slice %d: it stays as it was predicted, "
                "as do others of which the same is true. A lower refinement.walker.beta helps.",
                index,
            )
        self._has_warned = True


def random_walk(
    image: Array, prior: Array, prior_weight: Array, beta: float, *, direct: bool = False
) -> Array | None:
    """Probability, float32 (L, H, W), that a walker from each pixel ends at each label.

    The walker steps to neighbouring pixels, rarely across edges of the image (C, H, W), and at
    every pixel may stop; where it stops, the prior (L, H, W) says the label (Grady 2005,
    "Multilabel random walker image segmentation using prior models"; Grady 2006). It stops the
    likelier the larger ``prior_weight`` (H, W), above 0; a step across an edge costs the more the
    larger ``beta``, whatever the contrast of the image. None where the solver did not converge;
    ``direct``: without steps, for small weights on a few ten thousand pixels.
    """
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import cg, splu

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
    degree = np.asarray(joined.sum(axis=1)).ravel() + prior_weight.ravel()
    system = diags_array(degree) - joined
    scale = diags_array(1 / degree)
    solve = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A").solve if direct else None
    result = np.empty((len(prior), count), np.float32)
    rest = np.ones(count)
    for number, one in enumerate(prior[1:], start=1):
        target = one.ravel().astype(np.float64)
        pull, unsolved = prior_weight.ravel() * target, 0
        if solve is not None:
            solved = solve(pull)
        else:
            solved, unsolved = cg(
                system, pull, x0=target, rtol=_TOLERANCE, maxiter=_MAX_STEPS, M=scale
            )
        if unsolved or not np.isfinite(solved).all():
            return None
        result[number] = np.clip(solved, 0, 1)
        rest -= result[number]
    result[0] = np.clip(rest, 0, 1)
    result /= result.sum(axis=0)
    return result.reshape(prior.shape)


def label_probabilities(numbers: Array, confidence: Array, count: int) -> Array:
    """Probabilities, float32 (count, H, W), from the label that was chosen and its confidence.

    What the chosen label (``numbers``, 0..count - 1, each occurs) leaves goes to the nearest other
    label. That one is less probable than the chosen one, and fades with the distance from it;
    the probabilities are then scaled to sum to 1.
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    other = np.zeros_like(numbers)
    fade = np.zeros(numbers.shape, np.float32)
    for number, box in enumerate(find_objects(numbers + 1)):
        wide = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        inside = numbers[wide] == number  # the nearest other pixel is at most one further out
        distance, (rows, columns) = distance_transform_edt(inside, return_indices=True)
        other[wide][inside] = numbers[wide][rows[inside], columns[inside]]
        fade[wide][inside] = np.exp((1 - distance[inside]) / _FADE)
    chosen = np.maximum(confidence, 1e-3)
    result = np.zeros((count, *numbers.shape), np.float32)
    rest = np.minimum(1 - confidence, _FRACTION * confidence) * fade
    np.put_along_axis(result, other[None], rest[None].astype(np.float32), axis=0)
    np.put_along_axis(result, numbers[None], chosen[None].astype(np.float32), axis=0)
    result /= result.sum(axis=0)
    return result


def label_box(labels: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns round what is not background, widened by a margin; it is not empty."""
    rows, columns = (np.flatnonzero((labels != 0).any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def grey_scales(image: Array, scales: tuple[float, ...]) -> Array:
    """Grey values of a slice (C, H, W) and their Gaussian means: the pixel and its surroundings.

    ``scales`` are standard deviations in pixels, 0 for the slice itself; the result is float32,
    shape (C * len(scales), H, W).
    """
    from scipy.ndimage import gaussian_filter

    planes = [
        gaussian_filter(channel, scale) if scale else channel
        for channel in image
        for scale in scales
    ]
    return np.array(planes, dtype=np.float32)


def noise_level(image: Array) -> float:
    """Standard deviation of the noise of a slice, shape (C, H, W); the mean over channels.

    The mask of Immerkær (1996) sees neither flat parts nor straight edges; the median leaves out
    what else there is.
    """
    from scipy.ndimage import convolve

    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    spreads = [np.median(np.abs(convolve(channel, mask))) for channel in image]
    return float(np.mean(spreads)) * 1.4826 / 6


def joined_with_appearance(
    probabilities: Array,
    appearance: Array,
    wanted: Array,
    weight: float,
    sigma: float,
    contrast: float,
) -> Array:
    """Join the probabilities (L, H, W) of the n wanted pixels with what their appearance says.

    The slice itself teaches where a label ends: a pixel on an edge is compared with other pixels
    on edges nearby, so that what a model has learned of edges (whether they belong to the organ)
    is kept. Two probabilities are joined with those given, as a product of powers (``weight``):
    how probable the appearance of the pixel is under each label nearby, and the mean of the labels
    of pixels nearby that look alike. The rest as for :func:`similarity`. Float32 (L, n); they sum
    to 1.
    """
    mass, alike = similarity(appearance, probabilities, wanted, sigma, contrast)
    total = alike.sum(axis=0)
    typical = total / np.maximum(mass.sum(axis=0), 1e-6)
    # A label with few pixels in the window is taken to look like all of them together.
    likely = (alike + _SUPPORT * typical) / (mass + _SUPPORT)
    score = np.log(probabilities[:, wanted] + _FLOOR)
    score += weight * np.log(likely + 1e-6)
    score += weight * np.log(alike / np.maximum(total, 1e-6) + _FLOOR)
    joined: Array = np.exp(score - score.max(axis=0))
    joined /= joined.sum(axis=0)
    return joined


def similarity(
    appearance: Array, probabilities: Array, wanted: Array, sigma: float, contrast: float
) -> tuple[Array, Array]:
    """How much of each label lies round pixels, and how much of it looks like them.

    Compared is the appearance, float32 (F, H, W), of the n wanted pixels (bool, (H, W)) with that
    of pixels nearby, by a Gaussian over the distance (``sigma`` in pixels, cut off at 4/3 of it)
    and one over the root mean square difference (``contrast``).

    Returns two float32 arrays (L, n): the sum of the probabilities of the pixels round each,
    weighted by distance, without its own; and the same, weighted by similarity as well.
    """
    far = int(np.ceil(sigma * _WINDOW))
    padding = ((0, 0), (far, far), (far, far))
    appearance = np.pad(appearance, padding, mode="edge")
    probabilities = np.pad(probabilities, padding)
    width = appearance.shape[2]
    rows, columns = np.nonzero(wanted)
    places = (rows + far) * width + columns + far
    appearance = appearance.reshape(len(appearance), -1)
    probabilities = probabilities.reshape(len(probabilities), -1)
    own = appearance[:, places]
    mass = np.zeros((len(probabilities), len(places)), np.float32)
    alike = np.zeros_like(mass)
    scale = -0.5 / (len(appearance) * contrast**2)
    for down in range(-far, far + 1):
        for right in range(-far, far + 1):
            square = down * down + right * right
            if square > far * far or square == 0:
                continue
            there = places + (down * width + right)
            part = probabilities[:, there] * np.float32(np.exp(-0.5 * square / sigma**2))
            gap = appearance[:, there] - own
            mass += part
            alike += part * np.exp(scale * np.einsum("fn,fn->n", gap, gap))
    return mass, alike


def _make(settings: RefinerSettings) -> Callable[[SliceStack], SliceRefiner]:
    return lambda stack: RandomWalker(stack, settings.config.walker)


ENTRIES = {
    WALKER: RefinerEntry(
        WALKER,
        "labels drawn to the edges of the image; no download",
        available=lambda: True,
        make=_make,
    )
}
