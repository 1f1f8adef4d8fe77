"""What refinements changed in a result, until somebody keeps or discards it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...types import Array
from .slicing import Key

__all__ = ["Pending"]


@dataclass(frozen=True, eq=False)
class Change:
    """What one refinement changed on a slice: at ``places`` of the flat plane."""

    places: Array
    before: Array
    after: Array


@dataclass
class Pending:
    """Changes of refinements, slice by slice, the oldest first.

    A slice that another run has written to since is dropped: there is nothing to bring back.
    """

    _changes: dict[Key, list[Change]] = field(default_factory=dict)
    _sure: dict[Key, Array] = field(default_factory=dict)

    @property
    def keys(self) -> list[Key]:
        """Slices that were refined."""
        return list(self._changes)

    def note(self, key: Key, before: Array, after: Array, sure: Array | None) -> None:
        """Note labels before and after a refinement, and the confidence before it."""
        places = np.flatnonzero(before != after)
        change = Change(places, before.reshape(-1)[places], after.reshape(-1)[places])
        self._changes.setdefault(key, []).append(change)
        if sure is not None:
            self._sure.setdefault(key, sure.astype(np.float16))

    def before(self, key: Key, now: Array) -> Array:
        """Labels of a slice before all refinements; what is not of them stays as it is now."""
        found = now.copy()
        flat = found.reshape(-1)
        # The last one first: where it was undone, the one before it is met.
        for change in reversed(self._changes.get(key, [])):
            there = flat[change.places]
            flat[change.places] = np.where(there == change.after, change.before, there)
        return found

    def confidence(self, key: Key) -> Array | None:
        """Confidence of a slice before all refinements, where it was there."""
        return self._sure.get(key)

    def drop(self, key: Key) -> None:
        """Let a slice go."""
        self._changes.pop(key, None)
        self._sure.pop(key, None)

    def clear(self) -> None:
        """Let all go."""
        self._changes.clear()
        self._sure.clear()
