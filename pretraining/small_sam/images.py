"""Synthetic slices as SAM sees them: drawn anatomies, and slices of the package's phantoms."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from napari_fewshot.config import IntensityConfig
from napari_fewshot.finetuning.synthetic.anatomy import draw_anatomy
from napari_fewshot.finetuning.synthetic.appearance import draw_look, normalise, render
from napari_fewshot.finetuning.synthetic.noise import bank_of
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.slices.stack import SliceStack

__all__ = ["draw_anatomy_image", "draw_phantom_image"]

Rng = np.random.Generator
Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int16]

# Side of the plane that is drawn, against that of the network's input: seen small and large.
_ZOOMS = (0.75, 1.0, 1.0, 1.25)

# Phantoms of training are those of another cohort and other patients than the tests look at.
_COHORT, _FIRST_PATIENT, _SLICES_OF_ONE = 7, 1000, 16
_SHAPES = {
    "torso": ((8, 64, 80), (16, 64, 64), (24, 96, 96), (32, 128, 128)),
    "joint": ((24, 64, 64), (16, 64, 80), (24, 96, 96), (48, 128, 128)),
}


def _fitted(image: Image, labels: Labels, side: int) -> tuple[Image, Labels]:
    """Scale so that the longer edge has ``side`` pixels."""
    longest = max(labels.shape)
    size = (round(labels.shape[0] * side / longest), round(labels.shape[1] * side / longest))
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None]
    names = torch.from_numpy(np.ascontiguousarray(labels)).float()[None, None]
    pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    names = F.interpolate(names, size, mode="nearest-exact")[0, 0]
    return pixels.numpy(), names.numpy().astype(np.int16)


def _cut(rng: Rng, image: Image, labels: Labels) -> tuple[Image, Labels]:
    """Half of the images are less high than wide, or the reverse."""
    height, width = labels.shape
    keep = [height, width]
    if rng.random() < 0.5:
        axis = int(rng.integers(2))
        keep[axis] = int(keep[axis] * rng.uniform(0.5, 1))
    top = int(rng.integers(height - keep[0] + 1))
    left = int(rng.integers(width - keep[1] + 1))
    frame = (slice(top, top + keep[0]), slice(left, left + keep[1]))
    return image[(slice(None), *frame)], labels[frame]


def draw_anatomy_image(rng: Rng, seed: int, side: int) -> tuple[Image, Labels]:
    """One drawn anatomy, (3, H, W) in 0..1, and its regions; the longer edge is ``side``."""
    plane = round(side * float(rng.choice(_ZOOMS)))
    bank = bank_of(seed)
    anatomy = draw_anatomy(rng, bank, plane)
    look = draw_look(rng, anatomy.regions, anatomy.kind)
    # Few regions may look alike here: a border that nobody can see teaches nothing.
    spread = rng.choice([0.05, 0.12, 0.25])
    colour = look.colour + rng.normal(0, spread, look.colour.shape).astype(np.float32)
    look = dataclasses.replace(look, colour=np.clip(colour, 0, 1.2))
    labels = anatomy.paint(rng, 0.5)
    image = normalise(rng, look, [render(rng, bank, look, labels)])[0]
    return _fitted(*_cut(rng, image, labels), side)


@lru_cache(maxsize=4)
def _phantom_slices(
    kind: str, patient: int, shape: tuple[int, int, int]
) -> tuple[list[npt.NDArray[np.float32]], list[Labels]]:
    """Slices with structures of one phantom, as the package cuts and scales them."""
    phantom = make_phantom(kind, patient, shape, _COHORT)
    images: list[npt.NDArray[np.float32]] = []
    names: list[Labels] = []
    for axis in (0, 1, 2):
        stack = SliceStack(phantom.image, axis, IntensityConfig())
        truth = SliceStack(phantom.labels, axis, IntensityConfig())
        if min(stack.shape) < 32:
            continue
        for k in range(len(stack)):
            labels = np.asarray(truth._slices[k]).astype(np.int16)
            if labels.any():
                images.append(np.asarray(stack.slice(k)[0]))
                names.append(labels)
    return images, names


def _with_body(image: npt.NDArray[np.float32], labels: Labels) -> Labels:
    """Tissue without a name becomes a region of its own; 0 is what lies outside of the body."""
    smooth = gaussian_filter(image, 1.0)
    tissue = (smooth > 0.6 * threshold_otsu(smooth)) & (labels == 0)
    return np.where(tissue, labels.max() + 1, labels).astype(np.int16)


def draw_phantom_image(rng: Rng, number: int, side: int) -> tuple[Image, Labels]:
    """One slice of a phantom; numbers next to each other share a patient, which is costly.

    Parameters
    ----------
    rng : Generator
        Source of chance: which slice, its grey values and what is cut off.
    number : int
        Of the image.
    side : int
        Longer edge of the result.
    """
    patient = number // _SLICES_OF_ONE
    kind = ("torso", "joint")[patient % 2]
    shape = _SHAPES[kind][patient // 2 % len(_SHAPES[kind])]
    images, names = _phantom_slices(kind, _FIRST_PATIENT + patient, shape)
    k = int(rng.integers(len(images)))
    image, labels = images[k] ** float(np.exp(rng.normal(0, 0.25))), _with_body(images[k], names[k])
    if rng.random() < 0.1:
        image = 1 - image
    gain = rng.uniform(0.7, 1.0)
    image = np.clip(gain * image + rng.uniform(0, 1 - gain), 0, 1).astype(np.float32)
    image = np.repeat(image[None], 3, axis=0)
    return _fitted(*_cut(rng, image, labels), side)
