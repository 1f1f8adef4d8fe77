"""During a run: the slice that a person moves to comes next; a preview ends between tiles."""

from __future__ import annotations

import time

import pytest

from napari_fewshot import Cancelled
from napari_fewshot._napari.session.jobs import Job
from napari_fewshot._napari.session.run import Run

from .conftest import MINUTE

pytestmark = pytest.mark.viewer


def test_the_slice_that_is_moved_to_comes_next(trained, viewer, monkeypatch):
    trained.go_to(2, "image")
    sent: list[int] = []  # by the worker, which may be ahead of what the viewer shows
    came: list[int] = []
    ahead: list[int] = []
    send, take = Job.send, Run.take

    def sending(self, piece):
        sent.append(piece.index)
        send(self, piece)
        end = time.monotonic() + 2
        while len(sent) > len(came) + 1 and time.monotonic() < end:
            time.sleep(0.005)  # features are kept: it would be done before anybody could move

    def noted(self, piece):
        came.append(piece.index)
        if len(came) == 3:
            trained.go_to(15, "image")
        take(self, piece)
        if len(came) == 3:
            ahead.append(len(sent))

    monkeypatch.setattr(Job, "send", sending)
    monkeypatch.setattr(Run, "take", noted)
    trained.propagate("image", policy="new").wait(MINUTE)
    assert came[0] == 2
    assert came == sent
    assert sent.index(15) <= ahead[0] + 1  # after the slice that was being labelled
    assert came.count(15) == 2  # and with its neighbours, in turn
    assert set(came) == set(range(20))


def test_a_preview_ends_between_tiles(trained, patient):
    predictor = trained.model.slice_predictor(patient[0].image, axis=0, landmarks=False)

    def stop(*_):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predictor.preview(4, stop)
    assert predictor.preview(4).labels.shape == (48, 48)  # it is as it was
