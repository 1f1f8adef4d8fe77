from __future__ import annotations

import gzip
import pickle
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_fewshot.backbones.checkpoint import Architecture, architecture_of, read_checkpoint
from napari_fewshot.errors import WeightsError

from .conftest import official_state


def test_truncated_files(tmp_path: Path) -> None:
    state = {"w": torch.arange(10_000.0)}
    torch.save(state, tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        assert torch.equal(read_checkpoint(path)["w"], state["w"])
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(WeightsError, match=f"{name}.*must be a whole checkpoint"):
            read_checkpoint(path)
        path.write_bytes(b"")
        with pytest.raises(WeightsError, match="must be a whole checkpoint"):
            read_checkpoint(path)


def test_web_page_and_placeholder(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"\n<!DOCTYPE html><html><body>404</body></html>")
    with pytest.raises(WeightsError, match="web page"):
        read_checkpoint(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsError, match="LFS placeholder"):
        read_checkpoint(path)


class _Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("trap-was-sprung"),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": _Trap()}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"w": _Trap()}, protocol=2))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(WeightsError, match="must be a whole checkpoint"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "trap-was-sprung").exists()


def test_a_wrong_file_is_told_in_our_words(tmp_path: Path) -> None:
    files = {
        "scan.nii.gz": (gzip.compress(bytes(range(256))), "it is of another kind. Give a"),
        "notes.txt": (b"not a checkpoint, only text", "it is of another kind. Give a"),
        "zeros.pth": (bytes(600), "it is of another kind. Give a"),
        "short.pth": (b"PK", "it is truncated or of another kind. Fetch"),
        "values.pkl": (pickle.dumps({"w": [1.0] * 99}), "it is truncated, damaged or of another"),
    }
    for name, (content, message) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=message) as caught:
            read_checkpoint(tmp_path / name)
        assert str(caught.value).count(". ") == 1, "a sentence of what is wrong, and the remedy"
    torch.save({"args": Namespace(lr=1), "w": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"it holds argparse\.Namespace, .* tensors alone\.$"):
        read_checkpoint(tmp_path / "w.pth")


def test_no_tensors(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="it holds none"):
        read_checkpoint(tmp_path / "w.pth")
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="tensors by name; got list"):
        read_checkpoint(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_checkpoint(tmp_path)


def test_architecture_shows_in_the_tensors() -> None:
    assert architecture_of(official_state(4)) == Architecture(48, 2, 14, 4)
    assert architecture_of({"conv.weight": torch.zeros(1)}) is None
