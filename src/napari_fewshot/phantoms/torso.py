"""A torso as computed tomography shows it: wall, bones and chest; organs in ``abdomen``.

Model coordinates are (r, a, s) in mm: right, anterior, superior; s = 0 is near the kidneys.
Grey values are Hounsfield units.
"""

from __future__ import annotations

import numpy as np

from ..types import Array
from . import abdomen
from .canvas import Canvas, Crop, Point, ellipsoid, join, minus, overlap, plane, smooth_path
from .patient import Habit

__all__ = ["LANDMARKS", "NAMES", "paint"]

NAMES = {
    1: "liver", 2: "spleen", 3: "right kidney", 4: "left kidney", 5: "stomach", 6: "aorta",
    7: "vena cava", 8: "vertebrae", 9: "lungs",
}  # fmt: skip
LANDMARKS = (
    "dome of the liver",
    "centre of the right kidney",
    "centre of the left kidney",
    "aortic bifurcation",
    "centre of vertebra L1",
    "tip of the spleen",
)
_FAT, _MUSCLE, _LUNG, _BONE, _MARROW = -102.0, 58.0, -840.0, 480.0, 190.0
_VERTEBRA = 31.0  # height of a vertebra and its disc, mm


def paint(canvas: Canvas, habit: Habit) -> dict[str, Point]:
    """Paint the torso of a patient; returns the landmarks in model coordinates."""
    space = canvas.everything()
    fat = habit.between(7, 17)
    skin = _outline(space, habit)
    _table(canvas, space, habit)
    canvas.paint(space, skin, 5.0)
    canvas.paint(space, skin + 2.0, _FAT, grain=9)
    canvas.paint(space, skin + fat, _MUSCLE, grain=7)
    # The wall is thin over the chest and at the flanks, thick in front and behind.
    wall = skin + fat + 9 + 5 * np.exp(-((space.r / 45) ** 2)).astype(np.float32)
    canvas.paint(space, wall + 0.5, _FAT, grain=9)
    domes = _chest(canvas, space, wall, habit)
    _back(canvas, habit)
    landmarks = abdomen.paint(canvas, wall, domes, habit)
    landmarks["centre of vertebra L1"] = _spine(canvas, habit)
    _ribs(canvas, space, skin + fat, habit)
    _pelvis(canvas, habit)
    return landmarks


def _outline(space: Crop, habit: Habit) -> Array:
    s = space.s
    waist = np.exp(-(((s + 25) / 55) ** 2))
    half_width = habit.between(131, 138) - 9 * waist - 4 * np.clip((s - 80) / 50, 0, 1)
    half_depth = habit.between(88, 97) - 5 * waist + habit.between(-4, 6) * np.clip(-s / 100, 0, 1)
    a = space.a + 2
    across, deep = np.abs(space.r / half_width), np.abs(a / half_depth)
    # Exponent 2.5, as x² √x: powers of arrays are slow.
    ratio = across * across * np.sqrt(across) + deep * deep * np.sqrt(deep)
    ratio **= np.float32(0.4)
    # Distance along the ray from the axis; the furrow of the back follows the midline.
    distance = (1 - 1 / np.maximum(ratio, 0.02)) * np.hypot(space.r, a)
    furrow = 7 * np.exp(-((space.r / 13) ** 2)) * (space.a < 0)
    result: Array = (distance + furrow).astype(np.float32)
    return result


def _table(canvas: Canvas, space: Crop, habit: Habit) -> None:
    surface = -103 - habit.between(0, 3) + space.r**2 / 900
    plate = overlap(np.abs(space.a - surface + 4) - 3.0, np.abs(space.r) - 150)
    canvas.paint(space, plate, -180.0)
    canvas.paint(space, plate + 1.6, -940.0)


def _chest(canvas: Canvas, space: Crop, wall: Array, habit: Habit) -> tuple[Array, Array]:
    """Lungs and heart above the two domes of the diaphragm, whose distances are returned."""
    right_top = habit.between(-5, 7)
    habit.right_dome = (habit.near(52, 2), 2.0, 18.0 + right_top)
    right = ellipsoid(space, habit.right_dome, (84, 86, 68))
    left = ellipsoid(space, (-52, 0, habit.between(4, 12)), (84, 86, 66))
    pleura = wall - 1.5 - 4 * np.clip((space.s - 30) / 60, 0, 1)
    # The lungs reach deepest behind and at the sides.
    recess = 26 - space.s - 0.42 * np.clip(-space.a, -40, 60) - 0.10 * (np.abs(space.r) - 60)
    middle = ellipsoid(space, (0, -12, 95), (24, 46, 400))
    lungs = overlap(pleura, recess, -right, -left, -middle)
    canvas.paint(space, lungs, _LUNG, 9, grain=22)
    _lung_vessels(canvas, lungs, habit)
    heart_space = canvas.crop((-80, -40, 75), (45, 80, 140))
    centre = (habit.near(-20, 3), habit.near(22, 3), habit.near(121, 3))
    heart = ellipsoid(heart_space, centre, (58, 38, 33), (0, 22, 32))
    atrium = ellipsoid(heart_space, (centre[0] + 34, centre[1] - 12, centre[2] + 4), (25, 27, 32))
    heart = join(heart, atrium, 12)
    canvas.paint(heart_space, heart - 3, _FAT)
    canvas.paint(heart_space, heart, 112 + habit.enhancement, grain=8)
    for shift, size in (((-16, -6, 2), (25, 19, 22)), ((20, 8, 4), (22, 17, 22))):
        chamber: Point = (centre[0] + shift[0], centre[1] + shift[1], centre[2] + shift[2])
        blood = ellipsoid(heart_space, chamber, size, (0, 18, 25))
        canvas.paint(heart_space, blood, 150 + 1.4 * habit.enhancement, None)
    return right, left


def _lung_vessels(canvas: Canvas, lungs: Array, habit: Habit) -> None:
    for side in (-1, 1):
        for _ in range(26):
            end = np.array([side * habit.between(40, 112), habit.between(-75, 60), 0.0])
            end[2] = habit.between(20, 150)
            start = np.array([side * 24.0, -14.0, habit.between(105, 150)])
            bend = (start + end) / 2 + habit.vector(9)
            part, vessel = canvas.curve([[*start, 4.2], [*bend, 2.4], [*end, 0.7]], 6)
            canvas.paint(part, overlap(vessel, lungs[part.box] + 2), 30.0, None)


def _back(canvas: Canvas, habit: Habit) -> None:
    build = habit.between(0.9, 1.12)
    for side in (-1, 1):
        way = np.array([[side * 26, -69, -150], [side * 27, -70, 20], [side * 22, -72, 150]])
        erector = canvas.tube(way, np.array([17, 19, 12]) * build, (1.25, 0.85, 1.0))
        canvas.paint(*erector, _MUSCLE, grain=10)
        path = [[side * 25, -45, 30, 5], [side * 33, -42, -40, 15], [side * 44, -24, -140, 19]]
        curve = smooth_path(path, 8)
        canvas.paint(*canvas.tube(curve[:, :3], curve[:, 3] * build), _MUSCLE, grain=9)
        way = np.array([[side * 48, -62, 20], [side * 66, -58, -80]])
        canvas.paint(*canvas.tube(way, 9.0 * build, (1.7, 0.8, 1)), _MUSCLE, grain=9)


def _spine(canvas: Canvas, habit: Habit) -> Point:
    """Paint the vertebrae with their discs, arches and processes; returns the middle of L1."""
    space = canvas.crop((-48, -98, -150), (48, -10, 150))
    lordosis, lean = habit.between(3, 7), habit.near(0, 2.5)
    first = habit.between(-8, 0)

    def bend_a(s: Array) -> Array:
        result: Array = -43 - lordosis * np.sin((s + 20) / 65)
        return result

    r, a = space.r - lean * np.sin(space.s / 70), space.a - bend_a(space.s)
    phase = (space.s - first + 10 * _VERTEBRA + _VERTEBRA / 2) % _VERTEBRA - _VERTEBRA / 2
    size = 1 - 0.17 * np.clip((space.s - 20) / 100, 0, 1)
    rim = 1.5 * (phase / 12) ** 2
    column = np.sqrt((r / (22 * size)) ** 2 + (a / (16.5 * size)) ** 2)
    column = (column - 1) * 18 - rim
    level = np.abs(phase) - 12.2
    local = Crop(space.box, r, a, phase)
    spinous = ellipsoid(local, (0, -40, -4), (3.2, 15, 9), (12, 0, 0))
    pedicles = [ellipsoid(local, (x, -18, 4), (4.5, 12, 7)) for x in (-13.0, 13.0)]
    sides = (-1.0, 1.0)
    laminae = [ellipsoid(local, (9 * k, -30, -1), (3.8, 11, 12), (0, 0, 42 * k)) for k in sides]
    wings = [ellipsoid(local, (24 * k, -24, 3), (19, 3.6, 4.5), (0, 0, -14 * k)) for k in sides]
    arch = spinous
    for piece in (*pedicles, *laminae, *wings):
        arch = join(arch, piece, 2.0)
    canal = np.hypot(r / 1.25, a + 23) - 7.5
    canvas.paint(space, column, 85.0, grain=8)
    canvas.paint(space, canal, 35.0)
    body = overlap(column, level)
    bone = minus(join(body, arch, 2.0), canal)
    canvas.paint(space, bone, _BONE + habit.bone, 8)
    canvas.paint(space, bone + 2.2, _MARROW + habit.bone, None, grain=35)
    s = np.float64(first)
    return float(lean * np.sin(s / 70)), float(bend_a(np.asarray(s))), float(s)


def _ribs(canvas: Canvas, space: Crop, wall: Array, habit: Habit) -> None:
    # Along the wall a rib falls from the spine to the front; the phase counts ribs.
    angle = np.arctan2(np.abs(space.r), -space.a - 2)
    fall = 104 * (1 - np.cos(np.clip(angle, 0, 2.6))) / 2
    pitch = habit.between(26, 29)
    height = space.s + fall - habit.between(0, pitch)
    nearest = (height + 20 * pitch) % pitch - pitch / 2
    cage = overlap(14 - height, (angle - 2.35) * 60)
    thorax = np.clip((space.s - 10) / 60, 0, 1)
    rib = np.hypot((wall + 5.2) / 3.2, nearest / (4.6 + 1.2 * thorax)) * 3.6 - 3.6
    rib = overlap(rib, cage, 15 - np.abs(space.r))
    canvas.paint(space, rib, _BONE + habit.bone)
    canvas.paint(space, rib + 1.9, _MARROW + 40, None, grain=20)
    front = canvas.crop((-16, 60, 25), (16, 110, 150))
    board = overlap(np.abs(wall[front.box] + 4) - 5, np.abs(front.r) - 13, 30 - front.s)
    canvas.paint(front, board, 330.0 + habit.bone)
    canvas.paint(front, board + 2, 120.0, None, grain=20)


def _pelvis(canvas: Canvas, habit: Habit) -> None:
    top = habit.between(-92, -84)
    for side in (-1, 1):
        low = (-125.0, -85.0, -150.0) if side < 0 else (30.0, -85.0, -150.0)
        part = canvas.crop(low, (low[0] + 95, 50, top))
        shell = ellipsoid(part, (side * 55, 20, -150), (66, 82, 100), (0, 0, side * -18.0))
        wing = overlap(
            np.abs(shell) - 3.4,
            plane(part, (side * 88, 0, top - 8), (0.0, 0.3, 1.0)),
            plane(part, (side * 70, 0, 0), (-side, 0.25, 0.0)),
            plane(part, (0, 38, -110), (0.0, 1.0, -0.2)),
        )
        canvas.paint(part, wing - 6, _MUSCLE, grain=9)
        canvas.paint(part, wing, _BONE + habit.bone)
        canvas.paint(part, wing + 2, _MARROW, None, grain=25)
