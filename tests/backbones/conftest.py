"""A tiny DINOv2 in the registry, and its checkpoints in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

WIDTH, DEPTH, PATCH, GRID, HEADS = 48, 2, 14, 37, 2


def official_state(
    registers: int = 0, swiglu: bool = False, seed: int = 0, width: int = WIDTH, depth: int = DEPTH
) -> dict[str, torch.Tensor]:
    """Random weights under the names and shapes of the official DINOv2 checkpoints."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int, scale: float = 0.2) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    state = {
        "cls_token": random(1, 1, width),
        "pos_embed": random(1, GRID * GRID + 1, width),
        "mask_token": random(1, width),
        "patch_embed.proj.weight": random(width, 3, PATCH, PATCH, scale=0.05),
        "patch_embed.proj.bias": random(width),
        "norm.weight": 1 + random(width),
        "norm.bias": random(width),
    }
    if registers:
        state["register_tokens"] = random(1, registers, width)
    # The official hidden width of SwiGLU: two thirds of 4 x width, rounded up to eights.
    hidden = (int(width * 4 * 2 / 3) + 7) // 8 * 8 if swiglu else 4 * width
    layers = (
        {"mlp.w12": (2 * hidden, width), "mlp.w3": (width, hidden)}
        if swiglu
        else {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    )
    layers |= {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    for block in range(depth):
        name = f"blocks.{block}."
        for layer, (rows, columns) in layers.items():
            state[f"{name}{layer}.weight"] = random(rows, columns)
            state[f"{name}{layer}.bias"] = random(rows)
        for norm in ("norm1", "norm2"):
            state[f"{name}{norm}.weight"] = 1 + random(width)
            state[f"{name}{norm}.bias"] = random(width)
        for scale in ("ls1", "ls2"):
            state[f"{name}{scale}.gamma"] = 0.5 + random(width)
    return state


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No weights anywhere on this machine: an empty folder of weights and an empty hub cache."""
    from huggingface_hub import constants

    folder = tmp_path / "weights"
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return folder
