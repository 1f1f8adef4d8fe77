"""The one dock in a viewer, with quick settings and folders of its own."""

from __future__ import annotations

import pytest

from napari_fewshot._napari.widgets.main import FewShotSegmentation


@pytest.fixture
def viewer(make_napari_viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    return make_napari_viewer()


@pytest.fixture
def dock(viewer):
    made = FewShotSegmentation(viewer)
    viewer.window.add_dock_widget(made, name="Few-shot segmentation")
    made.session.configure(backbone="multiscale", adapter="cosine")
    yield made
    made.session.close()
