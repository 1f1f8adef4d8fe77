"""The contract of a backbone: image slices in, feature grids out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from ..registry import Registry

if TYPE_CHECKING:
    import torch

__all__ = ["BACKBONES", "Backbone", "BackboneEntry", "BackboneSpec", "Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """How a slice in 0..1 becomes the input of a network."""

    channels: int | None = 3
    """Input channels of the network. A grey slice is repeated; a slice with another number of
    channels is encoded channel by channel as grey and the features are joined. None: any number,
    taken as it is."""
    mean: tuple[float, ...] = (0.0,)
    """Subtracted from the channels, after scaling."""
    std: tuple[float, ...] = (1.0,)
    """Divided into the channels, after that."""
    scale: Literal["unit", "minmax"] = "unit"
    """``unit`` keeps the range that intensity normalisation gave; ``minmax`` stretches each slice
    to 0..1 (MedSAM)."""
    resize: Literal["grid", "longest", "square", "none"] = "none"
    """``grid``: enlarge until the token grid is fine enough, tile when it is too large.
    ``longest``: longest side to ``size``, then pad at the lower right to a square (SAM).
    ``square``: both sides to ``size`` whatever the aspect (MedSAM). ``none``: as it is. Bicubic
    with ``grid`` and ``square``, bilinear with ``longest``, as the authors' code."""
    size: int | None = None
    """Target of ``longest`` and ``square``; with ``grid`` and ``none``, the largest tile side."""
    multiple: int = 1
    """Sides of the input must be multiples of this (the patch size)."""

    @property
    def is_fixed(self) -> bool:
        """Whether all inputs have one size, whatever the slice (SAM)."""
        return self.resize in ("longest", "square")


@dataclass(frozen=True)
class BackboneSpec:
    """What is known of a backbone before its weights are loaded."""

    name: str
    summary: str
    """One line for people who choose."""
    stride: int
    """Input pixels for each cell of the feature grid; 1 for pixel grids."""
    preprocessing: Preprocessing
    channels: int | None = None
    """Feature channels C for one encoded input; None where it depends on the input."""
    context: int = 0
    """Neighbouring slices on each side that the network looks at."""
    halo: int = 0
    """Pixels round each that its features depend on, where there is such a limit: tiles then join
    without a trace. 0: none, or not known."""
    licence: str = ""
    """SPDX name of the licence of the weights."""
    source: str = "built in"
    """Where the weights come from: a hub id or URL."""
    size_mb: float | None = None
    """Size of the weights."""
    sha256: str | None = None
    """Checked after a download."""
    store: bool = True
    """Whether features are worth keeping on disk; False where computing is cheaper than reading."""
    former_hashes: tuple[str, ...] = ()
    """Digests that earlier releases gave to the same features; models hold them."""


class Backbone(Protocol):
    """A loaded backbone."""

    spec: BackboneSpec
    weights_hash: str
    """Hexadecimal digest that changes whenever the features could change: of the weights for a
    network, of the algorithm and its settings otherwise."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode a batch of prepared inputs.

        Parameters
        ----------
        images : tensor, shape (B, S, C, H, W), float32
            Preprocessed slices; S = 1 + 2 · ``spec.context`` neighbouring slices, of which the
            middle one is encoded. H and W are multiples of ``spec.preprocessing.multiple``.

        Returns
        -------
        tensor, shape (B, F, H / stride, W / stride), float32, on the device of ``images``
        """
        ...

    def to(self, device: str) -> Backbone:
        """Move the weights to a torch device and return the backbone."""
        ...


@dataclass(frozen=True)
class BackboneEntry:
    """A registered backbone: its spec, and how to load it."""

    spec: BackboneSpec
    load: Callable[[Path | None, int], Backbone]
    """``load(weights, blocks)``: ``weights`` is a local checkpoint that takes the place of the
    download, ``blocks`` the number of last blocks whose outputs are joined (ignored where there
    are none)."""
    available: Callable[[], bool]
    """Whether it can be loaded now without a download."""


BACKBONES: Registry[BackboneEntry] = Registry(
    "backbone",
    ".backbones.embedded",
    ".backbones.multiscale",
    ".backbones.dino",
    ".sam.model",
)
