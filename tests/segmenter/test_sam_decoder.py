"""The few-shot mask decoder in the whole: slices in, labels out, files, copies in the store."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.errors import InputError
from napari_fewshot.features.store import FeatureStore
from napari_fewshot.templates.augmentation import Augmentation

QUICK = {"epochs": 2, "augmentations": 2, "update_epochs": 1}


@pytest.fixture(scope="module")
def segmenter(tiny_sam):
    def make(**settings):
        return FewShotSegmenter(
            backbone="sam-vit-b",
            adapter="sam-decoder",
            weights=tiny_sam,
            device="cpu",
            extraction={"precision": "float32"},  # else it depends on the processor
            **({"sam_decoder": QUICK} | settings),
        )

    return make


@pytest.fixture(scope="module")
def model(segmenter, template):
    return segmenter().fit(template)


def test_from_slices_to_labels_and_through_a_file(
    model, torso, tiny_sam, tmp_path, assert_same_labels
):
    found = model.predict(torso.image)
    assert found.labels.shape == torso.labels.data.shape
    path = tmp_path / "torso.fewshot"
    model.save(path)
    loaded = FewShotSegmenter.load(path, weights=tiny_sam, device="cpu")
    again = loaded.predict(torso.image)
    assert_same_labels(again.labels, found.labels)
    np.testing.assert_allclose(again.confidence, found.confidence, atol=1e-4)


def test_a_loaded_model_is_updated_without_copies(model, template, torso, tiny_sam, tmp_path):
    model.save(tmp_path / "torso.fewshot")
    loaded = FewShotSegmenter.load(tmp_path / "torso.fewshot", weights=tiny_sam, device="cpu")
    seen = []
    updated = loaded.updated(template, lambda *report: seen.append(report))
    assert [r for r in seen if r[2] == "template features"][-1] == (4, 4, "template features")
    assert [r for r in seen if r[2] == "training"][-1] == (4, 4, "training")
    assert updated.predict(torso.image).labels.shape == torso.labels.data.shape


def test_copies_are_encoded_once(segmenter, template, tmp_path):
    store = FeatureStore(tmp_path / "store")
    first = segmenter(store=store).fit(template)
    assert first.extractor.seconds_per_slice is not None
    second = segmenter(store=store).fit(template)
    assert second.extractor.seconds_per_slice is None  # all of them were found


def test_copies_come_behind_the_slices_and_leave_with_them(model, template):
    training = model.training_set_
    augmented = training.augmented(Augmentation(3))
    count = len(training.examples)
    assert augmented.examples[:count] == training.examples
    assert [e.origin for e in augmented.examples[count:]] == [
        e for e in training.examples for _ in range(3)
    ]
    chosen = [1, count + 3, count + 4]
    maps = list(augmented.maps(model.extractor, chosen, padding=True))
    whole = list(augmented.maps(model.extractor, padding=True))
    assert all(fmap.data.shape[1:] == (8, 8) for fmap in whole)
    for fmap, k in zip(maps, chosen, strict=True):
        # Encoded in other batches: two roundings to float16 apart at most.
        np.testing.assert_allclose(fmap.data, whole[k].data, rtol=2e-3, atol=1e-3)
    assert augmented.axes == training.axes
    assert training.augmented(None) is training


def test_held_out_score(model):
    score = model.held_out_score()
    assert score.folds == 4
    assert set(score.dice) == set(model.label_values_)


def test_narrow_images_and_images_of_two_channels(segmenter):
    rng = np.random.default_rng(0)
    for shape in [(40, 13), (12, 30, 2)]:
        image = rng.random(shape, dtype=np.float32)
        labels = np.zeros(shape[:2], np.uint8)
        labels[3:9, 4:11] = 2
        from napari_fewshot import Volume

        volume = Volume(image, (1.0, 1.0), has_channels=len(shape) == 3)
        model = segmenter().fit(Template(volume, labels))
        assert model.predict(volume).labels.shape == shape[:2]


def test_a_backbone_that_is_no_sam_is_refused_at_once():
    with pytest.raises(InputError, match=r"sam-vit-b, .* medsam with adapter sam-decoder"):
        FewShotSegmenter(adapter="sam-decoder")
    model = FewShotSegmenter()
    with pytest.raises(InputError, match="got embedded"):
        model.with_settings(adapter="sam-decoder")
