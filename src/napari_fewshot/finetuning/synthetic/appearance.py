"""Regions to images: looks like CT, MR, ultrasound, EM, fluorescence and stained sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from .materials import draw_material
from .noise import Field, NoiseBank
from .scanner import draw_scanner, draw_shift, seen, tinted

__all__ = ["Look", "draw_look", "normalise", "render"]

Rng = np.random.Generator

_LOOKS = {
    "ct": 0.21,
    "mr": 0.28,
    "em": 0.12,
    "fluo": 0.09,
    "stain": 0.15,
    "colour": 0.09,
    "ultrasound": 0.06,
}
_VOLUMES = ("body", "crop")
"""Families of anatomies of which there are volumes."""
_FINE = np.array([0.1, 0.4, 2.0, 2.0, 2.5, 1.5, 0.3])
"""How much oftener cells and tissue have each look."""


@dataclass(frozen=True, eq=False)
class Look:
    """How the regions of one episode look in each of its images.

    Parameters
    ----------
    kind : str
    colour : array, shape (R, C), C = 1 or 3
        Mean of each region; for ``stain`` the amount of each of three dyes.
    textures : tuple of (str, float)
        Kinds of texture with their wavelength in pixels.
    amount : array, shape (R, T)
        Amplitude of each texture in each region.
    settings : dict
        Strengths of bias field, blur, noise and so on of the episode, and how far its scanners
        differ (``shift``, 0 to 1).
    """

    kind: str
    colour: npt.NDArray[np.float32]
    textures: tuple[tuple[str, float], ...]
    amount: npt.NDArray[np.float32]
    settings: dict[str, Any]


def _palette(rng: Rng, regions: int, channels: int) -> npt.NDArray[np.float32]:
    """Colours of the regions, many of them the same: only context tells those apart."""
    tones = rng.uniform(0, 1, (max(2, int(rng.integers(3, 9))), channels))
    if channels == 3 and rng.random() < 0.5:
        tones = 0.6 * tones + 0.4 * tones.mean(1, keepdims=True)
    which = rng.choice(len(tones), regions, p=rng.dirichlet(np.full(len(tones), 2.0)))
    spread = rng.choice([0.0, 0.02, 0.06], p=[0.35, 0.35, 0.3])
    loners = rng.random(regions) < rng.uniform(0, 0.6)
    colour = tones[which] + rng.normal(0, spread, (regions, channels))
    colour[loners] = rng.uniform(0, 1, (int(loners.sum()), channels))
    return np.asarray(colour, dtype=np.float32)


def draw_look(rng: Rng, regions: int, kind: str, roles: tuple[str, ...] = ()) -> Look:
    """Draw the look of an episode.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    regions : int
        Number of regions.
    kind : str
        Family of the anatomy.
    roles : tuple of str
        What each region is, where the family knows it: most then look so, some like anything.
    """
    if roles and rng.random() < 0.85:
        name, colour, textures, amount, dyes = draw_material(rng, kind, roles)
    else:
        name, colour = _any_colour(rng, regions, kind)
        textures = tuple(
            (
                str(rng.choice(["band", "rough", "fibres", "spots"], p=[0.45, 0.25, 0.12, 0.18])),
                float(np.exp(rng.uniform(np.log(3), np.log(20)))),
            )
            for _ in range(int(rng.integers(2, 5)))
        )
        strength = np.exp(rng.uniform(np.log(0.01), np.log(0.12 if name != "em" else 0.25)))
        amount = strength * rng.gamma(1.0, 1.0, (regions, len(textures)))
        amount *= rng.random((regions, len(textures))) < 0.5
        dyes = rng.uniform(0.05, 1.0, (3, 3)).astype(np.float32)
    settings = _settings(rng, name, dyes) | {"shift": draw_shift(rng, volume=kind in _VOLUMES)}
    return Look(name, colour, textures, amount.astype(np.float32), settings)


def _any_colour(rng: Rng, regions: int, kind: str) -> tuple[str, npt.NDArray[np.float32]]:
    """Draw a family of looks, and colours that are as such images have them."""
    weights = np.array(list(_LOOKS.values()))
    if kind not in _VOLUMES:
        weights = weights * _FINE
    name = str(rng.choice(list(_LOOKS), p=weights / weights.sum()))
    colour = _palette(rng, regions, 3 if name in ("stain", "colour") else 1)
    if name == "ct":
        colour = 0.45 + 0.3 * (colour - 0.5)
        dense = rng.random(regions) < 0.15
        colour[dense] = rng.uniform(0.75, 1.0, (int(dense.sum()), 1))
        hollow = rng.random(regions) < 0.06
        colour[hollow] = rng.uniform(0, 0.1, (int(hollow.sum()), 1))
    elif name == "fluo":
        colour = np.where(rng.random((regions, 1)) < 0.5, 0.08 * colour, colour)
    elif name == "stain":
        colour = 1.3 * colour * (rng.random((regions, 3)) < 0.6)
    if name in ("ct", "mr", "fluo", "ultrasound") and kind == "body":
        colour[0] = rng.uniform(0, 0.06)
    elif name == "stain" or kind == "body":
        colour[0] = rng.uniform(0, 0.08)
    return name, np.asarray(colour, dtype=np.float32)


def _settings(rng: Rng, name: str, dyes: npt.NDArray[Any]) -> dict[str, Any]:
    """Draw the settings of an episode's scanner."""
    noise = float(np.exp(rng.uniform(np.log(0.005), np.log(0.12))))
    if name == "fluo" and rng.random() < 0.4:
        noise = rng.uniform(0.1, 0.35)
    fine = name in ("em", "sem")
    return {
        "bias": rng.uniform(0, 0.45) if name in ("mr", "fluo") else rng.uniform(0, 0.15),
        "blur": abs(rng.normal(0, 0.6)) + 0.35,
        "noise": noise,
        "grain": rng.random() < 0.4,
        "rician": name == "mr",
        "shot": name == "fluo",
        "dyes": dyes,
        "dye_jitter": rng.uniform(0.01, 0.12),
        "jitter": rng.choice([0.01, 0.03, 0.08], p=[0.5, 0.35, 0.15]),
        "gamma": float(np.exp(rng.normal(0, 0.3))),
        "edge": rng.uniform(0, 2) if fine and rng.random() < 0.4 else 0.0,
        "rim": rng.uniform(2, 7),
        "haze": rng.uniform(0.2, 0.7) if name == "fluo" and rng.random() < 0.5 else 0.0,
        "speckle": rng.uniform(0.3, 1.2) if name == "ultrasound" else 0.0,
        "grain_size": rng.uniform(3, 8),
        "grey": name in ("stain", "colour") and rng.random() < 0.25,
    }


def _texture(rng: Rng, bank: NoiseBank, kind: str, wavelength: float, size: int) -> Field:
    if kind == "rough":
        return bank.rough(rng, size)
    if kind == "fibres":
        return bank.fibres(rng, size)
    if kind in ("granules", "vesicles", "cristae"):
        return bank.detail(rng, kind, size)
    relief = bank.band(rng, wavelength, size)
    if kind == "spots":
        return np.clip(3 * (relief - 1), 0, 2).astype(np.float32)
    return relief


def render(
    rng: Rng, bank: NoiseBank, look: Look, labels: npt.NDArray[np.int16]
) -> npt.NDArray[np.float32]:
    """Render one image, shape (C, H, W), of square ``labels``, shape (H, W)."""
    size, s = labels.shape[0], draw_scanner(rng, look.settings)
    colour = look.colour + rng.normal(0, s["jitter"], look.colour.shape)
    image = colour.astype(np.float32)[labels]
    relief = np.zeros_like(image[..., 0])
    for t, (kind, wavelength) in enumerate(look.textures):
        relief += look.amount[:, t][labels] * _texture(rng, bank, kind, wavelength, size)
    image = np.moveaxis(image + relief[..., None], -1, 0)
    if look.kind == "stain":
        dyes = s["dyes"] * np.exp(rng.normal(0, s["dye_jitter"], (3, 3)))
        image = np.exp(-np.einsum("dc,dhw->chw", dyes, np.maximum(image, 0)))
    bias = np.exp(np.float32(s["bias"]) * bank.band(rng, 110, size))
    image = image * bias
    if rng.random() < 0.9:
        blur = s["blur"] * np.exp(rng.normal(0, 0.1))
        image = np.stack([gaussian_filter(c, blur) for c in image])
    image = seen(rng, bank, image, s)
    if len(image) == 3 and s["shift"]:
        image = tinted(rng, image, s["shift"])
    noise = np.stack([bank.white(rng, size) for _ in image])
    if s["grain"]:
        noise = 0.5 * noise + 0.8 * bank.band(rng, 3, size)
    noise = noise * np.float32(s["noise"])
    if s["rician"]:
        image = np.hypot(image + noise, np.float32(s["noise"]) * bank.white(rng, size))
    elif s["shot"]:
        image = image + noise * np.sqrt(np.maximum(image, 0.01)) * 2
    else:
        image = image + noise
    if s["grey"]:
        image = image.mean(0, keepdims=True)
    return np.asarray(image, dtype=np.float32)


def normalise(
    rng: Rng, look: Look, images: list[npt.NDArray[np.float32]]
) -> list[npt.NDArray[np.float32]]:
    """Bring an episode's images to 0..1, together as one volume or each by itself."""
    shift = look.settings["shift"]
    together = rng.random() < (0.25 if shift else 0.6)
    low_high = [rng.uniform(0, 1.5), rng.uniform(98.5, 100)]
    if len(images[0]) == 3:
        low_high = [0.1, 99.9]
        together = together or not shift
    shared = np.percentile(np.concatenate([i[:, ::3, ::3].ravel() for i in images]), low_high)
    result = []
    for image in images:
        low, high = shared if together else np.percentile(image[:, ::2, ::2], low_high)
        unit = np.clip((image - low) / max(high - low, 1e-3), 0, 1)
        gamma = look.settings["gamma"] * np.exp(rng.normal(0, 0.05 + 0.25 * shift))
        unit = unit ** np.float32(gamma)
        if len(unit) == 1:
            unit = np.repeat(unit, 3, 0)
        result.append(unit.astype(np.float32))
    return result
