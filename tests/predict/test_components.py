"""Components found block by block, against those of the whole array."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label

from napari_fewshot import scratch
from napari_fewshot.config import CleanupConfig
from napari_fewshot.predict import components as module
from napari_fewshot.predict.cleanup import clean_labels
from napari_fewshot.predict.components import Components, blocks_of, box_of
from napari_fewshot.types import Array

SHAPES = [(7, 8, 9), (1, 17, 6), (61, 11)]
AT_ONCE = [1, 9, 20, 75, 150, 300]
"""From single rows over single slices and runs of them to all but the last."""


def random_labels(shape: tuple[int, ...], seed: int, sigma: float = 0.6) -> Array:
    """Many components of many shapes, most of which pass borders of blocks."""
    noise = np.random.default_rng(seed).standard_normal((4, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, *[sigma] * len(shape)))
    return np.array([0, 1, 2, 60_000], np.uint16)[smooth.argmax(0)]


@pytest.mark.parametrize("at_once", AT_ONCE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_blocks_give_the_components_of_the_whole(
    at_once: int, shape: tuple[int, ...], connectivity: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    for seed, sigma in product(range(3), (0.0, 0.7)):
        labels = random_labels(shape, seed, sigma)
        expected, count = label(
            labels, return_num=True, connectivity=min(connectivity, labels.ndim)
        )
        found = Components(lambda where, labels=labels: labels[where], shape, connectivity)
        numbers = np.full(shape, -1)
        for where, local, names in found.blocks():
            assert (numbers[where] == -1).all()
            numbers[where] = names[local]
        np.testing.assert_array_equal(numbers, expected)  # numbered by their first voxel too
        np.testing.assert_array_equal(found.sizes[1:], np.bincount(expected.ravel())[1:])
        values = np.zeros(count + 1, labels.dtype)
        values[expected] = labels
        np.testing.assert_array_equal(found.values, values)


@pytest.mark.parametrize("at_once", AT_ONCE)
def test_a_spiral_is_one_component(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arms that meet only at the end: joins of joins, over many borders."""
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    mask = np.zeros((12, 9, 5), bool)
    mask[:, ::2, 2] = True
    mask[0, 1::4, 2] = mask[-1, 3::4, 2] = True
    found = Components(lambda where: mask[where], mask.shape, 1)
    assert found.sizes[1:].tolist() == [int(mask.sum())]


@pytest.mark.parametrize("at_once", AT_ONCE)
def test_blocks_without_wanted_components_are_left_out(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    labels = random_labels((7, 8, 9), 0)
    found = Components(lambda where: labels[where], labels.shape, 1)
    wanted = np.zeros(len(found.sizes), bool)
    wanted[-1] = True
    seen = sum(
        int((names[local] == len(wanted) - 1).sum()) for _, local, names in found.blocks(wanted)
    )
    assert seen == found.sizes[-1]
    assert list(found.blocks(np.zeros(len(wanted), bool))) == []


@pytest.mark.parametrize("at_once", [1, 20, 150])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_clean_labels_block_by_block(
    at_once: int, connectivity: int, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [
        {"min_size": 5},
        {"min_fraction": 0.3},
        {"min_fraction": 1},  # with ties: the first in array order
        {"min_fraction": 1, "min_size": 30},
        {},
    ]
    for seed, (rule, shape) in enumerate(product(rules, SHAPES)):
        labels = random_labels(shape, seed, 0.5)
        config = CleanupConfig(connectivity=connectivity, dimensions=dimensions, **rule)
        expected = clean_labels(labels, config)
        with monkeypatch.context() as patch:
            patch.setattr(module, "AT_ONCE", at_once)
            patch.setattr(scratch, "IN_MEMORY", 1)
            mapped = scratch.duplicate(labels)
            found = clean_labels(mapped, config)
        assert isinstance(found, np.memmap)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(mapped, labels)


@pytest.mark.parametrize("at_once", AT_ONCE)
@pytest.mark.parametrize("shape", [*SHAPES, (3, 1, 40)])
def test_blocks_make_up_the_array(
    at_once: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    times = np.zeros(shape, int)
    for block in blocks_of(shape):
        times[block] += 1
        assert np.zeros(shape, bool)[block].size <= max(
            at_once, 4 * shape[-1]
        )  # four rows of one at least
    assert (times == 1).all()


def test_box_of() -> None:
    array = np.zeros((5, 9, 9), np.uint8)
    assert box_of(array, lambda part: part != 0) is None
    array[1, 3, 4] = array[2, 6, 8] = 1
    box = (slice(1, 3), slice(3, 7), slice(4, 9))
    assert box_of(array, lambda part: part != 0) == box
