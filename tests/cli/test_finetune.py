"""``finetune``: weights that every command takes, a run that goes on, and what is refused."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from napari_fewshot.backbones.embedded import FORMAT
from napari_fewshot.backbones.embedded_network import EmbeddedNet, NetworkConfig
from napari_fewshot.finetuning.contrast import DenseContrast
from napari_fewshot.finetuning.probe import Judge
from napari_fewshot.types import Volume

from .conftest import files_below

TINY = NetworkConfig(widths=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1), heads=2, head_width=8)
QUICK = ("--steps", "2", "--set", "contrast.episodes=1", "--set", "contrast.side=32",
         "--set", "contrast.pixels=32", "--set", "contrast.synthetic=0",
         "--axis", "sagittal", "--device", "cpu")  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in EmbeddedNet(TINY).state_dict().items()}
    save_file(state, path, {"format": FORMAT, "network": json.dumps(TINY.to_dict())})
    return path


@pytest.fixture
def better(monkeypatch):
    """Later weights are better."""
    scores = iter(range(100))
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (float(next(scores)), 1.0))


def test_weights_are_for_train_and_predict_and_backbones_lists_them(
    run, patients, tiny, tmp_path, better, monkeypatch
):
    one, other = patients
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(b"nothing")
    own = tmp_path / "weights" / "own.safetensors"
    said = run("finetune", "--images", one.image, other.image, damaged, "--weights", tiny,
               "-o", own, *QUICK)  # fmt: skip
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("2 images, 96 slices of ") or "2 images, " in lines[0]
    assert lines[1].startswith("embedded: dense contrast")
    assert lines[2].startswith("2 steps in ")
    assert lines[3].startswith("better than the start by 1.000")
    assert said.err.startswith("napari-fewshot: left out: ")
    assert said.err.count("\n") == 1
    assert files_below(own.parent) == ["own.csv", "own.png", "own.safetensors", "own_views.png"]
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(own.parent))
    said = run("backbones")
    assert f"{own}  embedded  tiny.safetensors  2" in said.out
    model = tmp_path / "m.fewshot"
    said = run("train", "--image", one.image, "--labels", one.painted, "--weights", own, "-o",
               model, "--adapter", "classification", "--set", "classification.steps=5",
               "--set", "experts.hand_made=false", "--set", "experts.carried=false",
               "--no-score", "--no-store")  # fmt: skip
    assert said.code == 0, said.err
    said = run("predict", model, other.image, "-o", tmp_path / "out", "--no-store")
    assert said.code == 2
    assert "trained with (own.safetensors, " in said.err
    said = run("predict", model, other.image, "-o", tmp_path / "out", "--no-store", "--weights",
               own)  # fmt: skip
    assert said.code == 0, said.err


def test_ctrl_c_keeps_the_best_and_the_same_command_goes_on(
    run, patients, tiny, tmp_path, better, monkeypatch
):
    own = tmp_path / "own.safetensors"
    command = ("finetune", "--images", patients[0].image, "--weights", tiny, "-o", own, *QUICK)
    step = DenseContrast.step

    def interrupted(self, number):
        signal.raise_signal(signal.SIGINT)
        return step(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(DenseContrast, "step", interrupted)
        said = run(*command)
    assert said.code == 130
    assert "stopped after 1 steps; the same command goes on from there" in said.err
    assert own.is_file()
    said = run(*command)
    assert (said.code, said.err) == (0, "")
    assert "going on from step 1" in said.out
    assert not own.with_name("own.safetensors.checkpoint").exists()


def test_labelled_images_judge_it(run, patients, tiny, tmp_path):
    one = patients[0]
    said = run("finetune", "--images", one.image, "--weights", tiny, "-o",
               tmp_path / "own.safetensors", "--probe-image", one.image, "--probe-labels",
               one.painted, "--set", "probe_steps=5", *QUICK)  # fmt: skip
    assert said.code == 0, said.err
    assert "held-out Dice of the probe" in said.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("-o", "own.pth"), "--output must end in .safetensors"),
        (("--images", "none*.nii.gz"), "--images must be an image, a folder of images"),
        (("--images", "flat.nii.gz"), "--images must have one that can be learned from"),
        (("--images", "small.nii.gz"), "slices of 12 × 12 pixels are too small; 16 at least"),
        (("--images", "text.nii.gz"), "--images must have one that can be learned from"),
        (("--images", "one.nii.gz", "slide.png"), "--images must have one number of channels; got"),
        (("--axis", "front"), "--axis must be one of auto, all"),
        (("--steps", "0"), "--set steps must be greater than or equal to 1"),
        (("--weights", "other.safetensors"), "must be of backbone embedded"),
        (("--weights", "none.safetensors"), "--weights must be an existing file"),
        (("--backbone", "multiscale"), "--backbone must be one that can be fine-tuned"),
        (("--backbone", "none"), "--backbone must be one of"),
        (("--probe-image", "one.nii.gz"), "--probe-image must stand beside --probe-labels"),
        (("-o", "there.safetensors"), "--output must not replace a file"),
        (("--set", "contrast.episodes=0"), "--set contrast.episodes must be"),
    ],
)
def test_bad_input_is_one_line_before_training(run, patients, tmp_path, monkeypatch, change, words):
    from napari_fewshot.io import read_volume, write_image

    monkeypatch.chdir(tmp_path)
    image = read_volume(patients[0].image)
    write_image(tmp_path / "one.nii.gz", image.data, image)
    write_image(tmp_path / "flat.nii.gz", np.zeros(image.shape, np.float32), image)
    small = Volume(np.zeros((12, 12, 12), np.float32), (1.0, 1.0, 1.0))
    write_image(tmp_path / "small.nii.gz", small.data, small)
    (tmp_path / "text.nii.gz").write_text("no image")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "slide.png")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    before = files_below(tmp_path)
    given = {"--images": ["one.nii.gz"], "-o": ["own.safetensors"]}
    given[change[0]] = list(change[1:])
    said = run("finetune", *(part for name, values in given.items() for part in (name, *values)))
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert words in said.err, said.err
    assert files_below(tmp_path) == before
