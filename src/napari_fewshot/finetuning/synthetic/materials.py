"""What tissue, nerves and smears are made of: tones, dyes and textures by role."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .anatomy import Rng

__all__ = ["draw_material"]

Colour = npt.NDArray[np.float32]
Textures = tuple[tuple[str, float], ...]

_SPREAD = 0.07
"""Standard deviation of the tone of a role from kind to kind of image."""

# Tone of each role as a transmission micrograph shows it, and amplitudes of granules (dark),
# vesicles (dark), cristae, grain and relief.
_NEUROPIL = {
    "cytoplasm": (0.78, (-0.3, -0.05, 0, 0.06, 0.04)),
    "dark cytoplasm": (0.62, (-0.3, -0.05, 0, 0.08, 0.06)),
    "glia": (0.55, (-0.3, 0, 0, 0.12, 0.06)),
    "membrane": (0.15, (0, 0, 0, 0.06, 0.08)),
    "mitochondrion": (0.42, (-0.05, 0, -0.2, 0.08, 0.05)),
    "cristae wall": (0.22, (0, 0, 0, 0.05, 0.05)),
    "synapse": (0.06, (0, 0, 0, 0.05, 0.05)),
    "bouton": (0.72, (-0.1, -0.45, 0, 0.06, 0.04)),
    "nucleus": (0.66, (-0.15, 0, 0, 0.1, 0.12)),
    "nuclear wall": (0.2, (0, 0, 0, 0.05, 0.05)),
}
# Tone of each role in three kinds of micrographs, and amplitudes of granules, cracks and grain.
_AXONS = {
    "matrix": ((0.35, 0.65, 0.12), (-0.1, 0.03, 0.07)),
    "axon": ((0.25, 0.72, 0.08), (-0.12, 0.01, 0.05)),
    "myelin": ((0.8, 0.12, 0.65), (0, 0.03, 0.07)),
    "glial cell": ((0.45, 0.5, 0.25), (-0.1, 0.02, 0.07)),
    "nucleus": ((0.35, 0.4, 0.2), (-0.1, 0.02, 0.09)),
    "band": ((0.4, 0.8, 0.03), (0, 0.06, 0.03)),
    "bare axon": ((0.4, 0.7, 0.2), (-0.1, 0.01, 0.07)),
}
# Amounts of a blue, a red and a brown dye, and amplitudes of granules and relief.
_SMEAR = {
    "plate": ((0.02, 0.02, 0.01), (0.02, 0.01)),
    "red cell": ((0.05, 0.6, 0.1), (0, 0.03)),
    "pale centre": ((0.03, 0.25, 0.05), (0, 0.03)),
    "plasma": ((0.3, 0.2, 0.02), (0.15, 0.06)),
    "other plasma": ((0.15, 0.35, 0.1), (0.3, 0.06)),
    "chromatin": ((1.3, 0.5, 0.05), (0.1, 0.2)),
    "platelet": ((0.5, 0.3, 0), (0.2, 0.1)),
}
_DYES = np.array([[1.0, 0.85, 0.35], [0.15, 0.8, 0.35], [0.25, 0.5, 0.9]])
"""Absorption of red, green and blue light by each of these dyes."""


def draw_material(
    rng: Rng, kind: str, roles: tuple[str, ...]
) -> tuple[str, Colour, Textures, Colour, Colour]:
    """Draw what the regions of a kind of anatomy are made of.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    kind : str
        ``neuropil``, ``axons`` or ``smear``.
    roles : tuple of str
        Role of each region.

    Returns
    -------
    look : str
        Family of the look.
    colour : array, shape (R, C), C = 1 or 3
    textures : tuple of (str, float)
    amount : array, shape (R, T)
        See :class:`~.appearance.Look`.
    dyes : array, shape (3, 3)
        Absorption of the dyes, for smears.
    """
    dyes = np.clip(_DYES + rng.normal(0, 0.12, (3, 3)), 0.03, 1.2).astype(np.float32)
    if kind == "smear":
        colour = np.array([_SMEAR[r][0] for r in roles])
        strength = np.exp(rng.normal(0, 0.3, (1, 3)) + rng.normal(0, 0.25, colour.shape))
        amount = _strengths(rng, [_SMEAR[r][1] for r in roles])
        plain = ("granules", 0.0), ("band", rng.uniform(4, 14))
        return "stain", _single(colour * strength), plain, amount, dyes
    textures: Textures
    if kind == "axons":
        which = int(rng.choice(3, p=[0.4, 0.3, 0.3]))
        tones = np.array([_AXONS[r][0][which] for r in roles])
        amount = _strengths(rng, [_AXONS[r][1] for r in roles])
        textures = ("granules", 0.0), ("fibres", 0.0), ("band", rng.uniform(3, 6))
        if rng.random() < 0.35:  # axons look like what lies between their rings
            tones[roles.index("axon")] = tones[0]
        look = "sem"
    else:
        tones = np.array([_NEUROPIL[r][0] for r in roles])
        amount = _strengths(rng, [_NEUROPIL[r][1] for r in roles])
        textures = (
            ("granules", 0.0),
            ("vesicles", 0.0),
            ("cristae", 0.0),
            ("band", 3.0),
            ("band", rng.uniform(8, 20)),
        )
        look = "em"
    tones = tones + rng.normal(0, _SPREAD, len(roles))
    tones = 0.5 + rng.uniform(0.6, 1.05) * (tones - 0.5)
    if rng.random() < 0.12:
        tones, amount = 1 - tones, -amount
    return look, _single(tones[:, None]), textures, amount, dyes


def _strengths(rng: Rng, usual: list[tuple[float, ...]]) -> Colour:
    """Amplitudes of a kind of image: together and one by one stronger or weaker than usual."""
    values = np.array(usual)
    common = np.exp(rng.normal(0, 0.4, (1, values.shape[1])))
    return _single(values * common * rng.gamma(3.0, 1 / 3.0, values.shape))


def _single(values: npt.NDArray[np.float64]) -> Colour:
    return values.astype(np.float32)
