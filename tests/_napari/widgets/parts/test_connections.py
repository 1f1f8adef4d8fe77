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
    dock = QWidget()
    owner = QWidget(dock)
    bound = bind_keys(viewer, {"K": lambda: mine.append("K"), "U": lambda: mine.append("U")}, owner)
    assert bound == ("U",)
    keys = {str(key): act for key, act in viewer.keymap.items()}
    keys["K"](viewer)
    keys["U"](viewer)
    assert (theirs, mine) == (["K"], ["U"])
    delete(owner)
    assert {str(key) for key in viewer.keymap} == {"K"}
    delete(dock)


def test_a_dock_that_was_closed_gives_its_keys_to_the_next_one(viewer, delete):
    from qtpy.QtWidgets import QWidget

    from napari_fewshot._napari.widgets.parts.connections import bind_keys

    pressed: list[str] = []

    def press() -> None:
        next(act for key, act in viewer.keymap.items() if str(key) == "U")(viewer)

    dock = QWidget()
    first, second = QWidget(dock), QWidget(dock)
    assert bind_keys(viewer, {"U": lambda: pressed.append("first")}, first) == ("U",)
    assert bind_keys(viewer, {"U": lambda: pressed.append("second")}, second) == ()
    assert all(act.__name__ for act in viewer.keymap.values())  # napari reads it at each key
    press()
    first.setParent(None)  # as napari closes a dock; it keeps the widget
    press()
    assert pressed == ["first"]
    assert bind_keys(viewer, {"U": lambda: pressed.append("second")}, second) == ("U",)
    press()
    assert pressed == ["first", "second"]
    delete(first)
    press()
    assert pressed == ["first", "second", "second"]
    delete(dock)


def test_keys_of_napari_s_preferences_are_taken(viewer, qtbot):
    from qtpy.QtWidgets import QWidget

    from napari_fewshot._napari.widgets.parts.connections import bind_keys

    owner = QWidget()
    qtbot.addWidget(owner)
    assert bind_keys(viewer, {"V": print, "P": print, "N": print}, owner) == ("N",)
