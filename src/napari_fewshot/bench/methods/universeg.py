"""UniverSeg: segments by a support set in one pass, without any training here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ...adapters.base import fitted
from ...backbones.weights import (
    WEIGHTS_FOLDER,
    WeightsSource,
    find_weights,
    resolve_weights,
    weights_folder,
)
from ...device import choose_device
from ...errors import InputError, WeightsError
from ...features.layout import FLAT
from ...slices.grid import resize_plane
from ...templates.known import class_plane
from ...templates.template import Template
from ...types import Array, Progress, no_progress
from . import MethodContext, MethodEntry
from .baseline import Baseline, BaselineConfig, collect_slices

if TYPE_CHECKING:
    import torch

    from .universeg_network import UniverSegNetwork

__all__ = ["SOURCE", "UniverSeg", "UniverSegConfig"]

SIDE = 128
"""Rows and columns that the network was trained with."""

SOURCE = WeightsSource(
    name="universeg",
    licence="OpenRAIL++-M, research use only",
    official_file="universeg_v1_nf64_ss64_STA.pt",
)
_RELEASE = "https://github.com/JJGO/UniverSeg/releases/tag/weights"


_Support = tuple["torch.Tensor", "torch.Tensor"]
"""Images and masks, both (S, 128, 128)."""


class UniverSegConfig(BaselineConfig):
    """Settings of UniverSeg."""

    weights: str | None = None
    """Checkpoint in the official format, or a folder with it; None: the folder of weights."""
    support: int = Field(default=64, ge=1)
    """Most template slices in a support set; the official network was trained with 64."""
    ensemble: int = Field(default=1, ge=1)
    """Support sets drawn at random where there are more; their probabilities are averaged."""


class UniverSeg(Baseline[UniverSegConfig]):
    """UniverSeg as a method of the benchmark; labels run one by one.

    Of a label, the support set holds template slices on which it occurs. The network knows no
    unknown pixels: those of scribbles count as background.
    """

    name = "universeg"

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        super().__init__(UniverSegConfig.of(context.with_intensity(settings), "settings"), context)
        self._network: UniverSegNetwork | None = None
        self._supports: list[list[_Support]] = []

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Load the network and collect the support sets of each label."""
        from .universeg_network import load_universeg

        network = load_universeg(_weights(self.config.weights))
        training = collect_slices(templates, self.config)
        count = len(training.examples)
        images = []
        for number in range(count):
            images.append(square(training.image(number)))
            progress(number + 1, count, "template slices")
        planes = [class_plane(known, training.label_values) for known in training.examples]
        device = choose_device(self.context.device)
        rng = np.random.default_rng(self.context.seed)
        self._supports = []
        for number, value in enumerate(training.label_values, start=1):
            masks = [resize_plane(plane == number, (SIDE, SIDE), nearest=True) for plane in planes]
            found = [k for k, mask in enumerate(masks) if mask.any()]
            if not found:
                raise InputError(
                    "templates",
                    f"leave a pixel of every label at {SIDE} × {SIDE} pixels",
                    f"none of label {value}",
                )
            draws = _draws(found, self.config, rng)
            self._supports.append([_support(images, masks, draw, device) for draw in draws])
        self._network, self.training = network.to(device), training

    def classify(self, image: Array) -> Array:
        """Probability of each label, and of background with a probability of one half."""
        import torch

        network = fitted(self._network, self.name)
        target = torch.from_numpy(square(image)).to(next(network.parameters()).device)
        logits = [torch.zeros_like(target)]
        with torch.inference_mode():
            for sets in self._supports:
                found = [torch.sigmoid(network(target, *support).float()) for support in sets]
                logits.append(torch.logit(torch.stack(found).mean(dim=0), eps=1e-6))
            # Background has the logit 0: a label wins where it is the most probable one and
            # above one half.
            probabilities = torch.stack(logits).softmax(dim=0).cpu().numpy()
        return resize_plane(probabilities, (image.shape[1], image.shape[2]))


def square(image: Array) -> Array:
    """Bring a slice (C, H, W) to one channel of 128 × 128 pixels with values from 0 to 1."""
    plane = resize_plane(image.mean(axis=0), (SIDE, SIDE))
    low, high = float(plane.min()), float(plane.max())
    if high - low < FLAT:
        return np.zeros_like(plane, np.float32)
    scaled: Array = (plane - low) / (high - low)
    return scaled.astype(np.float32)


def _draws(slices: list[int], config: UniverSegConfig, rng: np.random.Generator) -> list[list[int]]:
    """Slices of each support set: all of them, or draws of as many as fit."""
    if len(slices) <= config.support:
        return [slices]
    drawn = (rng.choice(slices, config.support, replace=False) for _ in range(config.ensemble))
    return [sorted(int(k) for k in one) for one in drawn]


def _support(
    images: Sequence[Array], masks: Sequence[Array], chosen: Sequence[int], device: str
) -> _Support:
    import torch

    pixels = torch.from_numpy(np.stack([images[k] for k in chosen]))
    painted = torch.from_numpy(np.stack([masks[k] for k in chosen]).astype(np.float32))
    return pixels.to(device), painted.to(device)


def _weights(given: str | None) -> Path:
    """Where the checkpoint is; it is never fetched, since its authors publish no digest."""
    if given is not None:
        return resolve_weights(SOURCE, Path(given))
    found = find_weights(SOURCE)
    if found is None:
        raise WeightsError(
            f"The weights of UniverSeg ({SOURCE.official_file}, licence {SOURCE.licence}) are not "
            f"in {weights_folder()}. They are not fetched here, because no sha256 of them is "
            f"published to check them with. Fetch them from {_RELEASE} and name the file in the "
            f"setting weights, or put it into the folder named by {WEIGHTS_FOLDER}."
        )
    return found


ENTRIES = {
    "universeg": MethodEntry(
        name="universeg",
        summary="UniverSeg: a support set of template slices in place of training",
        make=UniverSeg,
        about={
            "paper": "Butoi et al. 2023, UniverSeg: Universal Medical Image Segmentation",
            "licence": f"weights: {SOURCE.licence}",
        },
    )
}
