"""Folders of a person, where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.folders import cache_folder, with_home


@pytest.fixture(params=["raises", "as it was given"])
def no_home(monkeypatch, request):
    """Versions of platformdirs differ."""

    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    found = unknown if request.param == "raises" else lambda name: Path("~/.cache") / name
    monkeypatch.setattr("platformdirs.user_cache_path", found)


def test_a_home_folder_that_is_not_known(no_home):
    with pytest.raises(InputError, match="STORE must begin with a home folder that is known"):
        with_home("~/store", "STORE")
    with pytest.raises(InputError, match=r"store must be given .* Set HOME, or give --store\."):
        cache_folder("store", "give --store")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert with_home("~/store", "STORE") == tmp_path / "store"
    assert with_home(tmp_path, "STORE") == tmp_path
    assert cache_folder("store", "give --store").is_absolute()
