"""Parts of images, mirrored to sides that the network takes, as prediction does it.

What a pixel means must not depend on how much of the image is seen and padded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .anatomy import Labels, Rng

__all__ = ["Image", "Window", "draw_twins", "draw_window", "resized"]

Image = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

_LEAST = 0.6
"""Least side of a part, as a share of that of the image."""


@dataclass(frozen=True, eq=False)
class Window:
    """Parts of one shape, one of each image.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns in pixels.
    origins : array, shape (E, 2)
        First row and column in each image.
    multiple : int
        Parts are mirrored at the lower and right edge until their sides are multiples of this.
    """

    shape: tuple[int, int]
    origins: Positions
    multiple: int

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.origins)

    @property
    def width(self) -> int:
        """Columns after mirroring."""
        return self.shape[1] + -self.shape[1] % self.multiple

    def cut(self, number: int, image: Image, labels: Labels) -> tuple[Image, Labels]:
        """Cut the part of one image, (3, H, W), and of its labels, which are not mirrored."""
        (y, x), (height, width) = self.origins[number], self.shape
        rows, columns = slice(y, y + height), slice(x, x + width)
        more = [(0, 0), *((0, -side % self.multiple) for side in self.shape)]
        return np.pad(image[:, rows, columns], more, mode="symmetric"), labels[rows, columns]

    def widened(self, positions: Positions) -> Positions:
        """Positions in the flattened part as such in the mirrored one."""
        return positions // self.shape[1] * self.width + positions % self.shape[1]


def draw_window(rng: Rng, size: int, count: int) -> Window:
    """Draw parts of ``count`` images of ``size`` × ``size`` pixels, nearly half of them whole."""
    multiple = int(rng.choice([16, 32]))
    if rng.random() < 0.4:
        height, width = size, size
    else:
        height, width = (int(side) for side in rng.integers(int(_LEAST * size), size + 1, 2))
    origins = rng.integers(0, [size - height + 1, size - width + 1], (count, 2))
    return Window((height, width), origins, multiple)


def draw_twins(rng: Rng, one: Window, other: Window, count: int) -> Positions:
    """Draw pixels that two parts of the same images show, shape (2, A, ``count``).

    A is the number of images of ``other``; positions are those in the mirrored parts.
    """
    found = np.zeros((2, other.count, count), dtype=np.int64)
    for e in range(other.count):
        first = np.maximum(one.origins[e], other.origins[e])
        last = np.minimum(one.origins[e] + one.shape, other.origins[e] + other.shape)
        at = rng.integers(first[:, None], last[:, None], (2, count))
        for k, window in enumerate((one, other)):
            y, x = at - window.origins[e][:, None]
            found[k, e] = y * window.width + x
    return found


def resized(image: Image, labels: Labels, size: int) -> tuple[Image, Labels]:
    """Bring an image, (3, H, H), and its labels to ``size`` × ``size`` pixels."""
    if len(labels) == size:
        return image, labels
    import torch
    from torch.nn.functional import interpolate

    large = torch.from_numpy(image)[None]
    image = interpolate(large, (size, size), mode="bilinear", antialias=True)[0].numpy()
    at = (np.arange(size) + 0.5) * len(labels) / size
    rows = at.astype(np.intp)
    return image, labels[rows[:, None], rows[None, :]]
