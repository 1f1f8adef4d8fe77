"""The embedded backbone's network: an image to a unit-norm feature vector for every pixel.

A U-Net of residual blocks: two full convolutions each or, as in ConvNeXt (Liu et al. 2022,
arXiv:2201.03545), a depthwise convolution and then a perceptron for each pixel. Most of the
width lies at the coarse levels, where it is cheap, and one self-attention block at the coarsest
level lets every place see the whole image. Statistics are taken over the channels of one pixel
only, never over the image, so that a tile is treated like the image that it was cut from, but
for what lies beyond its border.

Nothing but torch is needed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pointwise import linear

__all__ = ["EmbeddedNet", "NetworkConfig"]


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the network."""

    in_channels: int = 3  # grey images are repeated
    widths: tuple[int, ...] = (24, 48, 96, 192, 288)  # at full resolution, 1/2, 1/4, ...
    depths: tuple[int, ...] = (1, 2, 4, 3)  # blocks at each level below full resolution
    expansion: int = 3  # width of a block's perceptron, as a multiple of its channels
    kernel: int = 5  # side of a block's depthwise convolution
    block: str = "convnext"  # or "residual": two full 3 × 3 convolutions
    heads: int = 6  # of the self-attention at the deepest level; 0 leaves it out
    head_width: int = 40  # channels of the last convolution at full resolution
    out_channels: int = 48  # length of a pixel's feature vector
    mean: float = 0.45  # this and the next: of the input, which lies in 0..1
    std: float = 0.25

    @property
    def multiple(self) -> int:
        """Sides of the input must be multiples of this."""
        return int(2 ** (len(self.widths) - 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """Build the settings from :meth:`to_dict`'s result, also after a trip through JSON."""
        lists = {"widths", "depths"}
        kept: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in values.items()}
        return cls(**kept)


class Block(nn.Module):
    """Depthwise convolution, then a perceptron for each pixel, added to the input."""

    def __init__(self, width: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.reduce = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        y = _relu(linear(y, self.expand.weight, self.expand.bias))
        y = linear(y, self.reduce.weight, self.reduce.bias)
        return _added((y * self.scale).permute(0, 3, 1, 2), x)


class Residual(nn.Module):
    """Two 3 × 3 convolutions, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.scale = nn.Parameter(torch.full((width, 1, 1), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        y = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        z: Tensor = x + self.second(F.relu(self.first(y))) * self.scale
        return z


class Attention(nn.Module):
    """Self-attention between all places of one image, added to the input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        b, c, h, w = x.shape
        y = self.norm(x.permute(0, 2, 3, 1)).reshape(b, h * w, c)
        qkv = self.qkv(y).reshape(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h, w, c)
        z: Tensor = x + (self.out(y) * self.scale).permute(0, 3, 1, 2)
        return z


class EmbeddedNet(nn.Module):
    """Image to pixel features; see the module's text."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        full, *widths = config.widths
        self.stem = nn.Conv2d(config.in_channels, full, 3, padding=1)
        self.stem2 = nn.Conv2d(full, full, 3, padding=1)
        self.down = nn.ModuleList()
        self.encode = nn.ModuleList()
        for above, width, depth in zip(config.widths, widths, config.depths, strict=False):
            self.down.append(nn.Conv2d(above, width, 2, stride=2))
            self.encode.append(nn.Sequential(*(_block(config, width) for _ in range(depth))))
        self.context = Attention(widths[-1], config.heads) if config.heads else nn.Identity()
        self.last = _block(config, widths[-1])
        self.up = nn.ModuleList()
        self.decode = nn.ModuleList()
        for above, width in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.up.append(nn.Conv2d(width, above, 1))
            self.decode.append(_block(config, above))
        self.up_full = nn.Conv2d(widths[0], config.head_width, 1)
        self.skip_full = nn.Conv2d(full, config.head_width, 1)
        self.head = nn.Conv2d(config.head_width, config.head_width, 3, padding=1)
        self.project = nn.Linear(config.head_width, config.out_channels)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images, (B, C, H, W), float32 in 0..1, to (B, ``out_channels``, H, W), float32.

        H and W are multiples of ``config.multiple``. Each pixel's vector has length 1.
        """
        return self.embed(self.trunk(images).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def trunk(self, images: Tensor) -> Tensor:
        """Encode images up to the last layer, (B, C, H, W) to (B, ``head_width``, H, W)."""
        x = (images - self.config.mean) / self.config.std
        x = _relu(self.stem(x.contiguous(memory_format=torch.channels_last)))
        full = _relu(self.stem2(x))
        x, skips = full, []
        for down, blocks in zip(self.down, self.encode, strict=True):
            x = blocks(down(x))
            skips.append(x)
        x = self.last(self.context(x))
        for up, block, skip in zip(self.up, self.decode, skips[-2::-1], strict=True):
            x = block(_added(_enlarge(_mixed(up, x)), skip))
        x = _added(_enlarge(_mixed(self.up_full, x)), _mixed(self.skip_full, full))
        return _relu(self.head(_relu(x)))

    def embed(self, pixels: Tensor) -> Tensor:
        """Last layer, (..., ``head_width``) to unit-norm (..., ``out_channels``), float32.

        Training applies it to the few pixels of the loss alone.
        """
        return F.normalize(linear(pixels, self.project.weight, self.project.bias).float(), dim=-1)


def _block(config: NetworkConfig, width: int) -> nn.Module:
    if config.block == "residual":
        return Residual(width)
    return Block(width, config.expansion, config.kernel)


def _relu(x: Tensor) -> Tensor:
    """ReLU, in place where nobody asks for gradients: large maps cost more to get than to fill."""
    return F.relu(x, inplace=not torch.is_grad_enabled())


def _added(x: Tensor, y: Tensor) -> Tensor:
    """Sum of two maps, in the first one where nobody asks for gradients."""
    return x + y if torch.is_grad_enabled() else x.add_(y)


def _mixed(layer: nn.Module, x: Tensor) -> Tensor:
    """Convolution of 1 × 1, of (B, C, H, W)."""
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _enlarge(x: Tensor) -> Tensor:
    """Double the sides of (B, C, H, W), linearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
