"""nnU-Net v2, as its authors publish it, trained on the templates in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ...adapters.base import fitted
from ...config import IntensityConfig
from ...device import choose_device
from ...errors import FewShotError, InputError
from ...predict.probabilities import Tick, no_tick
from ...slices.stack import SliceStack
from ...templates.template import Template
from ...templates.training_set import TrainingSet
from ...types import Array, Progress, Volume, no_progress
from . import MethodContext, MethodEntry, Predicted
from .baseline import (
    BaselineConfig,
    collect_slices,
    open_stack,
    predict_stack,
    training_digest,
)
from .nnunet_cases import ENDING, Configuration, HoldOut, read_cases, write_cases, write_dataset

__all__ = ["NnUNet", "NnUNetConfig", "NnUNetFolders"]

DATASET = "Dataset001_FewShot"
_TAIL = 25  # lines of the log in an error
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 10.0
_EPOCH = re.compile(r"Epoch (\d+)\s*$", re.MULTILINE)


class NnUNetConfig(BaselineConfig):
    """Settings of nnU-Net."""

    configuration: Configuration = "2d"
    """``2d``: each known slice is a case of its own. ``3d_fullres``: each volume is a case in
    which unknown voxels are ignored."""
    epochs: int = Field(default=200, ge=1)
    """At most."""
    iterations: int = Field(default=250, ge=1)
    """Batches of training in an epoch."""
    validation_iterations: int = Field(default=50, ge=1)
    patience: int = Field(default=10, ge=1)
    """Epochs without a better smoothed Dice of the validation patches, which end the training."""
    held_out: float = Field(default=0.1, ge=0, lt=1)
    """Fraction that validates, and whose best checkpoint predicts. With less than one whole volume
    or slice the training cases themselves are watched, and the last one predicts."""
    hold_out: HoldOut = "volumes"
    """Of what: whole volumes, the last ones; or slices of all of them, evenly spaced (published: a
    tenth of the images, which are slices), whose neighbours are trained on."""
    augmentation: Literal["nnunet", "published"] = "nnunet"
    """published: of nnU-Net's own, what Xie et al. name (section 4.4): scaling and contrast of grey
    values, noise, mirroring, resizing; and a shift of grey values beside them."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory of the device that patches and batches are planned for; None: nnU-Net's 8."""
    workers: int = Field(default=0, ge=0)
    """Processes that make patches; 0: none beside the training itself."""
    python: str | None = None
    """Interpreter that has nnunetv2; None: this one."""
    intensity: IntensityConfig = IntensityConfig(low=0, high=100)
    """Clipping before normalisation; nothing is clipped by default, as in nnU-Net."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hold_out == "slices" and self.configuration != "2d":
            raise ValueError('have hold_out = "volumes" with 3d_fullres, whose cases are volumes')
        return self


class NnUNet:
    """nnU-Net as a method of the benchmark.

    The folder for work holds its folders and ``nnunet/nnunet.log``; a finished training of the
    same templates is used again, an interrupted one goes on.
    """

    def __init__(self, settings: Mapping[str, Any], context: MethodContext) -> None:
        self.config = NnUNetConfig.of(context.with_intensity(settings), "settings")
        self.context = context
        self.folders = NnUNetFolders(
            (context.work / "nnunet").resolve(), self.config.python or sys.executable
        )
        self._training: TrainingSet | None = None
        self._settings: dict[str, Any] = {}
        self._predicted = 0

    def fit(self, templates: Sequence[Template], progress: Progress = no_progress) -> None:
        """Write the raw data set, plan, preprocess and train."""
        self.folders.check()
        config = self.config
        training = collect_slices(templates, config)
        # Neither changes what is learned.
        lasting = config.model_dump_json(exclude={"python", "workers"})
        key = training_digest(training, f"{lasting} {self.context.seed}")
        mark = self.folders.root / "templates.json"
        done = json.loads(mark.read_text("utf-8")) if mark.is_file() else {}
        if done.get("key") != key:
            self.folders.clear()
            split = write_dataset(
                self.folders.raw,
                training,
                config.configuration,
                config.intensity,
                config.held_out,
                config.hold_out,
            )
            done = {"key": key, "split": split}
            self.folders.run("plan", self._all_settings(split), progress)
            mark.write_text(json.dumps(done), encoding="utf-8")
        self._settings = self._all_settings(done["split"])
        if not done.get("trained"):
            self.folders.run("train", self._settings, progress)
            mark.write_text(json.dumps({**done, "trained": True}), encoding="utf-8")
        self._training = training

    def predict(
        self, volume: Volume, axis: int | str | None, progress: Progress = no_progress
    ) -> Predicted:
        """Write the volume as cases, let nnU-Net label them, and read them back."""
        training, config = fitted(self._training, "nnunet"), self.config
        stack = open_stack(volume, axis, training, config)
        self._predicted += 1
        folder = self.folders.root / "predict" / f"{self._predicted:04d}"
        shutil.rmtree(folder, ignore_errors=True)
        images, labels = folder / "images", folder / "labels"
        labels.mkdir(parents=True)
        names = write_cases(images, stack, config.configuration, config.intensity)
        settings = {**self._settings, "images": str(images), "labels": str(labels)}
        self.folders.run("predict", settings, progress)
        files = [labels / f"{name}{ENDING}" for name in names]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise FewShotError(
                f"nnU-Net wrote no labels for {len(missing)} of {len(names)} cases; "
                f"its output is in {self.folders.log}."
            )
        count = len(training.label_values) + 1
        classified = _Classified(read_cases(files, stack, config.configuration), count)
        shutil.rmtree(folder)
        return predict_stack(stack, training, classified, config, self.context)

    def _all_settings(self, split: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """What the driver and the trainer read."""
        device = choose_device(self.context.device)
        kind, _, number = device.partition(":")
        held_out = split["train"] != split["val"]
        return {
            **self.config.model_dump(mode="json", exclude={"intensity", "resampling", "python"}),
            "dataset": DATASET,
            "device": kind,
            "cuda_number": int(number) if kind == "cuda" and number else None,
            "seed": self.context.seed,
            "fold": 0 if held_out else "all",
            "split": split,
            "checkpoint": f"checkpoint_{'best' if held_out else 'final'}.pth",
        }


@dataclass(frozen=True, eq=False)
class _Classified:
    """Classes (N, H, W) of all working slices, as the loop of predictions takes them."""

    classes: Array
    count: int

    def planes(
        self, _stack: SliceStack, indices: Sequence[int], _tick: Tick = no_tick, /
    ) -> Iterator[Array]:
        numbers = np.arange(self.count)[:, None, None]
        return ((numbers == self.classes[index]).astype(np.float32) for index in indices)


@dataclass(frozen=True)
class NnUNetFolders:
    """Where nnU-Net works, apart from any other data set of the user, and runs.

    ``python`` is an interpreter that has nnunetv2.
    """

    root: Path
    python: str

    @property
    def raw(self) -> Path:
        """Raw data set."""
        return self.root / "raw" / DATASET

    @property
    def log(self) -> Path:
        """What nnU-Net printed, all steps."""
        return self.root / "nnunet.log"

    def check(self) -> None:
        """Check that the interpreter has nnunetv2, without importing it.

        Raises
        ------
        InputError
            If it cannot be run, or has no nnunetv2.
        """
        code = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('nnunetv2'))"
        try:
            done = subprocess.run([self.python, "-c", code], capture_output=True, check=False)
        except OSError as error:
            raise InputError(
                "settings.python", "be a Python interpreter", f"{self.python} ({error.strerror})"
            ) from None
        if done.returncode:
            raise InputError(
                "method",
                "have its modules installed: nnunet needs nnunetv2",
                f"no module nnunetv2 in {self.python}",
                "Install it with pip install 'napari-fewshot[nnunet]', or into an environment of "
                "its own whose interpreter is named by the setting python.",
            )

    def clear(self) -> None:
        """Remove what an earlier run left."""
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, step: str, settings: Mapping[str, Any], progress: Progress = no_progress) -> None:
        """Run a step of the driver: ``plan``, ``train`` or ``predict``; its output goes to the log.

        ``progress`` is told the epochs of a training; what it raises ends the process.

        Raises
        ------
        FewShotError
            If the step fails; with the end of the log.
        """
        trainers = self.root / "trainers"
        trainers.mkdir(parents=True, exist_ok=True)
        script, given = trainers / "fewshot_trainer.py", trainers / "settings.json"
        shutil.copyfile(Path(__file__).with_name("nnunet_driver.py"), script)
        given.write_text(json.dumps(dict(settings)), encoding="utf-8")
        command = [self.python, str(script), step, str(given)]
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n== {step} ==\n")
            log.flush()
            start = self.log.stat().st_size
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment(step, trainers, settings),
                start_new_session=True,  # so that its workers end with it
            )
            try:
                self._watch(process, start, settings, progress)
            finally:
                _end(process)
        if process.returncode:
            tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
            raise FewShotError(
                f"nnU-Net failed at the step {step} (exit code {process.returncode}). "
                f"The whole output is in {self.log}; its end:\n" + "\n".join(tail)
            )

    def _watch(
        self,
        process: subprocess.Popen[bytes],
        start: int,
        settings: Mapping[str, Any],
        progress: Progress,
    ) -> None:
        epochs = int(settings.get("epochs", 0))
        while process.poll() is None:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                log.seek(start)
                found = _EPOCH.findall(log.read())
            done = int(found[-1]) if found else 0
            progress(done, max(epochs, 1), "nnU-Net epochs (at most)")
            time.sleep(_POLL_SECONDS)

    def _environment(
        self, step: str, trainers: Path, settings: Mapping[str, Any]
    ) -> dict[str, str]:
        """Environment of the process: nnU-Net's folders are ours, whatever the user has set."""
        found = {name: value for name, value in os.environ.items() if not _is_nnunet(name)}
        for name in ("raw", "preprocessed", "results"):
            folder = self.root / name
            folder.mkdir(parents=True, exist_ok=True)
            found[f"nnUNet_{name}"] = str(folder)
        found["nnUNet_extTrainer"] = str(trainers)
        workers = int(settings.get("workers", 0))
        # With none, training makes its patches itself; planning takes it for a number of threads.
        found["nnUNet_n_proc_DA"] = str(workers if step == "train" else max(1, workers))
        found["nnUNet_def_n_proc"] = str(max(1, workers))
        found["nnUNet_compile"] = "f"
        found["PYTHONUNBUFFERED"] = "1"
        found["MPLBACKEND"] = "Agg"
        number = settings.get("cuda_number")
        if number is not None:
            visible = found.get("CUDA_VISIBLE_DEVICES", "").split(",")
            named = visible[number] if number < len(visible) and visible[number] else str(number)
            found["CUDA_VISIBLE_DEVICES"] = named
        return found


def _is_nnunet(name: str) -> bool:
    return name.startswith("nnUNet_") or name == "PYTHONPATH"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and the processes that it started."""
    if process.poll() is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, number)
    else:
        process.terminate()


ENTRIES = {
    "nnunet": MethodEntry(
        name="nnunet",
        summary="nnU-Net v2: plans, trains and predicts in a process of its own",
        make=NnUNet,
        # nnunetv2 may be in another environment (setting python): fit looks for it there.
        about={
            "paper": "Isensee et al. 2021, nnU-Net: a self-configuring method for deep "
            "learning-based biomedical image segmentation",
            "licence": "Apache-2.0",
        },
    )
}
