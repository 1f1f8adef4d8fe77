"""What `doctor` says, and its exit status."""

from __future__ import annotations

import json
import sys

import pytest

from napari_fewshot.cli import doctor, installation
from napari_fewshot.cli.installation import EXTRAS, Library


@pytest.fixture(autouse=True)
def _whole(monkeypatch, tmp_path):
    """An installation of which nothing is missing, with folders of its own."""
    monkeypatch.setattr(
        installation, "installed_libraries", lambda: [Library("torch", ">=2.5", "2.9", fits=True)]
    )
    monkeypatch.setattr(installation, "plugin_is_registered", lambda: True)
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "weights"))


def look(run):
    said = run("doctor", "--no-self-test", "--json", "--device", "cpu")
    assert said.err == ""
    return said.code, json.loads(said.out)


def test_all_is_well(run, tmp_path):
    said = run("doctor", "--device", "cpu")
    assert said.code == 0, said.out
    lines = said.out.splitlines()
    assert lines[0].startswith("napari-fewshot ")
    assert lines[-1] == "Nothing is wrong."
    assert "torch 2.9" in said.out
    assert "embedded, multiscale" in said.out
    assert "self-test  Dice 0." in said.out
    assert all(f"  {name} " in said.out for name in EXTRAS)
    assert list(tmp_path.iterdir()) == []  # it leaves nothing


def test_for_programs(run, tmp_path):
    code, found = look(run)
    assert code == 0
    assert found["wrong"] == []
    assert found["self_test"] is None
    assert found["weights"]["embedded"] is True
    assert found["weights"]["dinov2-g"] is False
    assert found["folders"]["weights"]["path"] == str(tmp_path / "weights")
    assert found["folders"]["features"]["writable"] is True
    assert found["extras"].keys() == EXTRAS.keys()
    assert found["libraries"] == [
        {"name": "torch", "wanted": ">=2.5", "version": "2.9", "fits": True}
    ]


def test_libraries_that_are_missing_or_old(run, monkeypatch):
    bad = [Library("zarr", ">=3", "2.1", fits=False), Library("pint", "", None, fits=False)]
    monkeypatch.setattr(installation, "installed_libraries", lambda: bad)
    monkeypatch.setattr(installation, "plugin_is_registered", lambda: False)
    code, found = look(run)
    assert code == 1
    assert found["wrong"] == [
        "zarr is 2.1: pip install 'zarr>=3'",
        "pint is missing: pip install 'pint'",
        "napari does not find the plugin: pip install napari-fewshot",
    ]
    said = run("doctor", "--no-self-test", "--device", "cpu")
    assert said.out.splitlines()[-3:] == [f"wrong: {what}" for what in found["wrong"]]


def test_torch_and_torchvision_of_two_sources(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)  # its import fails
    code, found = look(run)
    assert code == 1
    assert "do not work together" in found["wrong"][0]
    assert found["device"] == ""


def test_a_device_that_is_not_here(run):
    said = run("doctor", "--device", "cuda:99", "--json")
    assert said.code == 1
    assert json.loads(said.out)["wrong"][0].startswith("--device must be present; got cuda:99.")


def test_a_folder_that_cannot_be_written(run, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "file"))
    code, found = look(run)
    assert code == 1
    assert found["wrong"] == [f"The folder of weights cannot be written: {tmp_path / 'file'}"]


def test_little_room_and_no_qt_are_no_faults(run, monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e9)
    monkeypatch.setattr(installation, "installed_qt", dict)
    code, found = look(run)
    assert code == 0
    assert any("little room for features" in note for note in found["notes"])
    assert any("There is no Qt" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(0.2, "Dice of 0.20"), (float("nan"), "Dice of nan"), (RuntimeError("a\nb"), "Error: a b)")],
)
def test_a_self_test_that_fails(run, monkeypatch, outcome, words):
    def tested(device):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(doctor, "_self_test", tested)
    said = run("doctor", "--device", "cpu")
    assert said.code == 1
    assert words in said.out.splitlines()[-1]
