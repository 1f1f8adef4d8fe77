"""A tiny DINOv2 in the registry, its checkpoints in both formats, and a server of files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@dataclass
class Served:
    """What the server answers, and what it was asked."""

    url: str
    content: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    ranges: bool = True
    break_after: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Served]:
    """A server on loopback that can lie, break off, and serve ranges."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            wanted = self.headers.get("Range")
            served.asked.append((self.command, wanted))
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
            ranged = bool(wanted) and served.ranges and served.status == 200
            status = 206 if ranged else served.status
            if ranged and start >= len(served.content):
                status = 416
            rest = served.content[start:] if ranged else served.content
            self.send_response(status)
            self.send_header("Content-Type", served.content_type)
            self.send_header("Content-Length", str(len(rest)))
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if body and status != 416:
                cut, served.break_after = served.break_after, None
                self.wfile.write(rest[:cut])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{listening.server_address[1]}")
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    yield served
    listening.shutdown()
    listening.server_close()
    thread.join()


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
