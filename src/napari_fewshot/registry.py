"""A small registry: entries of one kind by name, found in the modules that make them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from threading import RLock
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
    *modules : str
        Modules of this package whose ``ENTRIES``, a dict of name to entry, belong here, in the
        order in which they are listed. They are imported when an entry is first asked for, so
        they may lie in a higher layer than the registry.
    """

    def __init__(self, kind: str, *modules: str) -> None:
        self.kind = kind
        self._modules = modules
        self._entries: dict[str, Entry] = {}
        self._lock = RLock()

    def add(self, name: str, entry: Entry) -> None:
        """Register ``entry`` under ``name``, last; a duplicate raises ``ValueError``."""
        self._all()
        self._add(name, entry)

    def get(self, name: str) -> Entry:
        """Return the entry called ``name``.

        Raises
        ------
        UnknownNameError
            If there is none; the message lists near matches.
        """
        try:
            return self._all()[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def items(self) -> Iterator[tuple[str, Entry]]:
        """Pairs of name and entry, in the order of registration."""
        return iter(self._all().items())

    def _add(self, name: str, entry: Entry) -> None:
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def _all(self) -> dict[str, Entry]:
        with self._lock:
            while self._modules:
                first, *rest = self._modules
                for name, entry in import_module(first, __package__).ENTRIES.items():
                    self._add(name, entry)
                self._modules = tuple(rest)
        return self._entries
