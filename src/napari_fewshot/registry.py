"""A small registry: name → lazy factory and frozen entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from .errors import UnknownNameError

__all__ = ["Registry"]

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Named entries of one kind; adding a name twice is an error.

    Parameters
    ----------
    kind : str
        What the entries are, as the user calls the parameter, e.g. ``"backbone"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Register ``entry`` under ``name``; a duplicate raises ``ValueError``."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def get(self, name: str) -> Entry:
        """Return the entry called ``name``.

        Raises
        ------
        UnknownNameError
            If there is none; the message lists near matches.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def items(self) -> Iterator[tuple[str, Entry]]:
        """Pairs of name and entry, in the order of registration."""
        return iter(self._entries.items())
