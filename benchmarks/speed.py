"""How fast it is, how much memory it takes, and how others compare: all tables of docs/speed.md.

    python benchmarks/speed_peers.py --make-environments ENVIRONMENTS
    python benchmarks/speed.py --environments ENVIRONMENTS --json speed.json --page docs/speed.md
    python benchmarks/speed.py stages busy --json speed.json   # only these sections, into the file
    python benchmarks/speed.py --quick                         # smallest sizes, to see that it runs
    python benchmarks/speed.py --profile                       # where each stage spends its time

Every measurement is a process of its own, with the threads that a user would have. Let nothing else
run beside it. Ratios are within one run: of a stage to the bare forward pass of the network, of a
busy machine to an idle one, of the largest size to the smallest. Sections that are measured again
replace those in the JSON file; the others stay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import speed_memory
import speed_page
import speed_peers
import store
from import_time import COMMANDS, median_seconds
from page import write_sections
from speed_process import busy, cores, environment, report, script

from napari_fewshot.bench.machine import describe_machine

FIRST = ("torch", "numpy", "napari")
"""What other plugins of a viewer have imported before us."""
THREADS = (1, 2, 4)

Options = argparse.Namespace


def start_up(options: Options) -> dict[str, float]:
    """Seconds of the import and of the command line, beside Python's own start."""
    runs = 2 if options.quick else 9
    return {name: median_seconds(command, runs) for name, command in COMMANDS.items()}


def stages(options: Options) -> dict[str, Any]:
    """Medians over several processes."""
    return _medians([_stages(options) for _ in range(options.repeats)], options)


def busy_machine(options: Options) -> dict[str, Any]:
    """With half of the cores busy, and modules imported first, beside idle."""
    first = ("--first", *FIRST)
    idle = [_stages(options, *first) for _ in range(options.repeats)]
    with busy(max(1, cores() // 2)):
        loaded = [_stages(options, *first) for _ in range(options.repeats)]
    return {"idle": _medians(idle, options), "busy": _medians(loaded, options)}


def threads(options: Options) -> dict[str, Any]:
    """Digests with so many threads, set in the environment and in torch."""
    found = {}
    for count in THREADS:
        by_variable = report(_command(options), OMP_NUM_THREADS=str(count))
        by_torch = report(_command(options, "--threads", count))
        keys = ("digest", "digest_again")
        found[f"OMP_NUM_THREADS={count}"] = {k: by_variable[k] for k in keys}
        found[f"torch.set_num_threads({count})"] = {k: by_torch[k] for k in keys}
        print(json.dumps(found), flush=True)
    return found


def memory(options: Options) -> dict[str, Any]:
    """Peaks against slices and area."""
    return speed_memory.measure(speed_memory.sizes(options.quick))


def larger(options: Options) -> dict[str, Any]:
    """A volume larger than the memory that the process may have."""
    times, side = (0.01, 64) if options.quick else (options.times, 256)
    with tempfile.TemporaryDirectory() as folder:
        return speed_memory.larger_than_memory(
            options.limit_mb, times, side, "float64", Path(folder)
        )


def stored(options: Options) -> dict[str, float]:
    """Features of a transformer on disk."""
    if options.quick:
        return store.measure(2, 112, 64, 2)
    return store.measure()


def peers(options: Options) -> dict[str, Any]:
    """Other tools on the same paint."""
    slices, side = (12, 64) if options.quick else (50, 256)
    only = "napari-fewshot" if options.quick else ""
    return speed_peers.measure(options.environments, slices, side, only)


def gpu(options: Options) -> dict[str, Any]:
    """Vision transformers against the card; a line where there is none."""
    small = ("--side", 112, "--slices", 2, "--sizes", "small") if options.quick else ()
    found: dict[str, Any] = report(script("speed_gpu.py", *small))
    return found


SECTIONS: dict[str, Callable[[Options], Any]] = {
    "start-up": start_up,
    "stages": stages,
    "busy": busy_machine,
    "threads": threads,
    "memory": memory,
    "larger": larger,
    "store": stored,
    "peers": peers,
    "gpu": gpu,
}


def _command(options: Options, *more: object) -> list[str]:
    slices, side = (12, 64) if options.quick else (options.slices, options.side)
    return script("speed_stages.py", "--slices", slices, "--side", side, *more)


def _stages(options: Options, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = report(_command(options, *more))
    print(json.dumps(found), flush=True)
    return found


def _medians(runs: list[dict[str, Any]], options: Options) -> dict[str, Any]:
    """The last run, with medians in place of its seconds."""
    last = dict(runs[-1])
    for part in ("seconds", "bare"):
        last[part] = {name: statistics.median(r[part][name] for r in runs) for name in last[part]}
    last["digests"] = sorted({run["digest"] for run in runs})
    last["runs"] = len(runs)
    last["slices"], last["side"] = (12, 64) if options.quick else (options.slices, options.side)
    return last


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="smallest sizes")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each measurement")
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--limit-mb", type=int, default=1500, help="memory of the larger volume")
    parser.add_argument("--times", type=float, default=2.0, help="size of that volume, in limits")
    parser.add_argument("--environments", type=Path, metavar="FOLDER", help="of other tools")
    parser.add_argument("--profile", action="store_true", help="print a profile, nothing else")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--before", type=Path, help="JSON of an earlier state, for one more column")
    parser.add_argument("--page", type=Path, help="page whose tables are written anew")
    parser.add_argument("--tables-only", action="store_true", help="from --json, nothing measured")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"sections are {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}")
    if options.quick:
        options.repeats = 1
    if options.profile:
        subprocess.run(_command(options, "--profile"), check=True, env=environment())
        sys.exit()
    results, failed = _read(options.json), []
    for name in () if options.tables_only else options.sections or SECTIONS:
        print(f"# {name}", flush=True)
        try:
            results[name] = SECTIONS[name](options)
        except subprocess.CalledProcessError as error:  # the others are still worth their time
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        if not options.quick:
            results[name]["machine"] = describe_machine("auto") | {"cores": cores()}
        if options.json is not None:  # what was measured stays if a later section fails
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    tables = speed_page.tables(results, _read(options.before))
    print(*("\n".join(lines) for lines in tables.values()), sep="\n\n")
    if options.page is not None:
        write_sections(options.page, "speed.py", tables)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
