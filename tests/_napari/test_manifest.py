"""The manifest is valid, and everything that it names exists."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from importlib.resources import files

import pytest
from npe2 import PluginManager, PluginManifest


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


def test_widgets_readers_writers_samples_and_menus_name_commands_that_exist(manifest):
    parts = manifest.contributions
    known = {command.id for command in parts.commands}
    used = {entry.command for entry in (*parts.readers, *parts.writers, *parts.sample_data)}
    used |= {widget.command for widget in parts.widgets or ()}
    used |= {item.command for items in parts.menus.values() for item in items}
    assert used == known


def test_menus_are_those_that_plugins_may_add_to(manifest):
    from napari._app_model.constants import MenuId

    assert set(manifest.contributions.menus) <= {str(menu) for menu in MenuId.contributables()}


def test_saving_points_as_csv_stays_with_napari():
    writer, _ = plugins().get_writer("a.csv", ["points"])
    assert writer.command == "napari.write_points"


@pytest.mark.parametrize(
    ("name", "kind", "command"),
    [
        ("a.nii.gz", "image", "write_image"),
        ("a.NII", "labels", "write_labels"),
        ("a.landmarks.csv", "points", "write_points"),
    ],
)
def test_our_endings_are_written_here(name, kind, command):
    writer, path = plugins().get_writer(name, [kind])
    assert (writer.command, path) == (f"napari-fewshot.{command}", name)


def plugins() -> PluginManager:
    """The plugins as napari itself registers them."""
    from napari.plugins import _initialize_plugins

    _initialize_plugins()
    return PluginManager.instance()


def test_metadata_for_the_hub(repository):
    about = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    assert "Framework :: napari" in about["classifiers"]
    assert about["classifiers"] == sorted(about["classifiers"])
    assert about["license"] == "BSD-3-Clause"
    assert about["description"]
    assert (repository / about["readme"]).is_file()
    assert {"napari", "segmentation"} <= set(about["keywords"])
    assert set(about["urls"]) >= {"Homepage", "Documentation", "Source", "Issues"}
    # Which Qt is installed is the user's choice.
    assert not [need for need in about["dependencies"] if need.startswith(("pyqt", "pyside"))]
    assert {"all", "pyqt6", "pyside6"} <= set(about["optional-dependencies"])


def test_icon_is_in_the_package(manifest):
    from qtpy.QtGui import QImage

    package, _, name = manifest.icon.partition(":")
    picture = QImage(str(files(package) / name))
    assert not picture.isNull()
