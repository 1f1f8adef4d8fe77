"""The cross-block network of UniverSeg, with the names of the official checkpoint.

Butoi et al. 2023, "UniverSeg: Universal Medical Image Segmentation". A target image and the
images of a support set, each with its mask, pass a U-Net together. In every block each target
feature map is convolved together with every support feature map; the mean over the support is
what the target goes on with.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from ...backbones.checkpoint import check_fit, read_checkpoint
from ...errors import WeightsError

__all__ = ["CrossBlock", "CrossConvolution", "UniverSegNetwork", "load_universeg"]


class CrossConvolution(nn.Module):
    """Convolves the target together with each support map.

    The convolution of joined channels is the sum of a convolution of the target, which is made
    once, and one of each support map.
    """

    def __init__(self, target: int, support: int, width: int) -> None:
        super().__init__()
        self.channels = target
        self.cross_conv = nn.Conv2d(target + support, width, kernel_size=3, padding=1)

    def forward(
        self, target: torch.Tensor, support: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Convolve (1, Ct, H, W) and (S, Cs, H, W); returns the mean and all S results."""
        weight, bias = self.cross_conv.weight, self.cross_conv.bias
        shared = functional.conv2d(target, weight[:, : self.channels], bias, padding=1)
        each = functional.conv2d(support, weight[:, self.channels :], padding=1) + shared
        return each.mean(dim=0, keepdim=True), each


def _convolution(channels: int, width: int, kernel: int) -> nn.Sequential:
    """A convolution; a level of names in the official checkpoint."""
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
    return nn.Sequential(OrderedDict(conv=convolution))


def _each(channels: int, width: int) -> nn.Sequential:
    """A convolution of every map and its activation, two levels of names."""
    return nn.Sequential(OrderedDict(vmapped=_convolution(channels, width, 3), act=nn.LeakyReLU()))


class CrossBlock(nn.Module):
    """A cross convolution to ``cross`` channels, then a convolution of both sides to ``width``."""

    def __init__(self, target: int, support: int, cross: int, width: int) -> None:
        super().__init__()
        self.cross = CrossConvolution(target, support, cross)
        self.target = _each(cross, width)
        self.support = _each(cross, width)

    def forward(
        self, target: torch.Tensor, support: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return target (1, width, H, W) and support (S, width, H, W)."""
        mean, each = self.cross(target, support)
        return self.target(mean), self.support(each)


class UniverSegNetwork(nn.Module):
    """The whole network.

    ``encoder`` and ``decoder`` are the channels after the cross convolution and after the block,
    of each block; the decoder has one block less. The official network has 64 everywhere, with
    four blocks down.
    """

    def __init__(
        self, encoder: Sequence[tuple[int, int]], decoder: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.enc_blocks, self.dec_blocks = nn.ModuleList(), nn.ModuleList()
        target, support = 1, 2  # the image; an image and its mask
        for cross, width in encoder:
            self.enc_blocks.append(CrossBlock(target, support, cross, width))
            target = support = width
        skipped = [width for _, width in encoder[:-1]]
        for (cross, width), beside in zip(decoder, reversed(skipped), strict=True):
            self.dec_blocks.append(CrossBlock(target + beside, support + beside, cross, width))
            target = support = width
        self.out_conv = _convolution(target, 1, kernel=1)

    def forward(
        self, image: torch.Tensor, images: torch.Tensor, masks: torch.Tensor
    ) -> torch.Tensor:
        """Logits (H, W) of an image (H, W) by a support set of images and masks (S, H, W).

        Images are in 0..1, masks of 0 and 1; sides are multiples of 2 to the number of encoder
        blocks less one.
        """
        target = image[None, None]
        support = torch.stack([images, masks], dim=1)
        skipped = []
        for block in self.enc_blocks[:-1]:
            target, support = block(target, support)
            skipped.append((target, support))
            target, support = (functional.max_pool2d(maps, 2) for maps in (target, support))
        target, support = self.enc_blocks[-1](target, support)
        for block in self.dec_blocks:
            beside = skipped.pop()
            target, support = (
                torch.cat([_doubled(maps), skip], dim=1)
                for maps, skip in zip((target, support), beside, strict=True)
            )
            target, support = block(target, support)
        logits: torch.Tensor = self.out_conv(target)[0, 0]
        return logits


def _doubled(maps: torch.Tensor) -> torch.Tensor:
    # The corners stay where they are, as when the official weights were trained.
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)


def load_universeg(path: Path) -> UniverSegNetwork:
    """Build the network of a checkpoint in the official format; its tensors show its sizes.

    Raises
    ------
    WeightsError
        If the file is damaged or of another network.
    """
    state = read_checkpoint(path)
    encoder, decoder = (_sizes(state, part) for part in ("enc_blocks", "dec_blocks"))
    if not encoder or len(decoder) != len(encoder) - 1:
        raise WeightsError(
            f"The weights file {path} must be a checkpoint of UniverSeg, with enc_blocks and one "
            f"dec_blocks less; it has {len(encoder)} and {len(decoder)}."
        )
    network = UniverSegNetwork(encoder, decoder)
    check_fit("universeg", path, network.state_dict(), state)
    network.load_state_dict(state)
    return network.eval()


def _sizes(state: Mapping[str, torch.Tensor], part: str) -> list[tuple[int, int]]:
    """Channels of each block of the encoder or the decoder."""
    numbers = {m[1] for m in (re.match(rf"{part}\.(\d+)\.", name) for name in state) if m}
    found = []
    for number in range(len(numbers)):
        cross = state.get(f"{part}.{number}.cross.cross_conv.weight")
        last = state.get(f"{part}.{number}.target.vmapped.conv.weight")
        if cross is None or last is None:
            break
        found.append((int(cross.shape[0]), int(last.shape[0])))
    return found
