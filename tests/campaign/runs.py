"""Commands that are killed, whose disk is full, or whose memory is scarce; and then run again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

QUICK = ("--backbone", "multiscale", "--adapter", "cosine", "--no-score", "--no-store")
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "--image", "im.nii.gz", "--labels", "pa.nii.gz", *QUICK, "-o", "out/m"),
    "predict": (
        *("predict", "m.fewshot", "im.nii.gz", "other.nii.gz", "-o", "out", "--no-store"),
        *("--confidence", "--landmarks"),
    ),
    "predict to Zarr": (
        *("predict", "m.fewshot", "im.nii.gz", "-o", "out", "--no-store", "--format", "ome-zarr"),
    ),
    "benchmark": ("benchmark", "b.toml", "-o", "out"),
}
TOML = """shots = [1]
features = "none"
[dataset]
root = "."
images = ["im.nii.gz", "other.nii.gz"]
labels = ["pa.nii.gz", "pa2.nii.gz"]
[[methods]]
name = "ours"
method = "fewshot"
settings = { backbone = "multiscale", adapter = "cosine", experts = { registered = false } }
"""
TIMES = ("napari-fewshot-results.csv", ".napari-fewshot.jsonl")
"""Files in which times stand."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: status, errors and time."""

    code: int
    err: str
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether it did its work, or said in one line why not."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return self.code == 0 or (
            self.code == 2 and len(lines) >= 1 and "Traceback" not in self.err
        )


def make_folder(folder: Path) -> None:
    """Write what the commands read."""
    from napari_fewshot.io import write_image, write_labels
    from napari_fewshot.phantoms import make_phantom, painted_labels

    folder.mkdir(parents=True)
    for patient, image, paint in ((0, "im", "pa"), (1, "other", "pa2")):
        one = make_phantom("joint", patient, (8, 24, 24))
        write_image(folder / f"{image}.nii.gz", one.image.data, one.image)
        labels = painted_labels(one, (2, 5)).data
        write_labels(folder / f"{paint}.nii.gz", labels, one.image, one.labels.names)
    (folder / "b.toml").write_text(TOML, "utf-8")
    made = run(folder, "train", before=None)
    assert made.code == 0, made.err
    (folder / "out" / "m").rename(folder / "m.fewshot")
    shutil.rmtree(folder / "out")


def run(
    folder: Path, name: str, *, before: Callable[[], None] | None, kill_after: float | None = None
) -> Ended:
    """Run a command in the folder; ``before`` is called in its process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_fewshot", *COMMANDS[name]],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=before,  # noqa: PLW1509 - there are none
    )
    try:
        _, err = process.communicate(timeout=600 if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    return Ended(process.returncode, err.decode(errors="replace"), time.monotonic() - start)


def results(folder: Path) -> dict[str, bytes]:
    """What a command has written, but for times."""
    out = folder / "out"
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in TIMES
    }


class Trial:
    """Commands, and what each writes when nothing goes wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._whole: dict[str, tuple[dict[str, bytes], float]] = {}
        make_folder(folder)

    def killed(self, name: str, seed: int) -> str | None:
        """Kill a command at a random moment, run it again; a line where that is not as ever."""
        self._clear()
        _, seconds = self._expected(name)
        self._clear()
        moment = random.Random(f"{name} {seed}").uniform(0.3, 1.0) * seconds
        run(self.folder, name, before=None, kill_after=moment)
        return self._again(name, f"{name}, seed {seed}, killed after {moment:.2f} s")

    def limited(self, name: str, what: str, seed: int) -> str | None:
        """Run a command with a limit of the size of files or of memory, then without."""
        import resource

        dice = random.Random(f"{name} {what} {seed}")
        kind, limit = {
            "disk": (resource.RLIMIT_FSIZE, int(10 ** dice.uniform(0, 5))),
            "memory": (resource.RLIMIT_AS, int(dice.uniform(1.0, 6.0) * 2**30)),
        }[what]
        self._expected(name)
        self._clear()

        def before() -> None:
            resource.setrlimit(kind, (limit, limit))

        ended = run(self.folder, name, before=before)
        about = f"{name}, seed {seed}, {what} of {limit} bytes"
        if not ended.is_clean and not (name == "benchmark" and ended.code == 1):
            return f"{about}: status {ended.code}: {ended.err[-300:]}"
        return self._again(name, about)

    def _again(self, name: str, about: str) -> str | None:
        ended = run(self.folder, name, before=None)
        if ended.code:
            return f"{about}: then status {ended.code}: {ended.err[-300:]}"
        expected, found = self._expected(name)[0], results(self.folder)
        if name == "benchmark":  # times stand in its files
            return None if expected.keys() == found.keys() else f"{about}: other files"
        if expected != found:
            differ = {one for one in expected.keys() | found if expected.get(one) != found.get(one)}
            return f"{about}: then other results: {sorted(differ)[:5]}"
        return None

    def _expected(self, name: str) -> tuple[dict[str, bytes], float]:
        if name not in self._whole:
            self._clear()
            ended = run(self.folder, name, before=None)
            assert ended.code == 0, ended.err
            self._whole[name] = results(self.folder), ended.seconds
        return self._whole[name]

    def _clear(self) -> None:
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
