"""Progress bars on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["ProgressBars"]


class ProgressBars:
    """One bar after the other, with rate and remaining time; silent where there is no terminal.

    An instance is a progress callback. A new bar begins whenever ``what`` or ``total`` changes,
    or the count starts again.
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._bar: tqdm[NoReturn] | None = None
        self._what: tuple[str, int] = ("", 0)

    def __call__(self, done: int, total: int, what: str) -> None:
        """Show that ``done`` of ``total`` are done."""
        bar = self._bar
        if bar is None or self._what != (what, total) or done < bar.n:
            bar = self._begin(total, what)
        bar.update(done - bar.n)

    def _begin(self, total: int, what: str) -> tqdm[NoReturn]:
        from tqdm import tqdm

        self.close()
        label = f"{self.title}: {what}" if self.title else what
        self._bar = tqdm(total=total, desc=label, file=sys.stderr, disable=None, leave=False)
        self._what = (what, total)
        return self._bar

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
