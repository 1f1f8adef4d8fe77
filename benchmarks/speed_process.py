"""Processes of the speed benchmark: their environment, their report, and the load beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Settings of whoever runs the benchmark; a measurement starts from what a user would have.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def environment(*without: str, **settings: str) -> dict[str, str]:
    """Variables of this process without those that set threads, and without some more."""
    left_out = {*THREADS, "OMP_WAIT_POLICY", "KMP_BLOCKTIME", *without}
    return {k: v for k, v in os.environ.items() if k not in left_out} | settings


def script(name: str, *arguments: object) -> list[str]:
    """Command of a script beside this one."""
    return [sys.executable, str(Path(__file__).with_name(name)), *map(str, arguments)]


def report(command: list[str], **settings: str) -> Any:
    """Run a command that ends with a line of JSON; return what the line says."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment(**settings)
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many cores busy with endless loops."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
