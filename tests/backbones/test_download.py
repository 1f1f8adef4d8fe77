from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from napari_fewshot.backbones.weights import fetch_from_hub
from napari_fewshot.download import fetch_url
from napari_fewshot.errors import DownloadError, WeightsError

from ..conftest import Served

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_whole_file(server: Served, tmp_path: Path) -> None:
    server.content = CONTENT
    target = fetch_url(f"{server.url}/w.pth", tmp_path / "new" / "w.pth", SHA256)
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["w.pth"]


def test_broken_connection_is_resumed_within_one_call(server: Served, tmp_path: Path) -> None:
    server.content, server.break_after = CONTENT, 300_000
    fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.asked == [("GET", None), ("GET", "bytes=300000-")]


def test_partial_of_an_earlier_run_is_resumed(server: Served, tmp_path: Path) -> None:
    server.content, server.break_after = CONTENT, 300_000
    with pytest.raises(DownloadError, match="broke off; run again"):
        fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256, attempts=1)
    assert [file.name for file in tmp_path.iterdir()] == ["w.pth.part"]
    fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert server.asked[-1] == ("GET", "bytes=300000-")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_server_without_ranges_starts_again(server: Served, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(CONTENT[:1000])
    server.content, server.ranges = CONTENT, False
    fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_whole_partial_is_only_renamed(server: Served, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    server.content = CONTENT
    fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_wrong_digest_keeps_nothing(server: Served, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match="SHA-256 must be"):
        fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert not list(tmp_path.iterdir())


def test_not_found(server: Served, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="404"):
        fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert not list(tmp_path.iterdir())


def test_web_page_in_place_of_the_file(server: Served, tmp_path: Path) -> None:
    server.content, server.content_type = b"<html>log in</html>", "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="web page"):
        fetch_url(f"{server.url}/w.pth", tmp_path / "w.pth", SHA256)
    assert not list(tmp_path.iterdir())


def test_closed_port(closed_port: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="refused"):
        fetch_url(f"{closed_port}/w.pth", tmp_path / "w.pth", SHA256)
    assert not list(tmp_path.iterdir())


def test_hub_file_comes_whole_and_is_cached(
    server: Served, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = CONTENT
    server.headers = {"X-Repo-Commit": "c" * 40, "ETag": f'"{SHA256}"'}
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    path = fetch_from_hub("timm/tiny", "model.safetensors")
    assert path.read_bytes() == CONTENT
    assert path.resolve().name == SHA256


def test_hub_file_that_belies_its_digest_is_dropped(
    server: Served, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = CONTENT
    server.headers = {"X-Repo-Commit": "c" * 40, "ETag": f'"{"0" * 64}"'}
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    with pytest.raises(WeightsError, match="damaged"):
        fetch_from_hub("timm/tiny", "model.safetensors")
    assert not list(nowhere.parent.rglob("0" * 64))


def test_hub_out_of_reach(closed_port: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", closed_port)
    with pytest.raises(WeightsError, match=r"hub: .*refused"):
        fetch_from_hub("timm/tiny", "model.safetensors")
