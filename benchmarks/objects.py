"""Separation of touching objects: average precision at IoU 0.5 beside connected components.

    python benchmarks/objects.py DATA [--quick] [--page docs/tasks/objects.md]

DATA is a folder with ``fluo_3d``. A case is a mask of all objects, as a segmentation gives it: the
true one, and one that is worn by noise (its border moved at random, as predictions are). AP is
TP / (TP + FP + FN), where a found object is true if it shares IoU of at least 0.5 with a true one
(Caicedo et al. 2019). Objects below 50 voxels (10 pixels in 2D) count in neither.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from page import write_sections

from napari_fewshot import Volume, read_labels, read_volume, separate_objects
from napari_fewshot.config import ObjectsConfig
from napari_fewshot.phantoms.cells import touching_cells


@dataclass(frozen=True)
class Case:
    """An image, its objects, and a mask that does not know them."""

    group: str
    name: str
    image: Volume
    truth: np.ndarray
    mask: Volume


def precision(found: np.ndarray, truth: np.ndarray, least: int) -> tuple[float, int, int, int]:
    """AP at IoU 0.5, and objects that are true, false and missed."""
    table = np.zeros((int(found.max()) + 1, int(truth.max()) + 1), np.int64)
    np.add.at(table, (found.ravel(), truth.ravel()), 1)
    areas, sizes = table.sum(axis=1), table.sum(axis=0)
    union = areas[:, None] + sizes[None, :] - table
    iou = np.where(union > 0, table / np.maximum(union, 1), 0)
    hits = iou > 0.5  # which at most one pair of each can reach
    counted, wanted = areas >= least, sizes >= least
    counted[0] = wanted[0] = False
    true = int(hits[np.ix_(counted, wanted)].sum())
    # What is found of a small true object is neither right nor wrong.
    excused = int((hits[np.ix_(counted, ~wanted)][:, 1:] > 0).sum())
    false, missed = int(counted.sum()) - true - excused, int(wanted.sum()) - true
    return true / max(true + false + missed, 1), true, false, missed


def worn(mask: np.ndarray, seed: int) -> np.ndarray:
    """Move the border at random by about a pixel, smoothly."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=mask.shape), 1.5)
    soft = ndimage.gaussian_filter(mask.astype(float), 1.0)
    return soft + 0.15 * noise / noise.std() > 0.5


def cases(data: Path | None, seeds: int) -> Iterator[Case]:
    """All cases."""
    found = []
    if data is not None:
        for number in (1135, 1136):
            folder = data / "fluo_3d"
            image = read_volume(folder / f"{number}_image.tif")
            truth = read_labels(folder / f"{number}_instances.tif").data
            found.append(("fluo_3d", str(number), image, truth))
    for seed in range(seeds):
        for overlap in (0.1, 0.3, 0.5):
            image, truth = touching_cells(
                seed, (32, 96, 96), (0.6, 0.3, 0.3), cells=50, overlap=overlap
            )
            found.append((f"cells 3D {overlap}", str(seed), image, truth.data))
            image, truth = touching_cells(seed, (256, 256), (0.25, 0.25), cells=90, overlap=overlap)
            found.append((f"cells 2D {overlap}", str(seed), image, truth.data))
        image, truth = touching_cells(
            seed, (128, 128), (0.3, 0.3), cells=70, radius=1.3, overlap=0.2
        )
        found.append(("small cells 2D 0.2", str(seed), image, truth.data))
    for group, name, image, truth in found:
        yield Case(group, name, image, truth, image.with_data((truth > 0).astype(np.uint8)))
        yield Case(
            f"{group}, worn", name, image, truth, image.with_data(worn(truth > 0, 1).astype("u1"))
        )


METHODS: dict[str, dict] = {
    "components": {"neck": 0.001},
    "separated": {},
    "with image": {"image": True},
    "by slices": {"by": "slices"},
}


def score(case: Case, settings: dict) -> tuple[float, float]:
    """AP and seconds."""
    from skimage.measure import label

    start = time.perf_counter()
    least = 50 if case.truth.ndim == 3 else 10
    settings = dict(settings)
    image = case.image if settings.pop("image", False) else None
    if settings == METHODS["components"]:
        objects = label(case.mask.data, connectivity=1)
    else:
        config = ObjectsConfig(min_size=least, **settings)
        objects = separate_objects(case.mask, image=image, config=config).data
    seconds = time.perf_counter() - start
    return precision(np.asarray(objects), case.truth, least)[0], seconds


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sweep", action="store_true", help="settings in place of methods")
    parser.add_argument("--page", type=Path, help="page that holds the table")
    options = parser.parse_args()
    methods = dict(METHODS)
    if options.sweep:
        methods = {"components": METHODS["components"]}
        for neck in (0.7, 0.8, 0.85, 0.9, 0.95):
            for sigma in (1.0, 2.0, 3.0, 4.0):
                methods[f"{neck} {sigma}"] = {"neck": neck, "sigma": sigma}
    rows: dict[str, dict[str, list[float]]] = {}
    spent = dict.fromkeys(methods, 0.0)
    for case in cases(options.data, options.seeds):
        for name, settings in methods.items():
            value, seconds = score(case, settings)
            rows.setdefault(case.group, {}).setdefault(name, []).append(value)
            spent[name] += seconds
    means = {g: {n: float(np.mean(v)) for n, v in row.items()} for g, row in rows.items()}
    if options.sweep:
        for name in methods:
            real = [row[name] for group, row in means.items() if "fluo" in group]
            made = [row[name] for group, row in means.items() if "fluo" not in group]
            print(
                f"{name:18} {np.mean(real or [0]):.3f} {np.mean(made):.3f}",
                *(f"{row[name]:.2f}" for row in means.values()),
                flush=True,
            )
        return
    lines = [f"| masks | {' | '.join(methods)} |", "| --- |" + " --- |" * len(methods)]
    for group, row in means.items():
        lines.append(f"| {group} | {' | '.join(f'{row[name]:.2f}' for name in methods)} |")
    lines.append(f"| seconds, all | {' | '.join(f'{spent[name]:.1f}' for name in methods)} |")
    if options.page is None:
        print("\n".join(lines))
    else:
        write_sections(options.page, "objects.py", {"precision": lines})


if __name__ == "__main__":
    main()
