"""Three planes, one mean."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import scratch
from napari_fewshot.config import IntensityConfig
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.predict.fusion import fused_probabilities
from napari_fewshot.slices.stack import SliceStack, from_stack, to_stack
from napari_fewshot.types import Volume

SHAPE = (9, 10, 11)


@pytest.fixture(scope="module")
def volumes():
    stored = {s: make_phantom("torso", shape=SHAPE, storage=s).image for s in ("LPS", "SRA")}
    return {None: Volume.of(np.zeros(SHAPE)), **stored}


def random_probabilities(seed, shape=SHAPE):
    raw = np.random.default_rng(seed).random((3, *shape)).astype(np.float32)
    return raw / raw.sum(0)


def along(stack, probabilities):
    """What a prediction along the axis of the stack would yield, of a volume in file order."""
    planes = np.stack([to_stack(p, stack.frame, stack.axis) for p in probabilities])
    return ((k, planes[:, k]) for k in range(planes.shape[1]))


@pytest.mark.parametrize("limit", [10**9, 1])
@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("storage", [None, "LPS", "SRA"])
def test_fusion_is_the_mean(limit, first, storage, volumes, monkeypatch):
    monkeypatch.setattr(scratch, "IN_MEMORY", limit)
    volume = volumes[storage]
    order = [first, (first + 1) % 3, (first + 2) % 3]
    stacks = [SliceStack(volume, axis, IntensityConfig()) for axis in order]
    parts = [random_probabilities(axis, volume.shape) for axis in order]
    pairs = [(s, along(s, p), 1 / 3) for s, p in zip(stacks, parts, strict=True)]
    numbers, planes = zip(*fused_probabilities(pairs), strict=True)
    assert list(numbers) == list(range(len(stacks[0])))
    fused = np.stack(planes, axis=1)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused.sum(0), 1, atol=1e-5)
    expected = np.mean(parts, axis=0)
    for channel in range(3):
        found = from_stack(fused[channel], stacks[0].frame, stacks[0].axis, 3)
        np.testing.assert_allclose(found, expected[channel], atol=2e-3)


def test_one_plane_is_itself():
    stack = SliceStack(Volume.of(np.zeros(SHAPE)), 1, IntensityConfig())
    part = random_probabilities(0)
    found = np.stack(
        [p for _, p in fused_probabilities([(stack, along(stack, part), 1.0)])], axis=1
    )
    np.testing.assert_allclose(found, np.moveaxis(part, 2, 1), atol=2e-3)
