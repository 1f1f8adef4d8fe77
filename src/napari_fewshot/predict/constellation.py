"""Landmarks placed together: their arrangement in the templates tells right peaks from wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import LandmarkConfig
from ..parallel import ordered_map
from ..slices.stack import SliceStack
from ..types import Array, Landmark
from .components import AT_ONCE
from .landmarks import find_landmarks, find_peaks
from .learned import LearnedLabels

__all__ = ["MIN_POINTS", "Candidates", "fit_constellation", "locate_landmarks"]

MIN_POINTS = 10
"""With fewer points wrong peaks agree by chance on some arrangement."""
_TRIES = 4000  # arrangements that are tried for each template
_TOLERANCE = 0.1  # spread of points round their place, as a share of the arrangement's radius
_SCALES = (0.6, 1.6)
_ROUNDS = 10
_DEFORM_ROUNDS = 5
_AT_ONCE = 500
_PEAKS = 8  # of each landmark
_MIN_SCORE = 0.02
_PEAKS_APART = 0.1
"""Distance of two peaks of a landmark, as a fraction of the constellation's radius."""

_MIN_FOUND = 4
_MIN_FRACTION = 0.15


def locate_landmarks(
    probabilities: Array,
    learned: LearnedLabels,
    config: LandmarkConfig,
    stack: SliceStack,
    wanted: Sequence[int],
) -> list[Landmark]:
    """Landmarks of the wanted labels: each by itself, or placed together where that is learned.

    ``probabilities`` of the learned labels, uint8 (L, N, H, W), count in 255ths; they may be those
    of a part of the stack, which positions then count in. Positions are in the order of the stack,
    landmarks in the order of the labels.
    """
    together: dict[int, Landmark | None] = {}
    if config.arrangement and config.per_label == 1:
        together = _placed(probabilities, learned, stack)

    def find(number: int) -> list[Landmark]:
        value = learned.label_values[number]
        if value in together:
            point = together[value]
            return [] if point is None else [point]
        return find_landmarks(
            probabilities[number],
            label=value,
            name=learned.names.get(value, str(value)),
            config=config,
            spacing=stack.spacing,
        )

    numbers = [n for n, value in enumerate(learned.label_values) if value in wanted]
    # Side by side where that takes little memory.
    found = ordered_map(find, numbers, side_by_side=probabilities[0].size <= AT_ONCE)
    return [point for points in found for point in points]


def _placed(
    probabilities: Array, learned: LearnedLabels, stack: SliceStack
) -> dict[int, Landmark | None]:
    """Landmarks by label, None for those whose place is outside of the image."""
    labels = sorted(learned.point_labels & {v for one in learned.arrangements for v in one})
    if len(labels) < MIN_POINTS:
        return {}
    axes = stack.volume.ndim
    templates = [
        np.array([one.get(value, (np.nan,) * axes) for value in labels])
        for one in learned.arrangements
        if all(len(place) == axes for place in one.values())
    ]
    templates = [t for t in templates if np.isfinite(t[:, 0]).sum() >= MIN_POINTS]
    if not templates:
        return {}
    radius = max(float(np.sqrt(np.nanvar(template, axis=0).sum())) for template in templates)
    found = {
        value: find_peaks(
            probabilities[learned.label_values.index(value)],
            count=_PEAKS,
            min_score=_MIN_SCORE,
            distance=_PEAKS_APART * radius,
            spacing=stack.spacing,
        )
        for value in labels
    }
    sizes = _in_canonical(np.array([stack.spacing]), stack)
    candidates = Candidates(
        np.repeat(np.arange(len(labels)), [len(found[value][1]) for value in labels]),
        np.concatenate([found[value][1] for value in labels]),
        _in_canonical(np.concatenate([found[value][0] for value in labels]), stack) * sizes,
    )
    placed = fit_constellation(candidates, templates)
    if placed is None:
        return {}
    voxels = _in_stack(placed[0] / sizes, stack)
    limits = np.array(probabilities.shape[1:]) - 0.5
    return {
        value: Landmark(learned.names[value], value, _position(at), float(score))
        if (at > -0.5).all() and (at < limits).all()
        else None
        for value, at, score in zip(labels, voxels, placed[1], strict=True)
    }


def _in_canonical(places: Array, stack: SliceStack) -> Array:
    """From (slice, row, column) to the canonical order of axes; (row, column) in 2D."""
    if stack.volume.ndim == 2:
        return places[:, 1:]
    return np.insert(places[:, 1:], stack.axis, places[:, 0], axis=1)


def _in_stack(places: Array, stack: SliceStack) -> Array:
    if stack.volume.ndim == 2:
        return np.insert(places, 0, 0.0, axis=1)
    rest = np.delete(places, stack.axis, axis=1)
    return np.insert(rest, 0, places[:, stack.axis], axis=1)


def _position(at: Array) -> tuple[float, float, float]:
    return float(at[0]), float(at[1]), float(at[2])


@dataclass(frozen=True, eq=False)
class Candidates:
    """Peaks of several landmarks in one image.

    ``landmarks`` (N,) are rows of the templates; ``scores`` (N,) are above 0; ``places``, (N, 2 or
    3), are in mm.
    """

    landmarks: Array
    scores: Array
    places: Array


@dataclass(frozen=True, eq=False)
class _Similarity:
    """A similarity: turned, scaled and shifted."""

    scale: float
    turn: Array
    shift: Array

    def __call__(self, points: Array) -> Array:
        moved: Array = self.scale * points @ self.turn.T + self.shift
        return moved


def fit_constellation(
    candidates: Candidates, templates: Sequence[Array], seed: int = 0
) -> tuple[Array, Array] | None:
    """Place all landmarks as they lie in the templates, where most of the peaks agree.

    Random pairs (in 2D) or triples of peaks propose a similarity of a template (RANSAC, Fischler
    and Bolles 1981; closed form of Umeyama 1991); the one that most peaks lie near, by the root of
    their scores, is fitted to all of them, to the mean of the templates, and gives way a little to
    peaks nearby. Mirrored constellations are never proposed.

    Templates are places in mm, (L, 2 or 3), nan for landmarks that they have not. Returns places of
    that shape, nan for landmarks that no template in use has, and scores (L,): that of the best
    peak near each place, less the farther it is, 0 without one. None where too few peaks agree.
    """
    usable = [t for t in templates if np.isfinite(t[:, 0]).sum() >= MIN_POINTS]
    if not usable or len(candidates.scores) == 0:
        return None
    rng = np.random.default_rng(seed)
    weights = np.sqrt(candidates.scores)
    found = max(
        (_propose(candidates, weights, template, rng) for template in usable),
        key=lambda one: one[0],
    )
    _, template, moved, spread = found
    if moved is None:
        return None
    moved = _refit(moved, template, candidates, weights, spread)
    mean = _mean_arrangement(usable, moved(template))
    moved = _refit(_identity(mean.shape[1]), mean, candidates, weights, spread)
    places = _deform(moved(mean), candidates, weights, spread)
    near = _nearness(places, candidates, spread)
    scores = np.zeros(len(places))
    np.maximum.at(scores, candidates.landmarks, near * candidates.scores)
    agreeing = len(np.unique(candidates.landmarks[near > np.exp(-2)]))  # within two spreads
    if agreeing < max(_MIN_FOUND, _MIN_FRACTION * np.isfinite(places[:, 0]).sum()):
        return None
    return places, scores


def _propose(
    candidates: Candidates, weights: Array, template: Array, rng: np.random.Generator
) -> tuple[float, Array, _Similarity | None, float]:
    """Best agreement of a template, the template, its similarity, and the spread in mm."""
    known = np.isfinite(template[:, 0])
    radius = float(np.sqrt(np.square(template[known] - template[known].mean(0)).sum(1).mean()))
    spread = _TOLERANCE * radius
    rows = np.flatnonzero(known[candidates.landmarks])
    landmarks, places = candidates.landmarks[rows], candidates.places[rows]
    count = places.shape[1]  # two points fix a similarity in 2D, three in 3D
    if len(np.unique(landmarks)) < MIN_POINTS or radius == 0:
        return 0.0, template, None, spread
    odds = weights[rows] / weights[rows].sum()
    drawn = rng.choice(len(rows), (4 * _TRIES, count), p=odds)
    ordered = np.sort(landmarks[drawn], axis=1)
    drawn = drawn[(np.diff(ordered, axis=1) > 0).all(1)]
    before, after = template[landmarks[drawn]], places[drawn]
    wide = np.linalg.norm(before - before.mean(1, keepdims=True), axis=2).sum(1)
    apart = wide > 0.15 * count * radius
    before, after = before[apart], after[apart]
    scale, turn, shift = _similarities(before, after)
    missed = scale[:, None, None] * before @ turn.swapaxes(1, 2) + shift[:, None] - after
    fair = (scale > _SCALES[0]) & (scale < _SCALES[1])
    fair &= np.linalg.norm(missed, axis=2).max(1) < 2 * spread
    chosen = np.flatnonzero(fair)[:_TRIES]
    order = np.argsort(landmarks, kind="stable")
    first = np.unique(landmarks[order], return_index=True)[1]
    best: tuple[float, _Similarity | None] = (0.0, None)
    for start in range(0, len(chosen), _AT_ONCE):
        part = chosen[start : start + _AT_ONCE]
        points = template[landmarks[order]] @ turn[part].swapaxes(1, 2)
        points = scale[part, None, None] * points + shift[part, None]
        square = np.square(points - places[order]).sum(2)
        agreement = weights[rows][order] * np.exp(-square / (2 * spread**2))
        total = np.maximum.reduceat(agreement, first, axis=1).sum(1)
        top = int(total.argmax())
        if total[top] > best[0]:
            one = part[top]
            best = float(total[top]), _Similarity(float(scale[one]), turn[one], shift[one])
    return best[0], template, best[1], spread


def _similarities(before: Array, after: Array) -> tuple[Array, Array, Array]:
    """Scales (N,), turns (N, D, D) and shifts (N, D) of point sets (N, K, D), without mirrors."""
    return _weighted(before, after, np.full(before.shape[:2], 1 / before.shape[1]))


def _weighted(before: Array, after: Array, weights: Array) -> tuple[Array, Array, Array]:
    middle = np.einsum("nk,nkd->nd", weights, before)
    target = np.einsum("nk,nkd->nd", weights, after)
    a, b = before - middle[:, None], after - target[:, None]
    u, values, v = np.linalg.svd(np.einsum("nk,nki,nkj->nij", weights, b, a))
    signs = np.ones(values.shape)
    signs[:, -1] = np.sign(np.linalg.det(u @ v))
    turn = (u * signs[:, None]) @ v
    size = np.einsum("nk,nkd,nkd->n", weights, a, a)
    scale = (values * signs).sum(1) / np.maximum(size, 1e-12)
    shift = target - scale[:, None] * np.einsum("nij,nj->ni", turn, middle)
    return scale, turn, shift


def _fit(before: Array, after: Array, weights: Array) -> _Similarity:
    share = weights / weights.sum()
    scale, turn, shift = _weighted(before[None], after[None], share[None])
    return _Similarity(float(scale[0]), turn[0], shift[0])


def _identity(axes: int) -> _Similarity:
    return _Similarity(1.0, np.eye(axes), np.zeros(axes))


def _nearness(places: Array, candidates: Candidates, spread: float) -> Array:
    """1 for a peak at the place of its landmark, less the farther away; 0 without a place."""
    square = np.square(places[candidates.landmarks] - candidates.places).sum(1)
    near: Array = np.nan_to_num(np.exp(-square / (2 * spread**2)))
    return near


def _refit(
    moved: _Similarity, template: Array, candidates: Candidates, weights: Array, spread: float
) -> _Similarity:
    """Fit a similarity again and again to the peaks that lie near it."""
    known = np.isfinite(template[candidates.landmarks, 0])
    before = template[candidates.landmarks][known]
    for _ in range(_ROUNDS):
        near = _nearness(moved(template), candidates, spread)[known]
        # A little of all peaks keeps the sums above 0.
        moved = _fit(before, candidates.places[known], weights[known] * near + 1e-9)
    return moved


def _mean_arrangement(templates: Sequence[Array], target: Array) -> Array:
    """Mean of all templates, each moved to the places where they are now."""
    moved = []
    for template in templates:
        shared = np.isfinite(template[:, 0]) & np.isfinite(target[:, 0])
        if shared.sum() >= MIN_POINTS:
            fitted = _fit(template[shared], target[shared], np.ones(int(shared.sum())))
            moved.append(fitted(template))
    together = np.stack(moved or [target])
    known = np.isfinite(together[..., 0])
    total = np.where(known[..., None], together, 0).sum(0)
    count = known.sum(0)[:, None]
    mean: Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _deform(places: Array, candidates: Candidates, weights: Array, spread: float) -> Array:
    """Shift places smoothly to the peaks that lie near them or near their neighbours."""
    own = places[candidates.landmarks]
    square = np.square(places[:, None] - own[None]).sum(2)
    kernel = np.nan_to_num(np.exp(-square / (2 * (2 * spread) ** 2)))
    offsets = np.nan_to_num(candidates.places - own)
    moved = places
    for _ in range(_DEFORM_ROUNDS):
        share = kernel * (weights * _nearness(moved, candidates, spread))
        moved = places + share @ offsets / (share.sum(1, keepdims=True) + 1)
    return moved
