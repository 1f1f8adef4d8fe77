"""A right knee as proton-density magnetic resonance shows it: fat bright, cortex dark.

Model coordinates are (r, a, s) in mm: right (lateral), anterior, superior; s = 0 is the joint
line. Grey values are signal in arbitrary units, about 0..1000.
"""

from __future__ import annotations

import numpy as np

from ..types import Array
from . import soft_tissue
from .canvas import Canvas
from .shapes import Crop, Point, ellipsoid, join, minus, overlap, smooth_path
from .tissue import Habit

__all__ = ["LANDMARKS", "NAMES", "paint"]

NAMES = {1: "femur", 2: "tibia", 3: "patella", 4: "fibula", 5: "cartilage", 6: "menisci"}
LANDMARKS = (
    "apex of the patella",
    "base of the patella",
    "femoral attachment of the ACL",
    "tibial attachment of the ACL",
    "tibial attachment of the PCL",
    "tibial tuberosity",
)
_CORTEX = 70.0


def paint(canvas: Canvas, habit: Habit) -> dict[str, Point]:
    """Paint the knee of a patient; returns the landmarks in model coordinates."""
    marrow = habit.between(680, 840)
    cartilage = habit.between(470, 560)
    plateau = habit.between(-6.2, -5.0)
    soft_tissue.paint_limb(canvas, habit)
    space = canvas.crop((-52, -60, -150), (52, 70, 150))
    femur = _femur(space, habit)
    tibia, top = _tibia(space, plateau, habit)
    patella_space, patella, apex, base = _patella(canvas, habit)
    _capsule(canvas, space, femur, habit)
    points = soft_tissue.paint_ligaments(canvas, apex, base, plateau, habit)
    _cartilage(canvas, space, femur, tibia, top, cartilage)
    back = overlap(patella - 3.2, patella_space.a - base[1] + 3, -_ends(patella_space, apex, base))
    canvas.paint(patella_space, back, cartilage, 5, grain=18)
    _menisci(canvas, space, top, habit)
    for crop, bone, label in (
        (space, tibia, 2), (patella_space, patella, 3), (*_fibula(canvas), 4), (space, femur, 1)
    ):  # fmt: skip
        canvas.paint(crop, bone, _CORTEX, label)
        # The cortex of a shaft is thick, that of the ends of a bone is thin.
        shaft = np.clip((np.abs(crop.s) - 22) / 40, 0, 1)
        canvas.paint(crop, bone + 1.5 + 2.2 * shaft, marrow, None, grain=34)
        if label < 3:
            scar = np.abs(np.abs(crop.s - 2 * crop.a / 30) - 24 + crop.r**2 / 500) - 0.5
            canvas.paint(crop, overlap(scar, bone + 4), marrow - 150, None)
    soft_tissue.paint_cruciates(canvas, points)
    return {
        "apex of the patella": apex,
        "base of the patella": base,
        **{name: (float(p[0]), float(p[1]), float(p[2])) for name, p in points.items()},
    }


def _ends(space: Crop, apex: Point, base: Point) -> Array:
    """Positive between the planes 9 mm above the apex and 5 mm below the base."""
    result: Array = np.minimum(space.s - apex[2] - 11, base[2] - 4 - space.s)
    return result


def _femur(space: Crop, habit: Habit) -> Array:
    width = habit.near(1.0, 0.03)
    medial = ellipsoid(space, (-22.5 * width, -8, 20), (16.5, 30, 21), (0, 0, -7))
    lateral = ellipsoid(space, (22.5 * width, -7, 20.5), (16, 30.5, 21.5), (0, 0, 5))
    trochlea = ellipsoid(space, (2, 8, 31), (31 * width, 20, 19))
    groove = ellipsoid(space, (1, 36, 26), (9, 11, 26))
    notch = ellipsoid(space, (0, -24, 4), (9.5, 28, 21), (-14, 0, 0))
    ends = join(join(medial, lateral, 3), trochlea, 9)
    flare = np.exp(-np.clip(space.s - 30, 0, None) / 17)
    shaft = np.hypot(space.r / (13.5 + 22 * flare), (space.a + 2) / (13.5 + 7 * flare))
    shaft = overlap((shaft - 1) * (13.5 + 9 * flare), 34 - space.s)
    return minus(join(minus(ends, groove, 5), shaft, 9), notch, 6)


def _tibia(space: Crop, plateau: float, habit: Habit) -> tuple[Array, Array]:
    """Signed distance to the tibia, and the height of its upper surface."""
    r, a = space.r, space.a + 4
    eminence = 8.5 * np.exp(-((np.abs(r) - 4) ** 2) / 14 - ((a - 1) / 10) ** 2)
    dish = 1.6 * np.exp(-(((np.abs(r) - 20) / 12) ** 2) - (a / 15) ** 2)
    slope = 0.09 * a
    top = plateau + slope + eminence - dish
    depth = np.clip(plateau - 5 - space.s, 0, None) / 27
    flare = 1 / (1 + depth * depth * depth)
    half_r, half_a = 14 + 23.5 * flare, 14 + 11.5 * flare
    shift = -3 + 4 * (1 - flare)
    ring = np.sqrt((r / half_r) ** 2 + ((a - shift) / half_a) ** 2)
    # Narrow behind the eminence, where the posterior cruciate ligament is attached.
    dent = 5 * np.exp(-((r / 8) ** 2)) * (a < 0) * flare
    body = (ring - 1) * (0.75 * half_a + 0.25 * half_r) + dent
    tibia = overlap(body, space.s - top)
    bump = ellipsoid(space, (3, 19, -35), (9, 8, 15), (14, 0, 0))
    ridge = ellipsoid(space, (1, 12, -55), (9, 8, 40), (8, 0, 0))
    return join(join(tibia, bump, 6), ridge, 5), top


def _fibula(canvas: Canvas) -> tuple[Crop, Array]:
    path = smooth_path(
        [[33, -24, -19, 7.5], [34, -25, -28, 8], [32, -26, -48, 5.5], [29, -27, -150, 5.5]], 14
    )
    return canvas.tube(path[:, :3], path[:, 3])


def _patella(canvas: Canvas, habit: Habit) -> tuple[Crop, Array, Point, Point]:
    """Crop and distance of the patella, its apex and its base."""
    r, high = habit.near(2, 1.0), habit.near(30, 2.5)
    space = canvas.crop((-30, 25, -5), (34, 62, 65))
    disc = ellipsoid(space, (r, 45, high + 1), (22, 10.5, 20.5), (-4, 0, 0))
    nose = ellipsoid(space, (r, 46, high - 13), (9, 5.5, 12), (6, 0, 0))
    ridge = space.a - 36.5 - 0.22 * np.abs(space.r - r)
    patella = overlap(join(disc, nose, 6), -ridge)
    from_axis = np.radians(6)
    apex = (r, 46 + 12 * np.sin(from_axis), high - 13 - 12 * np.cos(from_axis))
    return space, patella, apex, (r, 44.0, high + 21.0)


def _capsule(canvas: Canvas, space: Crop, femur: Array, habit: Habit) -> None:
    """Joint fluid between the bones and in the recess above the patella."""
    fluid = habit.between(600, 760)
    between = overlap(femur - 4.5, space.s - 12, -9 - space.s, np.abs(space.r) - 37, space.a - 26)
    canvas.paint(space, between, fluid - 120, grain=20)
    swollen = habit.between(2.0, 5.5)
    recess = canvas.crop((-26, 15, 30), (28, 50, 90))
    pouch = ellipsoid(recess, (1, 33, 58), (19, swollen, 19), (-14, 0, 0))
    canvas.paint(recess, pouch - 1.4, 170.0)
    canvas.paint(recess, pouch, fluid)


def _cartilage(
    canvas: Canvas, space: Crop, femur: Array, tibia: Array, top: Array, value: float
) -> None:
    # Weight-bearing and posterior part of the condyles, and the groove for the patella.
    turn = np.arctan2(20 - space.s, space.a + 8)
    bearing = overlap(-0.35 - turn, np.abs(space.r) - 38, 5 - np.abs(space.r)) * 12
    groove = overlap(14 - space.a, space.s - 46, 6 - space.s, np.abs(space.r - 1) - 26)
    zone = np.minimum(overlap(bearing, space.s - 33), groove)
    canvas.paint(space, overlap(femur - 2.7, zone), value, 5, grain=18)
    plate = overlap(
        space.s - top - 2.5, tibia - 2.8, np.abs(space.r) - 34, 8.5 - np.abs(space.r), -9 - space.s
    )
    canvas.paint(space, plate, value, 5, grain=18)


def _menisci(canvas: Canvas, space: Crop, top: Array, habit: Habit) -> None:
    tall = habit.between(6.2, 7.6)
    for side, wide in ((1, 15.5), (-1, 16.0)):
        ring = np.hypot((space.r - side * 20) / wide, (space.a + 6) / (20.5 + side * -1.5))
        height = space.s - top - 1.6
        wedge = tall * np.clip((ring - 0.55) / 0.45, 0, 1.2)
        shape = overlap(height - wedge, -height, (ring - 1.06) * 16, (0.6 - ring) * 16)
        # The C is open towards the eminence.
        shape = overlap(shape, 9 - side * space.r)
        canvas.paint(space, shape, 120.0, 6, grain=14)
