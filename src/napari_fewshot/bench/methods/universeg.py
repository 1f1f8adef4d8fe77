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
from ...config import IntensityConfig, ResamplingConfig
from ...config.base import StageConfig
from ...device import choose_device
from ...errors import InputError, WeightsError
from ...features.layout import FLAT
from ...slices.grid import resize_plane
from ...templates.template import Template
from ...types import Array, Progress, Volume, no_progress
from .base import MethodContext, MethodEntry, Predicted
from .slice_set import SliceSet, label_volume, volume_stack

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


class UniverSegConfig(StageConfig):
    """Settings of UniverSeg.

    Parameters
    ----------
    weights : str, optional
        Checkpoint in the official format, or a folder with it; None: the folder of weights.
    support : int
        Most template slices in a support set; the official network was trained with 64.
    ensemble : int
        Support sets drawn at random where there are more slices; their probabilities are
        averaged.
    intensity : IntensityConfig
        Before each slice is scaled to 0..1 by its least and largest value.
    resampling : ResamplingConfig
        Before each slice is brought to 128 × 128.
    """

    weights: str | None = None
    support: int = Field(default=64, ge=1)
    ensemble: int = Field(default=1, ge=1)
    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()


class UniverSeg:
    """UniverSeg as a method of the benchmark; labels run one by one.

    Of a label, the support set holds template slices on which it occurs. The network knows no
    unknown pixels: those of scribbles count as background.

    Parameters
    ----------
    config : UniverSegConfig
    context : MethodContext
    """

    def __init__(self, config: UniverSegConfig, context: MethodContext) -> None:
        self.config, self.context = config, context
        self._learned: SliceSet | None = None
        self._network: UniverSegNetwork | None = None
        self._supports: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Load the network and collect the support sets of each label."""
        import torch

        from .universeg_network import load_universeg

        config = self.config
        network = load_universeg(_weights(config.weights))
        learned = SliceSet.of(templates, config.intensity, config.resampling)
        device = choose_device(self.context.device)
        images = []
        for number in range(len(learned)):
            images.append(torch.from_numpy(square(learned.image(number))))
            progress(number + 1, len(learned), "template slices")
        rng = np.random.default_rng(self.context.seed)
        self._supports = []
        for number, value in enumerate(learned.values):
            found = []
            for k, image in enumerate(images):
                mask = resize_plane(learned.classes(k) == number + 1, (SIDE, SIDE), nearest=True)
                if mask.any():
                    found.append((image, torch.from_numpy(mask.astype(np.float32))))
            if not found:
                raise InputError(
                    "templates",
                    f"leave a pixel of every label at {SIDE} × {SIDE} pixels",
                    f"none of label {value}",
                )
            sets = []
            for chosen in _draws(found, config.support, config.ensemble, rng):
                support = (torch.stack([pair[part] for pair in chosen]) for part in (0, 1))
                some, masks = (stacked.to(device) for stacked in support)
                sets.append((some, masks))
            self._supports.append(sets)
        self._network, self._learned = network.to(device), learned

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label the slices of a volume."""
        learned = fitted(self._learned, "universeg")
        stack = volume_stack(volume, axis, learned, self.config.intensity, self.config.resampling)

        def plane(index: int) -> Array:
            return self._classify(stack.slice(index))

        return label_volume(stack, learned, plane, progress, landmarks=self.context.landmarks)

    def _classify(self, image: Array) -> Array:
        """Probability of each label, and of background with odds of one half."""
        import torch

        network = fitted(self._network, "universeg")
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


def _draws(
    found: list[tuple[torch.Tensor, torch.Tensor]], most: int, sets: int, rng: np.random.Generator
) -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Support sets of a label: all slices, or so many draws of the most that fit."""
    if len(found) <= most:
        return [found]
    return [
        [found[k] for k in sorted(rng.choice(len(found), most, replace=False))] for _ in range(sets)
    ]


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


def make_universeg(settings: Mapping[str, Any], context: MethodContext) -> UniverSeg:
    """Build the method from its settings."""
    given = {} if context.intensity is None else {"intensity": context.intensity}
    return UniverSeg(UniverSegConfig.of({**given, **settings}, "settings"), context)


ENTRIES = {
    "universeg": MethodEntry(
        name="universeg",
        summary="UniverSeg: a support set of template slices in place of training",
        make=make_universeg,
        about={
            "paper": "Butoi et al. 2023, UniverSeg: Universal Medical Image Segmentation",
            "licence": f"weights: {SOURCE.licence}",
        },
    )
}
