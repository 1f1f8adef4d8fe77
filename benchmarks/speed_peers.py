"""Other tools on the same volume with the same paint, each in an environment of its own.

    python benchmarks/speed_peers.py --make-environments ENVIRONMENTS
    python benchmarks/speed_peers.py --environments ENVIRONMENTS [--slices 50] [--side 256]

The first command makes a virtual environment for each tool and installs it from the package index,
at the release that :data:`PEERS` names. torch is not downloaded again: each environment links to
the torch of the Python that runs this. The second runs each tool as a process of its own Python
(``benchmarks/peers/NAME.py``) beside ours, and prints a table. Networks have random weights of the
true shapes, since nothing is downloaded: their time is right, their Dice means nothing and is not
given. Tools that are slow label a sample of the slices; their time is scaled up, and said so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
from speed_process import environment

HERE = Path(__file__).parent
LABELS = (1, 6, 9)
TORCH = ("torch", "torchvision", "timm", "triton")
CUDA = ("nvidia-", "cuda-")  # libraries that torch is linked with, needed also without a GPU


@dataclass(frozen=True)
class Peer:
    """A tool: what pip installs, and how its script is run.

    ``sample``: slices that it labels, None for all; ``random``: whether its weights are random.
    """

    name: str
    script: str
    requirements: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    sample: int | None = None
    random: bool = False

    @property
    def environment(self) -> str:
        """Folder of its environment; tools of one script share one."""
        return self.script


CONVPAINT = ("napari-convpaint==1.2.0", "PyQt6")
FOREST = ("featureforest==0.1.2", "segment-anything", "PyQt6")
DINOSIM = ("napari-dinosim==0.1.5", "timm", "PyQt6")
OURS = "napari-fewshot, embedded (default)"
PEERS = (
    Peer(OURS, "ours"),
    Peer("napari-fewshot, multiscale", "ours", arguments=("--features", "multiscale")),
    Peer("convpaint, gaussian", "convpaint", CONVPAINT, ("--features", "gaussian")),
    Peer("convpaint, VGG16 (default)", "convpaint", CONVPAINT, ("--features", "vgg16"), 10, True),
    Peer("convpaint, DINOv2-S", "convpaint", CONVPAINT, ("--features", "dinov2"), 10, True),
    Peer("featureforest, DINOv2-S", "feature_forest", FOREST, (), 1, True),
    Peer("napari-dinosim, DINOv2-S", "dinosim", DINOSIM, (), 10, True),
)


def make_environments(folder: Path) -> None:
    """Make the environment of each tool that has none yet."""
    for peer in {peer.environment: peer for peer in PEERS if peer.requirements}.values():
        place = folder / peer.environment
        done = place / "installed"
        if done.exists():
            continue
        print(f"{place}: {', '.join(peer.requirements)}", flush=True)
        venv.create(place, clear=True, with_pip=True, symlinks=True)
        _link_torch(folder / "torch", next(place.glob("lib/python*/site-packages")))
        command = [str(python_of(place)), "-m", "pip", "install", "--quiet", *peer.requirements]
        subprocess.run(command, check=True, env=environment("PYTHONPATH"))
        done.touch()


def python_of(environment: Path) -> Path:
    """Its interpreter."""
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"


def _link_torch(folder: Path, packages: Path) -> None:
    """Let an environment find our torch through a folder of links that holds nothing else.

    pip takes it for installed, and for none of its own: it never removes it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for found in distributions():
        if found.name not in TORCH and not found.name.startswith(CUDA):
            continue
        root = Path(str(found.locate_file("")))
        for top in {file.parts[0] for file in found.files or ()}:
            if top not in ("..", "__pycache__") and not (folder / top).is_symlink():
                (folder / top).symlink_to(root / top)
    (packages / "torch.pth").write_text(f"{folder.resolve()}\n", encoding="utf-8")


def make_data(path: Path, slices: int, side: int, templates: int = 3) -> np.ndarray:
    """Write a volume with strokes as ``peers/common.py`` describes it; return its true classes."""
    from napari_fewshot.phantoms import make_phantom, template_slices

    phantom = make_phantom("torso", shape=(slices, side, side))
    labels = phantom.labels.data
    truth = np.ones(labels.shape, np.uint8)
    for number, value in enumerate(LABELS):
        truth[labels == value] = 2 + number
    image = (phantom.image.data.astype(np.int32) - int(phantom.image.data.min())).astype(np.uint16)
    paint = np.zeros_like(truth)
    for k in template_slices(phantom, templates):
        paint[k] = strokes(truth[k])
    middle = slices // 2 + (1 if paint[slices // 2].any() else 0)
    correction = paint.copy()
    correction[middle] = strokes(truth[middle])
    np.savez(path, image=image, paint=paint, correction=correction, slices=np.arange(slices))
    return truth


def strokes(truth: np.ndarray) -> np.ndarray:
    """Three lines over a slice for background; for each label a line along its longest row."""
    rows = len(truth)
    painted = np.zeros_like(truth)
    for row in (rows // 4, rows // 2, 3 * rows // 4):
        painted[row][truth[row] == 1] = 1
    for value in np.unique(truth[truth > 1]):
        inside = truth == value
        row = int(inside.sum(axis=1).argmax())
        near = slice(max(0, row - 1), row + 2)
        painted[near][inside[near]] = value
    return painted


def run_peer(peer: Peer, environments: Path | None, data: Path, truth: np.ndarray) -> Any:
    """Seconds, memory and Dice of a tool; or why it could not be run."""
    python = Path(sys.executable)
    if peer.requirements:
        if environments is None or not (environments / peer.environment / "installed").exists():
            return {"missing": "its environment is not made"}
        python = python_of(environments / peer.environment)
    with tempfile.TemporaryDirectory() as folder:
        given = data
        if peer.sample is not None and peer.sample < len(truth):
            given = Path(folder) / "sample.npz"
            with np.load(data) as whole:
                some = (np.arange(peer.sample) + 0.5) * len(truth) / peer.sample
                np.savez(given, **{**whole, "slices": some.astype(int)})
        result = Path(folder) / "found.npy"
        script = HERE / "peers" / f"{peer.script}.py"
        clean = environment() if not peer.requirements else environment("PYTHONPATH")
        clean |= {"QT_QPA_PLATFORM": "offscreen", "MPLBACKEND": "agg"}
        command = [str(python), str(script), str(given), str(result), *peer.arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1][:300]}
        report = json.loads(done.stdout.strip().splitlines()[-1])
        found = np.load(result)
    report["random"] = peer.random
    if not peer.random:
        report["dice"] = mean_dice(found, truth, data)
    return report


def mean_dice(found: np.ndarray, truth: np.ndarray, data: Path) -> float:
    """Mean Dice of the labels over the slices without paint."""
    with np.load(data) as whole:
        free = ~whole["paint"].any(axis=(1, 2))
    found, truth = found[free], truth[free]
    values = []
    for value in range(2, 2 + len(LABELS)):
        a, b = found == value, truth == value
        values.append(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
    return float(np.mean(values))


def measure(environments: Path | None, slices: int, side: int, only: str = "") -> dict[str, Any]:
    """Run ours, and every tool whose environment is there."""
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        truth = make_data(data, slices, side)
        for peer in PEERS:
            if only in peer.name:
                rows[peer.name] = run_peer(peer, environments, data, truth)
                print(json.dumps({peer.name: rows[peer.name]}), flush=True)
    return {"slices": slices, "side": side, "rows": rows}


def main() -> None:
    """Make environments, or run the tools."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make-environments", type=Path, metavar="FOLDER")
    parser.add_argument("--environments", type=Path, metavar="FOLDER")
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--only", default="", help="tools with this in their names")
    options = parser.parse_args()
    if options.make_environments is not None:
        make_environments(options.make_environments)
    else:
        measure(options.environments, options.slices, options.side, options.only)


if __name__ == "__main__":
    main()
