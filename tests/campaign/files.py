"""Changed files of every kind, read in a process that may crash; counts of what became of them."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .mutation import mutate_tree

GOOD = ("read", "read otherwise", "refused")
"""Of a kind whose bytes have no check sum, a change may be read as other values."""
LONGEST_S = 20.0
START_S = 300.0


class Reader:
    """The process, started again after it has died."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._process = folder, None
        self.kinds: list[tuple[str, Path]] = []

    def start(self) -> None:
        """Make the corpus anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        command = [sys.executable, "-m", "campaign.worker", str(self.folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).parents[1],
                env=environment,
            )
        self.kinds = [(name, Path(path)) for name, path in self._answer(START_S)]

    def read(self, name: str, path: Path) -> tuple[str, str]:
        """Outcome and words of a reading."""
        if self._process is None:
            self.start()
        assert self._process is not None
        self._process.stdin.write(f"{json.dumps([name, str(path)])}\n".encode())
        self._process.stdin.flush()
        start = time.monotonic()
        answer = self._answer(LONGEST_S)
        if answer is not None:
            return tuple(answer)
        code = self._process.poll()
        self.stop()
        if code is None:
            return "hang", f"{time.monotonic() - start:.0f} s"
        return f"crash {code}", (self.folder / "log").read_text(errors="replace")[-300:]

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                stream.close()
            self._process = None

    def _answer(self, seconds: float) -> Any:
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        if seconds == START_S:
            self._process.kill()
            raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
        if ready:  # it has ended
            self._process.wait()
        return None


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """A reader that ends with the block."""
    found = Reader(folder)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def read_mutated(
    folder: Path, seeds: Iterator[int], goes_on: Callable[[], bool], keep: Path | None = None
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Change and read files, kind by kind in turn, while ``goes_on()``.

    Returns the counts of (kind, outcome), and a line for each fault; files of faults are kept.
    """
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[str] = []
    with reader(folder / "corpus") as process:
        kinds = process.kinds
        while goes_on():
            seed = next(seeds)
            for name, source in kinds:
                target = folder / "changed" / source.name
                shutil.rmtree(target.parent, ignore_errors=True)
                target.parent.mkdir()
                mutate_tree(source, target, seed)
                outcome, words = process.read(name, target)
                counts[name, outcome] += 1
                if outcome not in GOOD:
                    faults.append(f"{name}, seed {seed}: {outcome}: {words}")
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        shutil.move(target, keep / f"{seed}-{name}")
    return counts, faults
