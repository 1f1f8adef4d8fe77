"""Layers come one at a time, so that the viewer goes on between them; nothing of them is lost."""

from __future__ import annotations

import pytest

from .conftest import MINUTE

pytestmark = pytest.mark.viewer


def test_confidence_comes_with_the_first_slice_and_is_full_where_somebody_painted(
    trained, viewer, patient
):
    _, _, slices = patient
    job = trained.propagate("image")
    assert "image predicted" in viewer.layers
    assert "image confidence" not in viewer.layers
    job.wait(MINUTE)
    confidence = viewer.layers["image confidence"].data
    assert (confidence[slices] == 1).all()
    assert (confidence > 0).all()
    assert viewer.layers.selection.active.name == "image predicted"


def test_a_layer_that_is_selected_meanwhile_stays_selected(trained, viewer):
    job = trained.propagate("image")
    viewer.layers.selection.active = viewer.layers["paint"]
    job.wait(MINUTE)
    assert "image confidence" in viewer.layers
    assert viewer.layers.selection.active.name == "paint"


def test_one_that_is_removed_during_a_run_does_not_come_back(trained, viewer, qtbot):
    job = trained.propagate("image")
    qtbot.waitUntil(lambda: "image confidence" in viewer.layers, timeout=1000 * MINUTE)
    viewer.layers.remove("image confidence")
    job.wait(MINUTE)
    assert "image confidence" not in viewer.layers
