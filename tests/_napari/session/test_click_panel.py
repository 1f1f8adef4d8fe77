"""The panel of clicks."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.viewer


@pytest.fixture
def dock(session, viewer, tiny_sam):
    from napari_fewshot._napari.widgets.with_sam import SegmentWithSam

    session.configure(sam_weights={"sam-vit-b": tiny_sam})
    found = SegmentWithSam(viewer)
    viewer.window.add_dock_widget(found)
    found.image.choose(viewer.layers["image"])
    found.clicks.show_state()
    return found


def test_from_a_click_to_paint(session, viewer, dock, qtbot):
    panel = dock.clicks
    session.go_to(8, "image")
    assert panel.method.value == "sam-vit-b"
    assert not panel.accept.isEnabled()
    panel.begin.click()
    assert not dock.status.text()
    assert panel.begin.text() == "Stop clicking"
    viewer.layers["image inside"].add([8, 20, 20])
    qtbot.waitUntil(panel.accept.isEnabled, timeout=60_000)
    qtbot.waitUntil(lambda: not session.jobs, timeout=60_000)
    shown = [button for button in panel.masks if button.isVisibleTo(panel)]
    assert len(shown) == len(session.clicks.choices)
    assert shown[0].text().startswith("● 1: ")
    if len(shown) > 1:
        shown[1].click()
        assert session.clicks.chosen == 1
    before = viewer.layers["paint"].data.copy()
    panel.accept.click()
    assert (viewer.layers["paint"].data != before).any()
    assert not panel.accept.isEnabled()
    panel.kinds["outside"].click()
    assert viewer.layers.selection.active.name == "image outside"
    panel.begin.click()
    assert "image inside" not in viewer.layers


def test_persam_is_in_the_dock(session, viewer, dock, qtbot):
    dock.what.choose("like")
    assert not dock.min_area.isVisibleTo(dock)
    session.go_to(8, "image")
    qtbot.waitUntil(dock.one.isEnabled)
    dock.one.click()
    assert not dock.status.text()
    qtbot.waitUntil(lambda: not session.jobs, timeout=60_000)
