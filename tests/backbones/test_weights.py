from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from napari_fewshot.backbones import get_backbone, weights_available
from napari_fewshot.backbones.weights import (
    WeightsSource,
    find_weights,
    resolve_weights,
    weights_folder,
)
from napari_fewshot.errors import WeightsError

from ..conftest import Served

SOURCE = WeightsSource(
    "tiny", "MIT", hub_id="timm/tiny_net.tag", official_file="tiny_official.pth", size_mb=3
)


def test_order_given_folder_cache(nowhere: Path, tmp_path: Path) -> None:
    assert find_weights(SOURCE) is None
    snapshot = tmp_path / "hub" / "models--timm--tiny_net.tag"
    cached = snapshot / "snapshots" / ("c" * 40) / "model.safetensors"
    cached.parent.mkdir(parents=True)
    cached.touch()
    (snapshot / "refs").mkdir()
    (snapshot / "refs" / "main").write_text("c" * 40)
    assert resolve_weights(SOURCE) == cached
    for name in reversed(SOURCE.files):  # the best name last
        file = nowhere / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert resolve_weights(SOURCE) == file
    given = tmp_path / "mine.pth"
    given.touch()
    assert resolve_weights(SOURCE, given) == given
    assert resolve_weights(SOURCE, nowhere) == nowhere / "tiny.safetensors"


def test_given_that_is_not_there(nowhere: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"must be an existing file; got .*none\.pth"):
        resolve_weights(SOURCE, tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=r"holds no tiny\.safetensors"):
        resolve_weights(SOURCE, tmp_path)


def test_folder_without_the_variable_is_in_the_cache_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NAPARI_FEWSHOT_WEIGHTS", raising=False)
    assert weights_folder().parts[-2:] == ("napari-fewshot", "weights")


@pytest.mark.parametrize("how", ["switch", "refused"])
def test_offline_is_one_clear_and_quick_error(
    how: str, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "switch":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: closed
    assert not weights_available("dinov3-s")
    began = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        get_backbone("dinov3-s")
    assert time.perf_counter() - began < 60
    message = str(caught.value)
    for part in (
        "backbone dinov3-s",
        "model.safetensors of timm/vit_small_patch16_dinov3.lvd1689m, 86 MB",
        "licence dinov3-license",
        "HF_HUB_OFFLINE is set" if how == "switch" else "refused",
        str(nowhere),
        "dinov3_vits16_pretrain_lvd1689m-08c60483.pth",
        str(tmp_path / "hub"),
        "--weights FILE",
        "NAPARI_FEWSHOT_WEIGHTS",
        "embedded",
    ):
        assert part in message
    assert "\n" not in message


def test_url_stands_in_where_the_hub_fails(
    server: Served, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    server.content = b"weights" * 1000
    source = WeightsSource(
        "tiny", "MIT", "timm/tiny", url=f"{server.url}/tiny_official.pth",
        sha256=hashlib.sha256(server.content).hexdigest(), official_file="tiny_official.pth",
    )  # fmt: skip
    path = resolve_weights(source)
    assert path == nowhere / "tiny_official.pth"
    assert path.read_bytes() == server.content
    server.content = b""
    assert resolve_weights(source) == path
    assert len(server.asked) == 1


def test_both_ways_failing_are_both_told(
    server: Served, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.status = 404
    source = WeightsSource("tiny", "MIT", "timm/tiny", url=f"{server.url}/w.pth", sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"hub: .*404.*w\.pth: the server answered 404"):
        resolve_weights(source)
