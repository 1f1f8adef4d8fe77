"""During a run: the slice that a person moves to comes next; a preview ends between tiles."""

from __future__ import annotations

import pytest

from napari_fewshot import Cancelled
from napari_fewshot._napari.session.run import Run

from .conftest import MINUTE

pytestmark = pytest.mark.viewer


def test_the_slice_that_is_moved_to_comes_next(predicted, viewer, monkeypatch):
    layer = predicted.result_layer("image")  # adding one takes long: slices would come meanwhile
    predicted.go_to(2, "image")
    came: list[int] = []
    take = Run.take

    def noted(self, piece):
        came.append(piece.index)
        if len(came) == 3:
            predicted.go_to(15, "image")
        take(self, piece)

    monkeypatch.setattr(Run, "take", noted)
    predicted.propagate("image", into=layer, policy="overwrite").wait(MINUTE)
    assert came[0] == 2
    early = came.index(15)
    assert early <= 6  # not after the twelve that lie between
    assert came.count(15) == 2  # and with its neighbours, in turn
    assert set(came) == set(range(20))


def test_a_preview_ends_between_tiles(trained, patient):
    predictor = trained.model.slice_predictor(patient[0].image, axis=0, landmarks=False)

    def stop(*_):
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predictor.preview(4, stop)
    assert predictor.preview(4).labels.shape == (48, 48)  # it is as it was
