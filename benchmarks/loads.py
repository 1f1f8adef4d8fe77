"""What many things do to one run: images, slices in a store, corrections, open images.

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/loads.py
    python benchmarks/loads.py images store --json loads.json --page docs/speed.md
    xvfb-run -a python benchmarks/loads.py --quick              # smallest sizes

- ``images``: 2,000 small images in one ``predict``; memory, open files, seconds for an image.
- ``store``: 10,000 slices in one feature store; seconds to put, open, get and prune.
- ``session``: 200 corrections in a viewer: a stroke, *accept*, *Update*; memory after each.
- ``defaults``: the same with all settings as they come, in place of a quick adapter.
- ``open``: 50 images that are open in one viewer, and labelled.

Each is a process of its own. Every ratio is that of the last tenth to the first (memory: of the end
to the state after the first tenth, when all is loaded that is loaded once). Memory is anonymous
resident memory in MB: what files that are mapped take, the system drops when it needs room. Seconds
of corrections are those of the processor, so that other work does not count.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from page import write_sections
from speed_process import environment, report, script

from napari_fewshot.bench.machine import describe_machine

SIZES = {
    "images": (2000, 30),
    "store": (10_000, 100),
    "session": (200, 12),
    "defaults": (200, 3),
    "open": (50, 5),
}
"""Of each section, and with ``--quick``."""
SIDE = 64
LIGHT = {"backbone": "multiscale", "adapter": "cosine", "experts": {"registered": False}}
"""Settings of a session: what it keeps of corrections does not depend on how well it learns."""

Found = dict[str, Any]


def megabytes(process: int | str = "self") -> float:
    """Anonymous memory of a process that is resident."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon:"))


def tenths(values: list[float]) -> tuple[float, float]:
    """Medians of the first and of the last tenth."""
    part = max(1, len(values) // 10)
    return statistics.median(values[:part]), statistics.median(values[-part:])


def many_images(count: int) -> Found:
    """Label images with the command line, and watch it; then once more, when all are there."""
    from PIL import Image

    from napari_fewshot import FewShotSegmenter, Template

    def picture(number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        y, x = np.mgrid[:SIDE, :SIDE]
        row, column = rng.integers(16, SIDE - 16, 2)
        labels = ((y - row) ** 2 + (x - column) ** 2 < 100).astype(np.uint8)
        return (60 + 120 * labels + rng.integers(0, 40, labels.shape)).astype(np.uint8), labels

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(count):
            Image.fromarray(picture(number)[0]).save(folder / "in" / f"{number:05}.png")
        FewShotSegmenter().fit(Template(*picture(count))).save(folder / "m.fewshot")
        first = _watched(folder)
        again = _watched(folder)
        record = (folder / "out" / ".napari-fewshot.jsonl").stat().st_size
    seconds, memory = first["seconds"], first["memory"]
    warm = memory[len(memory) // 10 :]
    return {
        "count": count,
        "seconds": tenths(seconds),
        "memory": (warm[0], max(warm)),
        "open files": (first["files"][0], max(first["files"])),
        "start": first["start"],
        "end": first["end"],
        "again": again["start"] + sum(again["seconds"]) + again["end"],
        "record kB": record / 1e3,
    }


def _watched(folder: Path) -> Found:
    """Seconds between results of ``predict``, and memory and open files after each."""
    command = [sys.executable, "-m", "napari_fewshot", "predict", "m.fewshot", "in", "-o", "out"]
    last = time.perf_counter()
    rows: list[tuple[float, float, int]] = []
    own = environment(PYTHONUNBUFFERED="1")
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=own
    ) as process:
        for _ in process.stdout or ():
            now = time.perf_counter()
            with suppress(OSError, StopIteration):  # it has ended
                files = sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir())
                rows.append((now - last, megabytes(process.pid), files))
            last = now
    end = time.perf_counter() - last
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds, memory, files = (list(column) for column in zip(*rows, strict=True))
    return {
        "start": seconds[0],
        "seconds": seconds[1:],
        "memory": memory,
        "files": files,
        "end": end,
    }


def full_store(count: int) -> Found:
    """Put features of slices into a store, and find them again in another process."""
    from napari_fewshot.features.store import FeatureStore

    with tempfile.TemporaryDirectory() as name:
        before, store = megabytes(), FeatureStore(Path(name))
        seconds = [_timed(lambda k=k: _put(store, k)) for k in range(count)]
        grown = megabytes() - before
        found = report(script("loads.py", "--run", "get", "--size", count, "--folder", name))
        size = _timed(store.size)
        store.limit = store.size() // 2
        pruned = _timed(store.prune)
    return {
        "count": count,
        "put": tenths(seconds),
        "grown": grown,
        **found,
        "size": size,
        "prune": pruned,
    }


def _put(store: Any, number: int) -> None:
    from napari_fewshot.features.store import pack
    from napari_fewshot.types import FeatureMap

    data = np.full((16, 8, 8), number, np.float32)
    store.put(_signature(), {f"{number:040x}": pack(FeatureMap(data, (112, 112), (112.0, 112.0)))})


def _signature() -> str:
    return json.dumps({"backbone": "load"})


def found_again(count: int, folder: Path) -> Found:
    """Seconds to open a store, and to read slices at random."""
    from napari_fewshot.features.store import FeatureStore

    chosen = random.Random(0).choices(range(count), k=min(1000, count))
    before, start = megabytes(), time.perf_counter()
    store = FeatureStore(folder)
    opened = time.perf_counter() - start
    seconds = [_timed(lambda k=k: store.get(_signature(), f"{k:040x}")) for k in chosen]
    return {"open": opened, "get": tenths(seconds), "grown by reading": megabytes() - before}


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def default_session(count: int) -> Found:
    """Correct slices with all settings as they come."""
    return long_session(count, {})


def long_session(count: int, settings: Mapping[str, Any] = LIGHT) -> Found:
    """Correct slices in a viewer, one after the other, and update."""
    import napari

    viewer, session, truth = _viewer(napari)
    session.configure(**settings)
    session.train(score=False).wait()
    session.propagate("image").wait()
    result = session.result_layer(viewer.layers["image"])
    places = [one.index for one in session.slices("image") if one.status == "predicted"]
    memory, seconds, objects = [], [], []
    warm = min(20, count // 2)
    for number in range(count):
        place = places[number % len(places)]
        session.go_to(place, "image")
        _stroke(result, place, truth, number)
        if number < len(places):
            session.accept(place, "image")
        start = time.process_time()
        session.update("image").wait()
        seconds.append(time.process_time() - start)
        _settle(viewer)
        gc.collect()
        memory.append(megabytes())
        # Seldom: while it lists them, tuples that other threads make fail (Python 3.11).
        if number in (warm - 1, count - 1):
            objects.append(len(gc.get_objects()))
        if number % 10 == 9:
            print(f"{number + 1}: {memory[-1]:.0f} MB", file=sys.stderr)
    viewer.close()
    return {
        "count": count,
        "processor": tenths(seconds),
        "memory": (memory[warm - 1], memory[-1]),
        "curve": [round(memory[k]) for k in range(9, count, 10)],
        "objects": (objects[0], objects[-1]),
        "after": warm,
    }


def _viewer(napari: Any) -> tuple[Any, Any, np.ndarray]:
    """A viewer with the dock, a torso, its paint on three slices, and its truth."""
    from napari_fewshot import viewer_session
    from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

    phantom = make_phantom("torso", shape=(24, SIDE, SIDE))
    painted = painted_labels(phantom, template_slices(phantom, 3)).data
    viewer = napari.Viewer()
    viewer.add_image(phantom.image.data, name="image")
    viewer.add_labels(painted, name="paint")
    viewer.window.add_plugin_dock_widget("napari-fewshot", "Few-shot segmentation")
    session = viewer_session(viewer)
    session.add_template("image", "paint")
    return viewer, session, phantom.labels.data


def _stroke(result: Any, place: int, truth: np.ndarray, number: int) -> None:
    """Paint a stroke of a label where it belongs."""
    spots = np.argwhere(truth[place])
    y, x = spots[number * 7919 % len(spots)] if len(spots) else (SIDE // 2, SIDE // 2)
    result.selected_label = int(truth[place, y, x]) or 1
    result.brush_size = 3
    with result.block_history():
        for step in range(4):
            result.paint((place, int(y), min(int(x) + step, SIDE - 1)), result.selected_label)


def _settle(viewer: Any) -> None:
    """Let Qt do what waits."""
    from qtpy.QtCore import QCoreApplication, QEvent

    for _ in range(3):
        QCoreApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def many_open(count: int) -> Found:
    """Open images in one viewer, label each, and close it."""
    import napari

    from napari_fewshot.phantoms import make_phantom

    viewer, session, _ = _viewer(napari)
    session.train(score=False).wait()
    session.propagate("image").wait()
    memory, adding, labelling = [megabytes()], [], []
    for number in range(1, count):
        one = make_phantom("torso", number, (24, SIDE, SIDE)).image.data

        def add(one: np.ndarray = one, number: int = number) -> None:
            viewer.add_image(one, name=f"image {number}")
            _settle(viewer)

        adding.append(_timed(add))
        labelling.append(_timed(lambda n=number: session.propagate(f"image {n}").wait()))
        _settle(viewer)
        memory.append(megabytes())
    closing = _timed(viewer.close)
    return {
        "count": count,
        "add": tenths(adding),
        "label": tenths(labelling),
        "memory": (memory[0], memory[-1]),
        "MB an image": (memory[-1] - memory[len(memory) // 5]) / (len(memory) * 4 / 5),
        "close": closing,
    }


SECTIONS: dict[str, Callable[[int], Found]] = {
    "images": many_images,
    "store": full_store,
    "session": long_session,
    "defaults": default_session,
    "open": many_open,
}


def lines(results: dict[str, Found]) -> list[str]:
    """The table of what was measured."""
    rows = ["| | first | last | ratio |", "|---|---|---|---|"]

    def row(name: str, pair: tuple[float, float], unit: str, digits: int = 1) -> None:
        first, last = pair
        ratio = f"{last / first:.2f}" if first else "–"
        rows.append(f"| {name} | {first:.{digits}f}{unit} | {last:.{digits}f}{unit} | {ratio} |")

    more = []
    if one := results.get("images"):
        row(f"{one['count']} images in one `predict`: ms each", _ms(one["seconds"]), "", 0)
        row("… memory", one["memory"], " MB", 0)
        row("… open files", one["open files"], "", 0)
        more.append(f"once more, when all {one['count']} are there: {one['again']:.1f} s")
    if one := results.get("store"):
        row(f"{one['count']} slices in one store: ms to put each", _ms(one["put"]), "")
        row("… ms to read each", _ms(one["get"]), "")
        more.append(
            f"the store of {one['count']} opens in {1e3 * one['open']:.1f} ms, and its size is "
            f"counted in {one['size']:.1f} s; memory grew by {one['grown']:.0f} MB while it was "
            f"filled"
        )
    for name, how in (("session", "a quick adapter"), ("defaults", "all defaults")):
        if one := results.get(name):
            what = f"{one['count']} corrections in a viewer, {how}"
            row(f"{what}: memory, from correction {one['after']} on", one["memory"], " MB", 0)
            row("… objects of Python", one["objects"], "", 0)
            if "processor" in one:
                row("… s of the processor for an update", one["processor"], "", 2)
            curve = ", ".join(map(str, one["curve"]))
            more.append(f"{what}: MB after every tenth one {curve}")
    if one := results.get("open"):
        row(f"{one['count']} open images: s to add one", one["add"], "", 2)
        row("… s to label one", one["label"], "", 2)
        more.append(
            f"each of {one['count']} open and labelled images takes {one['MB an image']:.1f} MB; "
            f"they are closed in {one['close']:.1f} s"
        )
    text = "; ".join(more)
    return [*rows, *(["", f"{text[0].upper()}{text[1:]}."] if text else [])]


def _ms(seconds: tuple[float, float]) -> tuple[float, float]:
    first, last = seconds
    return 1e3 * first, 1e3 * last


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="smallest sizes")
    parser.add_argument("--json", type=Path, help="file that keeps what was measured before")
    parser.add_argument("--page", type=Path, help="page whose table is written anew")
    parser.add_argument("--tables-only", action="store_true", help="from --json, nothing measured")
    parser.add_argument("--run", choices=[*SECTIONS, "get"], help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"sections are {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}")
    if options.run == "get":
        print(json.dumps(found_again(options.size, options.folder)))
        return
    if options.run:
        print(json.dumps(SECTIONS[options.run](options.size)))
        return
    kept = options.json is not None and options.json.exists()
    results = json.loads(options.json.read_text("utf-8")) if kept else {}
    for name in () if options.tables_only else options.sections or SECTIONS:
        with tempfile.TemporaryDirectory() as folder:
            size = SIZES[name][options.quick]
            found = report(
                script("loads.py", "--run", name, "--size", size), NAPARI_FEWSHOT_DATA=folder
            )
        results[name] = {**found, "machine": describe_machine("auto")}
        print(json.dumps({name: found}), flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(*lines(results), sep="\n")
    if options.page is not None:
        write_sections(options.page, "loads.py", {"loads": lines(results)})


if __name__ == "__main__":
    main()
