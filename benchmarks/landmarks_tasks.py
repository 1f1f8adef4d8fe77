"""Tasks of benchmarks/landmarks.py: images with points, some to learn from, others to score."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_fewshot import Landmark, Template, Volume
from napari_fewshot.io import read_volume
from napari_fewshot.phantoms import make_phantom

MICE, SPINES = "mouse_head_ct_landmarks", "spine_xray_landmarks_2d"
SOME_MICE = ("1", "4", "8", "12", "16", "20", "24", "28", "32", "36", "40", "45")
SOME_CORNERS = tuple(f"v{k:02}_{corner}" for k in (1, 6, 11, 17) for corner in ("tl", "br"))
CROP = (0.25, 0.8)
"""Rows of a cropped radiograph, as shares of its height."""


@dataclass(frozen=True)
class Example:
    """An image and its true points; ``size`` is the length that errors are shares of, in voxels.

    Of a volume, errors are in mm, and ``size`` is None.
    """

    name: str
    image: Volume
    points: tuple[Landmark, ...]
    size: float | None

    def template(self) -> Template:
        """The same as a template."""
        return Template(self.image, points=list(self.points))


@dataclass(frozen=True)
class Task:
    """Templates and images to score; ``limits`` are what errors are counted within."""

    templates: list[Example]
    cases: list[Example]
    unit: str
    limits: tuple[float, ...]


@cache
def _mouse(path: Path) -> Example:
    image = read_volume(path)
    rows = csv.DictReader(path.with_name(f"{path.name[:-7]}_landmarks.csv").open())
    points = (
        Landmark(row["name"], int(row["name"]), tuple(float(row[f"{k}_vox"]) for k in "kji"))
        for row in rows
    )
    inside = tuple(
        p for p in points if all(0 <= v < n for v, n in zip(p.position, image.shape, strict=True))
    )
    return Example(path.name[:-7], image, inside, None)


@cache
def _spine(path: Path) -> Example:
    image = read_volume(path)
    rows = csv.DictReader(path.with_suffix(".csv").open())
    points = [
        Landmark(row["name"], number, (0.0, float(row["y_px"]), float(row["x_px"])))
        for number, row in enumerate(rows, start=1)
    ]
    return Example(path.stem, image, tuple(points), float(image.shape[0]))


@cache
def _phantom(kind: str, seed: int) -> Example:
    patient = make_phantom(kind, seed=seed)
    return Example(f"{kind} {seed}", patient.image, patient.landmarks, None)


def _only(example: Example, names: tuple[str, ...]) -> Example:
    points = tuple(point for point in example.points if point.name in names)
    return Example(example.name, example.image, points, example.size)


def turned(example: Example) -> Example:
    """The same image, its axes in another order and two of them reversed: a rotation.

    The patient lies turned as much, so that the directions of the axes do not undo it.
    """
    data = np.ascontiguousarray(np.transpose(example.image.data, (1, 2, 0))[::-1, ::-1])
    spacing = tuple(example.image.spacing[k] for k in (1, 2, 0))
    points = []
    for point in example.points:
        z, y, x = point.position
        place = (data.shape[0] - 1 - y, data.shape[1] - 1 - x, z)
        points.append(Landmark(point.name, point.label, place))
    rows, columns = data.shape[0] - 1, data.shape[1] - 1
    old_of_new = [[0, 0, 1, 0], [-1, 0, 0, rows], [0, -1, 0, columns], [0, 0, 0, 1]]
    affine = _moved(example.image, np.roll(np.eye(4)[:3], 1, axis=0), old_of_new)
    return Example(f"{example.name} turned", Volume(data, spacing, affine), tuple(points), None)


def cropped(example: Example) -> Example:
    """Some rows of an image, or some slices of a volume; points outside of them are gone."""
    first, stop = (round(share * example.image.shape[0]) for share in CROP)
    data = np.ascontiguousarray(example.image.data[first:stop])
    axis = 0 if example.image.ndim == 3 else 1
    points = []
    for point in example.points:
        place = list(point.position)
        place[axis] -= first
        if 0 <= place[axis] < len(data):
            points.append(Landmark(point.name, point.label, (place[0], place[1], place[2])))
    start = np.eye(4)
    start[0, 3] = first
    affine = _moved(example.image, np.eye(4)[:3], start)
    image = Volume(data, example.image.spacing, affine)
    return Example(f"{example.name} cropped", image, tuple(points), example.size)


def _moved(image: Volume, world: npt.ArrayLike, voxels: npt.ArrayLike) -> np.ndarray | None:
    """Affine of an image whose patient is turned, (3, 4), and whose voxels lie elsewhere, (4, 4).

    Without it an image may be the mirror image of what it was.
    """
    if image.affine is None:
        return None
    turn = np.vstack([np.asarray(world), [0, 0, 0, 1]])
    return turn @ image.affine @ np.asarray(voxels, float)


def _chosen(
    files: list[Path], read: Callable[[Path], Example], pool: int, shots: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Templates out of the first files, in an order that the seed changes; cases are the others.

    More shots have all templates of fewer.
    """
    order = list(range(pool)) if seed == 0 else np.random.default_rng(seed).permutation(pool)
    templates = [read(files[k]) for k in order[:shots]]
    return templates, [read(path) for path in files[pool:]]


def _mice(data: Path, names: tuple[str, ...], pool: int, shots: int, seed: int) -> Task:
    files = sorted((data / MICE).glob("*.nii.gz"))
    templates, cases = _chosen(files, _mouse, pool, shots, seed)
    if names:
        templates, cases = ([_only(one, names) for one in some] for some in (templates, cases))
    return Task(templates, cases, "mm", (1.0, 2.0, 4.0))


def _spines(data: Path, names: tuple[str, ...], crop: bool, shots: int, seed: int) -> Task:
    files = sorted((data / SPINES).glob("*.jpg"))
    templates, cases = _chosen(files, _spine, 10, shots, seed)
    if names:
        templates, cases = ([_only(one, names) for one in some] for some in (templates, cases))
    if crop:
        cases = [cropped(one) for one in cases]
    return Task(templates, cases, "%", (1.0, 2.0, 5.0))


def _phantoms(kind: str, change: Callable[[Example], Example], shots: int, seed: int) -> Task:
    templates = [_phantom(kind, 100 * seed + k) for k in range(shots)]
    cases = [change(_phantom(kind, 1000 + k)) for k in range(4)]
    return Task(templates, cases, "mm", (2.0, 5.0, 10.0))


def tasks(data: Path) -> dict[str, Callable[[int], Task]]:
    """What makes each task, given a seed, by its name ``SET-SHOTS``."""
    found: dict[str, Callable[[int], Task]] = {}
    for shots in (3, 1, 5, 10):
        found[f"spine8-{shots}"] = partial(_spines, data, SOME_CORNERS, False, shots)
        found[f"spine68-{shots}"] = partial(_spines, data, (), False, shots)
    for shots in (3, 1, 5):
        found[f"mice12-{shots}"] = partial(_mice, data, SOME_MICE, 6, shots)
        found[f"mice45-{shots}"] = partial(_mice, data, (), 6, shots)
    found["mice45-8"] = partial(_mice, data, (), 8, 8)
    found["spine8_cropped-3"] = partial(_spines, data, SOME_CORNERS, True, 3)
    for kind in ("torso", "joint"):
        found[f"{kind}-3"] = partial(_phantoms, kind, lambda one: one, 3)
        found[f"{kind}_turned-3"] = partial(_phantoms, kind, turned, 3)
        found[f"{kind}_cropped-3"] = partial(_phantoms, kind, cropped, 3)
    return found
