"""Objects of neighbouring slices that are one."""

from __future__ import annotations

import numpy as np

from ..types import Array

__all__ = ["SliceLinks"]


class SliceLinks:
    """Takes slices one after the other, and links objects that overlap in two of them.

    Two are one where each is the one that the other shares most with, the share of the smaller one
    is at least ``overlap``, and their labels are the same. Two slices are held.
    """

    def __init__(self, overlap: float) -> None:
        self._overlap = overlap
        self._before: Array | None = None
        self._roots = [0]
        self._kinds: list[int] = [0]

    def take(self, plane: Array, kinds: Array) -> Array:
        """Take objects (H, W) of the next slice, from 1 without gaps, and the label of each.

        Returns their numbers among all objects of all slices (int32), before they are linked.
        """
        start = len(self._roots) - 1
        numbered = np.where(plane > 0, plane + start, 0).astype(np.int32)
        self._roots += range(start + 1, start + len(kinds) + 1)
        self._kinds += kinds.tolist()
        if self._before is not None and len(kinds):
            self._link(self._before, plane, start)
        self._before = numbered
        return numbered

    def finish(self) -> tuple[Array, Array]:
        """Object (count + 1,) of each number, from 1 without gaps, and label (N,) of each."""
        roots = self._roots
        for number in range(1, len(roots)):  # links lead to lower numbers
            roots[number] = roots[roots[number]]
        values, names = np.unique(np.array(roots), return_inverse=True)
        return names.astype(np.int32), np.array(self._kinds, np.int64)[values[1:]]

    def _link(self, before: Array, plane: Array, start: int) -> None:
        shared = (before > 0) & (plane > 0)
        if not shared.any():
            return
        pairs, counts = np.unique(
            np.stack([before[shared], plane[shared]]), axis=1, return_counts=True
        )
        # The largest first, and of equal ones the first: each object keeps one partner.
        sizes = np.bincount(before.ravel()), np.bincount(plane.ravel())
        taken: tuple[set[int], set[int]] = (set(), set())
        for k in np.argsort(-counts, kind="stable"):
            one, other = int(pairs[0, k]), int(pairs[1, k])
            best = one not in taken[0] and other not in taken[1]
            taken[0].add(one)
            taken[1].add(other)
            enough = counts[k] >= self._overlap * min(sizes[0][one], sizes[1][other])
            if best and enough and self._kinds[one] == self._kinds[start + other]:
                self._roots[start + other] = self._roots[one]
