"""Backbones: image slices in, feature grids out."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .base import BACKBONES, Backbone, BackboneEntry, BackboneSpec, Preprocessing

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneEntry",
    "BackboneSpec",
    "Preprocessing",
    "backbone_entry",
    "get_backbone",
    "list_backbones",
    "weights_available",
]


def list_backbones() -> tuple[BackboneSpec, ...]:
    """Return the specs of all registered backbones, in the order of registration."""
    return tuple(entry.spec for _, entry in BACKBONES.items())


def backbone_entry(name: str) -> BackboneEntry:
    """Return the entry called ``name``: a registered one, or ``timm:<name of timm>``."""
    from .timm_network import PREFIX, any_timm_entry

    if name.startswith(PREFIX) and name not in BACKBONES:
        return any_timm_entry(name)
    return BACKBONES.get(name)


def get_backbone(name: str, weights: str | Path | None = None, blocks: int = 1) -> Backbone:
    """Load a backbone, on the CPU.

    Parameters
    ----------
    name : str
        See :func:`backbone_entry`.
    weights : path, optional
        A local checkpoint in place of the download: the hub's safetensors or the official
        ``.pth``; or a folder that holds one.
    blocks : int
        Last blocks (or stages) whose outputs are joined; ignored where there are none.

    Raises
    ------
    UnknownNameError
        If there is no such backbone.
    InputError
        If ``blocks`` is below 1 or above the depth of the network.
    WeightsError
        If the weights are missing, damaged or of another network.
    """
    entry = backbone_entry(name)
    if blocks < 1:
        raise InputError("blocks", "be at least 1", blocks)
    return entry.load(Path(weights) if weights is not None else None, blocks)


def weights_available(name: str) -> bool:
    """Whether a backbone can be loaded now without a download."""
    return backbone_entry(name).available()
