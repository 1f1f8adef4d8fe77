"""Option ``--polish`` of ``train``: the network learns too, until its time is over or Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from ..config import ExpertsConfig
from ..errors import Cancelled, InputError
from .reporting import ProgressBars, noted_interrupt

if TYPE_CHECKING:
    from ..segmenter import FewShotSegmenter

__all__ = ["add_arguments", "check", "polish"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    minutes = ExpertsConfig().polish_minutes
    parser.add_argument(
        "--polish",
        action="store_true",
        help="then let the embedded network learn from the painted slices too, as one more expert; "
        "the model file grows by 8.3 MB. Ctrl-C ends it and keeps the best so far",
    )
    parser.add_argument(
        "--polish-minutes",
        type=float,
        metavar="N",
        help=f"most minutes for --polish (default: {minutes:g})",
    )


def check(options: argparse.Namespace) -> None:
    """Raise :class:`InputError` for options that do not go together."""
    minutes = options.polish_minutes
    if minutes is None:
        return
    if not options.polish:
        raise InputError("--polish-minutes", "stand beside --polish", "no --polish")
    if not minutes > 0:
        raise InputError("--polish-minutes", "be above 0", minutes)


def polish(model: FewShotSegmenter, minutes: float | None) -> FewShotSegmenter:
    """Polish a model, and say how it went; Ctrl-C ends it with the best so far."""
    start = time.perf_counter()
    with ProgressBars() as bars, noted_interrupt() as interrupted:

        def progress(done: int, total: int, what: str) -> None:
            bars(done, total, what)
            if interrupted.is_set():
                raise Cancelled("interrupted")

        found = model.polish(minutes, progress)
    seconds, steps = time.perf_counter() - start, found.polished_steps_
    if interrupted.is_set():
        kept = f"the best of {steps} steps is kept" if steps else "the model is as it was trained"
        print(f"polishing was interrupted: {kept}", file=sys.stderr)
    if steps:
        print(
            f"polished in {seconds:.1f} s, {steps} steps; the network takes "
            f"{found.extractor.spec.size_mb} MB of the model file"
        )
    return found
