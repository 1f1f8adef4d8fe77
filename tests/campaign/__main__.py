"""A campaign for as long as one likes: ``scripts/campaign --minutes 60 --seed 0 --keep DIR``."""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from .autosaves import killed_saves
from .files import GOOD, read_mutated
from .runs import COMMANDS, READS_IMAGES, WORKERS, Trial, rights_count
from .stores import shared_store

FILES_SHARE = 0.5
"""Of the time; the rest goes to runs that are disturbed."""
STORE_S = 5.0
KILLS = 10

Disturbance = Callable[[int], str | None]


def campaign(
    folder: Path, minutes: float, seed: int, keep: Path | None
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Counts of (kind, outcome), and a line for each fault."""
    end = time.monotonic() + 60 * minutes
    files_end = time.monotonic() + 60 * minutes * FILES_SHARE
    seeds = itertools.count(seed)
    counts, faults = read_mutated(folder, seeds, lambda: time.monotonic() < files_end, keep)
    disturbances = list(_disturbances(folder))
    random.Random(seed).shuffle(disturbances)  # so that short campaigns meet all kinds in time
    for number in itertools.count(seed):
        for kind, disturb in disturbances:
            if time.monotonic() >= end:
                return counts, faults
            fault = disturb(number)
            counts[kind, "right" if fault is None else "fault"] += 1
            if fault is not None:
                faults.append(fault)
    raise AssertionError("it counts without an end")


def _disturbances(folder: Path) -> Iterator[tuple[str, Disturbance]]:
    """Kinds of runs that are disturbed; what cannot be tried here is told."""
    trial = Trial(folder / "runs")
    names = [*COMMANDS]
    if find_spec("distributed") is None:
        print("without the package distributed: no runs on workers")
        names.remove(WORKERS)
    linux = sys.platform == "linux"
    rights = rights_count(folder / "rights")
    if not rights:
        print("the rights of folders do not count here: no read-only folders")

    def of(disturb: Callable[[str, int], str | None], name: str) -> Disturbance:
        return lambda seed: disturb(name, seed)

    for name in names:
        yield f"{name}, killed", of(trial.killed, name)
        if name == WORKERS:
            yield f"{name}, one killed", of(trial.worker_killed, name)
        if linux:
            yield f"{name}, full disk", lambda seed, name=name: trial.limited(name, "disk", seed)
            yield f"{name}, memory", lambda seed, name=name: trial.limited(name, "memory", seed)
        if name in READS_IMAGES:
            yield f"{name}, --max-memory", of(trial.bounded, name)
        yield f"{name}, twice at once", of(trial.together, name)
        if rights:
            yield f"{name}, read-only", of(trial.read_only, name)
    yield "store, several processes", lambda s: shared_store(folder / f"store-{s}", s, STORE_S)
    yield f"autosave, {KILLS} kills", lambda s: killed_saves(folder / f"saves-{s}", s, KILLS)


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
        print(f"{kind:32} {outcome:20} {count:7}{mark}")
    print(f"{counts.total()} trials, {len(faults)} faults")
    for fault in faults:
        print(f"\n{fault}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
