"""Slices that are predicted tile by tile give what they give in one piece."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.backbones import get_backbone
from napari_fewshot.config import ExtractionConfig
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.predict.suggestion import slice_descriptor
from napari_fewshot.types import FeatureMap, TiledFeatures

QUICK = {
    "classification": {"classification": {"steps": 60, "hidden": 32}},
    "contrastive": {
        "contrastive": {"steps": 40, "hidden": 32, "width": 16, "targets": 192, "references": 16}
    },
    "cosine": {},
}


def backbone(name="embedded"):
    """A backbone whose tiles are small."""
    network = copy(get_backbone(name))
    prep = replace(network.spec.preprocessing, size=64, multiple=32)
    network.spec = replace(network.spec, preprocessing=prep)
    return network


class Whole(FeatureExtractor):
    """Puts the parts of each slice together before anybody sees them."""

    def parts(self, source, window=None):
        return 1

    def maps(self, source, indices, *args, **kwargs):
        for k, features in super().maps(source, indices, *args, **kwargs):
            assert isinstance(features, TiledFeatures)
            data = np.full((features.channels, *features.shape), np.nan, np.float32)
            for part in features.parts():
                (row, column), (height, width) = part.origin, part.shape
                data[:, row : row + height, column : column + width] = part.data
            height, width = features.shape
            yield k, FeatureMap(data, features.shape, (float(height), float(width)))


def scene(shape):
    """Balls of two kinds in noise, and their labels."""
    rng = np.random.default_rng(3)
    image = rng.normal(0.2, 0.05, shape)
    labels = np.zeros(shape, np.uint8)
    grid = np.indices(shape).reshape(len(shape), -1).T
    for number in range(10):
        centre = rng.random(len(shape)) * shape
        inside = (((grid - centre) / 11) ** 2).sum(1).reshape(shape) < 1
        labels[inside] = 1 + number % 2
        image[inside] = 0.5 + 0.3 * (number % 2) + rng.normal(0, 0.05, inside.sum())
    return image.astype(np.float32), labels


def fitted(adapter, templates, kind, **settings):
    model = FewShotSegmenter(adapter=adapter, device="cpu", **QUICK[adapter], **settings)
    vars(model._extractors)["main"] = kind(backbone(), ExtractionConfig(), "cpu")
    return model.fit(templates)


def alike(found, expected):
    assert (found.labels == expected.labels).mean() > 0.9995
    assert np.abs(found.confidence - expected.confidence).max() < 1e-3
    places = [[point.position for point in one.landmarks] for one in (found, expected)]
    assert len(places[0]) == len(places[1]) > 0
    np.testing.assert_allclose(*places, atol=0.05)


@pytest.mark.parametrize("adapter", list(QUICK))
@pytest.mark.parametrize("shape", [(3, 97, 150), (130, 105)])
def test_labels_confidence_and_landmarks_are_those_of_one_piece(adapter, shape):
    image, labels = scene(shape)
    template = Template(image, labels)
    expected = fitted(adapter, template, Whole).predict(image)
    assert set(np.unique(expected.labels)) == {0, 1, 2}
    alike(fitted(adapter, template, FeatureExtractor).predict(image), expected)


@pytest.mark.slow
def test_planes_are_fused():
    image, labels = scene((70, 90, 80))
    templates = []
    for axis in (0, 1):
        painted = np.zeros_like(labels)
        for at in (30, 40):
            where = (slice(None),) * axis + (at,)
            painted[where] = labels[where]
        templates.append(Template(image, painted, axis=axis))
    expected = fitted("cosine", templates, Whole).predict(image[:, :, :75], axis="fused")
    found = fitted("cosine", templates, FeatureExtractor).predict(image[:, :, :75], axis="fused")
    alike(found, expected)


def test_large_planes_lie_in_files(monkeypatch):
    image, labels = scene((4, 97, 150))
    model = fitted("cosine", Template(image, labels), FeatureExtractor)
    expected = model.predict(image)
    for module in ("scratch", "predict.probabilities"):
        monkeypatch.setattr(f"napari_fewshot.{module}.IN_MEMORY", 1)
    monkeypatch.setattr("napari_fewshot.predict.probabilities._BAND", 1000)
    found = model.predict(image)
    assert isinstance(found.labels, np.memmap)
    alike(found, expected)
    assert (found.labels == expected.labels).all()


def test_parts_are_kept_in_memory_and_read_again():
    image, labels = scene((2, 97, 150))
    cache, network = FeatureCache(100), backbone()
    calls = []
    encode = network.encode
    network.encode = lambda images: calls.append(1) or encode(images)
    model = FewShotSegmenter(adapter="cosine", device="cpu", cache=cache)
    vars(model._extractors)["main"] = FeatureExtractor(
        network, ExtractionConfig(), "cpu", cache=cache
    )
    first = model.fit(Template(image, labels)).predict(image)
    done = len(calls)
    assert done == len(cache) == 2 * 3 * 4
    again = model.fit(Template(image, labels)).predict(image)
    assert len(calls) == done
    assert (first.labels == again.labels).all()


def test_a_slice_is_described_alike_in_parts_and_whole():
    rng = np.random.default_rng(0)
    data = rng.random((5, 300, 200), dtype=np.float32)
    corners = [(row, column) for row in (0, 110) for column in (0, 77, 140)]

    def parts():
        for row, column in corners:
            part = data[:, row : 110 if row == 0 else 300, column:][
                :, :, : 77 if column == 0 else 63
            ]
            shape = part.shape[1:]
            yield FeatureMap(part, shape, (float(shape[0]), float(shape[1])), (row, column))

    whole = slice_descriptor(FeatureMap(data, (300, 200), (300.0, 200.0)))
    assert whole.shape == (5 * 16,)
    found = slice_descriptor(TiledFeatures((300, 200), 5, parts))
    np.testing.assert_allclose(found, whole, atol=1e-6)
