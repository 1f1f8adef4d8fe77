"""Phantoms by name: patients of a cohort that is computed, not stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..errors import InputError
from ..registry import Registry
from ..types import Array, Landmark, Volume
from . import joint, torso
from .canvas import Canvas
from .geometry import Grid, Pose, storage_axes
from .shapes import Point
from .tissue import Habit, computed_tomography, magnetic_resonance

__all__ = ["PHANTOMS", "Phantom", "PhantomKind", "is_whole", "make_cohort", "make_phantom"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """An image of a computed patient, with what is true about it.

    Parameters
    ----------
    kind : str
    patient : int
    image : Volume
        int16 Hounsfield units (torso) or uint16 signal (joint), with affine and spacing in mm.
    labels : Volume
        uint8, on the same grid; ``names`` holds the names of the labels.
    landmarks : tuple of Landmark
        Exact positions in voxels of the file order. Their labels count 1, 2, ... and are a set
        of their own, apart from those of ``labels``.
    """

    kind: str
    patient: int
    image: Volume
    labels: Volume
    landmarks: tuple[Landmark, ...]


@dataclass(frozen=True)
class PhantomKind:
    """What a kind of phantom is made of.

    Parameters
    ----------
    names : mapping of int to str
    landmarks : tuple of str
    shape : tuple of int
        Default (Z, Y, X).
    field : tuple of float
        Extent of the volume in mm, (Z, Y, X); another shape changes the spacing.
    storage : str
        Directions in which i, j and k grow.
    background : float
        Grey value of empty space.
    pose : mapping of str to float
        Arguments of :meth:`~napari_fewshot.phantoms.geometry.Pose.draw`.
    paint : callable
        ``paint(canvas, habit)``: landmarks in model coordinates.
    scan : callable
        ``scan(image, grid, rng)``: the image with blur, bias and noise.
    """

    names: MappingProxyType[int, str]
    landmarks: tuple[str, ...]
    shape: tuple[int, int, int]
    field: tuple[float, float, float]
    storage: str
    background: float
    pose: MappingProxyType[str, float]
    paint: Callable[[Canvas, Habit], dict[str, Point]]
    scan: Callable[[Array, Grid, np.random.Generator], Array]


PHANTOMS: Registry[PhantomKind] = Registry("kind")
PHANTOMS.add(
    "torso",
    PhantomKind(
        MappingProxyType(torso.NAMES),
        torso.LANDMARKS,
        (64, 128, 128),
        (256.0, 320.0, 320.0),
        "LPS",
        -1000.0,
        MappingProxyType({"degrees": 2.5, "scale": 0.03, "shift": 4.0, "bend": 0.4}),
        torso.paint,
        computed_tomography,
    ),
)
PHANTOMS.add(
    "joint",
    PhantomKind(
        MappingProxyType(joint.NAMES),
        joint.LANDMARKS,
        (48, 128, 128),
        (105.6, 147.2, 147.2),
        "PIL",
        0.0,
        MappingProxyType({"degrees": 4.0, "scale": 0.035, "shift": 2.5, "bend": 0.3}),
        joint.paint,
        magnetic_resonance,
    ),
)


def make_phantom(
    kind: str,
    patient: int = 0,
    shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    *,
    storage: str | None = None,
) -> Phantom:
    """Compute one patient; the same arguments give the same patient.

    Parameters
    ----------
    kind : {"torso", "joint"}
        ``torso``: like an axial CT from the pelvis to the heart, 9 labels, 6 landmarks.
        ``joint``: like a sagittal MR of a right knee, 6 labels, 6 landmarks.
    patient : int
        Number of the patient, from 0; each has its own anatomy, pose and contrast.
    shape : tuple of int, optional
        (Z, Y, X) in the default storage order, each from 8 to 1024; the extent in mm stays, so
        the spacing changes. Default: 64 × 128 × 128 (torso), 48 × 128 × 128 (joint).
    seed : int
        Number of the cohort.
    storage : str, optional
        Directions in which i, j and k grow, e.g. ``"RAS"``. It permutes and flips the volume
        that the default (LPS for the torso, PIL for the joint) gives; no voxel changes.

    Returns
    -------
    Phantom

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    InputError
        If another argument breaks its limit.
    """
    entry = PHANTOMS.get(kind)
    _check(patient, "patient")
    _check(seed, "seed")
    size = entry.shape if shape is None else _checked_shape(shape)
    storage = entry.storage if storage is None else storage
    storage_axes(storage)

    # One stream for each concern, so that a finer grid shows the same patient.
    number = list(PHANTOMS).index(kind)
    streams = np.random.SeedSequence([seed, number, patient]).spawn(4)
    posing, body, grain, scanner = (np.random.Generator(np.random.PCG64(s)) for s in streams)
    spacing = tuple(extent / n for extent, n in zip(entry.field, size, strict=True))
    grid = Grid.centred(size, (spacing[0], spacing[1], spacing[2]), entry.storage)
    canvas = Canvas(grid, Pose.draw(posing, **entry.pose), entry.background, grain)
    points = entry.paint(canvas, Habit(body))
    image = entry.scan(canvas.image, grid, scanner)

    positions = [canvas.world_index(points[name]) for name in entry.landmarks]
    turn = grid.reorient(entry.storage, storage)
    turned_image, turned_labels = (_turned(data, *turn) for data in (image, canvas.labels))
    named = turned_labels.with_data(turned_labels.data, names=entry.names)
    landmarks = tuple(
        Landmark(name, label, _turned_position(position, *turn))
        for label, (name, position) in enumerate(
            zip(entry.landmarks, positions, strict=True), start=1
        )
    )
    return Phantom(kind, int(patient), turned_image, named, landmarks)


def _turned(data: Array, stored: Grid, order: tuple[int, ...], flips: Array) -> Volume:
    turns = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    moved = np.ascontiguousarray(data.transpose(order)[turns])
    return Volume(moved, stored.spacing, stored.affine)


def _turned_position(at: Point, stored: Grid, order: tuple[int, ...], flips: Array) -> Point:
    moved = np.asarray(at)[list(order)]
    z, y, x = np.where(flips, np.asarray(stored.shape) - 1 - moved, moved)
    return float(z), float(y), float(x)


def make_cohort(
    kind: str,
    patients: int | Iterable[int] = 4,
    shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    *,
    storage: str | None = None,
) -> list[Phantom]:
    """Compute several patients of one cohort.

    Parameters
    ----------
    kind, shape, seed, storage
        As for :func:`make_phantom`.
    patients : int or iterable of int
        How many, from 0 on, or which.

    Raises
    ------
    UnknownNameError
        If there is no such kind.
    InputError
        If ``patients`` is empty or another argument breaks its limit.
    """
    if isinstance(patients, int):
        _check(patients, "patients")
        patients = range(patients)
    chosen = list(patients)
    if not chosen:
        raise InputError("patients", "name at least one patient", chosen)
    for patient in chosen:
        _check(patient, "patients")
    return [make_phantom(kind, patient, shape, seed, storage=storage) for patient in chosen]


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check(value: int, parameter: str) -> None:
    if not is_whole(value) or value < 0:
        raise InputError(parameter, "be a whole number, 0 or above", value)


def _checked_shape(shape: object) -> tuple[int, int, int]:
    sizes = list(shape) if isinstance(shape, Sequence) else []
    if len(sizes) != 3 or not all(is_whole(n) and 8 <= n <= 1024 for n in sizes):
        raise InputError("shape", "be three whole numbers (Z, Y, X) from 8 to 1024", shape)
    return int(sizes[0]), int(sizes[1]), int(sizes[2])
