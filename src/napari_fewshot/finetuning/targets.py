"""What a teacher says, brought to a spread that can be learned from."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

__all__ = ["Standardised"]

_SPREAD = 0.2
_MOMENTUM = 0.9


class Standardised(nn.Module):
    """Outputs of a head less the mean of the batch, of one running spread.

    A network of random weights, or one that sees images unlike those it knows, finds all of them
    much alike: what differs between the outputs for two of them is far smaller than the temperature
    of the teacher. It then says the same of everything, to which the student comes soon, and
    nothing is learned (measured: the entropy of a teacher rose to .999 of the highest one).
    The mean is that of the batch, since a running one lets pass what a whole batch has in common.
    """

    def __init__(self) -> None:
        super().__init__()
        self.variance: Tensor
        self.seen: Tensor
        self.register_buffer("variance", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    @torch.no_grad()
    def forward(self, found: Tensor) -> Tensor:
        """Bring outputs (n, outputs) to mean 0 and one spread; they count for those that follow."""
        self.seen += 1
        share = max(1 - _MOMENTUM, 1 / float(self.seen))  # the first ones as a plain mean
        centred = found - _of_all(found.mean(0))
        self.variance.lerp_(_of_all(centred.square().mean()), share)
        return centred * (_SPREAD / self.variance.sqrt().clamp(min=1e-6))


def _of_all(value: Tensor) -> Tensor:
    """Mean over all processes that train together."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(value)
        value = value / distributed.get_world_size()
    return value
