"""A campaign for as long as one likes: ``scripts/campaign --minutes 60 --seed 0 --keep DIR``."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .files import GOOD, read_mutated
from .runs import COMMANDS, Trial

FILES_SHARE = 0.6
"""Of the time; the rest goes to runs that are disturbed."""


def campaign(
    folder: Path, minutes: float, seed: int, keep: Path | None
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Counts of (kind, outcome), and a line for each fault."""
    end = time.monotonic() + 60 * minutes * FILES_SHARE
    seeds = itertools.count(seed)
    counts, faults = read_mutated(folder, seeds, lambda: time.monotonic() < end, keep)
    end = time.monotonic() + 60 * minutes * (1 - FILES_SHARE)
    trial = Trial(folder / "runs")
    disturbed: dict[str, Callable[[str, int], str | None]] = {"killed": trial.killed}
    if sys.platform == "linux":
        disturbed["full disk"] = lambda name, one: trial.limited(name, "disk", one)
        disturbed["little memory"] = lambda name, one: trial.limited(name, "memory", one)
    for number in itertools.count(seed):
        for name, (what, disturb) in itertools.product(COMMANDS, disturbed.items()):
            if time.monotonic() >= end:
                return counts, faults
            fault = disturb(name, number)
            counts[f"{name}, {what}", "right" if fault is None else "fault"] += 1
            if fault is not None:
                faults.append(fault)
    return counts, faults


def main() -> int:
    """Run it, print the counts and the faults; 1 where there are any."""
    parser = argparse.ArgumentParser(prog="scripts/campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="folder for the files that gave faults")
    given = parser.parse_args()
    print(f"seeds from {given.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        counts, faults = campaign(folder, given.minutes, given.seed, given.keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for (kind, outcome), count in sorted(counts.items()):
        mark = "" if outcome in (*GOOD, "right") else "  <-- fault"
        print(f"{kind:28} {outcome:20} {count:7}{mark}")
    print(f"{counts.total()} trials, {len(faults)} faults")
    for fault in faults:
        print(f"\n{fault}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
