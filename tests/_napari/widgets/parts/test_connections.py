"""Keys of the viewer."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.viewer


def test_keys_are_bound_while_the_owner_lives_and_taken_ones_are_kept(viewer, delete):
    from qtpy.QtWidgets import QWidget

    from napari_fewshot._napari.widgets.parts.connections import bind_keys

    theirs: list[str] = []
    viewer.bind_key("K", lambda v: theirs.append("K"))
    mine: list[str] = []
    owner = QWidget()
    bound = bind_keys(viewer, {"K": lambda: mine.append("K"), "U": lambda: mine.append("U")}, owner)
    assert bound == ("U",)
    keys = {str(key): act for key, act in viewer.keymap.items()}
    keys["K"](viewer)
    keys["U"](viewer)
    assert (theirs, mine) == (["K"], ["U"])
    delete(owner)
    assert {str(key) for key in viewer.keymap} == {"K"}


def test_keys_of_napari_s_preferences_are_taken(viewer, qtbot):
    from qtpy.QtWidgets import QWidget

    from napari_fewshot._napari.widgets.parts.connections import bind_keys

    owner = QWidget()
    qtbot.addWidget(owner)
    assert bind_keys(viewer, {"V": print, "P": print, "N": print}, owner) == ("N",)
