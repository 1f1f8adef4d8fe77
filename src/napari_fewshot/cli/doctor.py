"""Check the installation: versions, device, folders, weights, extras, and a short self-test.

The self-test learns from three slices of an image made by formula, labels it, and reads the model
back from a file; it takes about ten seconds on a laptop. The exit status is 0 when nothing is
wrong, and 1 when something is; the last lines say what, and how to mend it. Put the output into
a report of a bug.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from .. import __version__
from . import installation
from .installation import EXTRAS, Library
from .reporting import in_one_line

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]

NAME = "doctor"
HELP = "check the installation, and say what is wrong"
EXAMPLE = "napari-fewshot doctor"

WRONG = 1
SHAPE, TEMPLATE_SLICES = (16, 64, 64), 3
MIN_DICE = 0.5
"""Of the self-test: 0.66 where all is well, as thin walls are lost in so small an image."""
MIN_FREE_GB = 1.0


@dataclass(frozen=True)
class Folder:
    """A folder of ours: whether it can be written, and room on its disk."""

    path: str
    writable: bool
    free_gb: float


@dataclass
class Findings:
    """All that is looked at; ``wrong`` is to be mended, ``notes`` are good to know."""

    napari_fewshot: str = __version__
    python: str = platform.python_version()
    system: str = field(default_factory=platform.platform)
    libraries: list[Library] = field(default_factory=list)
    qt: dict[str, str] = field(default_factory=dict)
    device: str = ""
    folders: dict[str, Folder] = field(default_factory=dict)
    weights: dict[str, bool] = field(default_factory=dict)
    extras: dict[str, list[Library]] = field(default_factory=dict)
    self_test: dict[str, float] | None = None
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--no-self-test", action="store_true", help="only look, do not try")
    add("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    add("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> int:
    """Look at everything, print it, and say what is wrong."""
    findings = Findings()
    _look_at_libraries(findings)
    if _look_at_torch(findings, options.device):
        _look_at_weights(findings)
        if not options.no_self_test:
            _try(findings, options.device)
    if options.json:
        print(json.dumps(asdict(findings), indent=2))
    else:
        print(_text(findings))
    return WRONG if findings.wrong else 0


def _look_at_libraries(findings: Findings) -> None:
    findings.libraries = installation.installed_libraries()
    findings.extras = installation.installed_extras()
    findings.qt = installation.installed_qt()
    for one in findings.libraries:
        if not one.fits:
            found = "is missing" if one.version is None else f"is {one.version}"
            need = f"{one.name}{one.wanted}"
            findings.wrong.append(f"{one.name} {found}: pip install {_quoted(need)}")
    for extra, libraries in findings.extras.items():
        for one in libraries:
            if one.version is not None and not one.fits:
                need = _quoted(f"{one.name}{one.wanted}")
                findings.notes.append(
                    f"{one.name} is {one.version}, too old for {extra}: pip install {need}"
                )
    if not installation.plugin_is_registered():
        findings.wrong.append("napari does not find the plugin: pip install napari-fewshot")
    if not findings.qt:
        findings.notes.append(
            "There is no Qt, which only the viewer needs: pip install 'napari-fewshot[pyqt6]'"
        )
    elif sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        findings.notes.append("There is no display, which only the viewer needs.")


def _look_at_torch(findings: Findings, name: str) -> bool:
    """Note the device; whether torch works at all."""
    from ..device import choose_device

    try:
        import torch
        import torchvision  # noqa: F401 - it fails beside a torch of another source
    except (ImportError, OSError, RuntimeError) as error:
        findings.wrong.append(
            f"torch and torchvision do not work together ({_short(error)}): install both from one "
            "source, as docs/install.md says"
        )
        return False
    try:
        device = choose_device(name)
    except ValueError as error:
        findings.wrong.append(in_one_line(error) or str(error))
        return False
    what = f"{psutil.virtual_memory().total / 1e9:.0f} GB of memory"
    if device.startswith("cuda"):
        what = torch.cuda.get_device_name(device)
    about = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores, {what}"
    findings.device = f"{device} ({about})"
    built = torch.version.cuda or getattr(torch.version, "hip", None)
    if device == "cpu" and name == "auto" and shutil.which("nvidia-smi"):
        why = "no driver that fits" if built else "a build for the CPU alone"
        findings.notes.append(f"There is an NVIDIA driver, but torch has {why}.")
    return True


def _look_at_weights(findings: Findings) -> None:
    from huggingface_hub import constants

    from ..backbones import list_backbones, weights_available
    from ..backbones.weights import weights_folder
    from ..features.store import default_store_root

    places = {
        "features": default_store_root(),
        "weights": weights_folder(),
        "hub": Path(constants.HF_HUB_CACHE),
    }
    for name, path in places.items():
        there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free / 1e9
        writable = there.is_dir() and os.access(there, os.W_OK)
        findings.folders[name] = Folder(_without_home(path), writable, round(free, 1))
        if not writable:
            findings.wrong.append(f"The folder of {name} cannot be written: {_without_home(path)}")
        elif free < MIN_FREE_GB:
            findings.notes.append(f"There is little room for {name}: {free:.1f} GB")
    findings.weights = {spec.name: weights_available(spec.name) for spec in list_backbones()}


def _try(findings: Findings, device: str) -> None:
    """Learn, label, save and load, on an image made by formula."""
    start = time.perf_counter()
    try:
        dice = _self_test(device)
    except Exception as error:  # whatever it is, it is what is wrong
        findings.wrong.append(f"The self-test failed ({_short(error)}): please report it")
        return
    seconds = time.perf_counter() - start
    if dice >= MIN_DICE:
        findings.self_test = {"dice": round(dice, 3), "seconds": round(seconds, 1)}
    else:  # nan too
        findings.wrong.append(f"The self-test has a Dice of {dice:.2f}, which is far too low")


def _self_test(device: str) -> float:
    """Mean Dice of the labels of a phantom, by a model that was read back."""
    from ..metrics.labels import evaluate_labels
    from ..phantoms import make_phantom, painted_labels, template_slices
    from ..segmenter import FewShotSegmenter
    from ..templates import Template

    phantom = make_phantom("torso", shape=SHAPE)
    known = template_slices(phantom, TEMPLATE_SLICES)
    model = FewShotSegmenter(device=device)
    model.fit(Template(phantom.image, painted_labels(phantom, known)))
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / "test.fewshot")
        model = FewShotSegmenter.load(Path(folder) / "test.fewshot", device=device)
    found = model.predict(phantom.image, landmarks=False)
    truth = phantom.labels
    scores = evaluate_labels(found.labels, truth.data, phantom.image.spacing, exclude=(0, known))
    return scores.mean.dice


def _text(findings: Findings) -> str:
    lines = [
        f"napari-fewshot {findings.napari_fewshot}, Python {findings.python}, {findings.system}",
        f"device     {findings.device or 'none: torch does not work'}",
        f"libraries  {', '.join(f'{one.name} {one.version}' for one in findings.libraries)}",
        f"Qt         {', '.join(map(' '.join, findings.qt.items())) or 'none'}",
    ]
    for name, folder in findings.folders.items():
        lines.append(f"{name:<9}  {folder.path} ({folder.free_gb:g} GB free)")
    here = [name for name, is_here in findings.weights.items() if is_here]
    if here:
        missing = len(findings.weights) - len(here)
        lines.append(f"backbones  {', '.join(here)}; {missing} others are fetched when used")
    lines.append("extras     pip install 'napari-fewshot[NAME]'")
    for name, libraries in findings.extras.items():
        missed = " ".join(f"{one.name}{one.wanted}" for one in libraries if not one.fits)
        lines.append(f"  {name:<12}  {f'without {missed}' if missed else 'here'}: {EXTRAS[name]}")
    if findings.self_test is not None:
        dice, seconds = findings.self_test["dice"], findings.self_test["seconds"]
        lines.append(f"self-test  Dice {dice:.2f} in {seconds:.1f} s")
    lines += ["", *(f"note: {note}" for note in findings.notes)]
    lines += [f"wrong: {what}" for what in findings.wrong] or ["Nothing is wrong."]
    return "\n".join(lines)


def _without_home(path: Path) -> str:
    """A path that can be shown to others."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (RuntimeError, ValueError):  # no home, or not in it
        return str(path)


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _quoted(requirement: str) -> str:
    return f"'{requirement}'"
