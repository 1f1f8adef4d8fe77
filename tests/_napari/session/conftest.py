"""A small patient in a real viewer, and a session with quick settings."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

SHAPE = (20, 48, 48)
MINUTE = 60


@pytest.fixture(scope="session")
def patient():
    """Torso with its painted template slices."""
    phantom = make_phantom("torso", shape=SHAPE)
    slices = template_slices(phantom, 3)
    return phantom, painted_labels(phantom, slices), [int(k) for k in slices]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Nothing is written to the folders of the user, and no worker outlives its test."""
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    yield tmp_path
    workers = [t for t in threading.enumerate() if t.name.startswith("napari-fewshot ")]
    for worker in workers:
        worker.join(MINUTE)  # a busy machine takes a while to write what the end of a session keeps
    assert not [worker.name for worker in workers if worker.is_alive()]


@pytest.fixture
def viewer(make_napari_viewer, patient):
    """A viewer with the image and its template."""
    from napari.layers import Layer

    from napari_fewshot._napari.layers import image_layer, labels_layer

    viewer = make_napari_viewer()
    phantom, painted, _ = patient
    for data, options, kind in (
        image_layer(phantom.image, "image"),
        labels_layer(painted, "paint"),
    ):
        viewer.add_layer(Layer.create(data, options, kind))
    return viewer


@pytest.fixture
def session(viewer):
    """A session with quick settings and the template added."""
    from napari_fewshot import viewer_session

    found = viewer_session(viewer)
    found.configure(
        backbone="multiscale",
        adapter="classification",
        of_adapter={"hidden": 32, "steps": 80, "batch": 256, "update_steps": 20},
    )
    found.add_template("image", "paint")
    yield found
    found.close()


@pytest.fixture
def trained(session):
    session.train(score=False).wait(MINUTE)
    return session


@pytest.fixture
def predicted(trained):
    trained.propagate("image").wait(MINUTE)
    return trained


@pytest.fixture
def truth(patient):
    """Truth in the order of the layers."""
    from napari_fewshot._napari.layers import labels_layer

    return np.asarray(labels_layer(patient[0].labels, "truth")[0])


def stroke(layer, coordinates, label):
    """Paint as a person does, so that napari tells of it."""
    layer.mode = "paint"
    layer.brush_size = 3
    layer.selected_label = label
    with layer.block_history():
        layer.paint(coordinates, label)
