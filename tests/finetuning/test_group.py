"""Several processes that train one network: they agree, and one of them tells and writes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from napari_fewshot.errors import InputError
from napari_fewshot.finetuning.group import Group, open_group
from napari_fewshot.finetuning.weights_file import read_story
from napari_fewshot.io import write_image


def test_one_process_agrees_with_itself():
    group = open_group("cpu", 1)
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    group.average([weight])
    assert (group.rank, group.size, group.leads, group.agree("stop")) == (0, 1, True, "stop")
    assert weight.grad.tolist() == [1, 1]


@pytest.mark.parametrize(("device", "words"), [("mps", "be 1 on mps"), ("cuda", "CUDA devices")])
def test_devices_that_are_not_there_are_refused(device, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=words):
        open_group(device, 2)


def test_what_several_devices_need_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(InputError, match=r"napari-fewshot\[finetune\]"):
        open_group("cpu", 2)


def test_gradients_are_those_of_all_processes():
    class Fabric:
        global_rank, world_size = 1, 2

        def all_reduce(self, value, reduce_op):
            return value / 2  # the others have none

    group = Group("cpu", Fabric())
    one, other, fixed = (torch.nn.Parameter(torch.ones(1)) for _ in range(3))
    one.grad = torch.full((1,), 4.0)
    fixed.requires_grad_(False)
    group.average([one, other, fixed])
    assert (one.grad.item(), other.grad.item(), fixed.grad) == (2, 0, None)
    assert not group.leads


@pytest.mark.slow
def test_two_processes_write_one_file_and_say_it_once(tiny, volumes, tmp_path):
    pytest.importorskip("lightning_fabric")
    image = tmp_path / "one.nii.gz"
    write_image(image, volumes[0].data.astype("float32"), volumes[0])
    own = tmp_path / "own.safetensors"
    command = [sys.executable, "-m", "napari_fewshot", "finetune", "--images", image, "-o", own,
               "--weights", tiny, "--devices", "2", "--device", "cpu", "--steps", "2",
               "--set", "contrast.side=32", "--set", "contrast.episodes=2",
               "--set", "contrast.pixels=32"]  # fmt: skip
    said = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=300, check=False
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("2 steps in ") == 1
    assert read_story(own) is not None
