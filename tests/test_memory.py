"""What one more array may take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from napari_fewshot import memory
from napari_fewshot.errors import InputError


def test_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(memory.MAX_MEMORY, raising=False)
    assert memory.free_memory() > 1e6


def test_given_in_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(memory.MAX_MEMORY, "0.25")
    assert memory.free_memory() == 0.25e9


@pytest.mark.parametrize("given", ["lots", "0", "-3", "nan"])
def test_no_number(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(memory.MAX_MEMORY, given)
    with pytest.raises(InputError, match=f"{memory.MAX_MEMORY} must be GB, above 0; got {given}"):
        memory.free_memory()


def test_of_a_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "max").write_text("3000000\n")
    (tmp_path / "current").write_text("1600000\n")
    (tmp_path / "memory.stat").write_text("anon 1000000\nold 400000\nnew 200000\n")
    monkeypatch.delenv(memory.MAX_MEMORY, raising=False)
    group = (str(tmp_path), "max", "current", ("old", "new"))
    monkeypatch.setattr(memory, "_GROUPS", (group,))
    assert memory.free_memory() == 2e6  # what is kept of files can be given back
    (tmp_path / "max").write_text("max\n")
    assert memory.free_memory() > 2e6


def test_a_limit_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in ("3", None):
        if before is None:
            monkeypatch.delenv(memory.MAX_MEMORY)
        else:
            monkeypatch.setenv(memory.MAX_MEMORY, before)
        with memory.limited_memory("--max-memory", 0.5):
            assert memory.free_memory() == 0.5e9
        assert os.environ.get(memory.MAX_MEMORY) == before
        with memory.limited_memory("--max-memory", None):
            assert os.environ.get(memory.MAX_MEMORY) == before
    with (
        pytest.raises(InputError, match="--max-memory must be GB, above 0"),
        memory.limited_memory("--max-memory", float("inf")),
    ):
        pass
