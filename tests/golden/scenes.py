"""Small problems with clear answers, of whole numbers, so that every machine makes the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_fewshot import Landmark, Template, Volume, write_image, write_labels, write_points

SHAPE = (11, 36, 40)
PAINTED = (2, 5, 7)
NAMES = {1: "left ball", 2: "right ball", 3: "rod"}
SMALL_SAM = Path(__file__).parents[1] / "data" / "small_sam.safetensors"
QUICK = {
    "experts": {"flow": "lucas-kanade"},  # whether OpenCV is there or not
    "classification": {"hidden": 32, "steps": 40, "batch": 256, "update_steps": 10},
    "contrastive": {
        "hidden": 32,
        "width": 16,
        "steps": 40,
        "targets": 192,
        "references": 16,
        "update_steps": 10,
    },
}
"""Few steps of small networks: what rounding makes of them stays small."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and all that is true of it.

    Two balls look the same, so that only their place tells them apart; a rod has a texture; a
    bright speck looks like a ball and is none.
    """

    image: Volume
    truth: np.ndarray
    points: tuple[Landmark, ...]

    def painted(self, slices=PAINTED, axis: int = 0) -> Volume:
        """The truth on some slices."""
        data = np.zeros_like(self.truth)
        where = (slice(None),) * axis + (list(slices),)
        data[where] = self.truth[where]
        return self.image.with_data(data, names=NAMES)

    def template(self, slices=PAINTED, **more) -> Template:
        """Some slices as a person would paint them."""
        return Template(self.image, self.painted(slices), **more)


def scene(seed: int = 0, shift: tuple[int, int] = (0, 0)) -> Scene:
    """Balls, a rod and a speck, moved by ``shift`` rows and columns, in noise of ``seed``."""
    z, y, x = (index - move for index, move in zip(np.indices(SHAPE), (0, *shift), strict=True))
    labels = np.zeros(SHAPE, np.uint8)
    centres = {1: (5, 12, 10), 2: (5, 12, 29)}
    for label, (k, j, i) in centres.items():
        labels[9 * (z - k) ** 2 + 4 * (y - j) ** 2 + 4 * (x - i) ** 2 <= 169] = label
    rod = (abs(y - 27) <= 3) & (abs(x - 19) <= 12) & (abs(z - 5) <= 3)
    labels[rod] = 3
    grey = np.array([60, 190, 190, 120])[labels]
    grey[rod & ((y + x) % 2 == 0)] += 50
    grey[(abs(z - 5) <= 1) & (abs(y - 20) <= 1) & (abs(x - 20) <= 1)] = 190
    noise = np.random.default_rng(seed).integers(-12, 13, SHAPE)
    affine = np.array([[0, 0, -1, 39], [0, -1, 0, 35], [2, 0, 0, -10], [0, 0, 0, 1]], float)
    image = Volume((grey + noise).astype(np.int16), (2.0, 1.0, 1.0), affine)
    points = tuple(
        Landmark(f"middle of {NAMES[label]}", label + 10, (k, j + shift[0], i + shift[1]))
        for label, (k, j, i) in centres.items()
    )
    return Scene(image, labels, points)


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A colour picture with a red and a green disc, uint8 (Y, X, 3), and its labels."""
    y, x = np.indices((44, 52))
    labels = np.zeros((44, 52), np.uint8)
    labels[(y - 16 - seed) ** 2 + (x - 14) ** 2 <= 81] = 1
    labels[(y - 24) ** 2 + (x - 36 + seed) ** 2 <= 81] = 2
    colours = np.array([[80, 80, 90], [190, 70, 70], [70, 180, 80]])[labels]
    noise = np.random.default_rng(seed).integers(-12, 13, colours.shape)
    return (colours + noise).astype(np.uint8), labels


def constellation(shift: int = 0) -> tuple[Volume, tuple[Landmark, ...]]:
    """A volume with twelve crosses of their own size and brightness, and where they are."""
    places = [(2 + 3 * (n % 3), 5 + 8 * (n // 3) + shift, 6 + 9 * ((n * 5) % 4)) for n in range(12)]
    z, y, x = np.indices(SHAPE)
    grey = np.full(SHAPE, 60) + np.random.default_rng(shift).integers(-8, 9, SHAPE)
    for n, (k, j, i) in enumerate(places):
        arms = np.minimum(abs(y - j), abs(x - i)) + 2 * abs(z - k)
        reach = np.maximum(abs(y - j), abs(x - i))
        grey[(arms <= 1) & (reach <= 2 + n % 3)] = 120 + 10 * n
    points = tuple(Landmark(f"cross {n}", n, place) for n, place in enumerate(places, start=1))
    return Volume(grey.astype(np.int16), (2.0, 1.0, 1.0)), points


def write_scene(folder: Path, name: str, made: Scene, slices=PAINTED) -> None:
    """Write image, truth, painted slices and points."""
    write_image(folder / f"{name}.nii.gz", made.image.data, made.image)
    write_labels(folder / f"{name}_truth.nii.gz", made.truth, made.image, NAMES)
    write_labels(folder / f"{name}_painted.nii.gz", made.painted(slices).data, made.image, NAMES)
    write_points(folder / f"{name}_points.csv", made.points, made.image)
