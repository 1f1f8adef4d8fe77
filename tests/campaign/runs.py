"""Commands that are disturbed, and then run again: they end as if nothing had been.

They are killed, their disk is full, their memory is scarce, their folder cannot be written, or two
of them write to one folder.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

QUICK = ("--backbone", "multiscale", "--adapter", "cosine", "--no-score", "--no-store")
PREDICT = (
    *("predict", "m.fewshot", "im.nii.gz", "other.nii.gz", "-o", "out", "--no-store"),
    *("--confidence", "--landmarks"),
)
WORKERS = "predict on workers"
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "--image", "im.nii.gz", "--labels", "pa.nii.gz", *QUICK, "-o", "out/m"),
    "predict": PREDICT,
    WORKERS: (*PREDICT, "--scheduler", "local", "--workers", "2"),
    "predict to Zarr": (
        *("predict", "m.fewshot", "im.nii.gz", "-o", "out", "--no-store", "--format", "ome-zarr"),
    ),
    "benchmark": ("benchmark", "b.toml", "-o", "out"),
    "refine": ("refine", "im.nii.gz", "pa.nii.gz", "-o", "out/refined.nii.gz"),
    "objects": ("objects", "truth.nii.gz", "-o", "out/objects.nii.gz"),
    "measure": ("measure", "truth.nii.gz", "--image", "im.nii.gz", "-o", "out/table.csv"),
    "finetune": (
        *("finetune", "--images", "im.nii.gz", "other.nii.gz", "--weights", "tiny.safetensors"),
        *("--steps", "4", "--axis", "0", "--device", "cpu", "--set", "checkpoint_minutes=0"),
        *("--set", "probe_every=2", "--set", "contrast.episodes=1", "--set", "contrast.side=32"),
        *("--set", "contrast.pixels=32", "-o", "out/own.safetensors"),
    ),
}
READS_IMAGES = ("train", "predict", "predict to Zarr")
"""Commands with ``--max-memory``."""
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
ORPHANS_S = 30.0
LONGEST_S = 600.0
_DROP = 24  # PR_CAPBSET_DROP of prctl
_CAPABILITIES = (1, 2)  # to write, and to read, whatever the rights of a file say


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
        if "Traceback" in self.err:
            return False
        # OpenBLAS ends the process itself where it has no memory to begin with.
        return self.code == 0 or (lines != [] and (self.code == 2 or "OpenBLAS error" in self.err))


def make_folder(folder: Path) -> Ended:
    """Write what the commands read; ``out`` is left as ``train`` has written it."""
    from napari_fewshot.io import write_image, write_labels
    from napari_fewshot.phantoms import make_phantom, painted_labels

    folder.mkdir(parents=True)
    for patient, image, paint in ((0, "im", "pa"), (1, "other", "pa2")):
        one = make_phantom("joint", patient, (8, 24, 24))
        write_image(folder / f"{image}.nii.gz", one.image.data, one.image)
        labels = painted_labels(one, (2, 5)).data
        write_labels(folder / f"{paint}.nii.gz", labels, one.image, one.labels.names)
        write_labels(folder / "truth.nii.gz", one.labels.data, one.image, one.labels.names)
    (folder / "b.toml").write_text(TOML, "utf-8")
    _write_network(folder / "tiny.safetensors")
    made = ended_of(start(folder, "train"))
    assert made.code == 0, made.err
    shutil.copy(folder / "out" / "m", folder / "m.fewshot")
    return made


def start(
    folder: Path, name: str, *more: str, before: Callable[[], None] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in the folder; ``before`` is called in its process."""
    return subprocess.Popen(
        [sys.executable, "-m", "napari_fewshot", *COMMANDS[name], *more],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=before,  # noqa: PLW1509 - there are none
    )


def ended_of(process: subprocess.Popen[bytes], kill_after: float | None = None) -> Ended:
    """Wait for the end of a command, or kill it."""
    begun = time.monotonic()
    try:
        _, err = process.communicate(timeout=LONGEST_S if kill_after is None else kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        _, err = process.communicate()
    return Ended(process.returncode, err.decode(errors="replace"), time.monotonic() - begun)


def results(folder: Path) -> dict[str, bytes]:
    """What a command has written, but for times."""
    out = folder / "out"
    return {
        str(path.relative_to(out)): _content(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in TIMES
    }


def _content(path: Path) -> bytes:
    """Bytes of a file; of weights with metadata in order, which safetensors leaves to chance."""
    whole = path.read_bytes()
    if path.suffix != ".safetensors":
        return whole
    end = 8 + int.from_bytes(whole[:8], "little")
    return json.dumps(json.loads(whole[8:end]), sort_keys=True).encode() + whole[end:]


class Trial:
    """Commands, and what each writes when nothing goes wrong.

    Each disturbance gives None, or a line where what came of it is not as ever.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        seconds = make_folder(folder).seconds
        self._whole = {"train": (results(folder), seconds)}

    def killed(self, name: str, seed: int) -> str | None:
        """Kill a command at a random moment, run it again; none of its processes stays."""
        moment = self._moment(name, seed)
        process = start(self.folder, name)
        time.sleep(moment)
        own = _processes_below(process.pid)
        ended_of(process, 0.0)
        about = f"{name}, seed {seed}, killed after {moment:.2f} s"
        again = self._again(name, about)
        end = time.monotonic() + ORPHANS_S
        while own and time.monotonic() < end:
            own = [one for one in own if one.is_running() and one.status() != "zombie"]
            time.sleep(0.1)
        if own:
            for one in own:
                one.kill()
            return f"{about}: {len(own)} of its processes outlive it by {ORPHANS_S:.0f} s"
        return again

    def worker_killed(self, name: str, seed: int) -> str | None:
        """Kill one of the workers at a random moment: the run ends as ever."""
        expected, seconds = self._expected("predict")
        dice = random.Random(f"{name} {seed}")
        moment = dice.uniform(0.0, seconds)
        self._clear()
        process = start(self.folder, name)
        workers = _workers_of(process)
        time.sleep(moment)
        if workers:
            dice.choice(workers).kill()
        ended = ended_of(process)
        about = f"{name}, seed {seed}, one of {len(workers)} killed {moment:.2f} s after its start"
        if ended.code:
            return f"{about}: status {ended.code}: {ended.err[-300:]}"
        return None if results(self.folder) == expected else f"{about}: other results"

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

        ended = ended_of(start(self.folder, name, before=before))
        return self._clean_then_right(name, ended, f"{name}, seed {seed}, {what} of {limit} bytes")

    def bounded(self, name: str, seed: int) -> str | None:
        """Give a command little ``--max-memory``, then as much as there is."""
        limit = 10 ** random.Random(f"{name} {seed}").uniform(-8, -3)
        self._expected(name)
        self._clear()
        ended = ended_of(start(self.folder, name, "--max-memory", f"{limit:.9f}"))
        return self._clean_then_right(name, ended, f"{name}, seed {seed}, {limit:.9f} GB")

    def together(self, name: str, seed: int) -> str | None:
        """Run a command twice at once into one folder."""
        moment = self._moment(name, seed) * random.Random(seed).choice((0.0, 0.1, 0.9))
        first = start(self.folder, name)
        time.sleep(moment)
        second = start(self.folder, name)
        about = f"{name}, seed {seed}, twice, {moment:.2f} s apart"
        for ended in (ended_of(second), ended_of(first)):
            if not self._is_clean(name, ended):
                return f"{about}: status {ended.code}: {ended.err[-300:]}"
        return self._again(name, about)

    def read_only(self, name: str, seed: int) -> str | None:
        """A folder of results that cannot be written, then inputs that cannot."""
        out = self.folder / "out"
        self._expected(name)
        self._clear()
        about = f"{name}, seed {seed}, read-only results"
        with _rights(out, 0o555):
            ended = ended_of(start(self.folder, name, before=drop_rights))
        if ended.code != 2 or not ended.is_clean or any(out.iterdir()):
            left = sorted(path.name for path in out.iterdir())
            return f"{about}: status {ended.code}, {left}: {ended.err[-300:]}"
        inputs = [path for path in self.folder.iterdir() if path.is_file()]
        with _rights(self.folder, 0o555, *inputs):
            ended = ended_of(start(self.folder, name, before=drop_rights))
        about = f"{name}, seed {seed}, read-only inputs"
        if ended.code:
            return f"{about}: status {ended.code}: {ended.err[-300:]}"
        return self._compare(name, about)

    def _moment(self, name: str, seed: int) -> float:
        """A moment of a run, on an empty folder."""
        _, seconds = self._expected(name)
        self._clear()
        return random.Random(f"{name} {seed}").uniform(0.3, 1.0) * seconds

    def _is_clean(self, name: str, ended: Ended) -> bool:
        return ended.is_clean or (name == "benchmark" and ended.code == 1)

    def _clean_then_right(self, name: str, ended: Ended, about: str) -> str | None:
        if not self._is_clean(name, ended):
            return f"{about}: status {ended.code}: {ended.err[-300:]}"
        return self._again(name, about)

    def _again(self, name: str, about: str) -> str | None:
        ended = ended_of(start(self.folder, name))
        if ended.code and not _is_done(name, ended):
            return f"{about}: then status {ended.code}: {ended.err[-300:]}"
        return self._compare(name, about)

    def _compare(self, name: str, about: str) -> str | None:
        expected, found = self._expected(name)[0], results(self.folder)
        if name == "benchmark":  # times stand in its files
            return None if expected.keys() == found.keys() else f"{about}: other files"
        if expected != found:
            differ = {one for one in expected.keys() | found if expected.get(one) != found.get(one)}
            return f"{about}: then other results: {sorted(differ)[:5]}"
        return None

    def _expected(self, name: str) -> tuple[dict[str, bytes], float]:
        """Results of an undisturbed run, and its seconds; those of workers are those of one."""
        if name not in self._whole:
            self._clear()
            ended = ended_of(start(self.folder, name))
            assert ended.code == 0, ended.err
            found = results(self.folder)
            if name == WORKERS:
                own = self._expected("predict")[0]
                assert found == own, "workers give other results"
            self._whole[name] = found, ended.seconds
        return self._whole[name]

    def _clear(self) -> None:
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()


def drop_rights() -> None:
    """Let the rights of files count for an administrator too."""
    with suppress(OSError, AttributeError):
        for number in _CAPABILITIES:
            ctypes.CDLL(None).prctl(_DROP, number)


def rights_count(folder: Path) -> bool:
    """Whether a folder can be made read-only for a process that this one starts."""
    folder.mkdir()
    with _rights(folder, 0o555):
        command = ["sh", "-c", f"touch {folder}/x 2>/dev/null"]
        failed = subprocess.run(command, preexec_fn=drop_rights, check=False).returncode
    shutil.rmtree(folder)
    return bool(failed)


@contextmanager
def _rights(folder: Path, mode: int, *files: Path) -> Iterator[None]:
    for path in files:
        path.chmod(0o444)
    folder.chmod(mode)
    try:
        yield
    finally:
        folder.chmod(0o755)
        for path in files:
            path.chmod(0o644)


def _is_done(name: str, ended: Ended) -> bool:
    """Whether a run says that there is nothing left to do: its weights are there, and whole."""
    return name == "finetune" and ended.code == 2 and "not be there already" in ended.err


def _processes_below(number: int) -> list[object]:
    """Processes that a process has started; none where psutil, of dask, is not there."""
    try:
        import psutil
    except ImportError:
        return []
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(number).children(recursive=True)
    return []


def _workers_of(process: subprocess.Popen[bytes]) -> list[object]:
    """Workers of a run, as soon as there are two; none where it ended before."""
    while process.poll() is None:
        found = [one for one in _processes_below(process.pid) if "spawn_main" in _command(one)]
        if len(found) > 1:
            return found
        time.sleep(0.05)
    return []


def _command(process: object) -> str:
    import psutil

    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _write_network(path: Path) -> None:
    """Random weights of a small embedded network."""
    import torch
    from safetensors.torch import save_file

    from napari_fewshot.backbones.embedded import FORMAT
    from napari_fewshot.backbones.embedded_network import EmbeddedNet, NetworkConfig

    config = NetworkConfig(widths=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1), heads=2, head_width=8)
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in EmbeddedNet(config).state_dict().items()}
    save_file(state, path, {"format": FORMAT, "network": json.dumps(config.to_dict())})
