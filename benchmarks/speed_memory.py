"""Peak memory against the number of slices and against the area, and a volume larger than memory.

    python benchmarks/speed_memory.py
    python benchmarks/speed_memory.py --run slices 60 256
    python benchmarks/speed_memory.py --larger-than-memory [--limit-mb 1500] [--times 2]

Each size is a process of its own, whose resident memory is read every 10 ms, all of it and the
anonymous part (not files that are mapped, which the system drops when it needs room). Given are
peaks above what the imports and the image take. Images are made by formula
(``formula_slice``).

``--larger-than-memory`` writes a Zarr volume slice by slice and labels it with the command line in
a process that is held to ``--limit-mb`` (``--times`` that is the size of the volume), then in
memory, and compares. What holds it: ``systemd-run`` with ``MemoryMax`` where that works, else a
limit on the memory that it may allocate (``RLIMIT_DATA``: beside ``--limit-mb``, what torch asks
for at its import and does not touch) with the resident memory sampled.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from speed_process import environment, report, script

MEGAPIXELS = (1, 6, 25)
SLICES = (20, 60, 120)
INTERVAL = 0.01
COLOURS = 3
ROOM_FOR_THREADS = 256
"""MB that stacks of threads count as allocated, though they are hardly touched."""


def formula_slice(
    index: int, rows: int, columns: int, start: int = 0, period: float = 64.0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a slice of the formula, as uint16 and its labels: rods of three sorts in haze."""
    y = np.arange(start, start + rows, dtype=np.float32)[:, None]
    x = np.arange(columns, dtype=np.float32)[None]
    turn = np.float32(2 * np.pi / period)
    wave = np.sin(turn * (y + 0.3 * index)) * np.sin(turn * (x - 0.2 * index))
    sort = (y // period + x // period).astype(np.int32) % 3
    labels = np.where(np.abs(wave) > 0.7, 1 + sort, 0).astype(np.uint8)
    grain = np.sin(0.37 * y * y + 0.11 * index) * np.cos(0.53 * x * x + 0.3 * y)
    image = 800 + 300 * np.sign(wave) * labels + 250 * wave + 120 * grain
    return np.clip(image, 0, 4000).astype(np.uint16), labels


class Sampler:
    """Largest resident and anonymous memory of a process, in MB, in each of its phases."""

    def __init__(self, pid: int) -> None:
        self.peaks: dict[str, dict[str, float]] = {}
        self.phase = "start"
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what was seen stays."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        """Read once."""
        try:
            text = self._status.read_text("utf-8")
        except OSError:  # it has ended
            return
        lines = (line.split() for line in text.splitlines())
        now = {words[0]: float(words[1]) / 1e3 for words in lines if words[0].startswith("Rss")}
        if not now:
            return
        peak = self.peaks.setdefault(self.phase, {"total": 0.0, "anonymous": 0.0})
        peak["total"] = max(peak["total"], sum(now.values()))
        peak["anonymous"] = max(peak["anonymous"], now["RssAnon:"])


def watched(command: list[str], **options: Any) -> tuple[dict[str, dict[str, float]], float]:
    """Peaks by phase, as a process names them (``PHASE name``), and the seconds of ``predict``."""
    start, seconds = time.perf_counter(), 0.0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), **options
    ) as process:
        sampler = Sampler(process.pid)
        for line in process.stdout or ():
            if line.startswith("PHASE "):
                if sampler.phase == "predict":
                    seconds = time.perf_counter() - start
                sampler.look()
                sampler.phase, start = line.split()[1], time.perf_counter()
        sampler.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return sampler.peaks, seconds


def workload(kind: str, count: int, side: int) -> None:
    """Label ``count`` slices, or an image of ``count`` megapixels; print the phases."""

    def phase(name: str) -> None:
        print("PHASE", name, flush=True)
        time.sleep(5 * INTERVAL)

    from napari_fewshot import FewShotSegmenter, Template

    model = FewShotSegmenter()
    model.extractor  # noqa: B018 # imports and weights
    if kind == "slices":
        made = [formula_slice(k, side, side) for k in range(count)]
        image, truth = (np.stack(parts) for parts in zip(*made, strict=True))
        del made
        labels = np.zeros_like(truth)
        labels[:: max(1, count // 3)] = truth[:: max(1, count // 3)]
        template = Template(image, labels)
    else:
        rows = round((count * 1e6) ** 0.5)
        image = np.empty((rows, rows), np.uint16)
        for start in range(0, rows, 256):
            part = image[start : start + 256]
            part[:] = formula_slice(0, len(part), rows, start)[0]
        template = Template(*formula_slice(0, side, side))
    phase("ready")
    phase("train")
    model.fit(template)
    phase("predict")
    model.predict(image)
    phase("end")


def measure(sizes: dict[str, list[tuple[str, int, int]]]) -> dict[str, Any]:
    """Rows of every group, and the ratio of the last to the first."""
    groups: dict[str, Any] = {}
    for title, members in sizes.items():
        rows = []
        for kind, count, side in members:
            peaks, seconds = watched(script("speed_memory.py", "--run", kind, count, side))
            base = peaks["ready"]
            above = {
                f"{name} {stage}": peaks[stage][name] - base[name]
                for name in ("total", "anonymous")
                for stage in ("train", "predict")
            }
            whole = peaks["predict"]["total"]
            rows.append({"count": count, "side": side, "seconds": seconds, "whole": whole, **above})
            print(json.dumps({title: rows[-1]}), flush=True)
        first, last = (rows[k]["total predict"] for k in (0, -1))
        groups[title] = {"rows": rows, "last to first": last / first if first > 0 else None}
    return groups


def sizes(quick: bool) -> dict[str, list[tuple[str, int, int]]]:
    """What is measured."""
    if quick:
        return {"slices": [("slices", n, 64) for n in (6, 12)], "area": [("area", 1, 128)]}
    return {
        "slices": [("slices", n, 256) for n in SLICES],
        "area": [("area", n, 512) for n in MEGAPIXELS],
        "512² × 20": [("slices", 20, 512)],
    }


def larger_than_memory(
    limit_mb: int, times: float, side: int, dtype: str, folder: Path
) -> dict[str, Any]:
    """Label a volume of ``times`` the memory that the process may have; compare with in memory."""
    import zarr

    slice_mb = 1e-6 * np.dtype(dtype).itemsize * side * side * COLOURS
    count = int(times * limit_mb / slice_mb)
    path, model = folder / "volume.zarr", folder / "model.fewshot"
    plane = (side, side, COLOURS)
    volume = zarr.create_array(
        path,
        shape=(count, *plane),
        chunks=(1, *plane),
        dtype=dtype,
        dimension_names=["z", "y", "x", "c"],
    )
    for k in range(count):
        volume[k] = coloured(formula_slice(k, side, side)[0])
    subprocess.run(script("speed_memory.py", "--train", model, side), check=True, env=environment())
    out = folder / "out"
    command = [sys.executable, "-m", "napari_fewshot", "predict", str(model), str(path)]
    command += ["-o", str(out), "--confidence", "--format", "ome-zarr"]
    held_by, held, options = holding(command, limit_mb)
    start = time.perf_counter()
    peaks, _ = watched(held, **options)
    seconds = time.perf_counter() - start
    equal = report(script("speed_memory.py", "--compare", model, path, out))
    return {
        "volume_mb": count * slice_mb,
        "slices": count,
        "limit_mb": limit_mb,
        "held_by": held_by,
        "peak_mb": max(peak["total"] for peak in peaks.values()),
        "anonymous_mb": max(peak["anonymous"] for peak in peaks.values()),
        "seconds": seconds,
        **equal,
    }


def holding(command: list[str], limit_mb: int) -> tuple[str, list[str], dict[str, Any]]:
    """What holds a command to its memory, the command so held, and options of the process."""
    scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", f"MemoryMax={limit_mb}M"]
    scope += ["-p", "MemorySwapMax=0"]
    if shutil.which(scope[0]):
        tried = subprocess.run([*scope, "true"], capture_output=True, check=False)
        if not tried.returncode:  # it becomes the command, whose memory is then seen
            return "cgroup", [*scope, *command], {}
    try:
        import resource
    except ImportError:
        return "nothing", command, {}
    allowed = int((limit_mb + ROOM_FOR_THREADS + untouched_mb()) * 1e6)

    def hold() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))

    return "RLIMIT_DATA", command, {"preexec_fn": hold}


def untouched_mb() -> float:
    """What torch's libraries ask for as they are loaded, mostly without a touch.

    The system counts it as allocated, though it takes no memory.
    """
    code = "import json, torch; print(json.dumps(open('/proc/self/status').read()))"
    lines = (line.split() for line in report([sys.executable, "-c", code]).splitlines())
    status = {words[0]: words[1] for words in lines if len(words) > 1}
    return (float(status["VmData:"]) - float(status["RssAnon:"])) / 1e3


def train(model: str, side: int) -> None:
    """Write a model of the first slice of the formula."""
    from napari_fewshot import FewShotSegmenter, Template

    image, labels = formula_slice(0, side, side)
    planes = coloured(image)[None].astype(np.float32), labels[None]
    FewShotSegmenter().fit(Template(*planes, axis=0)).save(model)


def coloured(image: np.ndarray) -> np.ndarray:
    """Colour slice, (H, W, 3): thrice the bytes of a grey one, for about the same work."""
    return np.stack([image, image[::-1], image[:, ::-1]], axis=-1)


def compare(model: str, path: Path, out: Path) -> dict[str, Any]:
    """Predict the volume as an array in memory, and compare it with what was written."""
    import zarr

    from napari_fewshot import FewShotSegmenter, Volume, read_volume

    data = np.asarray(zarr.open_array(path, mode="r"))
    spacing = read_volume(path).spacing
    start = time.perf_counter()
    found = FewShotSegmenter.load(model).predict(
        Volume(data, spacing, has_channels=True), landmarks=False
    )
    seconds = time.perf_counter() - start
    equal = {}
    for name, array in (("labels", found.labels), ("confidence", found.confidence)):
        written = read_volume(next(out.glob(f"*_{name}*"))).data
        equal[f"equal_{name}"] = all(
            np.array_equal(np.asarray(written[k]), array[k]) for k in range(len(array))
        )
    return {"seconds_in_memory": seconds, "labelled": float((found.labels > 0).mean()), **equal}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--larger-than-memory", action="store_true")
    parser.add_argument("--limit-mb", type=int, default=1500)
    parser.add_argument("--times", type=float, default=2.0)
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--run", nargs=3, metavar=("KIND", "COUNT", "SIDE"))
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--compare", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        workload(options.run[0], *map(int, options.run[1:]))
    elif options.train:
        train(options.train[0], int(options.train[1]))
    elif options.compare:
        model, path, out = options.compare
        print(json.dumps(compare(model, Path(path), Path(out))))
    elif options.larger_than_memory:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            limit, times, side = options.limit_mb, options.times, options.side
            found = larger_than_memory(limit, times, side, options.dtype, place)
        print(json.dumps(found))
    else:
        measure(sizes(options.quick))


if __name__ == "__main__":
    main()
