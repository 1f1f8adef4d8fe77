"""Warnings of the library, as notifications of the viewer: nobody sees a log there."""

from __future__ import annotations

import logging

__all__ = ["Notices"]

_LIBRARY = logging.getLogger(__name__.partition(".")[0])


class Notices(logging.Handler):
    """Shows each warning once, from any thread, until it is closed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()
        _LIBRARY.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a warning; what a session reports by itself stays in the log."""
        from napari.utils.notifications import show_warning

        if record.levelno > logging.WARNING:
            if logging.lastResort is not None:
                logging.lastResort.handle(record)
            return
        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            show_warning(message)

    def close(self) -> None:
        """Leave warnings to the log again."""
        _LIBRARY.removeHandler(self)
        super().close()
