"""Models of labels that lie anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.predict.learned import ExpertWeights
from napari_fewshot.segmenter.model_file import read_model

Y, X = np.mgrid[:48, :56]


@pytest.mark.parametrize("has_places", [True, False])
def test_adapters_learn_position_where_labels_have_places(quick, tmp_path, has_places):
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 48, 56), np.uint8)
    for k in range(len(labels)):
        places = [(24, 28 + k)] if has_places else rng.random((9, 2)) * labels.shape[1:]
        for y, x in places:
            labels[k][(Y - y) ** 2 + (X - x) ** 2 < (144 if has_places else 16)] = 1
    image = (labels * 0.5 + 0.2 * rng.random(labels.shape)).astype(np.float32)
    painted = labels.copy()
    painted[[0, 2, 4]] = 0
    model = quick(contrastive={"steps": 10, "hidden": 8, "width": 8})
    model.fit(Template(image, painted))
    model.save(tmp_path / "m.fewshot")
    found = read_model(tmp_path / "m.fewshot")
    assert found.adapter.values["position"] is has_places
    assert found.beside["hand_made"].values["position"] is has_places
    usual = ExpertWeights()
    if has_places:
        assert found.weights == usual
    else:
        assert found.weights.carried < usual.carried
        assert found.weights.elsewhere > usual.elsewhere
    loaded = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu")
    for one in (loaded, loaded.updated(Template(image, painted))):
        assert one._saved.adapter.values["position"] is has_places
    np.testing.assert_array_equal(loaded.predict(image).confidence, model.predict(image).confidence)
