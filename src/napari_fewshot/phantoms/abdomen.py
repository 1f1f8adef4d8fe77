"""The organs of the torso phantom; several share one grey value, so that place matters."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .canvas import Canvas, Point, ellipsoid, from_axes, join, minus, overlap, plane, smooth_path
from .patient import Habit

__all__ = ["paint"]

_FAT = -102.0


def paint(
    canvas: Canvas, wall: Array, domes: tuple[Array, Array], habit: Habit
) -> dict[str, Point]:
    """Paint the abdomen on a canvas with the body wall; returns landmarks in model coordinates.

    ``wall`` and ``domes`` are signed distances to the inner side of the body wall and to the
    right and left domes of the diaphragm.
    """
    parenchyma = 98 + habit.enhancement  # liver, spleen and stomach wall look alike
    _bowel(canvas, wall, habit)
    _colon(canvas, wall, habit)
    _pancreas(canvas, habit)
    tip = _spleen(canvas, wall, domes[1], parenchyma, habit)
    _stomach(canvas, wall, domes[1], parenchyma, habit)
    dome = _liver(canvas, wall, domes[0], parenchyma, habit)
    # The kidneys press into their neighbours, not the other way round.
    centres = _kidneys(canvas, wall, habit)
    split = _vessels(canvas, habit)
    return {
        "tip of the spleen": tip,
        "dome of the liver": dome,
        "aortic bifurcation": split,
        **centres,
    }


def _liver(canvas: Canvas, wall: Array, dome: Array, tone: float, habit: Habit) -> Point:
    space = canvas.crop((-75, -90, -65), (140, 95, 100))
    wall, dome = wall[space.box] + 2, dome[space.box] + 3.5
    tail = habit.between(-8, 8)
    under = plane(space, (88, 0, -40 + tail), (-0.72, 0.12, -1.0))
    under += 0.0065 * (space.a + 5) ** 2 - 5 + 0.003 * (space.r - 60) ** 2
    right = overlap(dome, under, wall)
    left = ellipsoid(
        space, (-12, 40, habit.near(55, 3)), (habit.between(50, 62), 34, 27), (0, -14, 8)
    )
    left = overlap(left, wall)
    liver = join(right, left, 10)
    hilum = ellipsoid(space, (22, -2, 16), (20, 26, 22), (0, 30, 0))
    fissure = ellipsoid(space, (4, 62, 36), (3.5, 30, 24), (0, 0, -12))
    liver = minus(minus(liver, hilum), fissure)
    canvas.paint(space, liver - 1.5, _FAT)
    canvas.paint(space, liver, tone, 1, grain=6)
    # The distance is known on this box only; outside of it there is no vessel.
    inside = np.full(canvas.labels.shape, 1e3, dtype=np.float32)
    inside[space.box] = liver
    vein = tone + 38 + 0.5 * habit.enhancement
    hepatic = ((88, 18, 52), (62, 52, 50), (4, 44, 60), (84, -30, 34))
    portal = ((96, 8, 12), (78, 46, 18), (80, -34, 6), (60, 20, 48), (-8, 52, 46))
    for start, ends, radii, bend, value in (
        (np.array([24.0, -8.0, 72.0]), hepatic, (4.6, 3.4, 1.2), 3, vein),
        (np.array([32.0, 2.0, 22.0]), portal, (5.0, 3.2, 1.0), 4, vein - 6),
    ):
        for end in ends:
            tip = np.asarray(end) + habit.vector(6)
            middle = (start + tip) / 2 + habit.vector(bend)
            nodes = np.column_stack([np.array([start, middle, tip]), radii])
            part, vessel = canvas.curve(nodes, 8)
            canvas.paint(part, overlap(vessel, inside[part.box] + 2), value, None)
    bladder = canvas.crop((20, 10, -30), (75, 85, 35))
    gall = ellipsoid(bladder, (47, 44, habit.near(3, 3)), (12, 24, 14), (20, 0, 10))
    canvas.paint(bladder, gall - 1.5, tone - 20)
    canvas.paint(bladder, gall, 12.0)
    return habit.right_dome[0], habit.right_dome[1], habit.right_dome[2] + 68 - 3.5


def _spleen(canvas: Canvas, wall: Array, dome: Array, tone: float, habit: Habit) -> Point:
    centre = (habit.near(-88, 3), habit.near(-34, 3), habit.near(34, 4))
    length = habit.between(40, 50)
    tilt = (habit.near(24, 5), 0.0, habit.near(12, 5))
    space = canvas.crop((-140, -95, -35), (-35, 35, 95))
    spleen = ellipsoid(space, centre, (27, 36, length), tilt)
    hilum = ellipsoid(space, (centre[0] + 30, centre[1] + 16, centre[2] - 2), (18, 34, 30))
    spleen = overlap(minus(spleen, hilum), wall[space.box] + 2, dome[space.box] + 3.5)
    canvas.paint(space, spleen, tone + 2, 2, grain=6)
    # The tip lies on the long axis, 3 mm below the end of the ellipsoid.
    return from_axes(centre, (0.0, 0.0, 3 - length), tilt)


def _kidneys(canvas: Canvas, wall: Array, habit: Habit) -> dict[str, Point]:
    landmarks = {}
    cortex = 150 + 1.6 * habit.enhancement
    for side, name, label in ((1, "right", 3), (-1, "left", 4)):
        centre = (
            side * habit.near(55, 2.5),
            habit.near(-42, 2),
            habit.near(-22 if side > 0 else -8, 5),
        )
        size = habit.between(0.9, 1.08)
        radii = (25 * size, 24 * size, 50 * size)
        tilt = (-9.0, side * -14.0, side * 28.0)
        space = canvas.crop(np.asarray(centre) - 66, np.asarray(centre) + 66)
        kidney = ellipsoid(space, centre, radii, tilt)
        canvas.paint(space, overlap(kidney - 4.5, wall[space.box] + 1), _FAT, grain=8)
        hilum = (centre[0] - side * 23, centre[1] + 9, centre[2])
        sinus = ellipsoid(space, hilum, (21, 11, 20), (0, 0, side * -22.0))
        kidney = minus(kidney, sinus)
        canvas.paint(space, kidney, cortex, label, grain=8)
        # Pyramids: blobs of medulla in a ring between cortex and sinus.
        angle = np.arctan2(space.s - centre[2], (space.r - centre[0]) * 1.6)
        ring = np.abs(kidney + 11) - 4 - 2.5 * np.cos(9 * angle)
        canvas.paint(space, overlap(ring, kidney + 6), cortex - 45, None)
        way = np.array([hilum, (side * 14, -18, centre[2] + 4)])
        canvas.paint(*canvas.tube(way, 4.0), 140 + habit.enhancement)
        # The sinus opens towards the spine, so the middle of the organ is tissue.
        landmarks[f"centre of the {name} kidney"] = centre
    return landmarks


def _stomach(canvas: Canvas, wall: Array, dome: Array, tone: float, habit: Habit) -> None:
    full = habit.between(0.85, 1.12)
    nodes = [
        [-52, -16, 58, 24], [-60, 10, 46, 27], [-56, 36, 22, 24], [-34, 52, 2, 19],
        [-6, 52, -4, 15], [18, 40, 4, 11],
    ]  # fmt: skip
    moved = [[*(np.asarray(n[:3]) + habit.vector(3)), n[3] * full] for n in nodes]
    space, stomach = canvas.curve(moved, 22)
    stomach = overlap(stomach, wall[space.box] + 2, dome[space.box] + 3.5)
    canvas.paint(space, stomach, tone - 8, 5, grain=6)
    folds = 1.2 * np.sin(space.r / 2.4) * np.sin(space.s / 2.8)
    lumen = stomach + 4 + folds
    canvas.paint(space, lumen, 22.0, None, grain=14)
    level = habit.between(22, 40)
    canvas.paint(space, overlap(lumen + 1, level - space.a), -930.0, None)


def _pancreas(canvas: Canvas, habit: Habit) -> None:
    nodes = [[34, 4, -8, 11], [22, 10, 2, 11], [0, 10, 10, 8], [-28, 0, 16, 9], [-56, -22, 24, 8]]
    moved = [[*(np.asarray(n[:3]) + habit.vector(2)), n[3]] for n in nodes]
    space, gland = canvas.curve(moved, 18)
    lobules = 1.8 * np.sin(space.r / 2.5) * np.sin(space.a / 2.2 + space.s / 2)
    canvas.paint(space, gland + 1 + lobules, 82 + 0.6 * habit.enhancement, grain=14)
    beside = smooth_path(moved, 18)[:, :3] + np.array([0, -8, 3])
    canvas.paint(*canvas.tube(beside, 3.6), 140 + habit.enhancement)


def _vessels(canvas: Canvas, habit: Habit) -> Point:
    """Paint the aorta and the vena cava with their branches; returns the bifurcation."""
    split = (habit.near(-2, 1.5), -15.0, habit.near(-70, 5))
    blood = 165 + 1.6 * habit.enhancement
    cava = 118 + habit.enhancement  # unlike the aorta, close to the liver
    join_at = np.array([18.0, -16.0, split[2] - 13])
    for side in (-1, 1):
        vein = [[*join_at, 8], [side * 24 + 6, -22, -115, 8], [side * 40, -26, -160, 8]]
        canvas.paint(*canvas.curve(vein, 6), cava)
    up = [[*join_at, 10], [19, -10, -20, 11], [23, -9, 40, 12], [22, 2, 92, 12]]
    canvas.paint(*canvas.curve(up, 16, (1.12, 0.9, 1.0)), cava, 7, grain=5)
    for side in (-1, 1):
        iliac = [[*split, 7], [side * 18, -14, -98, 6.5], [side * 36, -14, -160, 6]]
        canvas.paint(*canvas.curve(iliac, 6), blood)
    for way in (
        [[-9, -12, 14], [-8, 6, -6], [0, 12, -60]],
        [[-10, -12, 26], [0, 4, 30], [26, 2, 26]],
    ):
        canvas.paint(*canvas.tube(smooth_path(way, 8), 3.4), blood)
    down = [[-16, -22, 150, 11.5], [-12, -20, 70, 11], [-8, -16, 0, 10], [*split, 9]]
    canvas.paint(*canvas.curve(down, 16), blood, 6, grain=5)
    return split


def _bowel(canvas: Canvas, wall: Array, habit: Habit) -> None:
    """Loops of small bowel: one long tube that folds to and fro."""
    nodes: list[Array] = []
    side = 1.0
    for row, s in enumerate(np.linspace(-16, -126, 6)):
        for depth in (52, 18) if row % 2 else (18, 52):
            for r in side * np.array([-56, -28, 0, 28, 56]):
                swing = np.array([0.0, 7.0, 6.0]) * (1 if len(nodes) % 2 else -1)
                nodes.append(np.array([r, depth, s]) + swing + habit.vector(3.5))
            side = -side
    radius = habit.between(9, 11)
    path = smooth_path(nodes, 3 * len(nodes))
    beat = 1 + 0.18 * np.sin(np.arange(len(path)) * 1.3)
    space, tube = canvas.tube(path, radius * beat)
    tube = overlap(tube, wall[space.box] + 3)
    canvas.paint(space, tube, 105 + 0.7 * habit.enhancement)
    mucosa = 1.4 * np.sin(space.r / 1.7) * np.sin(space.a / 1.9) * np.sin(space.s / 1.7)
    canvas.paint(space, tube + 3.2 + mucosa, 18.0, grain=14)
    gas = np.sin(space.r / 23 + habit.between(0, 6)) + np.sin(space.s / 19 + habit.between(0, 6))
    canvas.paint(space, overlap(tube + 4, (1.25 - gas) * 15, 40 - space.a), -850.0)


def _colon(canvas: Canvas, wall: Array, habit: Habit) -> None:
    right = [[78, -18, -110], [86, -12, -75], [88, -6, -48], [80, 20, -34]]
    across = [[50, 58, -34], [10, 68, -44], [-40, 62, -26], [-80, 18, 2], [-94, -8, 12]]
    left = [[-94, -20, -20], [-92, -22, -70], [-88, -10, -110], [-60, 6, -150]]
    nodes = [np.asarray(p, float) + habit.vector(3.5) for p in (*right, *across, *left)]
    path = smooth_path(nodes, 84)
    taper = np.interp(np.arange(len(path)), [0, 30, 60, 84], [21, 17, 13.5, 11.5])
    haustra = 1 + 0.13 * np.sin(np.arange(len(path)) * 2.1)
    space, tube = canvas.tube(path, taper * haustra)
    tube = overlap(tube, wall[space.box] + 2)
    canvas.paint(space, tube - 1.5, _FAT)
    canvas.paint(space, tube, 62.0)
    canvas.paint(space, tube + 3, 18.0, grain=85)  # mottled content
    gas = np.sin(space.r / 31 + habit.between(0, 6)) + np.sin(space.s / 27 + habit.between(0, 6))
    surface = path[:, 1].mean() + 6 + 8 * gas
    canvas.paint(space, overlap(tube + 3.5, surface - space.a, (0.2 - gas) * 20), -900.0)
