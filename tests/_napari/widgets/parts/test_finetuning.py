"""The section that fine-tunes: from a click to weights that are used."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot._napari.widgets.extraction import FeatureExtraction
from napari_fewshot.config import finetuning
from napari_fewshot.finetuning.probe import Judge

pytestmark = pytest.mark.viewer
MINUTE = 60_000


@pytest.fixture
def dock(make_napari_viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path / "weights"))
    viewer = make_napari_viewer()
    dock = FeatureExtraction(viewer)
    viewer.window.add_dock_widget(dock)
    return dock


def test_a_click_learns_from_the_open_image_and_shows_the_curve(dock, qtbot, monkeypatch):
    scores = iter(np.linspace(0.5, 0.9, 50).tolist())
    monkeypatch.setattr(Judge, "judge", lambda self, *_: (next(scores), 10.0))
    section, viewer = dock.finetuning, dock.viewer
    qtbot.waitUntil(lambda: section.start.reason == "open an image")
    assert "nobody can tell" in section.about.text()
    rng = np.random.default_rng(0)
    viewer.add_image(rng.random((4, 40, 40)), name="image")
    viewer.add_labels((rng.random((4, 40, 40)) > 0.5).astype(np.uint8), name="paint")
    qtbot.waitUntil(lambda: not section.start.reason)
    dock.templates.add.click()
    qtbot.waitUntil(lambda: section.about.text().endswith("helps: 4."))
    section.expand(animate=False)
    section.minutes.setValue(0.1)
    monkeypatch.setattr(finetuning, "_STEPS", 2)
    section.start.click()
    assert section.start.reason == "it runs"
    with qtbot.waitSignal(section.progress.finished, timeout=MINUTE):
        pass
    assert "better than the start" in section.progress.text.text()
    assert not section.curve.pixmap().isNull()
    assert not section.curve.isHidden()
    weights = dock.session.settings.weights
    qtbot.waitUntil(lambda: dock.backbone.weights.path == weights)
    assert weights.name == "embedded-own-1.safetensors"
    qtbot.waitUntil(lambda: not section.start.reason)


def test_what_is_missing_is_said(dock, qtbot):
    section = dock.finetuning
    dock.viewer.add_image(np.zeros((4, 40, 40)))
    section.source.choose("folder")
    section.source.activated.emit(1)
    assert section.start.reason == "choose a folder"
    section.folder.line.setText("/none/of/these")
    section.folder.line.editingFinished.emit()
    section.start.click()
    assert "folder" in dock.status.text()
    dock.session.configure(backbone="multiscale")
    qtbot.waitUntil(lambda: "nothing to learn" in section.start.reason)


def test_other_networks_ask_for_the_extra(dock, monkeypatch):
    from napari_fewshot._napari.session import finetuning as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    dock.session.configure(backbone="dinov2-s")
    assert dock.session.finetuning.problem == 'run pip install "napari-fewshot[finetune]"'


def test_weights_of_one_network_are_not_given_to_another(dock, tmp_path):
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"weights")
    dock.backbone.names.choose("embedded")
    dock.backbone.weights.line.setText(str(path))
    dock.backbone.weights.line.editingFinished.emit()
    assert dock.session.settings.weights == path
    dock.backbone.names.choose("multiscale")
    dock.backbone.names.choose("embedded")
    assert dock.session.settings.weights is None
