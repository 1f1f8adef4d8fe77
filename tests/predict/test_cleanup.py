"""Connected components, by hand and against a naive loop over labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_fewshot.config import CleanupConfig
from napari_fewshot.errors import InputError
from napari_fewshot.predict.cleanup import clean_labels


def test_small_components_go_label_by_label() -> None:
    labels = np.array(
        [
            [1, 1, 0, 2, 2],
            [1, 0, 0, 0, 2],
            [0, 2, 1, 0, 2],
        ]
    )
    cleaned = clean_labels(labels, CleanupConfig(min_size=2))
    np.testing.assert_array_equal(
        cleaned,
        [
            [1, 1, 0, 2, 2],
            [1, 0, 0, 0, 2],
            [0, 0, 0, 0, 2],
        ],
    )


def test_the_largest_alone_and_ties() -> None:
    labels = np.array([[3, 3, 0, 3, 0, 5, 0, 5]])
    cleaned = clean_labels(labels, CleanupConfig(min_fraction=1))
    np.testing.assert_array_equal(cleaned, [[3, 3, 0, 0, 0, 5, 0, 0]])
    both = clean_labels(labels, CleanupConfig(min_fraction=1, min_size=2))
    np.testing.assert_array_equal(both, [[3, 3, 0, 0, 0, 0, 0, 0]])
    assert CleanupConfig.of({"largest_only": True}, "cleanup") == CleanupConfig(min_fraction=1)
    assert CleanupConfig.of({"largest_only": False}, "cleanup") == CleanupConfig()


def test_a_part_is_small_beside_the_largest_of_its_own_label() -> None:
    """A pair of 10 and 8, and two stray parts: one pixel, and as many as another label has."""
    labels = np.zeros((7, 12), np.uint8)
    labels[:2, :5] = 4
    labels[:2, 7:11] = 4
    labels[4, 0] = labels[6, 5:7] = 4
    labels[4, 8:10] = 9  # small beside the pair, but the largest of its own
    cleaned = clean_labels(labels, CleanupConfig(min_fraction=0.1))
    expected = labels.copy()
    expected[4, 0] = 0  # exactly a tenth
    np.testing.assert_array_equal(cleaned, expected)
    expected[6] = 0
    np.testing.assert_array_equal(clean_labels(labels, CleanupConfig(min_fraction=0.2)), expected)
    expected[:2, 7:] = 0
    np.testing.assert_array_equal(clean_labels(labels, CleanupConfig(min_fraction=0.8)), expected)


def test_the_largest_is_that_of_the_slice_or_of_the_volume() -> None:
    labels = np.zeros((3, 4, 9), np.uint8)
    labels[0, :, :8] = 1
    labels[2, 0, 0:2] = labels[2, 3, 8] = 1  # the end of the structure, and a stray pixel
    in_slices = clean_labels(labels, CleanupConfig(dimensions=2, min_fraction=0.5))
    in_volume = clean_labels(labels, CleanupConfig(dimensions=3, min_fraction=0.5))
    labels[2, 3, 8] = 0
    np.testing.assert_array_equal(in_slices, labels)
    labels[2] = 0
    np.testing.assert_array_equal(in_volume, labels)


def test_touching_labels_do_not_support_each_other() -> None:
    labels = np.array([[1, 2, 1, 2]])
    assert not clean_labels(labels, CleanupConfig(min_size=2)).any()


def test_connectivity() -> None:
    labels = np.eye(4, dtype=np.uint8)
    assert not clean_labels(labels, CleanupConfig(min_size=2)).any()
    for connectivity in (2, 3):
        config = CleanupConfig(min_size=4, connectivity=connectivity)
        np.testing.assert_array_equal(clean_labels(labels, config), labels)


def test_two_dimensions_work_slice_by_slice() -> None:
    # A column of one pixel a slice: large in the volume, small in each slice.
    labels = np.zeros((6, 5, 5), np.int16)
    labels[:, 2, 2] = 7
    labels[3, 1:4, 1:4] = 7

    in_slices = clean_labels(labels, CleanupConfig(dimensions=2, min_size=5))
    in_volume = clean_labels(labels, CleanupConfig(dimensions=3, min_size=5))

    expected = np.zeros_like(labels)
    expected[3, 1:4, 1:4] = 7
    np.testing.assert_array_equal(in_slices, expected)
    np.testing.assert_array_equal(in_volume, labels)


def test_off_returns_an_equal_copy() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (4, 5, 6))
    cleaned = clean_labels(labels, CleanupConfig())
    np.testing.assert_array_equal(cleaned, labels)
    assert not np.shares_memory(cleaned, labels)


def test_empty_stays_empty() -> None:
    labels = np.zeros((3, 4, 5), np.int32)
    for dimensions in (2, 3):
        config = CleanupConfig(dimensions=dimensions, min_fraction=0.5)
        assert not clean_labels(labels, config).any()


def _naive(labels: np.ndarray, config: CleanupConfig) -> np.ndarray:
    result = np.zeros_like(labels)
    flat = config.dimensions == 2
    parts = range(len(labels)) if flat else [...]
    structure = ndimage.generate_binary_structure(2 if flat else 3, config.connectivity)
    for value, part in ((v, p) for v in np.unique(labels)[1:] for p in parts):
        numbered, count = ndimage.label(labels[part] == value, structure)
        sizes = [int((numbered == n + 1).sum()) for n in range(count)]
        for number, size in enumerate(sizes, start=1):
            is_largest = number == 1 + sizes.index(max(sizes))
            large = is_largest or size > config.min_fraction * max(sizes)
            if size >= config.min_size and large:
                result[part][numbered == number] = value
    return result


@pytest.mark.parametrize("seed", range(9))
def test_against_a_naive_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((5, 9, 11, 10)), (0, 0.8, 0.8, 0.8))
    values = np.array([0, 1, 2, 60_000, 2_000_000_000], np.int64)
    labels = values[smooth.argmax(0)]
    before = labels.copy()
    config = CleanupConfig(
        dimensions=2 + seed % 2,
        min_size=int(rng.integers(0, 12)),
        min_fraction=(0, 0.3, 1)[seed // 3],
        connectivity=1 + seed % 2,
    )

    cleaned = clean_labels(labels, config)

    np.testing.assert_array_equal(cleaned, _naive(labels, config))
    np.testing.assert_array_equal(labels, before)
    assert cleaned.dtype == labels.dtype


def test_bad_input() -> None:
    with pytest.raises(InputError, match="labels must be an array of integers"):
        clean_labels(np.zeros((3, 3)), CleanupConfig(min_size=2))
    with pytest.raises(InputError, match="labels must be an array of integers"):
        clean_labels(np.zeros((2, 3, 3, 3), int), CleanupConfig(min_size=2))


def test_a_part_of_exactly_the_fraction_goes() -> None:
    labels = np.zeros((3, 130), np.uint8)
    labels[0, :100] = 1
    labels[2, :29] = 1
    cleaned = clean_labels(labels, CleanupConfig(min_fraction=0.29))
    assert cleaned[0].any()
    assert not cleaned[2].any()
