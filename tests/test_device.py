"""Device names."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from napari_fewshot import device
from napari_fewshot.device import avoid_llvm_clash, choose_device, seeded
from napari_fewshot.errors import InputError


def test_cpu_is_always_there():
    assert choose_device("cpu") == "cpu"
    assert torch.device(choose_device()).type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta"])
def test_unknown_device(name):
    with pytest.raises(InputError, match="device must be auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


def test_a_seed_leaves_the_random_state_of_the_caller():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded(3):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_absent_device_says_how_many_there_are():
    count = torch.cuda.device_count()
    with pytest.raises(InputError, match=f"CUDA devices here: {count}"):
        choose_device(f"cuda:{count}")


def test_triton_is_kept_out_only_beside_the_llvm_of_mesa(monkeypatch, tmp_path):
    maps = tmp_path / "maps"
    monkeypatch.setattr(device, "_MAPS", maps)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    avoid_llvm_clash()  # no such file: not Linux
    maps.write_text("7f00 r-xp /usr/lib/libGL.so.1\n")
    avoid_llvm_clash()
    assert "triton" not in sys.modules
    maps.write_text("7f00 r-xp /usr/lib/libGL.so.1\n7f01 r-xp /usr/lib/libLLVM-15.so.1\n")
    avoid_llvm_clash()
    with pytest.raises(ImportError):
        importlib.import_module("triton")


def test_triton_that_is_there_stays(monkeypatch, tmp_path):
    maps = tmp_path / "maps"
    maps.write_text("/usr/lib/libLLVM-15.so.1")
    monkeypatch.setattr(device, "_MAPS", maps)
    there = object()
    monkeypatch.setitem(sys.modules, "triton", there)
    avoid_llvm_clash()
    assert sys.modules["triton"] is there


def test_a_library_that_does_not_fit_into_memory_is_out_of_memory():
    lost = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    assert device.is_out_of_memory(lost)
    assert not device.is_out_of_memory(ImportError("No module named 'cv2'"))
