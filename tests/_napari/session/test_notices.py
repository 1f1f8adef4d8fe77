"""Warnings of the library reach the person at the viewer."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_fewshot import viewer_session

from .conftest import MINUTE

pytestmark = pytest.mark.viewer


def test_a_wrong_spacing_is_told_once(make_napari_viewer):
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 24, 24), np.uint8)
    labels[:, 6:16, 8:18] = 1
    viewer = make_napari_viewer()
    tags = {"scale": (0.05, 1, 1), "units": "mm"}
    image = viewer.add_image(labels * 60 + rng.normal(50, 5, labels.shape), **tags)
    paint = viewer.add_labels(labels * np.isin(np.arange(6), [1, 4])[:, None, None], **tags)
    session = viewer_session(viewer)
    session.configure(backbone="multiscale", adapter="cosine")
    session.add_template(image, paint, axis=0)
    session.train(score=False).wait(MINUTE)
    notification_manager.records.clear()
    for _ in range(2):
        session.propagate(image).wait(MINUTE)
    (shown,) = notification_manager.records
    assert shown.severity == "warning"
    assert "slices 0.05 mm apart with pixels of 1 mm" in shown.message


def test_a_closed_session_leaves_the_log_alone(session, capsys):
    library = logging.getLogger("napari_fewshot")
    assert library.handlers
    session.close()
    assert not library.handlers
