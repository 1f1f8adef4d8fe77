"""Muscles, tendons and ligaments of the joint phantom."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .canvas import Canvas
from .shapes import Point, minus, overlap, smooth_path
from .tissue import Habit

__all__ = ["paint_cruciates", "paint_ligaments", "paint_limb"]

_TENDON = 85.0


def paint_limb(canvas: Canvas, habit: Habit) -> None:
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


def paint_ligaments(
    canvas: Canvas, apex: Point, base: Point, plateau: float, habit: Habit
) -> dict[str, Array]:
    """Tendons and collateral ligaments; returns the attachments, before bones are painted."""
    tuberosity = np.array([3.0, 27.0, -33.0])
    straight = [
        [*apex],
        [2.5, (apex[1] + tuberosity[1]) / 2 + 2.0, -13],
        [*tuberosity],
        [3, 22, -46],
    ]
    space, band = canvas.tube(smooth_path(straight, 12), 2.7, (4.2, 1.0, 1.0))
    canvas.paint(space, band, _TENDON, grain=12)
    rise = [[base[0], base[1] - 1, base[2] - 4], [1, 43, 70], [0, 40, 100], [0, 36, 150]]
    space, band = canvas.tube(smooth_path(rise, 12), 3.2, (4.5, 1.0, 1.0))
    stripes = _TENDON + 110 * (np.sin(space.a * 1.6) > 0.75)
    canvas.paint(space, band, stripes.astype(np.float32))
    space, over = canvas.tube(
        smooth_path([[*base], [base[0], 57.0, (apex[2] + base[2]) / 2], [*apex]], 10),
        1.6,
        (8, 1, 1),
    )
    canvas.paint(space, over, _TENDON)
    for nodes in (
        [[39, -8, 22], [40, -16, 0], [35, -22, -20]],
        [[-40, -4, 24], [-41, 0, 0], [-32, 6, -44]],
    ):
        space, band = canvas.tube(smooth_path(nodes, 8), 1.9, (1.0, 2.6, 1.0))
        canvas.paint(space, band, _TENDON)
    jitter = [habit.vector(0.7) for _ in range(3)]
    return {
        "femoral attachment of the ACL": np.array([8.5, -22.0, 20.0]) + jitter[0],
        "tibial attachment of the ACL": np.array([-1.0, 8.0, plateau + 1.5]) + jitter[1],
        "tibial attachment of the PCL": np.array([0.0, -25.0, plateau - 6.0]) + jitter[2],
        "tibial tuberosity": tuberosity,
    }


def paint_cruciates(canvas: Canvas, points: dict[str, Array]) -> None:
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
