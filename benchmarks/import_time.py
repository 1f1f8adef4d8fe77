"""Time of `import napari_fewshot` and of `napari-fewshot --help`, beside Python's own start.

Run it as ``python benchmarks/import_time.py [RUNS]``. Each figure is the median of several fresh
processes, after one that warms the file cache; the ratio to ``python -c pass`` says more than
seconds do, because it hardly depends on the machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import napari_fewshot": [sys.executable, "-c", "import napari_fewshot"],
    "napari-fewshot --help": [str(Path(sys.executable).with_name("napari-fewshot")), "--help"],
}


def median_seconds(command: list[str], runs: int) -> float:
    """Median wall time of a command, which must succeed."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print a table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    base = None
    print(f"{'command':24} {'median s':>9} {'ratio':>6}   ({runs} runs)")
    for name, command in COMMANDS.items():
        seconds = median_seconds(command, runs)
        base = base or seconds
        print(f"{name:24} {seconds:9.3f} {seconds / base:6.1f}")


if __name__ == "__main__":
    main()
