"""Device names."""

from __future__ import annotations

import pytest
import torch

from napari_fewshot.device import choose_device
from napari_fewshot.errors import InputError


def test_cpu_is_always_there():
    assert choose_device("cpu") == "cpu"
    assert torch.device(choose_device()).type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta"])
def test_unknown_device(name):
    with pytest.raises(InputError, match="device must be auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


def test_absent_device_says_how_many_there_are():
    count = torch.cuda.device_count()
    with pytest.raises(InputError, match=f"CUDA devices here: {count}"):
        choose_device(f"cuda:{count}")
