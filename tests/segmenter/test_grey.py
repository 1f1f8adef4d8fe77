"""Colour images: one more adapter learns from what they are in grey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, Volume
from napari_fewshot.config import ExtractionConfig, IntensityConfig
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.predict.learned import ExpertWeights
from napari_fewshot.slices.grey import GreySlices
from napari_fewshot.slices.stack import SliceStack


def stack_of(image):
    volume = Volume(image, (1.0, 1.0), has_channels=image.ndim == 3)
    return SliceStack(volume, 0, IntensityConfig())


def colour(image):
    return Volume(image, (1.0, 1.0), has_channels=True)


@pytest.fixture(scope="module")
def model(quick, discs):
    image, labels = discs(colour=True)
    return quick().fit(Template(colour(image), labels))


def test_grey_is_the_brightness(discs):
    source = stack_of(discs(colour=True)[0])
    grey = GreySlices(source)
    assert (grey.shape, grey.channels, len(grey)) == (source.shape, 1, 1)
    red, green, blue = source.slice(0)
    expected = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    np.testing.assert_allclose(grey.slice(0)[0], expected, atol=1e-6)
    window = slice(3, 20), slice(5, 40)
    seen = grey.slice(0)[:, *window]  # products of other lengths are summed otherwise
    np.testing.assert_allclose(grey.window(0, window), seen, atol=1e-6)
    assert grey.digest(0) != source.digest(0)
    assert grey.digest(0) == GreySlices(source).digest(0)


def test_features_in_grey(model, discs):
    """They are those of a grey image, are kept apart from others, and stay so when kept."""
    source, backbone = stack_of(discs(colour=True)[0]), model.extractor.backbone
    extractor = FeatureExtractor(backbone, ExtractionConfig()).of_grey()
    expected = FeatureExtractor(backbone, ExtractionConfig()).map(GreySlices(source), 0)
    np.testing.assert_allclose(extractor.map(source, 0).data, expected.data, atol=1e-5)
    kept = extractor.keeping(FeatureCache(10))
    np.testing.assert_allclose(kept.map(source, 0).data, expected.data, atol=1e-2)
    in_colour = FeatureExtractor(backbone, ExtractionConfig(), cache=kept.cache)
    assert kept.has(source, 0)
    assert not in_colour.has(source, 0)
    assert abs(in_colour.map(source, 0).data - kept.map(source, 0).data).max() > 0.05


def test_who_takes_part(quick, discs, model):
    image, labels = discs(colour=True)
    experts = model.volume_predictor().experts
    assert set(experts.beside) == {"hand_made", "grey"}
    shares = [share for _, _, share in experts.adapters(is_painted=False)]
    rest = 1 - model.weights_.elsewhere
    expected = [rest * 2 / 3, model.weights_.elsewhere, rest / 3]
    assert shares == pytest.approx(expected)
    grey, known = discs()
    assert set(quick().fit(Template(grey, known))._adapters.beside) == {"hand_made"}
    without = (
        {"experts": {"grey": False}},
        {"backbone": "multiscale"},
        {"intensity": {"colour": False}},
    )
    for settings in without:
        fitted = quick(**settings).fit(Template(colour(image), labels))
        assert "grey" not in fitted._adapters.beside


def test_grey_alone_does_not_see_colours(model, discs):
    """Other colours of the same brightness change nothing that it says, but what others say."""
    image, _ = discs(seed=1, colour=True)
    other = image.copy()
    other[..., 0], other[..., 1] = image[..., 1], image[..., 0]
    change = 0.7152 * (other[..., 1].astype(float) - image[..., 1])
    change += 0.2126 * (other[..., 0].astype(float) - image[..., 0])
    other[..., 1] = np.clip(other[..., 1] - change / 0.7152, 0, 255).round()
    weights = ExpertWeights(elsewhere=0, grey=1, registered=0, temperature=1)
    settings = {"intensity": {"mode": "window", "low": 0, "high": 255}}
    alone = replace(model._learned(), weights=weights)
    alone = replace(alone, config=alone.config.changed(settings))
    of_colour = replace(alone, weights=replace(weights, grey=0.0))

    def said(learned, data):
        experts = replace(model.volume_predictor().experts, model=learned)
        volume = colour(data)
        stack = SliceStack(volume, 0, learned.config.intensity)
        (plane,) = experts.of(stack).planes(stack, [0])
        return np.asarray(plane)

    moved = abs(said(alone, image) - said(alone, other)).mean()
    assert moved < 0.25 * abs(said(of_colour, image) - said(of_colour, other)).mean()


def test_a_model_file_has_it(model, discs, tmp_path):
    image, _ = discs(seed=2, colour=True)
    model.save(tmp_path / "m.fewshot")
    loaded = FewShotSegmenter.load(tmp_path / "m.fewshot")
    expected, found = model.predict(colour(image)), loaded.predict(colour(image))
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    # One of before there was such an adapter goes on without it.
    before = replace(model._learned(), beside={"hand_made": model._learned().beside["hand_made"]})
    model._handed_on(model.with_settings(), before).save(tmp_path / "old.fewshot")
    old = FewShotSegmenter.load(tmp_path / "old.fewshot")
    assert set(old.volume_predictor().experts.beside) == {"hand_made"}
    assert np.asarray(old.predict(colour(image)).labels).any()


def test_learning_on(model, discs):
    """An update has all adapters learn on; one that a model does not have is fitted."""
    image, labels = discs(seed=3, colour=True)
    more = [Template(colour(image), labels)]
    updated = model.updated(more)
    assert set(updated._adapters.beside) == {"hand_made", "grey"}
    assert np.asarray(updated.predict(colour(image)).labels).any()


def test_held_out_slices_tell_of_it(quick, discs):
    made = [discs(seed=k, colour=True) for k in range(3)]
    fitted = quick().fit([Template(colour(image), labels) for image, labels in made])
    score = fitted.held_out_score()
    assert score.folds == 3
    assert 0 <= score.weights.grey <= 1
    assert score.mean > 0.3
