"""Fixtures that tests of every room share."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before torch counts the cores
    _SHARE = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _SHARE)))

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images beside the repository; a test that needs them is skipped without them."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder.relative_to(ROOT.parent)} beside the repository")
    return folder


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SAM of official modules and file format with small measures and random weights."""
    import torch
    from segment_anything import modeling

    torch.manual_seed(0)
    side, patch, channels = 64, 8, 32
    grid = (side // patch, side // patch)
    network = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            depth=3,
            embed_dim=48,
            img_size=side,
            norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
            num_heads=3,
            patch_size=patch,
            use_rel_pos=True,
            global_attn_indexes=(1,),
            window_size=3,  # does not divide the grid, as 14 does not divide 64
            out_chans=channels,
        ),
        prompt_encoder=modeling.PromptEncoder(channels, grid, (side, side), mask_in_chans=16),
        mask_decoder=modeling.MaskDecoder(
            transformer_dim=channels,
            transformer=modeling.TwoWayTransformer(2, channels, num_heads=8, mlp_dim=64),
            iou_head_hidden_dim=24,
        ),
    )
    for name, weight in network.named_parameters():
        if "pos" in name:  # zero before training: mistakes would not show
            torch.nn.init.normal_(weight, std=0.1)
    path = tmp_path_factory.mktemp("sam") / "sam_tiny.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def published_weights(tiny_sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of weights with what the published preset takes, all of true format and small.

    DINOv2 base is built with small measures for as long as the test runs.
    """
    import torch
    from safetensors.torch import save_file

    from napari_fewshot.backbones import BACKBONES
    from napari_fewshot.backbones.timm_network import build_network, timm_entry
    from napari_fewshot.backbones.weights import WEIGHTS_FOLDER, WeightsSource

    name, model = "dinov2-b", "vit_base_patch14_dinov2.lvd142m"
    options = {"embed_dim": 48, "depth": 2, "num_heads": 2, "weight_init": "skip"}
    folder = tmp_path / "weights"
    folder.mkdir()
    drawn = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(value.shape, generator=drawn) * 0.1
        for key, value in build_network(model, options).state_dict().items()
    }
    save_file(state, folder / f"{name}.safetensors")
    spec = replace(BACKBONES.get(name).spec, channels=48)
    entry = timm_entry(spec, model, WeightsSource(name, spec.licence), options)
    monkeypatch.setitem(BACKBONES._entries, name, entry)
    for file in ("sam_vit_b_01ec64.pth", "sam_vit_h_4b8939.pth", "medsam_vit_b.pth"):
        shutil.copy(tiny_sam, folder / file)
    monkeypatch.setenv(WEIGHTS_FOLDER, str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep stores and weights of the user out of the tests, and those of the tests out of home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_draws() -> None:
    """Let a test draw the same numbers in every run, whichever tests ran before it."""
    import torch

    torch.manual_seed(0)  # a new process begins with a seed of its own


@pytest.fixture(scope="session")
def assert_same_labels() -> Callable[[Any, Any], None]:
    """Assert that two computations gave the same labels, but for pixels on the edge of a label.

    The last bits of sums depend on the batch, the threads and the processor, so a pixel whose
    two best labels are equally probable may fall to either side. One in 200 of those that have
    a label may; a slice, a row or a label that is off moves many more.
    """
    import numpy as np

    def compare(found: Any, wanted: Any) -> None:
        found, wanted = np.asarray(found), np.asarray(wanted)
        assert found.shape == wanted.shape
        other = int((found != wanted).sum())
        labelled = int(((found != 0) | (wanted != 0)).sum())
        assert other <= max(1, labelled // 200), f"{other} of {labelled} labelled pixels differ"

    return compare


@pytest.fixture
def stub_refiner() -> Iterator[Any]:
    """A registered refinement ``stub`` that moves labels one row down, and what it was asked.

    ``made``: the settings that it was made with; ``stacks``: those it was made for; ``slices``:
    (index, region, image) of each call; ``available``: what the registry is told.
    """
    import numpy as np

    from napari_fewshot.predict.refiners import REFINERS, RefinerEntry, Region

    seen = SimpleNamespace(made=[], stacks=[], slices=[], available=True)

    class Stub:
        def __init__(self, stack: Any) -> None:
            self.stack = stack
            seen.stacks.append(stack)

        def refine(self, index: int, region: Region) -> Region:
            seen.slices.append((index, region, self.stack.slice(index)))
            labels = np.roll(region.labels, 1, axis=0)
            return Region(labels, np.full(labels.shape, 0.25, np.float32))

    def make(settings: Any) -> type[Stub]:
        seen.made.append(settings)
        return Stub

    REFINERS.add("stub", RefinerEntry("stub", "for tests", lambda: seen.available, make))
    yield seen
    del REFINERS._entries["stub"]


@pytest.hookimpl(tryfirst=True)  # before the names of groups are taken
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and all of the viewer: one has the keyboard."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        viewer = item.get_closest_marker("viewer") is not None or "_napari" in item.path.parts
        item.add_marker(pytest.mark.xdist_group("viewer" if viewer else item.path.name))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of the viewer where Qt would abort for want of a display."""
    if item.get_closest_marker("viewer") is None or not sys.platform.startswith("linux"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        pytest.skip("no display: run the tests with scripts/test, or under xvfb-run")


@dataclass
class Served:
    """What the server answers (``pause_s``: after a half, it waits), and what it was asked."""

    url: str
    content: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    ranges: bool = True
    break_after: int | None = None
    pause_s: float = 0.0
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
                half = len(rest) // 2
                with suppress(ConnectionError):
                    self.wfile.write(rest[:half][:cut])
                    sleep(served.pause_s)
                    self.wfile.write(rest[:cut][half:])
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
