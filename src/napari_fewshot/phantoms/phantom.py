"""Phantoms by name: patients of a cohort that is computed, and what a person paints of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..errors import InputError
from ..registry import Registry
from ..types import Array, Landmark, Volume
from . import joint, torso
from .canvas import Canvas, Point
from .patient import Grid, Habit, Pose, computed_tomography, magnetic_resonance

__all__ = [
    "PHANTOMS",
    "Phantom",
    "PhantomKind",
    "make_cohort",
    "make_phantom",
    "painted_labels",
    "template_slices",
]


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

    ``shape`` is the default (Z, Y, X) in voxels, ``field`` the extent in mm; ``storage`` are the
    directions in which i, j and k grow, ``background`` is the grey value of empty space, ``pose``
    are arguments of :meth:`.Pose.draw`. ``paint(canvas, habit)`` gives the landmarks in model
    coordinates, ``scan(image, grid, rng)`` the image with blur, bias and noise.
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
PHANTOMS.add("torso", PhantomKind(
    MappingProxyType(torso.NAMES), torso.LANDMARKS,
    (64, 128, 128), (256.0, 320.0, 320.0), "LPS", -1000.0,
    MappingProxyType({"degrees": 2.5, "scale": 0.03, "shift": 4.0, "bend": 0.4}),
    torso.paint, computed_tomography,
))  # fmt: skip
PHANTOMS.add("joint", PhantomKind(
    MappingProxyType(joint.NAMES), joint.LANDMARKS,
    (48, 128, 128), (105.6, 147.2, 147.2), "PIL", 0.0,
    MappingProxyType({"degrees": 4.0, "scale": 0.035, "shift": 2.5, "bend": 0.3}),
    joint.paint, magnetic_resonance,
))  # fmt: skip


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
    _check_count(patient, "patient")
    _check_count(seed, "seed")
    size = entry.shape if shape is None else _checked_shape(shape)
    spacing = tuple(extent / n for extent, n in zip(entry.field, size, strict=True))
    grid = Grid.centred(size, spacing, entry.storage)
    stored = grid if storage is None else grid.stored(storage)

    # One stream for each concern, so that a finer grid shows the same patient.
    number = list(PHANTOMS).index(kind)
    streams = np.random.SeedSequence([seed, number, patient]).spawn(4)
    posing, body, grain, scanner = (np.random.Generator(np.random.PCG64(s)) for s in streams)
    canvas = Canvas(grid, Pose.draw(posing, **entry.pose), entry.background, grain)
    points = entry.paint(canvas, Habit(body))
    image = entry.scan(canvas.image, grid, scanner)
    landmarks = []
    for label, name in enumerate(entry.landmarks, start=1):
        z, y, x = stored.to_index(canvas.pose.to_world(np.array(points[name]))).tolist()
        landmarks.append(Landmark(name, label, (z, y, x)))
    place = stored.spacing, stored.affine
    return Phantom(
        kind,
        int(patient),
        Volume(grid.moved(image, stored), *place),
        Volume(grid.moved(canvas.labels, stored), *place, names=entry.names),
        tuple(landmarks),
    )


def make_cohort(
    kind: str,
    patients: int | Iterable[int] = 4,
    shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    *,
    storage: str | None = None,
) -> list[Phantom]:
    """Compute several patients of one cohort, as :func:`make_phantom` does each.

    ``patients`` are how many, from 0 on, or which; InputError if there are none.
    """
    if isinstance(patients, int):
        _check_count(patients, "patients")
        patients = range(patients)
    chosen = list(patients)
    if not chosen:
        raise InputError("patients", "name at least one patient", chosen)
    for patient in chosen:
        _check_count(patient, "patients")
    return [make_phantom(kind, patient, shape, seed, storage=storage) for patient in chosen]


def template_slices(phantom: Phantom, n: int, axis: int = 0) -> tuple[int, ...]:
    """Choose ``n`` slices, evenly spaced over the range along an array axis that holds labels.

    The range is cut into ``n`` equal parts (InputError if it has fewer slices) and the middle of
    each is taken.
    """
    _check_axis(axis)
    others = tuple(a for a in range(3) if a != axis)
    used = np.flatnonzero(phantom.labels.data.any(axis=others))
    first, last = int(used[0]), int(used[-1])
    if not _is_whole(n) or not 1 <= n <= last - first + 1:
        raise InputError("n", f"be a whole number from 1 to {last - first + 1}", n)
    width = (last - first + 1) / n
    return tuple(int(first + (part + 0.5) * width) for part in range(n))


def painted_labels(phantom: Phantom, slices: Iterable[int], axis: int = 0) -> Volume:
    """Keep the labels of the given slices along an array axis, and clear all others."""
    _check_axis(axis)
    size = phantom.labels.shape[axis]
    chosen = sorted(set(slices))
    for position in chosen:
        if not 0 <= position < size:
            raise InputError("slices", f"lie within 0..{size - 1}", position)
    data = np.zeros_like(phantom.labels.data)
    where = (slice(None),) * axis + (chosen,)
    data[where] = phantom.labels.data[where]
    return phantom.labels.with_data(data)


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_count(value: int, parameter: str) -> None:
    if not _is_whole(value) or value < 0:
        raise InputError(parameter, "be a whole number, 0 or above", value)


def _check_axis(axis: int) -> None:
    if axis not in (0, 1, 2):
        raise InputError("axis", "be 0, 1 or 2", axis)


def _checked_shape(shape: object) -> tuple[int, int, int]:
    sizes = list(shape) if isinstance(shape, Sequence) else []
    if len(sizes) != 3 or not all(_is_whole(n) and 8 <= n <= 1024 for n in sizes):
        raise InputError("shape", "be three whole numbers (Z, Y, X) from 8 to 1024", shape)
    return int(sizes[0]), int(sizes[1]), int(sizes[2])
