"""Weights between those of the start and those that were learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["blended"]


def blended(
    start: Mapping[str, torch.Tensor], learned: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Mean of two sets of weights, with a share of the second.

    What was learned from few images is often right in its direction and too far: between the two
    lies what has gained and has not forgotten (WiSE-FT, Wortsman et al. 2022, arXiv:2109.01903).

    Parameters
    ----------
    start, learned : mapping of str to tensor
        Of one network.
    share : float
        0: the start, 1: what was learned.
    """
    return {
        name: one.float().lerp(learned[name].float(), share).to(one.dtype)
        if one.is_floating_point()
        else learned[name]
        for name, one in start.items()
    }
