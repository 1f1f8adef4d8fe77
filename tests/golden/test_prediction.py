"""From slices to volumes: smoothing, resampling, clean-up, single slices, updates, refinement."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import get_refiner, refine_labels

from .compare import BFLOAT16, Tolerance
from .scenes import SMALL_SAM


@pytest.mark.parametrize("settings", [{"smoothing": 0.0}, {"smoothing": 2.0},
                                      {"resolution": "tokens"}], ids=str)  # fmt: skip
def test_propagation(fitted, other, golden, settings):
    found = fitted.with_propagation(settings).predict(other.image)
    golden(str(settings), labels=found.labels, confidence=found.confidence)


def test_another_axis_is_warned_of(fitted, other, golden, caplog):
    found = fitted.predict(other.image, axis=1)
    golden("axis", labels=found.labels, confidence=found.confidence)
    golden("axis", said=[record.getMessage() for record in caplog.records])


@pytest.mark.parametrize("settings", [
    {"resampling": {"mode": "inplane", "spacing": 1.5}},
    {"resampling": {"mode": "isotropic", "spacing": 1.5}},
    {"intensity": {"mode": "window", "low": 0, "high": 300}},
    {"position": {"use": False}},
    {"sampling": {"pixels_per_label": 100, "background_least": 200}},
], ids=lambda settings: next(iter(settings)) + str(next(iter(settings.values()))))  # fmt: skip
def test_settings_before_learning(segmenter, one, other, golden, settings):
    model = segmenter(adapter="classification", **settings).fit(one.template())
    found = model.predict(other.image)
    golden(str(settings), labels=found.labels, confidence=found.confidence)


def test_slices_one_by_one(fitted, other, golden):
    slices = fitted.slice_predictor(other.image)
    golden("slices", count=[len(slices), slices.axis, list(slices.slice_shape)])
    preview = slices.preview(5)
    golden("preview", labels=preview.labels, confidence=preview.confidence)
    parts = {part.index: part for part in slices.run([5, 6, 7, 2])}
    golden("slices", Tolerance(number=0.01), order=list(parts),
           uncertainty=[part.uncertainty for part in parts.values()],
           descriptor=[part.descriptor[:8].tolist() for part in parts.values()])  # fmt: skip
    golden("slice 6", labels=parts[6].labels, confidence=parts[6].confidence)
    found = slices.finish()
    golden("some slices", labels=found.labels, confidence=found.confidence)


@pytest.mark.parametrize("adapter", ["classification", "contrastive"])
def test_updated(segmenter, one, other, golden, adapter):
    model = segmenter(adapter=adapter).fit(one.template((5,)))
    found = model.updated(one.template()).predict(other.image)
    golden(f"updated {adapter}", labels=found.labels, confidence=found.confidence)


def test_updated_with_another_label(segmenter, one, other, golden):
    model = segmenter(adapter="classification").fit(one.template().only(1, 2))
    found = model.updated(one.template()).predict(other.image)
    golden("updated labels", labels=found.labels, confidence=found.confidence)


def test_refined_by_the_random_walker(fitted, other, golden):
    found = fitted.predict(other.image, refine="random-walker", landmarks=False)
    golden("walker", labels=found.labels, confidence=found.confidence)
    rough = np.roll(other.truth, 2, axis=2)
    labels, confidence = refine_labels(other.image, rough, method="random-walker", slices=[4, 5])
    golden("rough", labels=labels, confidence=confidence)


@pytest.mark.parametrize("strategy", ["random", "components", "box", "boxes", "box-points", "mask"])
def test_refined_by_sam(other, golden, strategy):
    refiner = get_refiner(
        "sam-vit-b", config={"prompts": {"strategy": strategy, "agreement": 0.2}},
        sam_weights=SMALL_SAM, seed=3,
    )  # fmt: skip
    rough = np.roll(other.truth, 2, axis=2)
    labels, confidence = refine_labels(other.image, rough, method=refiner, slices=[4, 5])
    golden(strategy, BFLOAT16, labels=labels, confidence=confidence)
