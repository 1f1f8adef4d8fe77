"""Settings that last: what the manifest declares, and what a session makes of it."""

from __future__ import annotations

import pytest
from npe2 import PluginManifest

from napari_fewshot._napari import preferences as module
from napari_fewshot._napari.preferences import (
    Preferences,
    open_store,
    preferences,
    preferred_device,
)
from napari_fewshot.backbones import BACKBONES


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Settings of napari in a folder of the test, as they are after an installation."""
    import napari.settings as settings

    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    return settings.get_plugin_settings("napari-fewshot")


def test_the_manifest_has_the_defaults(kept):
    assert preferences() == Preferences()


def test_it_offers_every_backbone():
    manifest = PluginManifest.from_distribution("napari-fewshot")
    work = manifest.contributions.configurations["work"].properties
    assert work["backbone"].enum == sorted(BACKBONES)


def test_what_is_set_lasts_and_counts(kept, tmp_path, monkeypatch):
    import napari.settings as settings

    kept.work.device, kept.work.backbone, kept.work.autosave = "cpu", "multiscale", False
    kept.cache.folder, kept.cache.limit_gb = str(tmp_path / "cache"), 2.5
    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})  # as at the next start
    assert preferences() == Preferences("cpu", "multiscale", False, str(tmp_path / "cache"), 2.5)
    store = open_store()
    assert (store.root, store.limit) == (tmp_path / "cache" / "features", 2_500_000_000)


def test_a_device_that_is_not_here_is_not_taken(monkeypatch, caplog):
    assert preferred_device(Preferences(device="cpu")) == "cpu"
    assert preferred_device(Preferences(device="mps")) == "auto"
    assert "Device mps of the preferences" in caplog.text


def test_without_the_plugin_they_are_the_defaults(monkeypatch):
    monkeypatch.setattr(module, "PLUGIN", "not-installed")
    assert preferences() == Preferences()


@pytest.mark.viewer
def test_a_session_begins_with_them(make_napari_viewer, kept):
    from napari_fewshot import viewer_session

    kept.work.device, kept.work.backbone = "cpu", "multiscale"
    session = viewer_session(make_napari_viewer())
    assert (session.settings.device, session.settings.backbone) == ("cpu", "multiscale")
    session.close()
