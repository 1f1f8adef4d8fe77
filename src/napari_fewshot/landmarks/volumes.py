"""Landmarks in volumes: registered templates vote, then what is seen near each place decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..parallel import ordered_map
from ..slices.coarse import CoarseVolume, coarse_volume, extent_of
from ..slices.registration import Registration, register_turned
from ..slices.stack import SliceStack
from ..types import Array
from .known import KnownImage, KnownLandmarks
from .patches import correlations, vertex
from .placed import CANDIDATES, Placed

__all__ = ["RegisteredVolume", "known_volume", "place_in_volume", "registered_volume"]

_LOGGER = logging.getLogger(__name__)
_VOXELS = 2**15
_LEAST_SIDE = 16
"""Of the coarse volume, in voxels: a few thick slices do not say how they are turned."""
_RADIUS = 7
"""Voxels of a patch on each side of its middle."""
_SEARCH = 6
"""Voxels on each side of a place where it is looked for again."""
_NEAR = 3
"""Voxels within which the search from one place does for another."""
_CLEARLY = 0.1
"""How much more alike a place has to be than that near the middle of the votes: right ones gain .17
to .5, wrong ones .05 at most."""
_SIMILAR = 0.3
"""Mean local correlation after a registration: right ones have .4 to .5, wrong ones .25 or less."""
_MIRRORED = 0.04
"""How much more alike a mirror image gets by mirroring: of torsos and joints .05 to .1, of heads,
which are the same on both sides, .02 at most."""
_LEAST_ALIKE = 0.4
"""Mean correlation of patches where landmarks were placed: right .7 to .8, wrong .1."""
_SPREAD = 0.02
"""Share of the longest side that votes are apart when they are worth 1 / e of those that agree."""
_MOST_VOTES = 4
_FOLLOWING = 0.2
"""Share of the longest side within which landmarks follow one that is known."""
_REST = 0.1
"""How much a landmark holds to its own place, beside 1 of one that is known and right there."""
_APART = 0.05
"""Share of the longest side that other places are away."""


def known_volume(stack: SliceStack, places: Array) -> KnownImage | None:
    """Remember a volume; ``places``, (L, 3), are in mm from its corner in canonical order.

    None if it is too thin to be registered.
    """
    coarse = coarse_volume(stack, _VOXELS)
    if min(coarse.grey.shape) < _LEAST_SIDE:
        return None
    spacing = _spacing(stack)
    side = 2 * _RADIUS + 1
    patches = np.zeros((len(places), side, side, side), np.uint8)
    for number, place in enumerate(places):
        if np.isfinite(place).all():
            middle = np.round(place / spacing - 0.5).astype(int)
            patch = _block(stack, middle, _RADIUS)
            patches[number] = np.round(255 * np.clip(patch, 0, 1))
    extent = tuple(float(side) for side in extent_of(stack))
    none = np.zeros((len(places), 0), np.float32)
    own = tuple(spacing.tolist())
    return KnownImage(places.astype(np.float32), extent, own, none, coarse, patches)


def place_in_volume(
    stack: SliceStack, known: KnownLandmarks, check: Callable[[], None] = lambda: None
) -> Placed | None:
    """Register templates with a volume, and place landmarks in it; None if none is like it."""
    found = registered_volume(stack, known, check)
    return None if found is None else found.placed(check=check)


def registered_volume(
    stack: SliceStack, known: KnownLandmarks, check: Callable[[], None] = lambda: None
) -> RegisteredVolume | None:
    """Register templates with a volume; None if it is too thin for that.

    ``check`` is called again and again; it may raise ``Cancelled``.
    """
    spacing, extent = _spacing(stack), extent_of(stack)
    scale = known.scale(extent, tuple(spacing.tolist()))
    spacing, extent = spacing / scale, extent / scale
    target = _scaled(coarse_volume(stack, _VOXELS), scale)
    if min(target.grey.shape) < _LEAST_SIDE:
        return None
    images = [(image, image.volume) for image in known.images if image.volume is not None]
    found = list(ordered_map(lambda one: register_turned(one[1], target, check), images))
    order = np.argsort([-one.similarity for one in found], kind="stable")
    best = int(order[0])
    if _is_mirrored(images[best][1], target, found[best].similarity, check):
        _LOGGER.warning(
            "%s looks like a mirror image of the templates: no landmark is placed. Mirror it, or "
            "mend the directions of its axes.",
            stack.volume.source or "The volume",
        )
        return RegisteredVolume(stack, scale, len(known.labels), ())
    alike = [k for k in order if found[k].similarity >= _SIMILAR]
    # Of a part of what templates show, the correlation is not known; patches then decide.
    chosen = (alike or list(order))[:_MOST_VOTES]
    votes = tuple(_Vote.of(images[k], found[k], target.spacing) for k in chosen)
    return RegisteredVolume(stack, scale, len(known.labels), votes)


@dataclass(frozen=True, eq=False)
class RegisteredVolume:
    """A volume with the templates that vote on its landmarks: none if it is mirrored.

    Its mm are ``scale`` times those of the templates.
    """

    stack: SliceStack
    scale: float
    count: int
    votes: tuple[_Vote, ...]

    def placed(
        self, fixed: Array | None = None, check: Callable[[], None] = lambda: None
    ) -> Placed | None:
        """Place landmarks; None if what is there is not like in the templates.

        ``fixed``, (L, 3), are in mm those that are known, nan for the others, which follow them.
        """
        stack, scale, votes = self.stack, self.scale, self.votes
        spacing, extent = _spacing(stack) / scale, extent_of(stack) / scale
        if not votes:
            return Placed.nowhere(self.count, scale * extent)
        places = np.stack([vote.places for vote in votes])
        known = np.full((self.count, 3), np.nan) if fixed is None else fixed / scale
        there = np.isfinite(known[:, 0])
        if there.any():
            places = np.stack([_bent(one, known, _FOLLOWING * extent.max()) for one in places])
        middle = _median(places)
        apart = np.linalg.norm(places - middle, axis=2)
        spread = np.nan_to_num(_mean(apart)) if len(votes) > 1 else np.zeros(len(middle))
        inside = ((middle >= 0) & (middle <= extent)).all(axis=1)  # not where there is none
        likeness = np.zeros(len(middle))
        for number in np.flatnonzero(inside & ~there).tolist():
            check()
            patches = _patches(spacing, number, votes)
            if not len(patches):
                continue
            starts = _starts(middle[number], places[:, number], extent, _NEAR * spacing.min())
            found = [_searched(stack, spacing, start, patches) for start in starts]
            best = max(found, key=lambda one: one[1])
            is_clear = best[1] > found[0][1] + _CLEARLY
            middle[number], likeness[number] = best if is_clear else found[0]
        middle[there], likeness[there] = known[there], 1.0
        if not inside.any() or likeness[inside].mean() < _LEAST_ALIKE:
            return None
        sure = likeness * np.exp(-spread / (_SPREAD * extent.max()))
        others, shares = _others(places, middle, _APART * extent.max())
        return Placed(scale * middle, sure, scale * extent, scale * others, shares)


def _bent(places: Array, known: Array, reach: float) -> Array:
    """Places (L, 3) of a template, moved as those that are known (L, 3) say, less farther away."""
    rows = np.flatnonzero(np.isfinite(places[:, 0]) & np.isfinite(known[:, 0]))
    square = np.square(places[:, None] - places[None, rows]).sum(axis=2)
    near = np.nan_to_num(np.exp(-square / (2 * reach**2)))
    share = near / (near.sum(axis=1, keepdims=True) + _REST)
    bent: Array = places + share @ (known[rows] - places[rows])
    return bent


def _scaled(volume: CoarseVolume, scale: float) -> CoarseVolume:
    z, y, x = (side / scale for side in volume.spacing)
    return replace(volume, spacing=(z, y, x))


def _is_mirrored(
    fixed: CoarseVolume, moving: CoarseVolume, similarity: float, check: Callable[[], None]
) -> bool:
    """Whether a volume is clearly more like a template when it is mirrored."""
    mirrored = replace(moving, grey=np.ascontiguousarray(moving.grey[:, :, ::-1]))
    found = register_turned(fixed, mirrored, check).similarity
    return found >= max(_SIMILAR, similarity + _MIRRORED)


@dataclass(frozen=True, eq=False)
class _Vote:
    """Where a registered template says that landmarks are, and how it is turned there.

    ``places`` (L, 3) are in mm; ``turns`` (L, 3, 3) lead from mm of the template to mm here.
    """

    image: KnownImage
    places: Array
    turns: Array

    @classmethod
    def of(
        cls,
        known: tuple[KnownImage, CoarseVolume],
        found: Registration,
        spacing: Sequence[float],
    ) -> _Vote:
        """``spacing`` is that of the coarse volume that the template was registered with."""
        from scipy import ndimage

        image, volume = known
        own, its = np.array(volume.spacing), np.array(spacing)
        cells = image.places / own - 0.5

        def read(at: Array) -> Array:
            there = [
                ndimage.map_coordinates(one, np.nan_to_num(at).T, order=1, mode="nearest")
                for one in found.places
            ]
            mm: Array = (np.stack(there, axis=1) + 0.5) * its
            return mm

        there, last, columns = np.nan_to_num(cells), np.array(volume.grey.shape) - 1, []
        for k, step in enumerate(np.eye(3)):  # nothing is known beyond the border
            low, high = np.maximum(there - step, 0), np.minimum(there + step, last)
            columns.append((read(high) - read(low)) / ((high - low)[:, k, None] * own[k]))
        turns = np.stack(columns, axis=2)
        return cls(image, np.where(np.isfinite(image.places), read(cells), np.nan), turns)


def _median(places: Array) -> Array:
    seen = np.isfinite(places[..., 0]).any(axis=0)
    middle = np.full(places.shape[1:], np.nan)
    middle[seen] = np.nanmedian(places[:, seen], axis=0)
    return middle


def _others(places: Array, chosen: Array, apart: float) -> tuple[Array, Array]:
    """Places (L, K, 3) of votes (N, L, 3) away from the chosen ones and each other, with shares."""
    none = Placed.nowhere(len(chosen), np.ones(3))
    for number, place in enumerate(chosen):
        kept: list[Array] = []
        for vote in places[:, number]:
            far = [np.linalg.norm(vote - one) > apart for one in (place, *kept)]
            if np.isfinite(vote).all() and all(far):
                kept.append(vote)
        for k, vote in enumerate(kept[:CANDIDATES]):
            none.others[number, k], none.shares[number, k] = vote, 1 / len(kept[:CANDIDATES])
    return none.others, none.shares


def _starts(middle: Array, places: Array, extent: Array, apart: float) -> list[Array]:
    """The middle (3,) of votes (N, 3), and each vote in the volume that lies apart from them.

    Where votes disagree, their middle may be wrong, and one of them right.
    """
    starts = [middle]
    for place in places[((places >= 0) & (places <= extent)).all(axis=1)]:
        if min(np.linalg.norm(place - one) for one in starts) > apart:
            starts.append(place)
    return starts


def _mean(values: Array) -> Array:
    """Mean (L,) of what is there of (N, L)."""
    seen = np.isfinite(values)
    mean: Array = np.where(seen, values, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return mean


def _patches(spacing: Array, number: int, votes: Sequence[_Vote]) -> Array:
    """Patches of all templates of one landmark, (P, side, side, side), turned as they are here."""
    from scipy import ndimage

    side = 2 * _RADIUS + 1
    offsets = np.indices((side,) * 3).reshape(3, -1) - _RADIUS
    patches: list[Array] = []
    for vote in votes:
        image = vote.image
        if not np.isfinite(image.places[number]).all():
            continue
        turn = vote.turns[number]
        if abs(np.linalg.det(turn)) < 0.2:
            continue
        own = np.array(image.spacing)
        rest = image.places[number] / own - 0.5
        rest = rest - np.round(rest)
        inner = (np.linalg.inv(turn) @ (offsets * spacing[:, None])) / own[:, None]
        inner += (rest + _RADIUS)[:, None]
        patch = ndimage.map_coordinates(
            image.patches[number].astype(np.float32) / 255, inner, order=1, mode="nearest"
        )
        patches.append(patch)
    return np.reshape(patches, (-1, side, side, side))


def _searched(
    stack: SliceStack, spacing: Array, place: Array, patches: Array
) -> tuple[Array, float]:
    """The best place near one, in mm, by patches of templates; and how alike it looks."""
    middle = np.round(place / spacing - 0.5).astype(int)
    block = _block(stack, middle, _RADIUS + _SEARCH)
    total = correlations(block, patches).mean(axis=0)
    steps = np.indices(total.shape) - _SEARCH
    far = np.sqrt((np.square(steps * spacing[:, None, None, None])).sum(axis=0))
    reach = _SEARCH * spacing.min()
    weighed = total - 0.5 * np.square(far / reach)
    top = np.array(np.unravel_index(int(weighed.argmax()), total.shape))
    fine = top + vertex(weighed, top)
    return (middle + fine - _SEARCH + 0.5) * spacing, float(max(total[tuple(top)], 0.0))


def _spacing(stack: SliceStack) -> Array:
    """Sides of the voxels of the volume's own grid, in mm, in canonical order."""
    spacing = list(stack.spacing)
    first = spacing.pop(0)
    spacing.insert(stack.axis, first)
    return np.array(spacing)


def _block(stack: SliceStack, middle: Array, radius: int) -> Array:
    """Grey values round a voxel, in canonical order; beyond the border the nearest ones."""
    along = int(middle[stack.axis])
    rest = [int(middle[k]) for k in range(3) if k != stack.axis]
    sides = [
        np.clip(np.arange(at - radius, at + radius + 1), 0, n - 1)
        for at, n in zip(rest, stack.shape, strict=True)
    ]
    window = (
        slice(int(sides[0].min()), int(sides[0].max()) + 1),
        slice(int(sides[1].min()), int(sides[1].max()) + 1),
    )
    numbers = np.clip(np.arange(along - radius, along + radius + 1), 0, len(stack) - 1)
    planes = {
        int(number): stack.window(int(number), window).mean(axis=0)[
            np.ix_(sides[0] - window[0].start, sides[1] - window[1].start)
        ]
        for number in np.unique(numbers)
    }
    block = np.stack([planes[int(number)] for number in numbers])
    return np.moveaxis(block, 0, stack.axis)
