"""How landmarks lie to each other: a tree of offsets, and where it says each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["Structure"]

_DEVIATION = 0.25
"""Standard deviation of an offset, as a share of its length."""
_LEAST_DEVIATION = 0.01
"""Of the same, in the unit of the places."""
_STRAY = 1e-3
"""How probable it is that a landmark lies anywhere, whatever the others say."""
_REACH = 3.0  # standard deviations


@dataclass(frozen=True, eq=False)
class Structure:
    """A tree over landmarks whose edges are offsets.

    Parameters
    ----------
    root : int
        The landmark in the middle.
    edges : tuple of (int, int)
        (child, parent), parents before their children.
    places : array, shape (L, D)
        Mean place over templates.
    """

    root: int
    edges: tuple[tuple[int, int], ...]
    places: Array

    @classmethod
    def of(cls, templates: Sequence[Array]) -> Structure:
        """Find the tree of the shortest and steadiest offsets.

        ``templates`` are places (L, D), nan for what one has not; each landmark is in one at least.
        """
        together = np.stack(templates)
        places = np.nanmean(together, axis=0)
        offsets = together[:, :, None] - together[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            seen = np.isfinite(offsets[..., 0]).sum(axis=0)
            total = np.nansum(offsets, axis=0) / np.maximum(seen, 1)[..., None]
            spread = np.nansum(np.square(offsets - total), axis=(0, 3)) / np.maximum(seen, 1)
        length = np.linalg.norm(places[:, None] - places[None], axis=-1)
        costs = _DEVIATION * length + np.sqrt(spread)
        middle = np.linalg.norm(places - places.mean(axis=0), axis=1)
        root = int(middle.argmin())
        edges: list[tuple[int, int]] = []
        there, rest = [root], [k for k in range(len(places)) if k != root]
        while rest:
            some = costs[np.ix_(rest, there)]
            child, parent = np.unravel_index(int(some.argmin()), some.shape)
            edges.append((rest[child], there[parent]))
            there.append(rest.pop(child))
        return cls(root, tuple(edges), places)

    def marginals(self, likelihoods: Array, cell: float, scale: float) -> tuple[Array, float]:
        """Probability of each place of each landmark, and the log of how well all agree.

        Sum-product over the tree: exact but for the raster. ``likelihoods``, (L, h, w), are those
        of appearance; ``cell`` is the side of a cell in the unit of the places, which ``scale``
        multiplies. Probabilities of a landmark sum to 1.
        """
        offsets = [scale * (self.places[c] - self.places[p]) / cell for c, p in self.edges]
        spreads = [
            max(_DEVIATION * float(np.linalg.norm(offset)), _LEAST_DEVIATION / cell)
            for offset in offsets
        ]
        upward = list(np.array(likelihoods, np.float32))
        messages: dict[int, Array] = {}
        evidence = 0.0
        ways = list(zip(self.edges, offsets, spreads, strict=True))
        for (child, parent), offset, spread in reversed(ways):
            messages[child] = _message(upward[child], -offset, spread)
            upward[parent] = upward[parent] * messages[child]
            top = float(upward[parent].max())
            upward[parent] /= max(top, 1e-30)
            evidence += float(np.log(max(top, 1e-30)))
        evidence += float(np.log(max(upward[self.root].sum(), 1e-30)))
        found = list(upward)
        for (child, parent), offset, spread in ways:
            without = found[parent] / np.maximum(messages[child], 1e-30)
            found[child] = upward[child] * _message(without, offset, spread)
            found[child] /= max(float(found[child].max()), 1e-30)
        result = np.stack(found)
        result /= result.sum(axis=(1, 2), keepdims=True)
        return result, evidence


def _message(belief: Array, offset: Array, spread: float) -> Array:
    """What one landmark says of the place of another."""
    from scipy import ndimage

    total = float(belief.sum())
    if not total > 0:
        return np.full(belief.shape, 1 / belief.size, np.float32)
    wide = ndimage.gaussian_filter(belief / total, spread, mode="constant", truncate=_REACH)
    moved = ndimage.shift(wide, offset, order=1, mode="constant")
    result: Array = (1 - _STRAY) * np.maximum(moved, 0) + _STRAY / belief.size
    return result.astype(np.float32)
