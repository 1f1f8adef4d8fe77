"""A tiny transformer learns from its own running mean; its weights are read as any others."""

from __future__ import annotations

import pytest
import torch

from napari_fewshot.backbones import get_backbone
from napari_fewshot.backbones.base import BACKBONES, BackboneSpec, Preprocessing
from napari_fewshot.backbones.timm_network import build_network, timm_entry
from napari_fewshot.backbones.weights import WeightsSource
from napari_fewshot.config import DistillationConfig, FinetuneConfig
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.finetuning import distillation, finetune
from napari_fewshot.finetuning.distillation import SelfDistillation
from napari_fewshot.finetuning.group import Group
from napari_fewshot.finetuning.lora import choose_weights, merged
from napari_fewshot.finetuning.probe import Judge
from napari_fewshot.finetuning.scans import Scans

NAME = "tiny-vit"
OPTIONS = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2,
           "mlp_ratio": 2, "reg_tokens": 1}  # fmt: skip
TINY = {
    "steps": 4,
    "warm_up": 1,
    "probe_every": 2,
    "learning_rate": 1e-3,
    "distillation": {
        "batch": 2, "tokens": 4, "local_tokens": 2, "local_crops": 2, "prototypes": 16,
        "hidden": 16, "bottleneck": 8, "head_steps": 1, "blocks": 1, "masked_images": 1.0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A registered vision transformer, and random weights of it in a file."""
    from safetensors.torch import save_file

    model = "vit_tiny_patch16_224"
    spec = BackboneSpec(NAME, "", 8, Preprocessing(resize="grid", multiple=8), 32)
    BACKBONES.add(NAME, timm_entry(spec, model, WeightsSource(NAME, "MIT"), OPTIONS))
    path = tmp_path_factory.mktemp("vit") / "vit.safetensors"
    torch.manual_seed(0)
    save_file(build_network(model, OPTIONS).state_dict(), path)
    yield path
    BACKBONES._entries.pop(NAME)


def changed(**own):
    return {**TINY, "distillation": TINY["distillation"] | own}


@pytest.mark.parametrize(
    ("train", "learned"),
    [("last", {"blocks.2.", "norm."}), ("all", {"blocks.0.", "patch_embed."}), ("lora", set())],
)
def test_what_is_chosen_learns_and_nothing_else(vit, train, learned):
    network = get_backbone(NAME, vit).network
    before = {k: v.clone() for k, v in network.state_dict().items()}
    chosen = choose_weights(network, DistillationConfig(train=train, blocks=1, rank=2))
    names = {name for name, p in network.named_parameters() if p.requires_grad}
    assert len(names) == len(chosen)
    for start in learned:
        assert any(name.startswith(start) for name in names)
    if train == "last":
        assert not any(name.startswith(("blocks.0", "blocks.1", "pos")) for name in names)
        assert {far for _, far in chosen} == {0}
    if train == "lora":
        assert {far for _, far in chosen} == {0, 1, 2}
        assert all(name.endswith((".up", ".down")) for name in names)
    now = merged(network, list(before))
    assert all(torch.equal(now[k], before[k]) for k in before)


@pytest.mark.parametrize("train", ["last", "lora", "all"])
def test_a_run_writes_weights_that_the_backbone_reads(vit, volumes, tmp_path, monkeypatch, train):
    pytest.importorskip("lightly")
    scores = iter(range(10))
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (float(next(scores)), 1.0))
    out = tmp_path / "own.safetensors"
    found = finetune(NAME, volumes, weights=vit, output=out, config=changed(train=train))
    assert found.better
    one, other = (get_backbone(NAME, path).network.state_dict() for path in (vit, out))
    assert any(not torch.equal(one[k], other[k]) for k in one)
    assert torch.equal(one["blocks.0.norm1.weight"], other["blocks.0.norm1.weight"]) is (
        train != "all"
    )
    row = found.history.rows[-1]
    assert {"image", "patch", "koleo", "entropy", "sharpness", "loss"} <= row.keys()
    assert 0 <= row["entropy"] <= 1
    assert 0 <= row["sharpness"] <= 1


def test_patches_that_are_seen_are_told_too(vit, volumes):
    """Of masked ones alone, the loss does not know what others are; of a share of all, it does."""
    pytest.importorskip("lightly")
    losses = {}
    for share in (0.0, 0.5):
        config = FinetuneConfig.of(changed(masked_images=0.0, seen_patches=share), "config")
        learner = SelfDistillation(
            get_backbone(NAME, vit), Scans.of(volumes, config), config, Group("cpu")
        )
        losses[share] = learner.step(0)
    assert "patch" not in losses[0.0]
    assert losses[0.5]["patch"] > 0


def test_a_run_that_was_stopped_goes_on_to_the_last_bit(vit, volumes, tmp_path, monkeypatch):
    pytest.importorskip("lightly")
    scores = iter(range(100))
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (float(next(scores)), 1.0))
    config = changed(train="lora", accumulate=2, batch=4)
    straight = finetune(NAME, volumes, weights=vit, config=config)
    out = tmp_path / "own.safetensors"

    def stop(done, total, what):
        if what == "fine-tuning" and done == 3:
            raise Cancelled("enough")

    finetune(NAME, volumes, weights=vit, config=config, output=out, progress=stop)
    resumed = finetune(NAME, volumes, weights=vit, config=config, output=out)
    assert all(torch.equal(resumed.weights[k], straight.weights[k]) for k in straight.weights)


def test_the_loss_falls(vit, volumes, monkeypatch):
    pytest.importorskip("lightly")
    config = FinetuneConfig.of(changed(train="all", head_steps=0, batch=4), "config")
    learner = SelfDistillation(
        get_backbone(NAME, vit), Scans.of(volumes, config), config, Group("cpu")
    )
    # A teacher that stays, also in what it takes for usual, gives a task that can be solved.
    monkeypatch.setattr(SelfDistillation, "_follow", lambda self: None)
    monkeypatch.setattr(learner._image_loss, "update_center", lambda given: None)
    monkeypatch.setattr(learner._patch_loss.center, "update", lambda given: None)
    losses = [learner.step(0) for _ in range(15)]
    first, last = (one["image"] + one["patch"] for one in (losses[0], losses[-1]))
    assert last < first
    assert learner.backbone().encode(torch.rand(1, 1, 3, 64, 64)).shape == (1, 32, 8, 8)


@pytest.mark.parametrize("losses", [{"entropy": 0.001}, {"entropy": 1.0, "sharpness": 0.001}])
def test_a_teacher_that_says_the_same_or_nothing_ends_it(vit, volumes, monkeypatch, losses):
    pytest.importorskip("lightly")
    monkeypatch.setattr(SelfDistillation, "step", lambda self, number: losses)
    found = finetune(NAME, volumes, weights=vit, config=TINY)
    assert found.ended == "collapsed"


def test_what_it_needs_is_said(vit, volumes, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lightly", None)
    with pytest.raises(InputError, match=r"pip install .napari-fewshot\[finetune\]"):
        finetune(NAME, volumes, weights=vit, config=TINY)


def test_networks_without_class_token_are_refused(volumes, vit, monkeypatch):
    monkeypatch.setattr(distillation, "_lightly", lambda name: (None, None))
    backbone = get_backbone(NAME, vit)
    backbone.network.num_prefix_tokens = 0
    config = FinetuneConfig.of(TINY, "config")
    with pytest.raises(InputError, match="transformer with a class token"):
        SelfDistillation(backbone, Scans.of(volumes, config), config, Group("cpu"))
