"""A real viewer, and widgets that Qt deletes."""

from __future__ import annotations

import pytest


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def delete(qtbot):
    """Let Qt delete a widget; PySide6 cannot wait for its last signal."""

    def wait_until_gone(widget):
        gone = []
        widget.destroyed.connect(lambda: gone.append(True))
        widget.deleteLater()
        qtbot.waitUntil(lambda: bool(gone))

    return wait_until_gone
