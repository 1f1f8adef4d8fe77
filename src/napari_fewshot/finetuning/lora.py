"""What of a transformer learns: its last blocks, low-rank changes of its layers, or all of it."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from ..config import DistillationConfig

__all__ = ["LowRank", "choose_weights", "merged"]

_LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


class LowRank(nn.Module):
    """A weight of a linear layer plus a product of two thin matrices, the second zero at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(rank, columns, device=weight.device) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + self.up @ self.down


def choose_weights(network: Any, config: DistillationConfig) -> list[tuple[nn.Parameter, int]]:
    """Make what learns ask for gradients; parameters, each with its distance from the output.

    The distance is in blocks: 0 is the last one and the norm behind it.
    """
    network.requires_grad_(False)
    blocks = list(network.blocks)
    if config.train == "lora":
        for block in blocks:
            for name in _LAYERS:
                layer = _member(block, name)
                if isinstance(layer, nn.Linear):
                    parametrize.register_parametrization(
                        layer, "weight", LowRank(layer.weight, config.rank)
                    )
            for module in block.modules():
                if isinstance(module, LowRank):
                    module.requires_grad_(True)
    else:
        whole = config.train == "all"
        chosen = blocks if whole else blocks[-config.blocks :]
        for module in [network] if whole else [*chosen, network.norm]:
            module.requires_grad_(True)
    depth = {id(p): len(blocks) for p in network.parameters()}
    for number, block in enumerate(blocks):
        depth |= {id(p): len(blocks) - 1 - number for p in block.parameters()}
    depth |= {id(p): 0 for p in network.norm.parameters()}
    return [(p, depth[id(p)]) for p in network.parameters() if p.requires_grad]


def merged(network: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """Tensors by the names of the plain network, with low-rank changes in them."""
    with torch.no_grad():
        return {name: _member(network, name).detach().cpu().clone() for name in names}


def _member(module: Any, name: str) -> Any:
    return reduce(lambda owner, part: getattr(owner, part, None), name.split("."), module)
