"""The small networks of the adapters."""

from __future__ import annotations

from torch import nn

__all__ = ["feed_forward"]


def feed_forward(
    inputs: int, hidden: int, outputs: int, layers: int, dropout: float
) -> nn.Sequential:
    """A feed-forward network of ``layers`` linear layers with ReLU between them."""
    modules: list[nn.Module] = []
    width = inputs
    for _ in range(layers - 1):
        modules += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
        width = hidden
    return nn.Sequential(*modules, nn.Linear(width, outputs))
