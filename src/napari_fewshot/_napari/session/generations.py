"""Which requests a newer one has replaced."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Generations"]


class Generations:
    """Numbers requests as they come; one that a newer one about its topic replaced is outdated."""

    def __init__(self) -> None:
        self._count = 0
        self._oldest: dict[Hashable, int] = {}

    def next(self) -> int:
        """Number of a new request."""
        self._count += 1
        return self._count

    def replace(self, generation: int, *topics: Hashable) -> None:
        """Requests about these topics that are older are outdated from now on."""
        self._oldest |= dict.fromkeys(topics, generation)

    def is_outdated(self, generation: int, topic: Hashable) -> bool:
        """Whether a newer request replaced this one."""
        return generation < self._oldest.get(topic, 0)
