"""Where the tensors live."""

from __future__ import annotations

from .errors import InputError

__all__ = ["choose_device"]


def choose_device(name: str = "auto") -> str:
    """Resolve a device name to one that torch can use here.

    Parameters
    ----------
    name : str
        ``"auto"`` (CUDA, then Apple's MPS, then CPU), ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or
        ``"mps"``.

    Raises
    ------
    InputError
        If the device is unknown or not present.
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
