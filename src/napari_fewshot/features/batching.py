"""Run a network over a batch: precision, and smaller batches when memory runs out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from ..backbones.base import Backbone
from ..device import is_out_of_memory
from ..errors import FewShotError

if TYPE_CHECKING:
    import torch

__all__ = ["BatchEncoder", "Precision", "choose_precision", "cpu_has_bfloat16"]

Precision = Literal["float32", "bfloat16", "float16"]


def choose_precision(
    wanted: Literal["auto", "float32", "bfloat16", "float16"], device: str, *, tokens: bool
) -> Precision:
    """Resolve ``auto``: half precision for token backbones where the device is faster with it.

    Parameters
    ----------
    wanted : {"auto", "float32", "bfloat16", "float16"}
        Setting of the user.
    device : str
        A torch device.
    tokens : bool
        Whether the backbone gives a token grid (transformers) rather than a pixel grid, whose
        hand-made features need float32.
    """
    if wanted != "auto":
        return wanted
    kind = device.partition(":")[0]
    if not tokens:
        return "float32"
    if kind == "cuda":
        return "float16"
    return "bfloat16" if kind == "cpu" and cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16() -> bool:
    """Whether bfloat16 is multiplied in hardware; emulated, it is many times slower than float32.

    The libraries are asked too: they may be held below what the processor can do, by
    ``ATEN_CPU_CAPABILITY`` and ``ONEDNN_MAX_CPU_ISA`` or by how they were built.
    """
    import torch

    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    try:
        used = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except (AttributeError, RuntimeError):  # built without oneDNN
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return bool(used) and any(found.get(n, False) for n in ("avx512_bf16", "amx_bf16"))
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch below 2.11
    return bool(used and probe and probe())


class BatchEncoder:
    """Encode inputs in batches that halve when memory runs out, and stay halved.

    Parameters
    ----------
    backbone : Backbone
        Already on ``device``.
    device : str
    precision : {"float32", "bfloat16", "float16"}
    size : int
        Largest batch to start with.
    """

    def __init__(self, backbone: Backbone, device: str, precision: Precision, size: int) -> None:
        self.backbone = backbone
        self.device = device
        self.precision = precision
        self.size = size

    def encode(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Encode the first inputs of a list, as many as fit.

        Parameters
        ----------
        inputs : list of tensor, each of shape (S, C, H, W), float32
            All of one shape.

        Returns
        -------
        tensor, shape (n, F, h, w), float32, on the CPU
            Features of the first ``n`` inputs, 1 ≤ n ≤ ``size``.

        Raises
        ------
        FewShotError
            If memory does not suffice for a single input, or the features have another shape
            than the backbone's stride gives.
        """
        while True:
            part = inputs[: self.size]
            result = self._try(part)
            if result is not None:
                return result
            if len(part) == 1:
                side = " x ".join(str(n) for n in part[0].shape[-2:])
                raise FewShotError(
                    f"Out of memory on {self.device}: backbone {self.backbone.spec.name} does not "
                    f"fit with a single input of {side} pixels. Lower max_side or min_tokens, "
                    "choose a smaller backbone, or use device cpu."
                )
            self.size = max(1, len(part) // 2)

    def _try(self, part: list[torch.Tensor]) -> torch.Tensor | None:
        """Encode, or None when out of memory.

        The retry is the caller's: inside the ``except`` block the traceback would keep the
        tensors of the failed attempt alive.
        """
        import torch

        try:
            batch = torch.stack(part).to(self.device)
            with torch.inference_mode(), self._autocast():
                features = self.backbone.encode(batch).float().cpu()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            self._check(features, batch)
            return features
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return None

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        import torch

        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=getattr(torch, self.precision))

    def _check(self, features: torch.Tensor, batch: torch.Tensor) -> None:
        stride = self.backbone.spec.stride
        expected = (len(batch), batch.shape[-2] // stride, batch.shape[-1] // stride)
        if features.ndim != 4 or (len(features), *features.shape[2:]) != expected:
            raise FewShotError(
                f"Backbone {self.backbone.spec.name} gave features of shape "
                f"{tuple(features.shape)} for inputs of shape {tuple(batch.shape)} at stride "
                f"{stride}. This is a fault of the backbone."
            )
