"""The published preset, from DINOv2 to SAM, on small checkpoints of the true formats."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Landmark, Template, WeightsError, refine_labels
from napari_fewshot.backbones.weights import WEIGHTS_FOLDER


@pytest.fixture
def tip(torso, slices):
    """A landmark of one phantom, on a slice that is not painted alone."""
    return Landmark("tip", 99, (slices[1], 20.0, 24.0))


@pytest.fixture
def published(quick):
    """A segmenter with the preset, and tokens enough for a small image."""
    return lambda **own: quick(preset="published", extraction={"min_tokens": 8}, **own)


def test_segmentation_goes_from_dinov2_to_sam(
    published, template, torso, published_weights, assert_same_labels
):
    model = published(adapter="cosine").fit(template)
    assert model.extractor.backbone.spec.name == "dinov2-b"
    localised = model.predict(torso.image, refine="none")
    found = model.predict(torso.image)
    refiner = model.load_refiner()
    assert refiner.name == "sam-vit-h"
    labels, _ = refine_labels(
        torso.image, localised.labels, localised.confidence, method=refiner, axis=0
    )
    assert (labels != localised.labels).any()
    assert_same_labels(found.labels, labels)


def test_landmarks_need_no_sam(published, torso, tip, published_weights):
    for file in published_weights.glob("sam_*"):
        file.unlink()
    model = published(adapter="cosine").fit(Template(torso.image, points=[tip]))
    assert (model.config.propagation.refinement.method, model.refinement) == ("sam-vit-h", None)
    found = model.predict(torso.image)
    assert set(np.unique(found.labels)) <= {0, 99}


def test_landmarks_among_painted_labels_stay_where_they_are(
    quick, template, torso, tip, stub_refiner, assert_same_labels
):
    settings = {"refinement": {"method": "stub", "landmarks": False}}
    both = Template(torso.image, template.labels, points=[tip])
    model = quick(adapter="cosine", propagation=settings).fit(both)
    before, found = model.predict(torso.image, refine="none"), model.predict(torso.image)
    marks = before.labels == 99
    assert marks.any()
    assert (found.labels[marks] == 99).all()
    np.testing.assert_array_equal(found.confidence[marks], before.confidence[marks])
    assert not any((region.labels == 99).any() for _, region, _ in stub_refiner.slices)
    moved = np.roll(np.where(marks, 0, before.labels), -1, axis=1)
    assert_same_labels(found.labels[~marks], moved[~marks])


def test_weights_that_are_missing_are_said_before_the_work(
    published, template, torso, published_weights, monkeypatch
):
    steps = []
    model = published(adapter="cosine").fit(template)
    for file in published_weights.glob("sam_vit_h*"):
        file.unlink()
    with pytest.raises(WeightsError, match=r"of sam-vit-h .*--sam-weights.*or refine with random"):
        model.predict(torso.image, progress=lambda *step: steps.append(step))
    assert steps == []
    monkeypatch.setenv(WEIGHTS_FOLDER, str(published_weights / "none"))
    with pytest.raises(WeightsError, match=r"of backbone dinov2-b .*the backbone embedded"):
        published(adapter="cosine").fit(template)


def test_the_decoder_is_not_refined(template, torso, published_weights):
    decoder = {"epochs": 1, "augmentations": 0}
    model = FewShotSegmenter(
        preset="published", adapter="sam-decoder", device="cpu", sam_decoder=decoder
    )
    found = model.fit(template).predict(torso.image)
    assert model.load_refiner() is None
    assert found.labels.shape == torso.image.shape
