"""What a person sees of a run: progress bars, and errors in one line."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, Self, TypeGuard
from unicodedata import category

from ..errors import FewShotError, InputError, concerns_all

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = [
    "BAD_INPUT",
    "CRASHED",
    "HOW_TO_REPORT",
    "Failures",
    "ProgressBars",
    "in_one_line",
    "noted_interrupt",
]

BAD_INPUT = 2
CRASHED = 1
HOW_TO_REPORT = (
    "This is a fault of the program. Please report it at "
    "https://github.com/napari-fewshot/napari-fewshot/issues, with the lines above, the command, "
    "and the output of napari-fewshot doctor."
)

OPTIONS = (
    "adapter",
    "author",
    "axis",
    "background",
    "backbone",
    "channels",
    "confidence",
    "config",
    "connectivity",
    "device",
    "exclude_slices_of",
    "fine_tune",
    "frame",
    "image",
    "images",
    "known_labels",
    "label",
    "labels",
    "licence",
    "max_size",
    "method",
    "min_size",
    "note",
    "points",
    "region",
    "sam",
    "sam_weights",
    "scheduler",
    "slices",
    "store",
    "unit",
    "weights",
    "workers",
)
"""Parameters of the library that are options of the same name here."""
RENAMED = {
    "inputs": "IMAGE",
    "out_dir": "--output",
    "output": "--output",
    "probe": "--probe-labels",
    "settings.seed": "--seed",
}
"""Those that are called otherwise here."""


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

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def noted_interrupt() -> Iterator[threading.Event]:
    """Note the first Ctrl-C, rather than end where it comes; the second one ends all."""
    noted = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    if threading.current_thread() is not threading.main_thread():
        yield noted  # no signal comes here
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class Failures:
    """Images that failed, while the others are done."""

    def __init__(self) -> None:
        self.status = 0

    @contextmanager
    def of(self, image: Path) -> Iterator[None]:
        """Report what goes wrong with an image; what would with every other one, is raised."""
        try:
            yield
        except Exception as error:
            if concerns_all(error):
                raise
            message = in_one_line(error)
            if message is None:  # a fault of ours: whoever mends it needs to know where
                traceback.print_exc()
                print(f"napari-fewshot: {HOW_TO_REPORT}", file=sys.stderr)
                message = on_one_line(f"{type(error).__name__}: {error}")
                self.status = CRASHED
            self.status = self.status or BAD_INPUT
            about = message if str(image) in message else f"{image}: {message}"
            print(f"napari-fewshot: {about}", file=sys.stderr)


def in_one_line(error: Exception) -> str | None:
    """Word an error for a person; None of one that nobody has foreseen."""
    from ..device import is_out_of_memory

    if isinstance(error, FewShotError):
        text = on_one_line(str(error))
        parameter = on_one_line(error.parameter) if isinstance(error, InputError) else ""
        return _option_of(parameter) + text.removeprefix(parameter)
    if isinstance(error, OSError):  # a full disk, a folder without permission
        place = f": {os.fsdecode(error.filename)}" if _is_path(error.filename) else ""
        return on_one_line(f"{error.strerror or error}{place}") or type(error).__name__
    if is_out_of_memory(error):
        what = ". ".join(str(error).split("\n")[0].split(". ")[:2])  # torch says much more
        about = f" ({on_one_line(what)})" if what else ""
        return f"Out of memory{about}. Take a smaller image, or end what else uses memory."
    if isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
        about = ascii(getattr(error, "object", ""))[:100]
        return f"A name or text cannot be encoded: {about} ({error.reason}). Rename the file."
    if isinstance(error, RecursionError):
        return "An input is nested too deeply (lists within lists). Give simpler settings or files."
    return None


def on_one_line(text: str) -> str:
    """Text with spaces in place of all that breaks lines, and escapes for what steers terminals."""
    return "".join(_shown(one) for one in " ".join(text.split()))


def _shown(character: str) -> str:
    return character if category(character) != "Cc" else rf"\x{ord(character):02x}"


def _is_path(name: object) -> TypeGuard[str | bytes]:
    return isinstance(name, str | bytes) and bool(name)


def _option_of(parameter: str) -> str:
    """Option that a parameter of the library is given by; what is none stays as it is."""
    if parameter in OPTIONS:
        return f"--{parameter.replace('_', '-')}"
    if parameter == "settings" or (parameter.startswith("settings.") and parameter not in RENAMED):
        return parameter.replace("settings", "--set", 1).replace(".", " ", 1)
    return RENAMED.get(parameter, parameter)
