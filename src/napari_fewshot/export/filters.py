"""Filters of SciPy and scikit-image as convolutions, and the hand-made features made of them.

What :class:`~napari_fewshot.backbones.multiscale.MultiscaleBackbone` computes with libraries, as a
network that can be written to a file.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..backbones.multiscale import DEPTHS, SCALES, SIGMA_MAX, SIGMA_MIN, across

__all__ = ["Gaussian", "HandMadeFeatures", "VolumetricFeatures"]

_TRUNCATE = 4.0
"""Standard deviations that scikit-image cuts a Gaussian at."""


class Gaussian(nn.Module):
    """``scipy.ndimage.gaussian_filter`` with mode ``nearest``, of each channel of (B, C, H, W)."""

    kernel: Tensor

    def __init__(self, sigma: float, truncate: float = _TRUNCATE) -> None:
        super().__init__()
        self.radius = int(truncate * sigma + 0.5)
        place = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        kernel = (-0.5 * (place / sigma) ** 2).exp()
        self.register_buffer("kernel", (kernel / kernel.sum()).float())

    def forward(self, planes: Tensor) -> Tensor:
        """Blur; the shape stays."""
        batch, channels, height, width = planes.shape
        side = self.radius
        x = planes.reshape(batch * channels, 1, height, width)
        x = functional.pad(x, (0, 0, side, side), mode="replicate")
        x = functional.conv2d(x, self.kernel.view(1, 1, -1, 1))
        x = functional.pad(x, (side, side, 0, 0), mode="replicate")
        x = functional.conv2d(x, self.kernel.view(1, 1, 1, -1))
        return x.reshape(batch, channels, height, width)


class HandMadeFeatures(nn.Module):
    """Grey value, and at each scale the blurred one, its edges and its texture.

    At scales from the smallest to the largest, which double: 21 a channel by default.
    """

    sobel: Tensor

    def __init__(self, smallest: float = SIGMA_MIN, largest: float = SIGMA_MAX) -> None:
        super().__init__()
        sigmas = [smallest]
        while sigmas[-1] < largest:
            sigmas.append(2 * sigmas[-1])
        self.scales = nn.ModuleList(Gaussian(sigma) for sigma in sigmas)
        edge, smooth = torch.tensor([-1.0, 0, 1]), torch.tensor([1.0, 2, 1]) / 4
        down = edge[:, None] * smooth
        self.register_buffer("sobel", torch.stack([down, down.T])[:, None])

    def forward(self, image: Tensor) -> Tensor:
        """Encode images (B, C, H, W) to (B, F · C, H, W)."""
        batch, channels, height, width = image.shape
        grey = image.reshape(batch * channels, 1, height, width)
        found = [grey]
        for blur in self.scales:
            blurred = blur(grey)
            found += [blurred, self._edges(blurred), *_texture(blurred)]
        features = torch.cat(found, dim=1)
        return features.reshape(batch, channels * len(found), height, width)

    def _edges(self, blurred: Tensor) -> Tensor:
        """Magnitude of the Sobel gradient (``skimage.filters.sobel``)."""
        both = functional.conv2d(
            functional.pad(blurred, (1, 1, 1, 1), mode="replicate"), self.sobel
        )
        return (both.square().sum(dim=1, keepdim=True) / 2).sqrt()


class VolumetricFeatures(nn.Module):
    """Hand-made features of slices, and of what Gaussians across slices make of them."""

    across: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.own = HandMadeFeatures()
        self.smooth = nn.ModuleList(HandMadeFeatures(s, SCALES * s) for s in DEPTHS)
        self.register_buffer("across", torch.from_numpy(np.stack([across(s) for s in DEPTHS])))

    def forward(self, image: Tensor) -> Tensor:
        """Encode slices with their neighbours, (B, C, S, H, W), to (B, 39 · C, H, W)."""
        batch, channels, count, height, width = image.shape
        found = [self.own(image[:, :, count // 2])]
        for weights, features in zip(self.across, self.smooth, strict=True):
            found.append(features((image * weights.view(-1, 1, 1)).sum(dim=2)))
        grouped = [one.reshape(batch, channels, -1, height, width) for one in found]
        return torch.cat(grouped, dim=2).reshape(batch, -1, height, width)


def _texture(blurred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of the Hessian, the larger one first."""
    down, right = _gradient(blurred, 2), _gradient(blurred, 3)
    rows, mixed, columns = _gradient(down, 2), _gradient(down, 3), _gradient(right, 3)
    middle = (rows + columns) / 2
    apart = (4 * mixed.square() + (rows - columns).square()).sqrt() / 2
    return middle + apart, middle - apart


def _gradient(x: Tensor, axis: int) -> Tensor:
    """``numpy.gradient`` along an axis: central differences, one-sided ones at both ends."""
    length = x.shape[axis]
    first, second = x.narrow(axis, 0, 1), x.narrow(axis, 1, 1)
    last, before = x.narrow(axis, length - 1, 1), x.narrow(axis, length - 2, 1)
    wide = torch.cat([2 * first - second, x, 2 * last - before], dim=axis)
    return (wide.narrow(axis, 2, length) - wide.narrow(axis, 0, length)) / 2
