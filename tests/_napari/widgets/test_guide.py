"""The guide opens with a sample that somebody sees, goes on with what is done, and is closed."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from npe2 import PluginManager

from napari_fewshot._napari.menus import show_guide
from napari_fewshot._napari.widgets import guide as module
from napari_fewshot._napari.widgets.guide import STEPS, Guide, open_guide
from napari_fewshot._napari.widgets.main import FewShotSegmentation

pytestmark = pytest.mark.viewer


@pytest.fixture
def mark(tmp_path, monkeypatch):
    path = tmp_path / "config" / "guide-closed"
    monkeypatch.setattr(module, "guide_mark", lambda: path)
    return path


@pytest.fixture
def viewer(make_napari_viewer, mark):
    PluginManager.instance().discover()
    return make_napari_viewer()


def guides(viewer) -> list[Guide]:
    return viewer.window._qt_window.findChildren(Guide)


def test_it_opens_with_a_sample_once_until_it_is_closed(make_napari_viewer, mark, qtbot):
    PluginManager.instance().discover()
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-fewshot", "torso")
    qtbot.waitUntil(lambda: len(guides(viewer)) == 1)
    viewer.open_sample("napari-fewshot", "joint")
    qtbot.wait(50)
    (guide,) = guides(viewer)
    guide.close_it.click()
    assert guides(viewer) == []
    assert mark.is_file()
    viewer.open_sample("napari-fewshot", "torso")
    qtbot.wait(50)
    assert guides(viewer) == []
    show_guide(viewer)  # the menu opens it all the same
    assert len(guides(viewer)) == 1


def test_nobody_looks_nobody_is_guided(viewer, qtbot):
    viewer.open_sample("napari-fewshot", "torso")
    qtbot.wait(50)
    assert guides(viewer) == []


def test_a_person_goes_to_and_fro(viewer):
    guide = open_guide(viewer)
    assert guide.place.text() == f"1 of {len(STEPS)}"
    assert guide.back.reason
    for _ in STEPS:
        guide.next.click()
    assert guide.index == len(STEPS) - 1
    assert guide.next.reason
    guide.back.click()
    assert guide.text.text() == STEPS[-2].text
    assert open_guide(viewer) is guide
    assert guide.index == 0


def test_it_goes_on_with_what_is_done(viewer):
    guide = open_guide(viewer)
    job = guide.session.events.job  # of docks that are not open here
    guide.next.click()
    job.emit(SimpleNamespace(state="running", stage="update"))
    assert guide.index == 1
    job.emit(SimpleNamespace(state="done", stage="update"))  # learned and labelled
    assert guide.index == 3
    job.emit(SimpleNamespace(state="done", stage="score"))
    assert guide.index == 3
    job.emit(SimpleNamespace(state="done", stage="update"))  # corrected
    assert guide.index == len(STEPS) - 1


def test_it_opens_the_dock_and_knows_that_it_is_open(viewer):
    guide = open_guide(viewer)
    guide.next.click()
    for _ in range(2):
        guide.open.click()
        assert guide.index == 2
        assert len(viewer.window._qt_window.findChildren(FewShotSegmentation)) == 1
        guide.show_step(1)


def test_what_it_names_is_there(viewer, qtbot):
    """Buttons, keys and layers that the steps name are those of the dock and the samples."""
    from qtpy.QtWidgets import QAbstractButton

    viewer.open_sample("napari-fewshot", "torso")
    guide = open_guide(viewer)
    guide.next.click()
    guide.open.click()
    window = viewer.window._qt_window
    buttons = {button.text().replace("&", "") for button in window.findChildren(QAbstractButton)}
    keys = {button[-2] for button in buttons if button.endswith("]")}  # Update  [U]
    for step in STEPS:
        for name in re.findall("<b>(.*?)</b>", step.text):
            if len(name) == 1:
                assert name in keys
            elif name == "template":
                assert f"torso {name}" in viewer.layers
            else:
                assert name in buttons or name == "predicted"
