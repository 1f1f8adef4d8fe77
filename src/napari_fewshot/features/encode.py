"""Slices to features: prepare, cut, run the network in batches, stitch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..backbones.base import Backbone
from ..config import ExtractionConfig
from ..device import is_out_of_memory
from ..errors import FewShotError, InputError
from ..slices.stack import SliceSource
from ..types import Array
from .layout import Layout, input_groups, plan_layout, prepare, stitch

if TYPE_CHECKING:
    import torch

__all__ = [
    "BatchEncoder",
    "Precision",
    "SliceEncoder",
    "choose_precision",
    "context_slices",
    "cpu_has_bfloat16",
]

Precision = Literal["float32", "bfloat16", "float16"]


def choose_precision(
    wanted: Literal["auto", "float32", "bfloat16", "float16"], device: str, *, tokens: bool
) -> Precision:
    """Resolve ``auto``: half precision for token backbones where the device is faster with it.

    ``tokens`` is False for backbones that give a pixel grid, whose hand-made features need float32.
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
    """Encodes inputs in batches that halve when memory runs out, and stay halved.

    The backbone is already on ``device``; ``size`` is the largest batch to start with.
    """

    def __init__(self, backbone: Backbone, device: str, precision: Precision, size: int) -> None:
        self.backbone = backbone
        self.device = device
        self.precision = precision
        self.size = size

    def encode(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Encode the first ``n`` inputs of a list, as many as fit, 1 ≤ n ≤ ``size``.

        Inputs (S, C, H, W) and features (n, F, h, w) are float32 on the CPU. FewShotError if not
        one fits, or the features have another shape than the stride gives.
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

        The caller tries again: within ``except``, the traceback keeps the tensors alive.
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


PIXEL_GRID_BUDGET = 2**20
"""Pixels of pixel-grid slices encoded at once: their features take some 100 bytes a pixel."""


def context_slices(k: int, count: int, reach: int) -> list[int]:
    """Slice ``k`` with ``reach`` neighbours on each side; end slices stand in beyond the ends."""
    return [min(max(near, 0), count - 1) for near in range(k - reach, k + reach + 1)]


class SliceEncoder:
    """Encodes slices with a backbone, already on ``device``; knows nothing of stores.

    ``precision`` is in use; ``features`` of one input are as in the spec, else as measured.
    """

    def __init__(self, backbone: Backbone, config: ExtractionConfig, device: str) -> None:
        self.backbone = backbone
        self.config = config
        tokens = backbone.spec.stride > 1
        self.precision = choose_precision(config.precision, device, tokens=tokens)
        self.features = backbone.spec.channels
        self._batches = BatchEncoder(backbone, device, self.precision, config.batch)
        self._slices = 0
        self._seconds = 0.0

    @property
    def seconds_per_slice(self) -> float | None:
        """Mean time for a slice; None before the first is finished."""
        return self._seconds / self._slices if self._slices else None

    def layout(self, source: SliceSource) -> Layout:
        """How the slices of a source are laid out."""
        return plan_layout(source.shape, self.backbone.spec, self.config)

    def groups(self, source: SliceSource) -> int:
        """Count the inputs that each slice makes, channel by channel, not counting tiles."""
        return input_groups(source.channels, self.backbone.spec.preprocessing)

    def window(self, source: SliceSource) -> int:
        """Slices to encode together: those that fill a batch, and at least one."""
        inputs = len(self.layout(source).origins) * self.groups(source)
        size = max(1, self.config.batch // inputs)
        if self.backbone.spec.stride == 1:
            size = min(size, max(1, PIXEL_GRID_BUDGET // (source.shape[0] * source.shape[1])))
        return size

    def encode(
        self, source: SliceSource, wanted: Sequence[int]
    ) -> Iterator[list[tuple[int, Array]]]:
        """Encode distinct slices; after every batch, those that it finished (none amid tiles).

        Features are (C, h, w), float32; a FewShotError if they are not finite, or memory is short.
        """
        layout, groups = self.layout(source), self.groups(source)
        read = _Reader(source, layout, self.backbone)
        todo = [(k, g, at) for k in wanted for g in range(groups) for at in layout.origins]
        parts: dict[int, list[Array]] = {k: [] for k in wanted}
        while todo:
            start = time.perf_counter()
            inputs = [read(*item) for item in todo[: self._batches.size]]
            output = self._batches.encode(inputs).numpy()
            for (k, _, _), data in zip(todo, output, strict=False):
                parts[k].append(data)
            del todo[: len(output)]
            self.features = output.shape[1]
            pending = {k for k, _, _ in todo}
            finished = [k for k in parts if k not in pending]
            results = [(k, self._assemble(k, parts.pop(k), layout)) for k in finished]
            self._slices += len(finished)
            self._seconds += time.perf_counter() - start
            yield results

    def _assemble(self, k: int, parts: list[Array], layout: Layout) -> Array:
        """Join the tiles of each group, then the groups."""
        height, width = layout.grid
        tiles = len(layout.origins)
        cells = [(row // layout.stride, column // layout.stride) for row, column in layout.origins]
        joined = [
            parts[at][:, :height, :width]
            if tiles == 1
            else stitch(zip(cells, parts[at : at + tiles], strict=True), layout.grid)
            for at in range(0, len(parts), tiles)
        ]
        data = joined[0] if len(joined) == 1 else np.concatenate(joined)
        if not np.isfinite(data).all():
            remedy = "Check the weights."
            if self.precision != "float32":
                remedy = f"They overflow in {self.precision}: use precision float32."
            raise FewShotError(
                f"Backbone {self.backbone.spec.name} gave features of slice {k} that are not "
                f"finite. {remedy}"
            )
        return data


class _Reader:
    """Inputs of a network out of the slices of a source."""

    def __init__(self, source: SliceSource, layout: Layout, backbone: Backbone) -> None:
        self.source = source
        self.layout = layout
        self.prep = backbone.spec.preprocessing
        self.reach = backbone.spec.context
        # Tiles and groups come from one slice; neighbours are context of one another.
        self._prepared = lru_cache(maxsize=2 * self.reach + 1)(self._prepare)

    def __call__(self, k: int, group: int, origin: tuple[int, int]) -> torch.Tensor:
        """One input, shape (S, C, h, w): tile and group of slice ``k`` and its neighbours."""
        import torch

        (row, column), (height, width) = origin, self.layout.tile
        near = context_slices(k, len(self.source), self.reach)
        return torch.stack(
            [self._prepared(n)[group, :, row : row + height, column : column + width] for n in near]
        )

    def _prepare(self, k: int) -> torch.Tensor:
        try:
            return prepare(self.source.slice(k), self.prep, self.layout)
        except InputError as error:
            raise InputError(f"slice {k}", error.constraint, error.given, error.remedy) from None
