"""Processes that train one network together, each on a device of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Group", "open_group"]

Value = TypeVar("Value")

INSTALL = 'Install it: pip install "napari-fewshot[finetune]".'


class Group:
    """One process alone; :func:`open_group` gives those of several.

    Parameters
    ----------
    device : str
        That of this process.
    fabric : Fabric, optional
        Of Lightning, launched; None: there is no other process.
    """

    def __init__(self, device: str, fabric: Any = None) -> None:
        self.device, self._fabric = device, fabric

    @property
    def rank(self) -> int:
        """Number of this process; 0 judges, writes and tells."""
        return 0 if self._fabric is None else int(self._fabric.global_rank)

    @property
    def size(self) -> int:
        """Number of processes."""
        return 1 if self._fabric is None else int(self._fabric.world_size)

    @property
    def leads(self) -> bool:
        """Whether this process judges, writes and tells."""
        return self.rank == 0

    def average(self, weights: Iterable[torch.Tensor]) -> None:
        """Average the gradients of weights over all processes."""
        if self._fabric is None:
            return
        import torch

        for weight in weights:
            if weight.requires_grad:  # one process may have none of it, where others have
                own = torch.zeros_like(weight) if weight.grad is None else weight.grad
                weight.grad = self._fabric.all_reduce(own, reduce_op="mean")

    def agree(self, value: Value) -> Value:
        """What the first process says."""
        if self._fabric is None:
            return value
        found: Value = self._fabric.broadcast(value)
        return found


def open_group(device: str, devices: int) -> Group:
    """Start the other processes, which run this command again, each on a device of its own.

    Raises
    ------
    InputError
        If Lightning Fabric is not installed, or there are not so many devices.
    """
    if devices == 1:
        return Group(device)
    import torch

    kind = device.partition(":")[0]
    there = torch.cuda.device_count() if kind == "cuda" else devices
    if kind not in ("cpu", "cuda") or devices > there:
        what = f"be at most the {there} CUDA devices here" if kind == "cuda" else f"be 1 on {kind}"
        raise InputError("config.devices", what, devices)
    try:
        from lightning_fabric import Fabric
    except ImportError:
        given = f"{devices} without Lightning Fabric"
        raise InputError("config.devices", "be 1", given, INSTALL) from None
    fabric = Fabric(accelerator=kind, devices=devices, strategy="ddp")
    fabric.launch()
    return Group(str(fabric.device), fabric)
