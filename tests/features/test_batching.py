from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fewshot.errors import FewShotError
from napari_fewshot.features import encode as batching
from napari_fewshot.features.encode import BatchEncoder, choose_precision

CPU_MESSAGE = "DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError(CPU_MESSAGE),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


class Hungry:
    """Delegates to a backbone, and runs out of memory above a batch size."""

    def __init__(self, backbone, largest, error):
        self.backbone = backbone
        self.spec = backbone.spec
        self.largest = largest
        self.error = error
        self.tried = []

    def encode(self, images):
        self.tried.append(len(images))
        if len(images) > self.largest:
            raise self.error
        return self.backbone.encode(images)


def inputs(n, side=8):
    values = np.random.default_rng(0).random((n, 1, 3, side, side), dtype=np.float32)
    return list(torch.from_numpy(values))


def encode_all(encoder, batch):
    out = []
    while batch:
        out.append(encoder.encode(batch))
        batch = batch[len(out[-1]) :]
    return torch.cat(out)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_batch_halves_until_it_fits_and_stays_so(tiny, error):
    backbone = tiny.ConvBackbone()
    hungry = Hungry(backbone, 2, error)
    result = encode_all(BatchEncoder(hungry, "cpu", "float32", 8), inputs(11))
    assert hungry.tried == [8, 4, 2, 2, 2, 2, 2, 1]
    whole = backbone.encode(torch.stack(inputs(11)))
    assert torch.allclose(result, whole, atol=1e-6)


def test_a_single_input_that_does_not_fit_is_a_clear_error(tiny):
    hungry = Hungry(tiny.ConvBackbone(), 0, RuntimeError(CPU_MESSAGE))
    with pytest.raises(FewShotError, match=r"conv.*8 x 8 pixels\. Lower max_side") as caught:
        encode_all(BatchEncoder(hungry, "cpu", "float32", 4), inputs(3))
    assert not isinstance(caught.value, RuntimeError)


def test_memory_that_torch_really_does_not_have(tiny):
    class Greedy:
        spec = tiny.ConvBackbone().spec

        def encode(self, images):
            return torch.empty(10**15)

    with pytest.raises(FewShotError, match="Out of memory on cpu"):
        BatchEncoder(Greedy(), "cpu", "float32", 4).encode(inputs(1))


def test_other_errors_are_not_hidden(tiny):
    hungry = Hungry(tiny.ConvBackbone(), 0, RuntimeError("sizes of tensors must match"))
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        BatchEncoder(hungry, "cpu", "float32", 4).encode(inputs(2))
    assert hungry.tried == [2]


def test_features_of_a_wrong_shape_are_the_fault_of_the_backbone(tiny):
    backbone = tiny.ConvBackbone(stride=4)
    backbone.spec = replace(backbone.spec, stride=8)
    backbone.encode = lambda images: torch.zeros(len(images), 5, 8, 8)
    with pytest.raises(FewShotError, match="fault of the backbone"):
        BatchEncoder(backbone, "cpu", "float32", 4).encode(inputs(1, side=32))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_network_runs_in_the_precision_and_gives_float32(tiny, precision):
    seen = []

    class Watching(tiny.ConvBackbone):
        def encode(self, images):
            result = super().encode(images)
            seen.append(result.dtype)
            return result

    result = BatchEncoder(Watching(), "cpu", precision, 4).encode(inputs(2))
    assert seen == [getattr(torch, precision)]
    assert result.dtype == torch.float32


@pytest.mark.parametrize(
    ("wanted", "device", "tokens", "cpu_has", "chosen"),
    [
        ("auto", "cpu", True, True, "bfloat16"),
        ("auto", "cpu", True, False, "float32"),
        ("auto", "cpu", False, True, "float32"),
        ("auto", "cuda:1", True, False, "float16"),
        ("auto", "cuda", False, False, "float32"),
        ("auto", "mps", True, True, "float32"),
        ("bfloat16", "cpu", True, False, "bfloat16"),
    ],
)
def test_precision(monkeypatch, wanted, device, tokens, cpu_has, chosen):
    monkeypatch.setattr(batching, "cpu_has_bfloat16", lambda: cpu_has)
    assert choose_precision(wanted, device, tokens=tokens) == chosen


@pytest.mark.parametrize(
    "limit",
    [{"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"DNNL_MAX_CPU_ISA": "AVX2"}, {"ATEN_CPU_CAPABILITY": "avx2"}],
    ids=str,
)
def test_libraries_that_are_held_below_the_processor_have_no_bfloat16(limit):
    """They would emulate it: ten times slower than float32."""
    code = (
        "from napari_fewshot.features.encode import choose_precision\n"
        "print(choose_precision('auto', 'cpu', tokens=True))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | limit,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "float32"
