"""Real labelled images for the probe; they take no part in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Problem", "Slice", "load_problems"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice: ``image`` (H, W) or (H, W, 3) in 0..1, ``labels`` (H, W), ``z`` in -1..1."""

    image: Array
    labels: Array
    z: float = 0.0


@dataclass(frozen=True, eq=False)
class Problem:
    """Painted slices, and volumes (lists of slices) on which the prediction is scored."""

    name: str
    painted: list[Slice]
    targets: list[list[Slice]]
    labels: tuple[int, ...]


def _unit(image: Array) -> Array:
    low, high = np.percentile(image, [0.5, 99.5])
    unit: Array = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return unit


def _volume(image: Array, labels: Array) -> list[Slice]:
    """Slices along the first axis."""
    unit, z = _unit(image.astype(np.float32)), np.linspace(-1, 1, len(image))
    return [Slice(u, m.astype(np.int64), float(p)) for u, m, p in zip(unit, labels, z, strict=True)]


def _nifti(path: Path) -> Array:
    import nibabel

    return np.moveaxis(np.asarray(nibabel.load(path).dataobj), 2, 0)  # type: ignore[attr-defined]


def _within(name: str, slices: list[Slice], count: int, least: int) -> Problem:
    """Paint ``count`` evenly spaced labelled slices of one volume, score on the others."""
    labelled = [k for k, s in enumerate(slices) if s.labels.any()]
    at = np.rint(np.linspace(0, len(labelled) - 1, count + 2)[1:-1]).astype(int)
    chosen = {labelled[k] for k in at}
    values, sizes = np.unique(np.stack([s.labels for s in slices]), return_counts=True)
    keep = tuple(int(v) for v, n in zip(values, sizes, strict=True) if v and n > least)
    kept = [Slice(s.image, np.where(np.isin(s.labels, keep), s.labels, 0), s.z) for s in slices]
    rest = [s for k, s in enumerate(kept) if k not in chosen]
    return Problem(f"{name} {count}", [kept[k] for k in sorted(chosen)], [rest], keep)


def _hippocampus(root: Path) -> Problem:
    paths = sorted((root / "hippocampus_mr" / "images").glob("*.nii.gz"))[:23]
    volumes = [
        _volume(_nifti(p), _nifti(root / "hippocampus_mr" / "labels" / p.name)) for p in paths
    ]
    painted = [s for v in volumes[:3] for s in v[::2]]
    return Problem("hippocampus 3->20", painted, volumes[3:], (1, 2))


def _blood(root: Path, *, grey: bool) -> Problem:
    from skimage.io import imread

    slices = []
    for path in sorted((root / "wbc_2d" / "images").iterdir()):
        image = imread(path)[..., :3].astype(np.float32) / 255
        labels = imread(root / "wbc_2d" / "labels" / path.name).astype(np.int64)
        slices.append(Slice(_unit(image.mean(-1)) if grey else image, labels))
    name = "wbc grey 3->17" if grey else "wbc rgb 3->17"
    # Evenly spaced: the first three images show none of the red cells of most others.
    at = set(np.rint(np.linspace(0, len(slices) - 1, 5)[1:-1]).astype(int).tolist())
    painted = [s for k, s in enumerate(slices) if k in at]
    return Problem(name, painted, [[s] for k, s in enumerate(slices) if k not in at], (1, 2))


def _axons(root: Path) -> Problem:
    from skimage.io import imread
    from skimage.measure import block_reduce

    slices = []
    for path in sorted((root / "sem_axon_2d" / "images").iterdir()):
        label = next((root / "sem_axon_2d" / "labels").glob(path.stem + "*"))
        image = block_reduce(imread(path, as_gray=True).astype(np.float32), (2, 2), np.mean)
        slices.append(Slice(_unit(image), imread(label)[::2, ::2].astype(np.int64)))
    return Problem("sem_axon (half size) 1->5", slices[:1], [[s] for s in slices[1:]], (1, 2))


def load_problems(root: Path, *, full: bool) -> Iterator[Problem]:
    """Yield the problems under ``root`` (the folder of development data)."""
    import tifffile

    ct = _volume(_nifti(root / "ct_torso/image.nii.gz"), _nifti(root / "ct_torso/labels.nii.gz"))
    mr = _volume(
        _nifti(root / "mr_abdomen/image.nii.gz"), _nifti(root / "mr_abdomen/labels.nii.gz")
    )
    for count in (1, 3, 5) if full else (5,):
        yield _within("ct_torso", ct, count, 800)
        yield _within("mr_abdomen", mr, count, 800)
    for case in ("SCD0000101", "SCD0000301"):
        folder = root / "mr_cardiac"
        heart = _volume(
            _nifti(folder / f"{case}_image.nii.gz"), _nifti(folder / f"{case}_labels.nii.gz")
        )
        for count in (1, 3, 5) if full else (3,):
            yield _within(f"cardiac {case[-3:]}", heart, count, 0)
    yield _hippocampus(root)
    yield _blood(root, grey=False)
    if full:
        yield _blood(root, grey=True)
        yield _axons(root)
        em = tifffile.imread(root / "em_vnc/image.tif"), tifffile.imread(root / "em_vnc/labels.tif")
        yield _within("em_vnc", _volume(*em), 3, 0)
        for case in ("t1", "t2"):
            folder = root / "mr_spine"
            spine = (
                _nifti(folder / f"{case}_image.nii.gz"),
                _nifti(folder / f"{case}_labels.nii.gz"),
            )
            yield _within(f"mr_spine {case}", _volume(*spine), 3, 0)
