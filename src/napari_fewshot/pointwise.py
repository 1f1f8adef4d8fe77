"""Linear layers for many pixels at once, without gradients, as fast as the processor allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["linear"]

_MIN_ROWS = 256
_IMAGES = range(16, 65)


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Multiply vectors, shape (..., C), by a weight (M, C) and add a bias (M,): (..., M).

    The same as :func:`torch.nn.functional.linear` but for the last bits. On a CPU without gradients
    it goes as a convolution of 1 × 1 over 16 images or more, since torch hands these to oneDNN,
    which uses all of the vector width of any processor; MKL, which multiplies matrices, uses half
    of it on those that are not Intel's, and takes 2.2 times as long.
    """
    import torch
    from torch.nn import functional

    rows = x.numel() // x.shape[-1]
    if x.device.type == "cpu" and rows >= _MIN_ROWS and not torch.is_grad_enabled():
        images = next((n for n in _IMAGES if rows % n == 0), None)
        if images is not None:
            # Pixels lie one after the other, which makes these channels-last images.
            pixels = x.reshape(images, 1, rows // images, -1).permute(0, 3, 1, 2)
            y = functional.conv2d(pixels, weight[:, :, None, None], bias)
            return y.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)
    return functional.linear(x, weight, bias)
