"""nnU-Net in a process of its own: its folders, its log, its progress, its end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import FewShotError, InputError
from ...types import Progress, no_progress

__all__ = ["DATASET", "NnUNetFolders"]

DATASET = "Dataset001_FewShot"
_TAIL = 25  # lines of the log in an error
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 10.0
_EPOCH = re.compile(r"Epoch (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class NnUNetFolders:
    """Where nnU-Net works, apart from any other data set of the user.

    Parameters
    ----------
    root : Path
    python : str
        Interpreter that has nnunetv2.
    """

    root: Path
    python: str = sys.executable

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
        """Run a step of the driver; its output is added to the log.

        Parameters
        ----------
        step : {"plan", "train", "predict"}
            Function of the driver.
        settings : mapping
            What the driver and the trainer read.
        progress : callable
            Told the epochs of a training; what it raises ends the process.

        Raises
        ------
        FewShotError
            If the step fails; with the end of the log.
        """
        here = Path(__file__)
        code = self.root / "code"
        trainers = code / "trainers"
        trainers.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(here.with_name("nnunet_driver.py"), code / "driver.py")
        shutil.copyfile(here.with_name("nnunet_trainer.py"), trainers / "fewshot_trainer.py")
        for folder in (code, trainers):  # the trainer looks for them beside itself
            (folder / "settings.json").write_text(json.dumps(dict(settings)), encoding="utf-8")
        command = [self.python, str(code / "driver.py"), step, str(code / "settings.json")]
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
