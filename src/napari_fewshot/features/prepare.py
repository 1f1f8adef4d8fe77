"""Slices in 0..1 to inputs of a network, as the backbone's spec says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..backbones.base import Preprocessing
from ..errors import InputError
from ..types import Array
from .layout import Layout

if TYPE_CHECKING:
    import torch

__all__ = ["FLAT", "input_groups", "prepare"]

FLAT = 1e-6
"""A slice in 0..1 whose values differ by less is constant: the rest is rounding of float32."""


def input_groups(channels: int, prep: Preprocessing) -> int:
    """Count the inputs that a slice of ``channels`` channels makes; their features are joined."""
    return 1 if prep.channels is None or channels in (1, prep.channels) else channels


def prepare(image: Array, prep: Preprocessing, layout: Layout) -> torch.Tensor:
    """Prepare one slice.

    Parameters
    ----------
    image : array, shape (C, H, W), float32, 0..1
        The slice.
    prep : Preprocessing
        What the backbone expects.
    layout : Layout
        From :func:`~napari_fewshot.features.layout.plan_layout`.

    Returns
    -------
    tensor, shape (G, C', h, w), float32
        G inputs (:func:`input_groups`) of the padded size of the layout, on the CPU.

    Raises
    ------
    InputError
        If the slice has another shape than the layout, or is not finite.
    """
    import torch

    if image.ndim != 3 or image.shape[1:] != layout.shape:
        raise InputError(
            "slice", f"have shape (C, {layout.shape[0]}, {layout.shape[1]})", f"shape {image.shape}"
        )
    if not np.isfinite(image).all():
        raise InputError("slice", "be finite", "NaN or infinity", "Normalise the volume first.")
    x = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    if prep.channels is None or len(x) == prep.channels:
        x = x[None]
    else:
        x = x[:, None].expand(-1, prep.channels, -1, -1)
    x = _resize(x, layout.resized, smooth=prep.resize in ("grid", "square"))
    if prep.scale == "minmax":
        low = x.amin(dim=(1, 2, 3), keepdim=True)
        width = x.amax(dim=(1, 2, 3), keepdim=True) - low
        x = (x - low) / torch.where(width < FLAT, 1.0, width)
    mean = torch.tensor(prep.mean, dtype=torch.float32).view(1, -1, 1, 1)
    std = torch.tensor(prep.std, dtype=torch.float32).view(1, -1, 1, 1)
    x = (x - mean) / std
    return _pad(x, layout.padded, zeros=prep.resize == "longest")


def _resize(x: torch.Tensor, size: tuple[int, int], *, smooth: bool) -> torch.Tensor:
    """Bicubic without overshoot (``smooth``) or bilinear, with antialiasing when shrinking."""
    from torch.nn.functional import interpolate

    if tuple(x.shape[-2:]) == size:
        return x
    low, high = x.amin(), x.amax()
    mode = "bicubic" if smooth else "bilinear"
    # Enlarging has nothing to antialias, but with it torch takes the cubic kernel of Pillow,
    # which keeps linear ramps straight (a = -0.5); the other one (a = -0.75) does not.
    return interpolate(x, size, mode=mode, align_corners=False, antialias=True).clamp(low, high)


def _pad(x: torch.Tensor, size: tuple[int, int], *, zeros: bool) -> torch.Tensor:
    """Pad at the lower and right edge: with zeros after normalisation (SAM), else mirrored.

    numpy's ``symmetric`` also pads by more than the slice has, where torch's ``reflect`` fails.
    """
    import torch

    below, right = size[0] - x.shape[-2], size[1] - x.shape[-1]
    if not (below or right):
        return x
    if zeros:
        return torch.nn.functional.pad(x, (0, right, 0, below))
    widths = ((0, 0), (0, 0), (0, below), (0, right))
    return torch.from_numpy(np.pad(x.numpy(), widths, mode="symmetric"))
