"""Tiles of features that see no further than a halo join without a trace."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from napari_fewshot.backbones import get_backbone
from napari_fewshot.config import ExtractionConfig, IntensityConfig
from napari_fewshot.features import layout as layouts
from napari_fewshot.features.encode import context_slices
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.layout import plan_layout
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume


def assembled(extractor, stack):
    features = extractor.map(stack, 0)
    whole = np.full((features.channels, *features.shape), np.nan, np.float32)
    for part in features.parts():
        (row, column), (height, width) = part.origin, part.shape
        whole[:, row : row + height, column : column + width] = part.data
    return whole


@pytest.mark.parametrize(
    ("name", "shape"),
    [("multiscale", (900, 200)), ("multiscale", (801, 1010)), ("multiscale-3d", (2, 900, 200))],
)
def test_hand_made_features_of_tiles_are_those_of_the_whole(name, shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    stack = SliceStack(Volume(image, (1.0,) * len(shape)), 0, IntensityConfig())
    backbone = get_backbone(name)
    cut = assembled(FeatureExtractor(backbone, ExtractionConfig(), "cpu"), stack)
    assert len(plan_layout(shape[-2:], backbone.spec, ExtractionConfig()).origins) > 1
    near = [stack.slice(k) for k in context_slices(0, len(stack), backbone.spec.context)]
    (whole,) = backbone.encode(torch.from_numpy(np.stack(near)[None])).numpy()
    assert np.abs(cut - whole).max() < 1e-4


def test_tiles_are_no_larger_than_their_number_asks_for():
    spec = get_backbone("multiscale").spec
    config = ExtractionConfig()
    for side in (700, 768, 769, 1300, 1400, 5000):
        found = plan_layout((side, 300), spec, config)
        rows, _ = found.starts
        assert found.tile[0] <= 768
        assert rows[-1] + found.tile[0] >= side
        shared = [found.tile[0] - (b - a) for a, b in pairwise(rows)]
        assert all(width > 2 * spec.halo for width in shared)
        assert len(rows) * found.tile[0] <= side + (len(rows) - 1) * (2 * spec.halo + 2) + len(rows)


def test_the_halo_counts_at_the_edges_alone():
    weights = layouts.blend_weights(20, 5)
    assert weights[:5].max() < 1e-4 < weights[5]
    assert weights.min() > 0
