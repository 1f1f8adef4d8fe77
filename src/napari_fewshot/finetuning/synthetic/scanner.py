"""How an image was taken: what differs between the scanners, slides and days of one episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from .anatomy import Rng
from .noise import NoiseBank

__all__ = ["draw_scanner", "draw_shift", "draw_zoom", "seen", "tinted"]

Image = npt.NDArray[np.float32]


def draw_shift(rng: Rng, *, volume: bool) -> float:
    """Draw how far the scanners of an episode differ: not at all, somewhat, much.

    Slices of a ``volume`` most often come from one scanner, slides from many.
    """
    often = [0.6, 0.3, 0.1] if volume else [0.35, 0.35, 0.3]
    return float(rng.choice([0.0, 0.5, 1.0], p=often))


def draw_zoom(rng: Rng, images: int, often: float) -> list[float]:
    """Draw the size at which each image of an episode shows things; the first is 1.

    ``often`` is the chance that they differ.
    """
    if rng.random() >= often:
        return [1.0] * images
    return [1.0, *np.exp(rng.uniform(np.log(0.75), np.log(1.4), images - 1)).tolist()]


def draw_scanner(rng: Rng, settings: dict[str, Any]) -> dict[str, Any]:
    """Draw the settings of one image out of those of its episode."""
    shift = settings["shift"]
    own = dict(settings)
    own["noise"] = settings["noise"] * np.exp(rng.normal(0, 0.6 * shift))
    own["blur"] = settings["blur"] + abs(rng.normal(0, 0.5 * shift))
    own["bias"] = settings["bias"] + rng.uniform(0, 0.25 * shift)
    own["edge"] = settings["edge"] * np.exp(rng.normal(0, 0.4 * shift))
    own["dye_jitter"] = settings["dye_jitter"] + 0.2 * shift
    return own


def tinted(rng: Rng, image: Image, shift: float) -> Image:
    """Change brightness, white balance, saturation and hue of an image, (3, H, W)."""
    grey = image.mean(0, keepdims=True)
    image = grey + np.float32(np.exp(rng.normal(0, 0.35 * shift))) * (image - grey)
    turn = rng.normal(0, 0.25 * shift)
    # A turn about the axis of greys.
    c, s, third = np.cos(turn), np.sin(turn) / np.sqrt(3), (1 - np.cos(turn)) / 3
    row = [c + third, third - s, third + s]
    matrix = np.array([row, np.roll(row, 1), np.roll(row, 2)])
    gains = np.exp(rng.normal(0, 0.12 * shift) + rng.normal(0, 0.1 * shift, 3))
    turned = np.einsum("dc,chw->dhw", gains[:, None] * matrix, image)
    found: Image = turned.astype(np.float32)
    return found


def seen(rng: Rng, bank: NoiseBank, image: Image, settings: dict[str, Any]) -> Image:
    """Add what the kind of scanner does to an image, (C, H, W), before it is noisy.

    Bright rims as in scanning electron micrographs, speckle and shadows as in ultrasound, haze of
    other depths as in fluorescence.
    """
    size = image.shape[-1]
    wide: npt.NDArray[Any]
    if settings["edge"]:
        wide = np.stack([gaussian_filter(c, settings["rim"]) for c in image])
        image = image + np.float32(settings["edge"]) * (image - wide)
    if settings["haze"]:
        wide = np.stack([gaussian_filter(c, settings["rim"] * 3) for c in image])
        haze = np.float32(settings["haze"])
        image = np.asarray((1 - haze) * image + haze * wide, np.float32)
    if settings["speckle"]:
        depth = np.linspace(0, 1, size, dtype=np.float32)[:, None]
        fade = np.exp(np.float32(-rng.uniform(0, 1.2)) * depth)
        shadow = np.exp(-np.float32(rng.uniform(0, 0.6)) * bank.band(rng, 90, size)[:1] ** 2)
        speckle = bank.speckle(rng, settings["grain_size"], size) ** np.float32(settings["speckle"])
        image = np.asarray(image * fade * shadow * speckle, dtype=np.float32)
    return np.asarray(image, dtype=np.float32)
