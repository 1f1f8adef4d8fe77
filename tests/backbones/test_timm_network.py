"""Official and hub checkpoints through the real loading path, against a plain forward pass."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from napari_fewshot.backbones import BACKBONES, BackboneEntry, Preprocessing, get_backbone
from napari_fewshot.backbones.base import BackboneSpec
from napari_fewshot.backbones.timm_network import timm_entry
from napari_fewshot.backbones.weights import WeightsSource
from napari_fewshot.errors import InputError, WeightsError

from .conftest import DEPTH, GRID, HEADS, PATCH, WIDTH, official_state

SIZE = GRID * PATCH


def tiny_entry(registers: int, swiglu: bool) -> BackboneEntry:
    size = "giant" if swiglu else "small"
    model = f"vit_{size}_patch14{'_reg4' if registers else ''}_dinov2.lvd142m"
    spec = BackboneSpec("tiny", "", PATCH, Preprocessing(multiple=PATCH), channels=WIDTH)
    options = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "weight_init": "skip"}
    return timm_entry(spec, model, WeightsSource("tiny", "none"), options)


def plain_forward(state: dict[str, torch.Tensor], images: torch.Tensor) -> list[torch.Tensor]:
    """DINOv2 as its paper describes it: the normed patch tokens after each block, (B, C, h, w)."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    kernel = state["patch_embed.proj.weight"]
    width = kernel.shape[0]
    h, w = images.shape[-2] // PATCH, images.shape[-1] // PATCH
    x = F.conv2d(images, kernel, state["patch_embed.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + state["pos_embed"]
    prefix = 1
    if "register_tokens" in state:  # behind the class token, without a position
        registers = state["register_tokens"].expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], 1)
        prefix += registers.shape[1]
    outputs = []
    for block in range(DEPTH):
        name = f"blocks.{block}."
        qkv = linear(norm(x, f"{name}norm1"), f"{name}attn.qkv")
        q, k, v = qkv.reshape(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(width / HEADS)).softmax(-1)
        mixed = (weights @ v).transpose(1, 2).reshape(x.shape)
        x = x + state[f"{name}ls1.gamma"] * linear(mixed, f"{name}attn.proj")
        y = norm(x, f"{name}norm2")
        if f"{name}mlp.w12.weight" in state:
            gate, value = linear(y, f"{name}mlp.w12").chunk(2, -1)
            y = linear(gate * torch.sigmoid(gate) * value, f"{name}mlp.w3")
        else:
            y = linear(F.gelu(linear(y, f"{name}mlp.fc1")), f"{name}mlp.fc2")
        x = x + state[f"{name}ls2.gamma"] * y
        tokens = norm(x, "norm")[:, prefix:]
        outputs.append(tokens.transpose(1, 2).reshape(len(x), width, h, w))
    return outputs


def timm_state(official: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same numbers in the hub's format, converted here by hand."""
    state = {k: v.clone() for k, v in official.items() if k != "mask_token"}
    if "register_tokens" in state:
        state["reg_token"] = state.pop("register_tokens")
        state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
        state["pos_embed"] = state["pos_embed"][:, 1:].clone()
    return {
        k.replace("mlp.w12", "mlp.fc1").replace("mlp.w3", "mlp.fc2"): v for k, v in state.items()
    }


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def add(entry: BackboneEntry) -> None:
        monkeypatch.setitem(BACKBONES._entries, "tiny", entry)

    return add


@pytest.mark.parametrize(("registers", "swiglu"), [(0, False), (4, False), (0, True), (4, True)])
def test_both_formats_agree_and_equal_a_plain_forward(  # type: ignore[no-untyped-def]
    registers: int, swiglu: bool, register, tmp_path: Path
) -> None:
    register(tiny_entry(registers, swiglu))
    state = official_state(registers, swiglu)
    torch.save(state, tmp_path / "official.pth")
    save_file(timm_state(state), tmp_path / "hub.safetensors")
    official = get_backbone("tiny", tmp_path / "official.pth", blocks=2)
    hub = get_backbone("tiny", tmp_path / "hub.safetensors", blocks=2)

    image = torch.rand(1, 1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    features = official.encode(image)
    torch.testing.assert_close(hub.encode(image), features, rtol=1e-4, atol=1e-5)
    assert official.weights_hash == hub.weights_hash
    expected = torch.cat(plain_forward(state, image[:, 0]), 1)
    assert features.shape == (1, 2 * WIDTH, GRID, GRID)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3)


def test_chunked_and_wrapped_checkpoint_of_a_training_run(register, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    register(tiny_entry(0, swiglu=False))
    state = official_state()
    torch.save(state, tmp_path / "plain.pth")
    chunked = {
        f"backbone.{k.replace('blocks.', 'blocks.0.') if k.startswith('blocks.') else k}": v
        for k, v in state.items()
    }
    chunked["dino_head.mlp.0.weight"] = torch.zeros(2, 2)
    torch.save({"teacher": chunked}, tmp_path / "teacher.pth")
    plain, teacher = (get_backbone("tiny", tmp_path / f"{n}.pth") for n in ("plain", "teacher"))
    assert plain.weights_hash == teacher.weights_hash


def test_hash_follows_weights_and_blocks(register, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    register(tiny_entry(0, swiglu=False))
    torch.save(official_state(seed=0), tmp_path / "a.pth")
    torch.save(official_state(seed=1), tmp_path / "b.pth")
    hashes = {
        get_backbone("tiny", tmp_path / f"{name}.pth", blocks).weights_hash
        for name in ("a", "b")
        for blocks in (1, 2)
    }
    assert len(hashes) == 4


def test_neighbouring_slices_autocast_and_sizes(register, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    register(tiny_entry(4, swiglu=False))
    torch.save(official_state(4), tmp_path / "w.pth")
    backbone = get_backbone("tiny", tmp_path / "w.pth")
    images = torch.rand(2, 3, 3, 42, 70, generator=torch.Generator().manual_seed(0))
    features = backbone.encode(images)
    torch.testing.assert_close(backbone.encode(images[:, 1:2]), features, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = backbone.encode(images)
    assert half.dtype == torch.float32
    assert 0 < (half - features).abs().max() < 0.1 * features.abs().max()
    with pytest.raises(InputError, match="multiples of 14"):
        backbone.encode(images[..., :69])


def test_more_blocks_than_there_are(register, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    register(tiny_entry(0, swiglu=False))
    torch.save(official_state(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"blocks must be in 1\.\.2"):
        get_backbone("tiny", tmp_path / "w.pth", blocks=3)
    with pytest.raises(InputError, match="1..12 for dinov2-s"):
        get_backbone("dinov2-s", tmp_path / "w.pth", blocks=13)


def test_true_small_dinov2_from_an_official_file(tmp_path: Path) -> None:
    path = tmp_path / "dinov2_vits14_pretrain.pth"
    torch.save(official_state(width=384, depth=12), path)
    backbone = get_backbone("dinov2-s", weights=path)
    features = backbone.encode(torch.rand(1, 1, 3, 224, 224))
    assert features.shape == (1, 384, 16, 16)
    assert features.dtype == torch.float32
    assert backbone.spec.channels == 384
    with pytest.raises(WeightsError) as caught:
        get_backbone("dinov2-b", weights=path)
    message = str(caught.value)
    assert "Expected width 768, depth 12, patch 14" in message
    assert "given width 384, depth 12, patch 14" in message
    assert message.endswith("It fits dinov2-s.")


def test_wrong_depth_and_missing_tensors(register, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    register(tiny_entry(0, swiglu=False))
    torch.save(official_state(depth=3), tmp_path / "deep.pth")
    with pytest.raises(WeightsError, match=r"unknown \(.*blocks\.2.*given width 48, depth 3"):
        get_backbone("tiny", tmp_path / "deep.pth")
    state = official_state()
    del state["norm.bias"]
    torch.save(state, tmp_path / "lame.pth")
    with pytest.raises(WeightsError, match=r"1 missing \(norm\.bias\)"):
        get_backbone("tiny", tmp_path / "lame.pth")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="no such transformer"):
        get_backbone("tiny", tmp_path / "other.pth")
