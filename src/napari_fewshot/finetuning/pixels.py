"""Features of single pixels, made as prediction makes them, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..backbones.embedded import mirrored
from ..backbones.embedded_network import EmbeddedNet
from .matching import gather_pixels

__all__ = ["Maps", "encode"]


class Maps:
    """What the network makes of images, of which the features of any pixel can be asked.

    Features of the image and of the image at half its size are summed, as in the backbone; the
    last layer at full size is applied to the asked pixels alone.
    """

    def __init__(self, network: EmbeddedNet, trunk: Tensor, coarse: Tensor) -> None:
        self.network, self.trunk, self.coarse = network, trunk, coarse

    def at(self, index: Tensor) -> Tensor:
        """Features of length 1, (B, P, C), of pixels, (B, P), of the first B images."""
        count = len(index)
        fine = self.network.embed(gather_pixels(self.trunk[:count], index[:, None])[:, 0])
        coarse = gather_pixels(self.coarse[:count], index[:, None])[:, 0]
        return normalize(fine + coarse.float(), dim=-1)


def encode(network: EmbeddedNet, images: Tensor) -> Maps:
    """Encode images, (B, 3, H, W), whose sides are multiples of the network's."""
    height, width = images.shape[-2:]
    small = interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
    coarse = network(mirrored(_full(small, network.config.multiple)))
    coarse = coarse[..., : small.shape[-2], : small.shape[-1]]
    coarse = interpolate(coarse, (height, width), mode="bilinear")
    trunk = network.trunk(mirrored(images))[..., :height, :width]
    return Maps(network, trunk, coarse)


def _full(images: Tensor, multiple: int) -> Tensor:
    """Mirror images at the lower and right edge until their sides are multiples."""
    for axis in (-2, -1):
        more = -images.shape[axis] % multiple
        if more:
            edge = images.narrow(axis, images.shape[axis] - more, more)
            images = torch.cat([images, edge.flip(axis)], dim=axis)
    return images
