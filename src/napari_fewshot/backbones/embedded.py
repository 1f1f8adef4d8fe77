"""The embedded backbone: a small network in the package, trained for few-shot labelling."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..download import file_sha256
from ..errors import WeightsError
from .base import BackboneEntry, BackboneSpec, Preprocessing
from .checkpoint import check_fit, read_checkpoint

if TYPE_CHECKING:
    import torch

    from .embedded_network import EmbeddedNet

__all__ = ["FORMAT", "WEIGHTS", "EmbeddedBackbone", "mirrored", "read_network"]

WEIGHTS = Path(__file__).with_name("embedded.safetensors")
"""The weights in the package; ``embedded.md`` beside them is their model card."""

FORMAT = "napari-fewshot embedded 1"
"""Entry ``format`` of the metadata of a weights file."""

_MIN_SIDE = 64
_RECIPE = "2"  # changes whenever the features do, for equal weights

SPEC = BackboneSpec(
    name="embedded",
    summary="learned pixel features for few-shot labels, in the package; grey and colour",
    stride=1,
    preprocessing=Preprocessing(channels=3, resize="none", size=512, multiple=32),
    channels=48,
    licence="BSD-3-Clause",
    size_mb=8.3,
    store=False,
)


class EmbeddedBackbone:
    """Pixel features that were trained so that equal structures are near, across images.

    A U-Net with attention gives every pixel a vector of length 1
    (:class:`~.embedded_network.EmbeddedNet`). It was trained as a matching network (Vinyals et al.
    2016, arXiv:1606.04080) on synthetic images alone; ``pretraining/`` in the repository has the
    code.

    The features of the image at half its size are added, and the sum is brought back to length 1:
    what is near at half size is context at full size.
    """

    spec = SPEC

    def __init__(self, network: EmbeddedNet, weights_hash: str) -> None:
        self.network = network
        self.weights_hash = weights_hash

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode the middle slices; see :class:`~.base.Backbone`."""
        from torch.nn.functional import interpolate, normalize

        rows, columns = images.shape[-2:]
        image = mirrored(images[:, images.shape[1] // 2])
        small = interpolate(image, scale_factor=0.5, mode="bilinear", antialias=True)
        height, width = small.shape[-2:]
        coarse = self.network(mirrored(small))[..., :height, :width]
        coarse = interpolate(coarse, scale_factor=2.0, mode="bilinear")
        features = normalize(self.network(image).add_(coarse), dim=1)
        return features[..., :rows, :columns]

    def to(self, device: str) -> EmbeddedBackbone:
        """Move the weights to a torch device and return the backbone."""
        self.network.to(device)
        return self


def mirrored(image: torch.Tensor) -> torch.Tensor:
    """Mirror images, shape (B, C, H, W), at the lower and right edge until no side is too short.

    In an input of 32 pixels the network sees too little: its features differ so much from those of
    33 pixels, which are padded to twice that, that one does not find what the other has taught.
    """
    import torch

    for axis in (-2, -1):
        while image.shape[axis] < _MIN_SIDE:
            image = torch.cat([image, image.flip(axis)], dim=axis)
    return image


def read_network(path: Path) -> EmbeddedNet:
    """Build the network of a weights file of ours, in float32, on the CPU, ready to encode."""
    import torch

    from .embedded_network import EmbeddedNet, NetworkConfig

    state = read_checkpoint(path)
    try:
        config = NetworkConfig.from_dict(json.loads(_metadata(path)["network"]))
        if sum(config.depths) + len(config.widths) > len(state):
            raise ValueError(f"{sum(config.depths)} blocks in {len(state)} tensors")
        with torch.device("meta"):  # no memory is taken for what a file only claims
            expected = EmbeddedNet(config).state_dict()
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged description makes of itself
        raise WeightsError(
            f"The weights file {path} must describe a network of backbone {SPEC.name}; its "
            f"description cannot be used ({type(error).__name__}: {error}). Fetch it again."
        ) from error
    check_fit(SPEC.name, path, expected, state)
    network = EmbeddedNet(config)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _load(weights: Path | None, blocks: int) -> EmbeddedBackbone:
    path = WEIGHTS if weights is None else weights
    network = read_network(path)
    found = network.config.in_channels, network.config.out_channels, network.config.multiple
    needed = SPEC.preprocessing.channels, SPEC.channels, SPEC.preprocessing.multiple // 2
    if found != needed:
        raise WeightsError(
            f"The weights file {path} must be of a network whose input channels, features and "
            f"multiple of the sides are {needed}; got {found}."
        )
    digest = hashlib.sha256(f"{_RECIPE} {file_sha256(path)}".encode()).hexdigest()
    return EmbeddedBackbone(network, digest)


def _metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file of ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            found: dict[str, str] = file.metadata() or {}
    except SafetensorError:
        found = {}  # a torch file
    if found.get("format") != FORMAT or "network" not in found:
        raise WeightsError(
            f"The weights file {path} must be of backbone {SPEC.name}, as pretraining.export "
            f"writes it (format {FORMAT!r}); got {found.get('format')!r}."
        )
    return found


ENTRIES = {SPEC.name: BackboneEntry(SPEC, _load, lambda: True)}
