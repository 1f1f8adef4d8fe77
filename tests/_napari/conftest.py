"""A viewer that knows the plugin."""

from __future__ import annotations

import pytest


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer with the readers, writers and docks of the manifest."""
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return make_napari_viewer()
