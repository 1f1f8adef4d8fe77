"""Where the tensors live, and how torch and a viewer share a process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

__all__ = ["avoid_llvm_clash", "choose_device", "is_out_of_memory", "seeded"]

_MAPS = Path("/proc/self/maps")


def avoid_llvm_clash() -> None:
    """Keep torch from importing triton where that would crash the process.

    triton brings an LLVM of its own. Once the OpenGL driver of a viewer has loaded Mesa's LLVM,
    importing triton ends in a segmentation fault, and torch tries to import it for optimisers
    and for torchvision. Nothing here uses triton, so in that case torch is told that there is
    none. Call it before either is used; without Mesa's LLVM, or with triton there already, it
    does nothing.
    """
    if "triton" in sys.modules or not _MAPS.is_file():
        return
    if "libLLVM" in _MAPS.read_text(encoding="utf-8", errors="replace"):
        sys.modules["triton"] = None  # type: ignore[assignment] # Python's way to say "not there"


def choose_device(name: str = "auto") -> str:
    """Resolve a device name to one that torch can use here.

    ``auto`` is CUDA, then Apple's MPS, then the CPU; else ``cpu``, ``cuda``, ``cuda:N`` or
    ``mps``. :class:`InputError` if it is unknown or not present.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise InputError("device", "be auto, cpu, cuda, cuda:N or mps", name)
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise InputError(
                "device", "be present", name, f"CUDA devices here: {count}. Use cpu or auto."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device", "be present", name, "Use cpu or auto.")
    return str(device)


def is_out_of_memory(error: Exception) -> bool:
    """CUDA and MPS say "out of memory"; the CPU allocator "can't allocate" or "not enough".

    A library that cannot be loaded for want of memory says that it cannot be mapped.
    """
    phrases = ("out of memory", "not enough memory", "can't allocate memory", "failed to map")
    text = str(error).lower()
    kinds = (RuntimeError, ImportError)
    said = isinstance(error, kinds) and any(phrase in text for phrase in phrases)
    return said or isinstance(error, MemoryError)


_RANDOM = threading.RLock()


@contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Draw what is random on the CPU and on ``device`` from a seed; other devices are not touched.

    The random state of the caller is left as it was (but for that of MPS). It is one of the whole
    process: other threads that draw from a seed wait.
    """
    import torch

    kind = torch.device(device).type
    with _RANDOM, torch.random.fork_rng(devices=[device] if kind == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if kind == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif kind == "mps":
            torch.mps.manual_seed(seed)
        yield
