"""What every training here does with its gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["clipped_step", "follow"]


def clipped_step(network: nn.Module, optimiser: torch.optim.Optimizer, clip: float) -> float:
    """Take a step with clipped gradients, none where they are not finite; return their norm."""
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
    if torch.isfinite(norm):
        optimiser.step()
    return float(norm)


def follow(average: Mapping[str, Tensor], network: nn.Module, step: int, most: float) -> None:
    """Move averaged weights towards those of a network, faster in the first steps.

    Parameters
    ----------
    average : mapping of str to tensor
        Changed in place.
    network : nn.Module
        After the step.
    step : int
        Steps that were taken.
    most : float
        Share of the average that stays, in the long run.
    """
    decay = min(most, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - decay)
