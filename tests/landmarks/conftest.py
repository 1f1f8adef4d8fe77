"""Patients with a few landmarks, made by formula."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_fewshot import FewShotSegmenter, Landmark, Template, Volume

QUICK = {"contrastive": {"steps": 5, "references": 2}, "position": {"use": False}}
PLACES_2D = np.array([[40, 30], [60, 80], [110, 50], [150, 90], [170, 40]], float)
PLACES_3D = np.array([[12, 14, 20], [24, 30, 14], [30, 20, 34], [16, 34, 30]], float)


def pattern(shape, seed, count):
    """Smooth blobs, as an image of one kind of thing; 0..255."""
    rng = np.random.default_rng(seed)
    planes = np.indices(shape)
    image = np.zeros(shape)
    for _ in range(count):
        centre = [rng.uniform(0.15, 0.85) * side for side in shape]
        radius, value = rng.uniform(0.04, 0.12) * max(shape), rng.uniform(60, 255)
        far = np.sqrt(sum((p - c) ** 2 for p, c in zip(planes, centre, strict=True)))
        image[far < radius] = value
    return ndimage.gaussian_filter(image, 1.0)


def varied(image, places, seed):
    """The same thing, shifted, a little larger, and noisy; and its points."""
    rng = np.random.default_rng(seed)
    scale, shift = rng.uniform(0.95, 1.05), rng.uniform(-4, 4, image.ndim)
    middle = (np.array(image.shape) - 1) / 2
    moved = ndimage.affine_transform(
        image, np.eye(image.ndim) / scale, middle - (middle + shift) / scale, order=1
    )
    noisy = moved + rng.normal(0, 4, image.shape)
    points = (places - middle) * scale + middle + shift
    return np.clip(noisy, 0, 255).astype(np.float32), points


def marks(places):
    return [
        Landmark(f"p{k}", k, (0.0, *map(float, at))[-3:]) for k, at in enumerate(places, start=1)
    ]


def patients(ndim, count, spacing=1.0):
    shape, places = ((200, 130), PLACES_2D) if ndim == 2 else ((44, 48, 52), PLACES_3D)
    image = pattern(shape, 3, 25)
    found = []
    for seed in range(count):
        data, points = varied(image, places, seed)
        found.append((Volume(data, (spacing,) * ndim), marks(points)))
    return found


def errors(found, truth):
    at = {p.name: np.array(p.position) for p in found}
    return {p.name: np.linalg.norm(at[p.name] - p.position) for p in truth if p.name in at}


def fitted(templates, **settings):
    model = FewShotSegmenter(**QUICK, **settings)
    return model.fit([Template(image, points=points) for image, points in templates])
