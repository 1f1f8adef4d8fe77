"""A 2D U-Net trained from scratch on the templates.

With templates that are labelled on all slices it is the upper reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ...adapters.base import fitted
from ...config import IntensityConfig, ResamplingConfig
from ...config.base import StageConfig
from ...device import avoid_llvm_clash, choose_device, seeded
from ...templates.template import Template
from ...types import Array, Progress, Volume, no_progress
from .base import MethodContext, MethodEntry, Predicted
from .patches import AugmentationConfig, PatchSampler
from .slice_set import SliceSet, label_volume, require, volume_stack
from .unet_training import TrainingState, UNetTraining

if TYPE_CHECKING:
    import torch

__all__ = ["UNet", "UNetConfig"]


class UNetConfig(StageConfig):
    """Settings of the U-Net.

    Parameters
    ----------
    merge : bool
        All labels are one class; the result has the values 0 and 1.
    width : int
        Channels of the first level; each of the four halvings doubles those below the first.
    patch : int
        Largest side of the patches that it learns from and labels.
    batch, steps : int
        Patches in a step, and steps in an epoch.
    epochs, patience, min_gain, smoothing
        The convergence rule, see :class:`~.convergence.Convergence`. The learning rate falls to
        a third whenever half of the patience has gone by.
    held_out : float
        Share of the volumes whose loss the rule looks at, and whose best network is kept. With
        less than one whole volume the rule looks at the loss on the augmented patches that the
        network learns from.
    learning_rate, weight_decay : float
        Of AdamW.
    augmentation : AugmentationConfig
    intensity : IntensityConfig
    resampling : ResamplingConfig
    """

    merge: bool = False
    width: int = Field(default=24, ge=4, le=256)
    patch: int = Field(default=192, ge=32, le=2048)
    batch: int = Field(default=4, ge=1)
    steps: int = Field(default=25, ge=1)
    epochs: int = Field(default=120, ge=1)
    patience: int = Field(default=12, ge=1)
    min_gain: float = Field(default=0.01, ge=0)
    smoothing: float = Field(default=0.7, ge=0, lt=1)
    held_out: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    augmentation: AugmentationConfig = AugmentationConfig()
    intensity: IntensityConfig = IntensityConfig()
    resampling: ResamplingConfig = ResamplingConfig()


class UNet:
    """The U-Net as a method of the benchmark.

    Parameters
    ----------
    config : UNetConfig
    context : MethodContext
        ``work`` holds ``unet.pt``, with which an interrupted training goes on.

    Attributes
    ----------
    state : TrainingState or None
        How training went; None before it.
    """

    def __init__(self, config: UNetConfig, context: MethodContext) -> None:
        self.config, self.context = config, context
        self.state: TrainingState | None = None
        self._learned: SliceSet | None = None
        self._network: torch.nn.Module | None = None
        self._size = (0, 0)

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Train, or go on where an interrupted training of the same templates stopped."""
        require("monai", "baselines", "unet")
        avoid_llvm_clash()
        config = self.config
        learned = SliceSet.of(
            templates,
            config.intensity,
            config.resampling,
            merge=config.merge,
        )
        device = choose_device(self.context.device)
        shapes = [(e.labels.shape[0], e.labels.shape[1]) for e in learned.training.examples]
        self._size = PatchSampler.fitting(shapes, config.patch)
        network = _network(
            learned.training.channels, len(learned.values) + 1, config.width, self.context.seed
        ).to(device)
        training = UNetTraining(learned, network, self._size, config, self.context)
        self.state = training.run(progress)
        self._learned, self._network = learned, network.eval()

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Label the slices of a volume, in overlapping windows where they are large."""
        learned = fitted(self._learned, "unet")
        stack = volume_stack(volume, axis, learned, self.config.intensity, self.config.resampling)

        def plane(index: int) -> Array:
            return self._classify(stack.slice(index))

        return label_volume(stack, learned, plane, progress, landmarks=self.context.landmarks)

    def _classify(self, image: Array) -> Array:
        import torch
        from monai.inferers import sliding_window_inference

        network = fitted(self._network, "unet")
        device = next(network.parameters()).device
        # Patches saw zeros round slices that are smaller than they; so do windows.
        with torch.inference_mode():
            logits = sliding_window_inference(
                torch.from_numpy(np.ascontiguousarray(image))[None].to(device),
                roi_size=self._size,
                sw_batch_size=self.config.batch,
                predictor=network,
                overlap=0.5,
                mode="gaussian",
            )
        probabilities: Array = logits.softmax(dim=1)[0].float().cpu().numpy()
        return probabilities


def _network(channels: int, classes: int, width: int, seed: int) -> torch.nn.Module:
    from monai.networks.nets import BasicUNet

    with seeded(seed):
        network: torch.nn.Module = BasicUNet(
            spatial_dims=2,
            in_channels=channels,
            out_channels=classes,
            features=(width, width, 2 * width, 4 * width, 8 * width, width),
        )
    return network


def make_unet(settings: Mapping[str, Any], context: MethodContext) -> UNet:
    """Build the method from its settings."""
    given = {} if context.intensity is None else {"intensity": context.intensity}
    return UNet(UNetConfig.of({**given, **settings}, "settings"), context)


ENTRIES = {
    "unet": MethodEntry(
        name="unet",
        summary="2D U-Net from scratch (MONAI), trained on the templates",
        make=make_unet,
        needs=("monai",),
        about={
            "paper": "Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical "
            "Image Segmentation",
            "licence": "Apache-2.0 (MONAI)",
        },
    )
}
