"""The manifest is valid, and everything that it names exists."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from npe2 import PluginManifest


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-fewshot")


def test_validator_of_npe2_accepts_it():
    run = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", "napari-fewshot"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "valid" in run.stdout


def test_every_command_can_be_imported(manifest):
    manifest.validate_imports()
    assert {command.id for command in manifest.contributions.commands} >= {
        sample.command for sample in manifest.contributions.sample_data
    }


def test_entry_point_names_the_manifest_in_the_package():
    (entry,) = entry_points(group="napari.manifest", name="napari-fewshot")
    assert entry.value == "napari_fewshot:napari.yaml"
