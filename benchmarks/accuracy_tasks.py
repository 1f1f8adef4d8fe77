"""Tasks of benchmarks/accuracy.py: templates, and cases to score, out of real labelled data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from napari_fewshot import Template, Volume
from napari_fewshot.io import read_labels, read_volume

LEAST_VOXELS = 800


@dataclass(frozen=True)
class Case:
    """An image with its truth, and the slices (of array axis 0) that are painted."""

    image: Volume
    truth: Volume
    painted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """Templates, cases to score, and the labels that are scored."""

    templates: list[Template]
    cases: list[Case]
    labels: list[int]


def evenly(indices: np.ndarray, count: int) -> tuple[int, ...]:
    """Choose slices at equal distances, none of them the first or last."""
    places = np.linspace(0, len(indices) - 1, count + 2)[1:-1]
    return tuple(int(indices[k]) for k in np.round(places).astype(int))


def within(image: Path, labels: Path, count: int) -> Task:
    """Some slices of a volume are painted, the others scored (array axis 0 of the file)."""
    picture, truth = read_volume(image), read_labels(labels)
    painted = evenly(np.flatnonzero(truth.data.any(axis=(1, 2))), count)
    data = np.zeros_like(truth.data)
    data[list(painted)] = truth.data[list(painted)]
    values, sizes = np.unique(truth.data, return_counts=True)
    wanted = [int(v) for v, n in zip(values, sizes, strict=True) if v and n > LEAST_VOXELS]
    template = Template(picture, truth.with_data(data), axis=0)
    return Task([template], [Case(picture, truth, painted)], wanted)


def across(folder: Path, shots: int, others: int, *, grey: bool = False) -> Task:
    """Whole images are templates, others are scored; the first ones by name are templates."""
    pairs = []
    for path in sorted((folder / "images").iterdir())[: shots + others]:
        truth = next((folder / "labels").glob(f"{path.name.partition('.')[0]}*"))
        image = read_volume(path)
        if grey:
            image = Volume(image.data.mean(axis=-1), image.spacing, image.affine)
        pairs.append((image, read_labels(truth)))
    templates = [Template(i, t, slices="all") for i, t in pairs[:shots]]
    wanted = sorted({int(v) for _, t in pairs for v in np.unique(t.data)} - {0})
    return Task(templates, [Case(i, t) for i, t in pairs[shots:]], wanted)


def tasks(data: Path) -> dict[str, Callable[[], Task]]:
    """Name and loader of every task; a name ends in the number of painted slices or images."""
    found: dict[str, Callable[[], Task]] = {}
    volumes = {
        "ct_torso": ("ct_torso/image.nii.gz", "ct_torso/labels.nii.gz"),
        "mr_abdomen": ("mr_abdomen/image.nii.gz", "mr_abdomen/labels.nii.gz"),
        "em_vnc": ("em_vnc/image.tif", "em_vnc/labels.tif"),
    }
    for case in ("SCD0000101", "SCD0000301"):
        stem = f"mr_cardiac/{case}"
        volumes[f"mr_cardiac-{case[-3:]}"] = (f"{stem}_image.nii.gz", f"{stem}_labels.nii.gz")
    for case in ("t1", "t2"):
        stem = f"mr_spine/{case}"
        volumes[f"mr_spine-{case}"] = (f"{stem}_image.nii.gz", f"{stem}_labels.nii.gz")
    for name, (image, labels) in volumes.items():
        for count in (1, 3, 5):
            found[f"{name}-{count}"] = partial(within, data / image, data / labels, count)
    for shots in (1, 3):
        found[f"hippocampus_mr-{shots}"] = partial(across, data / "hippocampus_mr", shots, 20)
    found["wbc_2d-3"] = partial(across, data / "wbc_2d", 3, 17)
    found["wbc_2d_grey-3"] = partial(across, data / "wbc_2d", 3, 17, grey=True)
    found["sem_axon_2d-1"] = partial(across, data / "sem_axon_2d", 1, 5)
    return found
