"""Slices to features: prepare, cut, run the network, stitch."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..backbones.base import Backbone
from ..config import ExtractionConfig
from ..device import is_out_of_memory
from ..errors import FewShotError, InputError
from ..parallel import ordered_map, used_up, worker_count
from ..slices.stack import SliceSource, Window
from ..types import Array, FeatureMap
from .layout import Layout, blended, input_groups, plan_layout, prepare

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
                other = ", close other programs" if self.device == "cpu" else ", use device cpu"
                raise FewShotError(
                    f"Out of memory on {self.device}: backbone {self.backbone.spec.name} does not "
                    f"fit with a single input of {side} pixels. Lower max_side or min_tokens"
                    f"{other}, or choose a smaller backbone."
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


def ticking(items: Iterable[Array], tick: Callable[[], None]) -> Iterator[Array]:
    """Call ``tick`` after each item."""
    for item in items:
        tick()
        yield item


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
        on_cpu = device.partition(":")[0] == "cpu"
        self.is_shared_out = on_cpu and not backbone.spec.preprocessing.is_fixed
        """Whether tiles are encoded side by side, by one thread each. The large inputs of SAM take
        all threads, one after the other, since each takes gigabytes; a GPU takes batches."""
        self.batch = 1 if on_cpu else config.batch
        self._batches = BatchEncoder(backbone, device, self.precision, self.batch)
        self._reader: _Reader | None = None
        self._slices = 0.0
        self._seconds = 0.0

    @property
    def seconds_per_slice(self) -> float | None:
        """Mean time for a slice; None before any is encoded."""
        return self._seconds / self._slices if self._slices else None

    def layout(self, source: SliceSource) -> Layout:
        """How the slices of a source are laid out."""
        return plan_layout(source.shape, self.backbone.spec, self.config)

    def groups(self, source: SliceSource) -> int:
        """Count the inputs that each slice makes, channel by channel, not counting tiles."""
        return input_groups(source.channels, self.backbone.spec.preprocessing)

    def slices(self, source: SliceSource, wanted: Sequence[int]) -> Iterator[FeatureMap]:
        """Feature maps of slices that are one tile each; float32, as :meth:`parts`."""
        for k, data in zip(wanted, self._encode(source, ((k, 0) for k in wanted)), strict=True):
            yield from self._maps(source, k, [data])

    def parts(
        self,
        source: SliceSource,
        k: int,
        tick: Callable[[], None] = lambda: None,
        window: Window | None = None,
    ) -> Iterator[FeatureMap]:
        """Feature map of a slice, float32; of a large pixel grid, parts that cover it.

        No more is in memory than a row of tiles shares with the next. ``tick`` is called after
        every tile. Of a pixel grid in parts, only tiles that see any of the ``window`` are encoded;
        what lies in it is as without one.

        Raises
        ------
        FewShotError
            If features are not finite, or memory is short.
        """
        layout = self.layout(source)
        window = window if layout.is_dense_cut else None
        encoded = self._encode(source, ((k, at) for at in layout.numbers(window)))
        yield from self._maps(source, k, ticking(encoded, tick), window)

    def _maps(
        self, source: SliceSource, k: int, tiles: Iterable[Array], window: Window | None = None
    ) -> Iterator[FeatureMap]:
        layout = self.layout(source)
        parts = blended((self._checked(k, tile) for tile in tiles), layout, window)
        if layout.is_dense_cut:
            for row, column, data in parts:
                shape = (int(data.shape[1]), int(data.shape[2]))
                yield FeatureMap(data, shape, shape, (row, column))
            return
        first = next(parts)
        whole = first[2]
        if whole.shape[1:] != layout.grid:
            whole = np.empty((len(whole), *layout.grid), np.float32)
            for row, column, data in chain([first], parts):
                whole[:, row : row + data.shape[1], column : column + data.shape[2]] = data
        yield FeatureMap(whole, layout.shape, layout.extent)

    def _checked(self, k: int, data: Array) -> Array:
        if np.isfinite(data).all():
            return data
        remedy = "Check the weights."
        if self.precision != "float32":
            remedy = f"They overflow in {self.precision}: use precision float32."
        raise FewShotError(
            f"Backbone {self.backbone.spec.name} gave features of slice {k} that are not "
            f"finite. {remedy}"
        )

    def _encode(self, source: SliceSource, tiles: Iterable[tuple[int, int]]) -> Iterator[Array]:
        """Features (C, h, w) of tiles, (slice, number of the tile), in their order."""
        groups = self.groups(source)
        read = self._read(source)
        items = ((k, g, at) for k, at in tiles for g in range(groups))
        if self.is_shared_out:
            each = ordered_map(partial(self._one, read, worker_count()), items)
        else:
            each = self._all(ordered_map(read, items))
        with used_up(each):
            for data in each:
                self.features = len(data)
                self._slices += 1 / len(self.layout(source).origins)
                yield data if groups == 1 else np.concatenate([data, *islice(each, groups - 1)])

    def _read(self, source: SliceSource) -> _Reader:
        """The reader of a source; kept where slices are the context of others."""
        if self._reader is not None and self._reader.reads(source):
            return self._reader
        reader = _Reader(source, self.layout(source), self.backbone)
        self._reader = reader if reader.reach else None
        return reader

    def _one(self, read: _Reader, workers: int, item: tuple[int, int, int]) -> Array:
        start = time.perf_counter()
        (data,) = self._batches.encode([read(item)]).numpy()
        self._seconds += (time.perf_counter() - start) / workers
        return np.asarray(data)

    def _all(self, inputs: Iterator[torch.Tensor]) -> Iterator[Array]:
        """Encode inputs in batches; they are read ahead."""
        waiting: list[torch.Tensor] = []
        while True:
            waiting += islice(inputs, self.batch - len(waiting))
            if not waiting:
                return
            start = time.perf_counter()
            output = self._batches.encode(waiting).numpy()
            self._seconds += time.perf_counter() - start
            del waiting[: len(output)]
            yield from output


class _Reader:
    """Inputs of a network out of the slices of a source."""

    def __init__(self, source: SliceSource, layout: Layout, backbone: Backbone) -> None:
        self._source = weakref.ref(source)  # whoever reads has it; a kept reader does not hold it
        self.layout = layout
        self.prep = backbone.spec.preprocessing
        self.reach = backbone.spec.context
        self._by_window = layout.is_cut and self.prep.scale == "unit"
        # Groups come from one slice; neighbours are context of one another.
        self._prepared = lru_cache(maxsize=2 * self.reach + 1)(self._prepare)

    @property
    def source(self) -> SliceSource:
        """The slices."""
        source = self._source()
        if source is None:
            raise ReferenceError("The slices are gone.")
        return source

    def reads(self, source: SliceSource) -> bool:
        """Whether it is the reader of these slices."""
        return self._source() is source

    def __call__(self, item: tuple[int, int, int]) -> torch.Tensor:
        """One input, shape (S, C, h, w): slice, group and tile, and the slice's neighbours."""
        import torch

        k, group, at = item
        (row, column), (height, width) = self.layout.origins[at], self.layout.tile
        near = context_slices(k, len(self.source), self.reach)
        if self._by_window:
            return torch.stack([self._window(n, at)[group] for n in near])
        return torch.stack(
            [self._prepared(n)[group, :, row : row + height, column : column + width] for n in near]
        )

    def _window(self, k: int, at: int) -> torch.Tensor:
        """Read no more of a large slice than a tile."""
        (row, column), (height, width) = self.layout.origins[at], self.layout.tile
        bottom, right = (
            min(start + side, length)
            for start, side, length in zip(
                (row, column), (height, width), self.layout.shape, strict=True
            )
        )
        shape = bottom - row, right - column
        tile = Layout(shape, shape, (height, width), (height, width), ((0, 0),), self.layout.stride)
        part = self.source.window(k, (slice(row, bottom), slice(column, right)))
        return self._named(k, part, tile)

    def _prepare(self, k: int) -> torch.Tensor:
        return self._named(k, self.source.slice(k), self.layout)

    def _named(self, k: int, image: Array, layout: Layout) -> torch.Tensor:
        try:
            return prepare(image, self.prep, layout)
        except InputError as error:
            raise InputError(f"slice {k}", error.constraint, error.given, error.remedy) from None
