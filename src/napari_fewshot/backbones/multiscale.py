"""Hand-made features of scikit-image: nothing to download, one vector for every pixel."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .base import BackboneEntry, BackboneSpec, Preprocessing

if TYPE_CHECKING:
    import torch

__all__ = ["MultiscaleBackbone"]

SIGMA_MIN = 1.0
SIGMA_MAX = 16.0
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
        import numpy as np
        import torch
        from skimage.feature import multiscale_basic_features

        middle = images[:, images.shape[1] // 2].detach().cpu().numpy()
        encoded = []
        for image in middle:
            maps = []
            for channel in image:
                # A gradient needs two pixels; a slice that is thinner is repeated.
                thin = [(0, max(0, 2 - side)) for side in channel.shape]
                padded = np.pad(channel, thin, mode="edge")
                # By position: the last one, its threads, has another name from 0.26 on.
                features = multiscale_basic_features(
                    padded, True, True, True, SIGMA_MIN, SIGMA_MAX, None, 1
                )[: channel.shape[0], : channel.shape[1]]
                maps += [channel[None], np.moveaxis(features, -1, 0)]
            encoded.append(np.concatenate(maps).astype(np.float32))
        return torch.from_numpy(np.stack(encoded)).to(images.device)

    def to(self, device: str) -> MultiscaleBackbone:
        """Return itself: the features are computed on the CPU."""
        return self


def _load(weights: Path | None, blocks: int) -> MultiscaleBackbone:
    if weights is not None:
        raise InputError(
            "weights", f"be left out with backbone {SPEC.name}, which has none", weights
        )
    return MultiscaleBackbone()


ENTRIES = {SPEC.name: BackboneEntry(SPEC, _load, lambda: True)}
