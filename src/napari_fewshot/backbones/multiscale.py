"""Hand-made features of scikit-image: nothing to download, one vector for every pixel."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..types import Array
from .base import BackboneEntry, BackboneSpec, Preprocessing

if TYPE_CHECKING:
    import torch

__all__ = ["MultiscaleBackbone", "VolumetricBackbone"]

SIGMA_MIN = 1.0
SIGMA_MAX = 16.0
REACH = 3
"""Slices on each side that features of volumes see."""
DEPTHS = (1.0, 2.0)
"""Standard deviations, in slices, of what is smoothed along a volume ..."""
SCALES = 2.0
"""... and the larger of two within its slices, as a multiple of these; the smaller is the same."""
_HALO = 68
"""Four standard deviations, which scikit-image cuts a Gaussian at, and the derivatives."""
_TILE = 768


def _digest(text: str) -> str:
    return hashlib.sha256(f"multiscale-1 {text}{SIGMA_MIN} {SIGMA_MAX}".encode()).hexdigest()


SPEC = BackboneSpec(
    name="multiscale",
    summary="scikit-image intensity, edge and texture features, sigma 1-16; colour kept",
    stride=1,
    preprocessing=Preprocessing(channels=None, resize="none", size=_TILE),
    halo=_HALO,
    licence="BSD-3-Clause",
    store=False,
    # 0.1.0 took the version of scikit-image for a part of the features; they were the same in all.
    former_hashes=tuple(
        _digest(f"skimage {version} ")
        for version in ("0.24.0", "0.25.0", "0.25.1", "0.25.2", "0.26.0")
    ),
)
SPEC_3D = replace(
    SPEC,
    name="multiscale-3d",
    summary="multiscale, and the like of neighbouring slices; for volumes",
    context=REACH,
    former_hashes=(),
)


class MultiscaleBackbone:
    """The features that pixel classifiers use, for each channel of the slice.

    For every channel: the grey value itself, and for each sigma of 1, 2, 4, 8, 16 pixels the
    smoothed grey value, the gradient magnitude and the two eigenvalues of the Hessian
    (``skimage.feature.multiscale_basic_features``); 21 features for each channel.
    """

    spec = SPEC

    def __init__(self) -> None:
        self.weights_hash = _digest("")

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Compute the features of the middle slices; see :class:`~.base.Backbone`."""
        import torch

        encoded = [
            torch.from_numpy(part)
            for slices in images.detach().cpu().numpy().swapaxes(1, 2)
            for channel in slices
            for part in self._features(channel)
        ]
        batch, *_, height, width = images.shape
        joined = torch.cat(encoded).to(images.device, torch.float32)
        return joined.view(batch, -1, height, width)

    def _features(self, near: Array) -> list[Array]:
        """Features of the middle one of some slices, (S, H, W), as arrays of (F, H, W)."""
        return _basic(near[len(near) // 2], SIGMA_MIN, SIGMA_MAX)

    def to(self, device: str) -> MultiscaleBackbone:
        """Return itself: the features are computed on the CPU."""
        return self


class VolumetricBackbone(MultiscaleBackbone):
    """The features of :class:`MultiscaleBackbone`, and the like of neighbouring slices.

    For every channel also those of what a Gaussian across slices makes of it: one of one slice, at
    scales of 1 and 2 pixels, and one of two slices, at 2 and 4; 39 features for each channel.
    Beyond its ends a volume goes on as its last slice, and so does an image of one slice.
    """

    spec = SPEC_3D

    def __init__(self) -> None:
        self.weights_hash = _digest(f"3d-1 {REACH} {DEPTHS} {SCALES} ")

    def _features(self, near: Array) -> list[Array]:
        found = super()._features(near)
        for sigma in DEPTHS:
            smooth = np.tensordot(across(sigma), near, axes=1)
            found += _basic(smooth, sigma, SCALES * sigma)
        return found


def across(sigma: float) -> Array:
    """Weights, float32, of a slice and its neighbours in a Gaussian of ``sigma`` slices."""
    weights = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / sigma) ** 2)
    normalised: Array = (weights / weights.sum()).astype(np.float32)
    return normalised


def _basic(image: Array, smallest: float, largest: float) -> list[Array]:
    """An image, (1, H, W), and its features at scales that double, (F, H, W)."""
    from skimage.feature import multiscale_basic_features

    # A gradient needs two pixels; a slice that is thinner is repeated.
    padded = np.pad(image, [(0, max(0, 2 - side)) for side in image.shape], mode="edge")
    # By position: the last one, its threads, has another name from 0.26 on.
    features = multiscale_basic_features(padded, True, True, True, smallest, largest, None, 1)[
        : image.shape[0], : image.shape[1]
    ]
    return [image[None], np.moveaxis(features, -1, 0)]


def _load(kind: type[MultiscaleBackbone], weights: Path | None, blocks: int) -> MultiscaleBackbone:
    if weights is not None:
        name = kind.spec.name
        raise InputError("weights", f"be left out with backbone {name}, which has none", weights)
    return kind()


ENTRIES = {
    kind.spec.name: BackboneEntry(kind.spec, partial(_load, kind), lambda: True)
    for kind in (MultiscaleBackbone, VolumetricBackbone)
}
