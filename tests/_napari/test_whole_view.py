"""What is whole in view stays so when docks open and images come; a person's camera stays."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Volume, viewer_session, write_image

pytestmark = pytest.mark.viewer

PLUGIN = "napari-fewshot"
DOCK = "Few-shot segmentation"


@pytest.fixture
def ct(tmp_path):
    """A file of an image with an orientation, of coarse slices, wider than high."""
    affine = np.array([[0, 0, 3.0, -180], [0, 2.0, 0, 11], [7.0, 0, 0, 94], [0, 0, 0, 1]])
    data = np.random.default_rng(0).normal(0, 300, (12, 50, 122)).astype(np.int16)
    path = tmp_path / "ct.nii.gz"
    write_image(path, data, Volume(data, (7.0, 2.0, 3.0), affine))
    return path


def shown(viewer):
    """Low and high corner of what the canvas shows, in the world."""
    half = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    centre = np.asarray(viewer.scene.camera.center)[-2:]
    return centre - half, centre + half


def is_whole(viewer, layer):
    low, high = shown(viewer)
    first, last = np.asarray(layer.extent.world)[:, list(viewer.dims.displayed)]
    return bool((first >= low).all() and (last <= high).all())


def open_dock(viewer, qtbot):
    """Open the dock, and wait until the window has made room for it."""
    before = viewer.canvas.size
    viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    qtbot.waitUntil(lambda: viewer.canvas.size[1] < before[1] - 100)


@pytest.fixture
def window(viewer, qtbot):
    qt = viewer.window._qt_window
    qt.resize(1000, 700)
    qt.show()
    yield viewer
    viewer_session(viewer).close()


def test_a_dock_leaves_the_whole_slice_in_view(window, ct, qtbot):
    (image,) = window.open(ct, plugin=PLUGIN)
    assert is_whole(window, image)
    zoom = window.scene.camera.zoom
    open_dock(window, qtbot)
    qtbot.waitUntil(lambda: is_whole(window, image))
    assert window.scene.camera.zoom < zoom


def test_a_dock_leaves_the_camera_of_a_person_alone(window, ct, qtbot):
    (image,) = window.open(ct, plugin=PLUGIN)
    camera = window.scene.camera
    camera.zoom *= 3
    before = tuple(camera.center), camera.zoom
    open_dock(window, qtbot)
    assert (tuple(camera.center), camera.zoom) == before
    assert not is_whole(window, image)


def test_an_image_beside_others_is_shown_whole(window, ct, qtbot):
    other = window.add_image(np.zeros((4, 20, 20)))
    assert is_whole(window, other)
    (image,) = window.open(ct, plugin=PLUGIN)
    assert is_whole(window, image)
    assert is_whole(window, other)


def test_an_image_beside_others_leaves_the_camera_of_a_person_alone(window, ct):
    window.add_image(np.zeros((4, 20, 20)))
    camera = window.scene.camera
    camera.zoom *= 2
    before = tuple(camera.center), camera.zoom
    window.open(ct, plugin=PLUGIN)
    assert (tuple(camera.center), camera.zoom) == before


def test_a_plane_beside_a_hidden_volume_is_looked_at(window, ct, qtbot):
    window.add_image(np.zeros((4, 20, 20)), visible=False)
    window.add_image(np.zeros((20, 20)))
    (image,) = window.open(ct, plugin=PLUGIN)
    assert is_whole(window, image)
    window.layers[0].visible = window.layers[2].visible = False
    window.dims.order = (1, 0, 2)  # the plane lacks an axis that is shown
    open_dock(window, qtbot)


def test_a_view_of_volumes_is_left_alone(window, ct):
    window.add_image(np.zeros((4, 20, 20)))
    window.dims.ndisplay = 3
    before = window.scene.camera.zoom
    window.open(ct, plugin=PLUGIN)
    assert window.scene.camera.zoom == before
