"""How landmarks lie to each other: a tree of offsets, and where it says each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..types import Array

__all__ = ["Structure"]

_DEVIATION = 0.25
"""Standard deviation of an offset, as a share of its length, before templates are seen."""
_BELIEF = 3.0
"""Templates that this counts as, beside those that show how offsets vary."""
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
    spreads : tuple of float
        Standard deviation of each edge's offset.
    """

    root: int
    edges: tuple[tuple[int, int], ...]
    places: Array
    spreads: tuple[float, ...]

    @classmethod
    def of(cls, templates: Sequence[Array]) -> Structure:
        """Find the tree of the shortest and steadiest offsets.

        ``templates`` are places (L, D), nan for what one has not; each landmark is in one at least.
        """
        together = np.stack(templates)
        places = np.nanmean(together, axis=0)
        sizes = np.array([_size(one, places) for one in together])  # scales are tried apart
        together = together / sizes[:, None, None]
        offsets = together[:, :, None] - together[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            seen = np.isfinite(offsets[..., 0]).sum(axis=0)
            total = np.nansum(offsets, axis=0) / np.maximum(seen, 1)[..., None]
            squares = np.nansum(np.square(offsets - total), axis=(0, 3)) / 2
        length = np.linalg.norm(places[:, None] - places[None], axis=-1)
        own = np.maximum(_DEVIATION * length, _LEAST_DEVIATION)
        variance = (_BELIEF * np.square(own) + squares) / (_BELIEF + np.maximum(seen - 1, 0))
        spread = np.sqrt(variance * (1 + 1 / np.maximum(seen, 1)) / 2)  # the mean is not known
        costs = spread + np.sqrt(squares / np.maximum(seen, 1))
        middle = np.linalg.norm(places - places.mean(axis=0), axis=1)
        root = int(middle.argmin())
        edges: list[tuple[int, int]] = []
        there, rest = [root], [k for k in range(len(places)) if k != root]
        while rest:
            some = costs[np.ix_(rest, there)]
            child, parent = np.unravel_index(int(some.argmin()), some.shape)
            edges.append((rest[child], there[parent]))
            there.append(rest.pop(child))
        return cls(root, tuple(edges), places, tuple(float(spread[edge]) for edge in edges))

    def marginals(self, likelihoods: Array, cell: float, scale: float) -> tuple[Array, float]:
        """Probability of each place of each landmark, and the log of how well all agree.

        Sum-product over the tree: exact but for the raster. ``likelihoods``, (L, h, w), are those
        of appearance; ``cell`` is the side of a cell in the unit of the places, which ``scale``
        multiplies. Probabilities of a landmark sum to 1.
        """
        offsets = [scale * (self.places[c] - self.places[p]) / cell for c, p in self.edges]
        spreads = [spread / cell for spread in self.spreads]
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


def _size(template: Array, places: Array) -> float:
    """How large the arrangement of a template is beside the mean of all."""
    seen = np.isfinite(template[:, 0])
    own, mean = template[seen], places[seen]
    size = np.linalg.norm(mean - mean.mean(axis=0))
    if not size > 0:
        return 1.0
    return float(np.linalg.norm(own - own.mean(axis=0)) / size) or 1.0


def _message(belief: Array, offset: Array, spread: float) -> Array:
    """What one landmark says of the place of another."""
    from scipy import ndimage

    total = float(belief.sum())
    if not total > 0:
        return np.full(belief.shape, 1 / belief.size, np.float32)
    wide = ndimage.gaussian_filter(belief / total, spread, mode="constant", truncate=_REACH)
    moved = np.full(belief.shape, _STRAY / belief.size, np.float32)
    here, there = [], []
    for step, side in zip(np.round(offset).astype(int).tolist(), belief.shape, strict=True):
        here.append(slice(max(0, -step), max(0, min(side, side - step))))
        there.append(slice(max(0, step), max(0, min(side, side + step))))
    moved[tuple(there)] += (1 - _STRAY) * wide[tuple(here)]
    return moved
