"""Features in memory: what was encoded once is at hand for the next training and prediction."""

from __future__ import annotations

import random
from collections.abc import Mapping
from threading import Lock

from ..config import CACHE_LIMIT_MB
from ..errors import InputError
from .store import PackedMap

__all__ = ["FeatureCache"]


class FeatureCache:
    """Feature maps in float16, by content, up to a limit of memory; safe between threads.

    When it is full, an entry drawn by chance goes, but each use since it was last drawn saves it
    once. So template slices, which every training reads, stay, and a volume that is larger than
    the cache is still found in part (the least recently used entry would always be the one
    that is needed next).

    Parameters
    ----------
    limit_mb : float
        Most memory of all entries together, in MB (10⁶ bytes).

    Raises
    ------
    InputError
        If the limit is negative.
    """

    def __init__(self, limit_mb: float = CACHE_LIMIT_MB) -> None:
        self._entries: dict[tuple[str, str], PackedMap] = {}
        self._uses: dict[tuple[str, str], int] = {}
        self._bytes = 0
        self._random = random.Random(0)
        self._lock = Lock()
        self.limit = 0
        self.resize(limit_mb)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return self._bytes

    def get(self, signature: str, key: str) -> PackedMap | None:
        """Features of a slice, or None; ``signature`` and ``key`` as in the feature store."""
        with self._lock:
            found = self._entries.get((signature, key))
            if found is not None:
                self._uses[signature, key] += 1
            return found

    def has(self, signature: str, key: str) -> bool:
        """Whether a slice is here; this is no use of it."""
        return (signature, key) in self._entries

    def put(self, signature: str, entries: Mapping[str, PackedMap]) -> None:
        """Keep features of slices, given by key; one larger than the limit is not kept."""
        with self._lock:
            for key, packed in entries.items():
                if (signature, key) not in self._entries and packed.data.nbytes <= self.limit:
                    self._make_room(packed.data.nbytes)
                    self._entries[signature, key] = packed
                    self._uses[signature, key] = 0
                    self._bytes += packed.data.nbytes

    def resize(self, limit_mb: float) -> None:
        """Set another limit; what is beyond it goes.

        Raises
        ------
        InputError
            If the limit is negative.
        """
        if not limit_mb >= 0:
            raise InputError("limit_mb", "be at least 0", limit_mb)
        with self._lock:
            self.limit = round(limit_mb * 1e6)
            self._make_room(0)

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self._entries.clear()
            self._uses.clear()
            self._bytes = 0

    def _make_room(self, needed: int) -> None:
        while self._bytes + needed > self.limit:
            drawn = self._random.choice(list(self._entries))
            if self._uses[drawn]:
                self._uses[drawn] -= 1
                continue
            self._bytes -= self._entries.pop(drawn).data.nbytes
            del self._uses[drawn]
