"""nnU-Net v2, as its authors publish it, trained on the templates."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ...adapters.base import fitted
from ...config import IntensityConfig, ResamplingConfig
from ...config.base import StageConfig
from ...device import choose_device
from ...errors import FewShotError
from ...slices.stack import SliceStack
from ...templates.template import Template
from ...types import Array, Progress, Volume, no_progress
from .base import MethodContext, MethodEntry, Predicted
from .nnunet_process import DATASET, NnUNetFolders
from .nnunet_raw import ENDING, RawDataset, read_classes, write_slices, write_volume
from .slice_set import SliceSet, label_volume, volume_stack

__all__ = ["NnUNet", "NnUNetConfig"]


class NnUNetConfig(StageConfig):
    """Settings of nnU-Net.

    Parameters
    ----------
    configuration : {"2d", "3d_fullres"}
        ``2d``: each known slice is a case of its own. ``3d_fullres``: each volume is a case in
        which unknown voxels are ignored.
    epochs, iterations, validation_iterations : int
        Epochs at most, and batches in each, of training and of validation.
    patience : int
        Epochs without a better smoothed Dice of the validation patches, after which training
        stops.
    held_out : float
        Share of the volumes that validate, and whose best checkpoint predicts. With less than
        one whole volume the training cases themselves are watched, and the last one predicts.
    merge : bool
        All labels are one class; the result has the values 0 and 1.
    memory_gb : float, optional
        Memory of the device that patches and batches are planned for; None: nnU-Net's 8.
    workers : int
        Processes that make patches; 0: none beside the training itself.
    python : str, optional
        Interpreter that has nnunetv2; None: this one.
    intensity : IntensityConfig
        Clipping before normalisation; nothing is clipped by default, as in nnU-Net.
    resampling : ResamplingConfig
        Before nnU-Net resamples to the spacing that it plans.
    """

    configuration: Literal["2d", "3d_fullres"] = "2d"
    epochs: int = Field(default=200, ge=1)
    iterations: int = Field(default=250, ge=1)
    validation_iterations: int = Field(default=50, ge=1)
    patience: int = Field(default=10, ge=1)
    held_out: float = Field(default=0.1, ge=0, lt=1)
    merge: bool = False
    memory_gb: float | None = Field(default=None, gt=0)
    workers: int = Field(default=0, ge=0)
    python: str | None = None
    intensity: IntensityConfig = IntensityConfig(low=0, high=100)
    resampling: ResamplingConfig = ResamplingConfig()


class NnUNet:
    """nnU-Net as a method of the benchmark.

    Parameters
    ----------
    config : NnUNetConfig
    context : MethodContext
        ``work`` holds its folders and ``nnunet/nnunet.log``; a finished training of the same
        templates is used again, an interrupted one goes on.
    """

    def __init__(self, config: NnUNetConfig, context: MethodContext) -> None:
        self.config, self.context = config, context
        self.folders = NnUNetFolders(
            (context.work / "nnunet").resolve(), config.python or sys.executable
        )
        self._learned: SliceSet | None = None
        self._settings: dict[str, Any] = {}
        self._predicted = 0

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Write the raw data set, plan, preprocess and train."""
        self.folders.check()
        config = self.config
        learned = SliceSet.of(templates, config.intensity, config.resampling, merge=config.merge)
        mark = self.folders.root / "templates.json"
        done = json.loads(mark.read_text("utf-8")) if mark.is_file() else {}
        key = self._key(learned)
        if done.get("key") != key:
            self.folders.clear()
            raw = RawDataset.write(
                self.folders.raw, learned, config.configuration, config.intensity, config.held_out
            )
            done = {"key": key, "split": raw.split, "held_out": raw.held_out}
            self._settings = self._all_settings(done)
            self.folders.run("plan", self._settings, progress)
            mark.write_text(json.dumps(done), encoding="utf-8")
        self._settings = self._all_settings(done)
        if not done.get("trained"):
            self.folders.run("train", self._settings, progress)
            mark.write_text(json.dumps({**done, "trained": True}), encoding="utf-8")
        self._learned = learned

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Write the volume as cases, let nnU-Net label them, and read them back."""
        learned, config = fitted(self._learned, "nnunet"), self.config
        stack = volume_stack(volume, axis, learned, config.intensity, config.resampling)
        self._predicted += 1
        folder = self.folders.root / "predict" / f"{self._predicted:04d}"
        shutil.rmtree(folder, ignore_errors=True)
        images, labels = folder / "images", folder / "labels"
        labels.mkdir(parents=True)
        if config.configuration == "2d":
            names = write_slices(images, stack, config.intensity)
        else:
            names = ["volume"]
            write_volume(images, "volume", stack, config.intensity)
        settings = {**self._settings, "images": str(images), "labels": str(labels)}
        self.folders.run("predict", settings, progress)
        missing = [name for name in names if not (labels / f"{name}{ENDING}").is_file()]
        if missing:
            raise FewShotError(
                f"nnU-Net wrote no labels for {len(missing)} of {len(names)} cases; "
                f"its output is in {self.folders.log}."
            )
        found = [read_classes(labels / f"{name}{ENDING}") for name in names]
        classes = _stacked(found, stack, config.configuration)
        shutil.rmtree(folder)
        count = len(learned.values) + 1

        def plane(index: int) -> Array:
            one_hot: Array = np.arange(count)[:, None, None] == classes[index]
            return one_hot.astype(np.float32)

        return label_volume(stack, learned, plane, landmarks=self.context.landmarks)

    def _all_settings(self, done: Mapping[str, Any]) -> dict[str, Any]:
        """What the driver and the trainer read."""
        device = choose_device(self.context.device)
        kind, _, number = device.partition(":")
        held_out = bool(done["held_out"])
        return {
            **self.config.model_dump(mode="json", exclude={"intensity", "resampling", "python"}),
            "dataset": DATASET,
            "device": kind,
            "cuda_number": int(number) if kind == "cuda" and number else None,
            "seed": self.context.seed,
            "fold": 0 if held_out else "all",
            "split": done["split"],
            "checkpoint": f"checkpoint_{'best' if held_out else 'final'}.pth",
        }

    def _key(self, learned: SliceSet) -> str:
        """Digest of everything that the training depends on."""
        settings = self.config.model_dump_json(exclude={"python", "workers"})
        digest = hashlib.sha256(f"{settings} {self.context.seed} {learned.values}".encode())
        for number, (stack, index) in enumerate(learned.training.sources):
            digest.update(learned.training.stacks[stack].digest(index).encode())
            digest.update(learned.classes(number).tobytes())
            digest.update(learned.looked_for(number).tobytes())
        return digest.hexdigest()


def _stacked(found: Sequence[Array], stack: SliceStack, configuration: str) -> Array:
    """Predicted classes of a volume as (N, H, W) working slices."""
    if configuration == "2d":
        return np.concatenate(found)
    return np.moveaxis(found[0], stack.axis, 0)


def make_nnunet(settings: Mapping[str, Any], context: MethodContext) -> NnUNet:
    """Build the method from its settings."""
    given = {} if context.intensity is None else {"intensity": context.intensity}
    return NnUNet(NnUNetConfig.of({**given, **settings}, "settings"), context)


ENTRIES = {
    "nnunet": MethodEntry(
        name="nnunet",
        summary="nnU-Net v2: plans, trains and predicts in a process of its own",
        make=make_nnunet,
        # nnunetv2 may be in another environment (setting python): fit looks for it there.
        about={
            "paper": "Isensee et al. 2021, nnU-Net: a self-configuring method for deep "
            "learning-based biomedical image segmentation",
            "licence": "Apache-2.0",
        },
    )
}
