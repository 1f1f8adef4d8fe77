"""Our segmenter and the random forest as methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.bench.methods import METHODS, MethodContext
from napari_fewshot.errors import InputError, WeightsError
from napari_fewshot.templates import Template
from napari_fewshot.types import Volume

FOREST = {"trees": 5, "sigma_max": 2.0, "pixels_per_class": 300}
COSINE = {"backbone": "multiscale", "adapter": "cosine"}


def two_blocks() -> tuple[Volume, np.ndarray]:
    """Image and labels of two bright blocks; slice 2 has the first one only."""
    labels = np.zeros((6, 24, 24), np.int32)
    labels[:, 3:10, 3:10] = 1
    labels[3:, 13:20, 13:20] = 2
    noise = np.random.default_rng(0).normal(0, 2, labels.shape)
    return Volume((60 * labels + noise).astype(np.float32), (1.0, 1.0, 1.0)), labels


@pytest.mark.parametrize(
    ("name", "settings"),
    [("forest", FOREST), ("fewshot", COSINE), ("fewshot", {**COSINE, "binary": True})],
)
def test_both_labels_are_found(name, settings):
    image, labels = two_blocks()
    templates = [
        Template(image, painted(labels, k), slices=(k,), known_labels=(1, 2), axis=0)
        for k in (2, 4)
    ]
    method = METHODS.get(name).make(settings, MethodContext(0, "cpu", Path()))
    method.fit(templates)
    found = method.predict(image, 0).labels
    for value in (1, 2):
        here, there = found == value, labels == value
        assert 2 * (here & there).sum() / (here.sum() + there.sum()) > 0.7


def painted(labels: np.ndarray, index: int) -> np.ndarray:
    result = np.zeros_like(labels)
    result[index] = labels[index]
    return result


@pytest.mark.parametrize(("name", "key"), [("forest", "tree"), ("fewshot", "adaptor")])
def test_unknown_settings(name, key):
    with pytest.raises(InputError, match=key):
        METHODS.get(name).make({key: 1}, MethodContext(0, "cpu", Path()))


@pytest.mark.parametrize(
    ("landmarks", "own", "method"),
    [
        (False, {}, "sam-vit-h"),
        (True, {}, None),
        (True, {"propagation": {"refinement": {"method": "sam-vit-b"}}}, "sam-vit-b"),
        (False, {"propagation": {"refinement": {"method": "none"}}}, None),
    ],
)
def test_the_published_chain_ends_with_sam_where_labels_are_scored(landmarks, own, method):
    context = MethodContext(0, "cpu", Path(), landmarks=landmarks)
    made = METHODS.get("fewshot").make({"preset": "published", **own}, context)
    config = made._unfitted().config
    assert (config.backbone, config.propagation.refinement.method) == ("dinov2-b", method)


@pytest.mark.parametrize("binary", [False, True])
def test_the_published_chain_runs(binary, published_weights):
    image, labels = two_blocks()
    template = Template(image, painted(labels, 4), slices=(4,), known_labels=(1, 2), axis=0)
    own = {"adapter": "cosine", "extraction": {"min_tokens": 8}, "binary": binary}
    method = METHODS.get("fewshot").make(
        {"preset": "published", **own}, MethodContext(0, "cpu", Path())
    )
    method.fit([template])
    assert method.predict(image, 0).labels.shape == labels.shape
    (published_weights / "sam_vit_h_4b8939.pth").unlink()
    method = METHODS.get("fewshot").make(
        {"preset": "published", **own}, MethodContext(0, "cpu", Path())
    )
    with pytest.raises(WeightsError, match="sam-vit-h"):  # before the fit
        method.fit([template], progress=None)


def test_what_the_data_set_asks_for_gives_way_to_own_settings():
    from napari_fewshot.config import IntensityConfig

    window = IntensityConfig(mode="window", low=0, high=9)
    context = MethodContext(0, "cpu", Path(), intensity=window)
    entry = METHODS.get("forest")
    assert entry.make({}, context).config.intensity == window
    own = {"intensity": {"low": 1.0, "high": 99.0}}
    assert entry.make(own, context).config.intensity.low == 1.0
