"""A right knee as proton-density magnetic resonance shows it: fat bright, cortex dark.

Model coordinates are (r, a, s) in mm: right (lateral), anterior, superior; s = 0 is the joint
line. Grey values are signal in arbitrary units, about 0..1000.
"""

from __future__ import annotations

import numpy as np

from ..types import Array
from .canvas import Canvas, Crop, Point, ellipsoid, join, minus, overlap, smooth_path
from .patient import Habit

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
_CORTEX, _TENDON = 70.0, 85.0


def paint(canvas: Canvas, habit: Habit) -> dict[str, Point]:
    """Paint the knee of a patient; returns the landmarks in model coordinates."""
    marrow = habit.between(680, 840)
    cartilage = habit.between(470, 560)
    plateau = habit.between(-6.2, -5.0)
    _limb(canvas, habit)
    space = canvas.crop((-52, -60, -150), (52, 70, 150))
    femur = _femur(space, habit)
    tibia, top = _tibia(space, plateau, habit)
    patella_space, patella, apex, base = _patella(canvas, habit)
    _capsule(canvas, space, femur, habit)
    points = _ligaments(canvas, apex, base, plateau, habit)
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
    _cruciates(canvas, points)
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
    nodes = [[33, -24, -19, 7.5], [34, -25, -28, 8], [32, -26, -48, 5.5], [29, -27, -150, 5.5]]
    return canvas.curve(nodes, 14)


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


def _limb(canvas: Canvas, habit: Habit) -> None:
    """Skin, fat, fascia, muscles and vessels round the joint."""
    space = canvas.everything()
    fat = habit.between(650, 800)
    s = space.s
    build = habit.between(0.94, 1.06)
    bulge = np.exp(-(((s - 26) / 26) ** 2))  # the patella lifts the skin
    middle = 2 + 1.5 * bulge
    half_a = build * (57 + 0.05 * np.abs(s)) + 3 * bulge - 4 * np.clip(-s / 75, 0, 1)
    half_r = build * (49 + 0.05 * np.clip(s, 0, None))
    ratio = np.hypot(space.r / half_r, (space.a - middle) / half_a)
    skin = ((1 - 1 / np.maximum(ratio, 0.02)) * np.hypot(space.r, space.a - middle)).astype("f4")
    canvas.paint(space, skin, 260.0)
    canvas.paint(space, skin + 1.8, fat, grain=26)
    # Septa of the subcutaneous fat and the deep fascia are thin dark lines.
    deep = habit.between(6.5, 10)
    canvas.paint(space, np.abs(skin + deep) - 0.5, 220.0)
    septa = np.abs(np.sin(s / 7 + space.r / 11) + np.sin(space.a / 9 - s / 13)) * 5 - 0.35
    canvas.paint(space, overlap(septa, skin + 3, -skin - deep), fat - 190)
    _muscles(canvas, skin + deep + 1, habit)


def _muscles(canvas: Canvas, fascia: Array, habit: Habit) -> None:
    tone = habit.between(270, 350)
    bellies = (
        [[-16, -30, 24, 5], [-19, -38, -10, 13], [-20, -38, -60, 18], [-19, -36, -150, 18]],
        [[17, -30, 22, 5], [18, -38, -12, 12], [19, -38, -60, 16], [19, -36, -150, 16]],
        [[-22, -30, 150, 16], [-24, -33, 70, 14], [-27, -38, 25, 8], [-28, -34, -12, 4]],
        [[0, -38, 150, 10], [-8, -42, 70, 8], [-14, -47, 20, 4], [-22, -30, -30, 3]],
        [[24, -28, 150, 15], [27, -32, 60, 12], [33, -34, 20, 7], [35, -27, -14, 4]],
        [[-30, 14, 150, 18], [-29, 14, 80, 17], [-28, 16, 48, 12], [-25, 22, 30, 3]],
        [[30, 14, 150, 18], [30, 14, 85, 15], [28, 17, 58, 10], [22, 26, 40, 3]],
        [[0, 27, 150, 14], [0, 28, 95, 11], [0, 33, 72, 4], [0, 38, 58, 2]],
        [[28, 4, -26, 6], [27, 4, -50, 12], [25, 2, -90, 14], [25, 0, -150, 13]],
        [[20, -24, -8, 4], [4, -24, -24, 9], [-8, -18, -44, 9], [-10, -16, -70, 5]],
        [[6, -24, -38, 6], [6, -24, -70, 15], [6, -24, -100, 17], [6, -22, -150, 17]],
    )
    grow = habit.between(1.08, 1.26)
    for nodes in bellies:
        path = smooth_path(nodes, 14)
        path[:, :2] += habit.vector(1.2)[:2]
        space, belly = canvas.tube(path[:, :3], np.maximum(path[:, 3] * grow, 1.5))
        belly = overlap(belly, fascia[space.box])
        canvas.paint(space, belly, 150.0)  # the sheath shows as a dark rim
        fibres = np.sin(space.a / 1.5 + np.sin(space.s / 17) * 3) * np.sin(space.r / 1.9)
        marbling = (
            tone + 26 * fibres + 90 * (np.sin(space.r / 5 + space.a / 4 + space.s / 31) > 0.93)
        )
        canvas.paint(space, belly + 1.1, marbling.astype(np.float32), grain=20)
    for shift, radius, inside in (((0.0, 0.0), 4.4, 60.0), ((5.0, -7.0), 5.2, 90.0)):
        nodes = [[4, -20, 150], [3, -29, 50], [2, -33, 0], [3, -28, -40], [8, -30, -150]]
        vessel = smooth_path(nodes, 24) + np.array([*shift, 0.0])
        space, wall = canvas.tube(vessel, radius)
        canvas.paint(space, wall, 300.0)
        canvas.paint(space, wall + 1.2, inside)  # flowing blood gives no signal


def _ligaments(
    canvas: Canvas, apex: Point, base: Point, plateau: float, habit: Habit
) -> dict[str, Array]:
    """Tendons and collateral ligaments; returns the attachments, before bones are painted."""
    tuberosity = np.array([3.0, 27.0, -33.0])
    middle = (2.5, (apex[1] + tuberosity[1]) / 2 + 2.0, -13)
    straight = smooth_path([apex, middle, tuberosity, (3, 22, -46)], 12)
    canvas.paint(*canvas.tube(straight, 2.7, (4.2, 1.0, 1.0)), _TENDON, grain=12)
    rise = [[base[0], base[1] - 1, base[2] - 4], [1, 43, 70], [0, 40, 100], [0, 36, 150]]
    space, band = canvas.tube(smooth_path(rise, 12), 3.2, (4.5, 1.0, 1.0))
    stripes = _TENDON + 110 * (np.sin(space.a * 1.6) > 0.75)
    canvas.paint(space, band, stripes.astype(np.float32))
    over = smooth_path([base, (base[0], 57.0, (apex[2] + base[2]) / 2), apex], 10)
    canvas.paint(*canvas.tube(over, 1.6, (8, 1, 1)), _TENDON)
    for nodes in (
        [[39, -8, 22], [40, -16, 0], [35, -22, -20]],
        [[-40, -4, 24], [-41, 0, 0], [-32, 6, -44]],
    ):
        canvas.paint(*canvas.tube(smooth_path(nodes, 8), 1.9, (1.0, 2.6, 1.0)), _TENDON)
    jitter = [habit.vector(0.7) for _ in range(3)]
    return {
        "femoral attachment of the ACL": np.array([8.5, -22.0, 20.0]) + jitter[0],
        "tibial attachment of the ACL": np.array([-1.0, 8.0, plateau + 1.5]) + jitter[1],
        "tibial attachment of the PCL": np.array([0.0, -25.0, plateau - 6.0]) + jitter[2],
        "tibial tuberosity": tuberosity,
    }


def _cruciates(canvas: Canvas, points: dict[str, Array]) -> None:
    """Paint the two cruciate ligaments in the notch; what is bone stays bone."""
    high, low = points["femoral attachment of the ACL"], points["tibial attachment of the ACL"]
    behind = points["tibial attachment of the PCL"]
    anterior = np.stack([high, (high + low) / 2 + np.array([-1, 0, -0.5]), low])
    posterior = np.array([[-7.5, 2.0, 15.0], [-4.0, -14.0, 19.0], [-1.0, -27.0, 8.0], behind])
    for nodes, radius, tone in ((anterior, 3.4, 190.0), (posterior, 4.0, 70.0)):
        space, band = canvas.tube(smooth_path(nodes, 12), radius)
        bone = np.isin(canvas.labels[space.box], (1, 2))
        band = minus(band, np.where(bone, np.float32(-9), np.float32(9)))
        fibres = tone + 60 * np.sin(space.r * 1.4 + space.a * 0.7)
        canvas.paint(space, band, fibres.astype(np.float32), None)
