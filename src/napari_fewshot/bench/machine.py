"""The machine that scores were made on, and the memory that it took."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..device import choose_device

__all__ = ["describe_machine", "peak_device_memory_mb", "peak_memory_mb"]

_PACKAGES = ("numpy", "scipy", "torch", "timm", "scikit-image", "scikit-learn", "monai", "nnunetv2")

_GIT_SECONDS = 5.0


def describe_machine(device: str) -> dict[str, Any]:
    """Versions, the commit of a checkout, processor and device."""
    import torch

    found = choose_device(device)
    if found.startswith("cuda"):
        found = f"{found} ({torch.cuda.get_device_name(found)})"
    packages = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "napari-fewshot": __version__,
        **_commit(Path(__file__).parents[1]),
        "python": platform.python_version(),
        **packages,
        "system": platform.system(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": found,
    }


def peak_memory_mb() -> float | None:
    """Largest resident memory so far of this process, or of a child if that was larger.

    None where the system does not tell.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    # Kilobytes on Linux, bytes on macOS.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    own = _own_peak_mb() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return round(max(own, child), 1)


def peak_device_memory_mb() -> float | None:
    """Largest memory so far that torch took on a CUDA device; None where it took none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return round(float(torch.cuda.max_memory_allocated()) / 1e6, 1)


def _commit(package: Path) -> dict[str, str]:
    """Commit that the package is run from, and whether it was changed since; else nothing."""
    try:
        # A package that is installed somewhere below another repository is not a part of it.
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(package, "rev-parse", "--short=12", "HEAD")
        changed = _git(package, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit + " with changes" * bool(changed)}


def _git(folder: Path, *words: str) -> str:
    # Within a hook, git's own variables name another repository.
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "--no-optional-locks", *words],
        cwd=folder,
        env=known,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_GIT_SECONDS,
        check=True,
    )
    return done.stdout.strip()


def _own_peak_mb() -> float | None:
    """Peak of this process alone; what it inherits when it is started does not count."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), None)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
