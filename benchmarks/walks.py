"""Walks of an annotator through the one dock: clicks counted, seconds, agreement with the truth.

Needs a display, and for all but the sample the folder of data sets that ``accuracy.py`` takes::

    QT_QPA_PLATFORM=xcb xvfb-run -a -s "-screen 0 1400x1000x24" \
        python benchmarks/walks.py [DATA] [--only sample ct smears ...] [--quick]

A click is one press of the mouse on a button, a row or an entry of a menu (a menu opens with one,
its submenus open under the mouse); strokes of the brush and the marks of landmarks in an image are
not counted, and neither is moving through slices. Files are dropped on the viewer: one for each
drop. The widgets of the dock are really clicked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from walks_person import Annotator, Walk, dice, isolated

QUICK = {"backbone": "multiscale", "adapter": "cosine"}


def sample(person: Annotator, _: Path | None) -> Iterator[Walk]:
    """From an empty viewer to a labelled volume."""
    walk, start = Walk("sample, empty viewer to labelled volume"), time.perf_counter()
    person.open_sample("torso")
    person.open_dock()
    person.click(person.dock.learn.learn)
    person.wait()
    truth = person.viewer.layers["torso truth"].data
    found = person.session.result_layer("torso").data
    walk.dice = [dice(found, truth, np.unique(truth)[1:])]
    walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def ct(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """An own CT: three slices, two organs."""
    folder = _there(data) / "ct_torso"
    walk, start = Walk("own CT, three slices, two organs"), time.perf_counter()
    image = person.drop(folder / "image.nii.gz")
    truth = _like(folder / "labels.nii.gz", (1, 5))  # spleen, liver
    person.open_dock()
    counts = np.minimum(*(np.count_nonzero(truth == v, axis=(1, 2)) for v in (1, 2)))
    there = np.flatnonzero(counts > 20)
    slices = [int(there[k]) for k in (len(there) // 6, len(there) // 2, 5 * len(there) // 6)]
    for value in (1, 2):  # one organ after the other, so each is chosen once
        person.click(person.dock.labels.add_label)
        for k in slices:
            person.session.go_to(k, image)
            person.paint(k, truth[k], value)
    person.click(person.dock.learn.learn)
    person.wait()
    walk.dice = [dice(person.session.result_layer(image).data, truth, (1, 2))]
    walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def smears(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """Five blood smears after three painted ones."""
    from PIL import Image

    folder = _there(data) / "wbc_2d"
    paths = sorted((folder / "images").glob("*.png"))[:8]
    truths = [np.asarray(Image.open(folder / "labels" / path.name)) for path in paths]
    values = sorted({int(v) for one in truths[:3] for v in np.unique(one)} - {0})
    yield from _then_others(person, paths, truths, values, 3, "blood smear")


def hippocampi(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """Hippocampi A and B, three slices of each, then C, D, E."""
    folder = _there(data) / "hippocampus_mr"
    paths = sorted((folder / "images").glob("*.nii.gz"))[:5]
    truths = [_like(folder / "labels" / path.name) for path in paths]
    yield from _then_others(person, paths, truths, [1, 2], 2, "hippocampus")


def xrays(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """Eight landmarks on each of three X-rays, then a fourth."""
    from landmarks_tasks import SOME_CORNERS, SPINES

    paths = sorted((_there(data) / SPINES).glob("*.jpg"))[:4]
    truths = [_marks(path.with_suffix(".csv"), SOME_CORNERS) for path in paths]
    walk, start = Walk("three X-rays marked (8 points each), a fourth"), time.perf_counter()
    person.open_dock()
    for path, truth in zip(paths[:3], truths[:3], strict=True):
        person.drop(path)  # it is selected by that
        person.click(person.dock.labels.mark)
        person.mark(truth)
    last = person.drop(paths[3])
    person.click(person.dock.learn.learn)
    person.wait()
    found = {
        int(label): place for label, place in zip(*_found_landmarks(person, last), strict=True)
    }
    errors = [
        float(np.hypot(*(found[n] - place))) for n, place in enumerate(truths[3], 1) if n in found
    ]
    share = 100 * np.median(errors) / last.data.shape[0] if errors else float("nan")
    walk.result = f"{len(errors)} of 8 points, median error {share:.1f} % of the height"
    walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def nuclei(person: Annotator, data: Path | None) -> Iterator[Walk]:
    """Nuclei on three slices of a volume, then all of them as objects."""
    from tifffile import imread

    from objects import precision

    folder = _there(data) / "fluo_3d"
    instances = imread(folder / "1135_instances.tif")
    walk, start = Walk("nuclei on three slices, then objects"), time.perf_counter()
    image = person.drop(folder / "1135_image.tif")
    person.open_dock()
    person.click(person.dock.labels.add_label)
    for k in _slices(instances):
        person.session.go_to(k, image)
        person.paint(k, instances[k] > 0, 1)
    person.click(person.dock.learn.learn)
    person.wait()
    walk.dice = [dice(person.session.result_layer(image).data, instances > 0, [1])]
    before = set(person.viewer.layers)
    person.click(person.dock.save.objects)
    measurements = person.dock.open_dock("Measurements")
    person.click(measurements.separate)
    person.wait()
    (made,) = set(person.viewer.layers) - before
    score, true, false, missed = precision(np.asarray(made.data), instances, 1)
    walk.result = (
        f"Dice {walk.dice[0]:.3f}; {true} of {true + missed} nuclei found, {false} others, "
        f"AP {score:.2f} at IoU 0.5"
    )
    walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def series(person: Annotator, _: Path | None) -> Iterator[Walk]:
    """Cells of two kinds that only both channels tell apart, at four time points."""
    from tifffile import imwrite

    channels, truth = cells_in_time()
    walk, start = Walk("two channels, four time points, three slices painted"), time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        layers = []
        for number, channel in enumerate(channels):
            path = Path(temporary) / f"cells_ch{number}.tif"
            imwrite(path, channel, imagej=True, metadata={"axes": "TZYX"})
            layers.append(person.drop(path))
        person.open_dock()
        person.click(person.dock.learn.channels.all)
        for value in (1, 2):
            person.click(person.dock.labels.add_label)
            for k in (2, 5, 8):
                person.paint((0, k), truth[0, k], value)
        person.click(person.dock.learn.learn)
        person.wait()
        found = person.session.result_layer(layers[0]).data
        walk.dice = [dice(found[t], truth[t], (1, 2)) for t in range(len(truth))]
        walk.clicks, walk.seconds = person.clicks, time.perf_counter() - start
    yield walk


def cells_in_time(seed: int = 0) -> tuple[list[Any], Any]:
    """Two channels (T, Z, Y, X) of cells that move, and their kinds: 1, or 2 if in both."""
    rng = np.random.default_rng(seed)
    shape, count = (4, 11, 96, 96), 24
    grid = np.indices(shape[1:]).astype(np.float32)
    middles = rng.uniform((1, 8, 8), (10, 88, 88), (count, 3))
    steps, kinds = rng.normal(0, (0.2, 2, 2), (count, 3)), rng.integers(1, 3, count)
    truth = np.zeros(shape, np.uint8)
    for t in range(shape[0]):
        for middle, step, kind in zip(middles, steps, kinds, strict=True):
            off = (grid - (middle + t * step)[:, None, None, None]) / np.array(
                (2.5, 7, 7), np.float32
            ).reshape(3, 1, 1, 1)
            truth[t][(off**2).sum(axis=0) <= 1] = kind
    both, second = 400.0 * (truth > 0), 300.0 * (truth == 2)
    noisy = [one + rng.normal(200, 40, shape) for one in (both, second)]
    return [np.clip(one, 0, 65535).astype(np.uint16) for one in noisy], truth


def _marks(path: Path, names: Sequence[str]) -> list[tuple[float, float]]:
    """Rows and columns of some points of a CSV file, in the order of their names."""
    import csv

    with path.open() as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    return [(float(rows[name]["y_px"]), float(rows[name]["x_px"])) for name in names]


def _found_landmarks(person: Annotator, image: Any) -> tuple[list[int], list[Any]]:
    """Number and place of landmarks that were found in an image."""
    layer = person.viewer.layers[f"{image.name} landmarks found"]
    numbers = [int(str(name).rsplit(" ", 1)[-1]) for name in layer.features["name"]]
    return numbers, [np.asarray(place)[-2:] for place in layer.data]


def _then_others(
    person: Annotator,
    paths: Sequence[Path],
    truths: Sequence[Any],
    values: Sequence[int],
    painted: int,
    what: str,
) -> Iterator[Walk]:
    first, start = Walk(f"{painted} of {what} painted and learned"), time.perf_counter()
    person.open_dock()
    images = [person.drop(path) for path in paths[:painted]]
    for number, (image, truth) in enumerate(zip(images, truths, strict=False)):
        person.choose_image(image)
        for value in values:
            if number == 0:
                person.click(person.dock.labels.add_label)
            else:
                person.choose_label(value)
            for k in _slices(truth):
                person.paint(k, truth if k is None else truth[k], value)
    person.click(person.dock.learn.learn)
    person.wait()
    first.clicks, first.seconds = person.clicks, time.perf_counter() - start
    yield first
    others = [person.drop(path) for path in paths[painted:]]
    walk, start = Walk(f"{len(others)} further of {what}"), time.perf_counter()
    before = person.clicks
    person.click(person.dock.others.open_images)
    person.wait()
    walk.clicks, walk.seconds = person.clicks - before, time.perf_counter() - start
    for image, truth in zip(others, truths[painted:], strict=True):
        walk.dice.append(dice(person.session.result_layer(image).data, truth, values))
    yield walk


def _slices(truth: Any) -> list[int | None]:
    if truth.ndim == 2:
        return [None]
    there = np.flatnonzero(truth.any(axis=(1, 2)))
    return [int(there[k * len(there) // 4]) for k in (1, 2, 3)]


def _there(data: Path | None) -> Path:
    if data is None:
        raise SystemExit("This walk needs the folder of data sets.")
    return data


def _like(path: Path, values: Sequence[int] = ()) -> Any:
    """A label map in the order of its layer; ``values`` become 1, 2 and so on."""
    from napari_fewshot._napari.readers import read_label_map

    found = np.asarray(read_label_map(path)[0][0])
    if not values:
        return found
    mapped = np.zeros(found.shape, np.uint8)
    for number, value in enumerate(values, 1):
        mapped[found == value] = number
    return mapped


WALKS = {
    "sample": sample,
    "ct": ct,
    "smears": smears,
    "hippocampi": hippocampi,
    "xrays": xrays,
    "nuclei": nuclei,
    "series": series,
}


def main() -> int:
    """Take the walks, each in a viewer of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="?", type=Path, help="folder of the data sets")
    parser.add_argument("--only", nargs="+", choices=WALKS, default=list(WALKS))
    parser.add_argument("--quick", action="store_true", help="quick settings: count clicks alone")
    options = parser.parse_args()
    with isolated():
        import napari

        print("| walk | clicks | seconds | Dice, or what was found |\n|---|---|---|---|")
        for name in options.only:
            viewer = napari.Viewer(show=True)
            person = Annotator(viewer, QUICK if options.quick else None)
            try:
                for found in WALKS[name](person, options.data):
                    print(found, flush=True)
            finally:
                person.session.close()
                viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
