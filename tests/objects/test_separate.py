"""Touching objects are cut where they are narrow, in 2D, in 3D and slice by slice."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import separate_objects
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.phantoms.cells import touching_cells
from napari_fewshot.predict import components
from napari_fewshot.types import Volume


def disks(shape, *places, spacing=None):
    """Union of balls (centre, radius) in units of length."""
    spacing = spacing or (1.0,) * len(shape)
    grid = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)),
                                indexing="ij"), axis=-1)  # fmt: skip
    return np.any(
        [np.linalg.norm(grid - centre, axis=-1) <= radius for centre, radius in places], axis=0
    ).astype(np.uint8)


TWO = disks((40, 60), ((20, 18), 12), ((20, 38), 11))


def test_two_touching_disks():
    found = separate_objects(TWO).data
    assert found.dtype == np.uint8
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, TWO > 0)
    assert (found[20, 10], found[20, 45]) == (1, 2)
    np.testing.assert_array_equal(found, separate_objects(TWO).data)


def test_one_object_stays_one():
    for mask in (
        disks((40, 60), ((20, 30), 15)),
        np.ones((20, 20), np.uint8),
        disks((40, 60), ((20, 18), 12), ((20, 24), 12)),  # with a waist of 0.95
        np.pad(np.ones((4, 50), np.uint8), 5),
    ):
        assert separate_objects(mask).data.max() == 1


def test_the_neck_decides():
    assert separate_objects(TWO, config={"neck": 0.2}).data.max() == 1
    waist = disks((40, 60), ((20, 18), 12), ((20, 29), 12))  # 0.89
    assert separate_objects(waist, config={"neck": 0.8}).data.max() == 1
    assert separate_objects(waist, config={"neck": 0.95}).data.max() == 2


def test_objects_at_the_border_go_on_beyond():
    assert separate_objects(TWO[:, :40]).data.max() == 2
    assert separate_objects(TWO[20:]).data.max() == 2


def test_spacing_counts():
    spacing = (3.0, 1.0, 1.0)
    mask = disks((14, 40, 60), ((20, 20, 18), 12), ((20, 20, 38), 11), spacing=spacing)
    found = separate_objects(Volume(mask, spacing)).data
    assert found.max() == 2
    assert len(np.unique(found[7])) == 3


def test_labels_are_apart_and_named():
    mask = TWO.copy()
    mask[:, 28:] *= 5
    volume = Volume(mask, (1.0, 1.0), names={1: "a", 5: "b"})
    found = separate_objects(volume)
    assert found.data.max() == 2
    assert dict(found.names) == {1: "a", 2: "b"}
    one = separate_objects(volume, label=5)
    np.testing.assert_array_equal(one.data > 0, mask == 5)
    assert one.names == {}
    with pytest.raises(InputError, match="label must be labels that occur; got 7"):
        separate_objects(volume, label=[5, 7])


def test_sizes():
    mask = np.zeros((30, 60), np.uint8)
    mask[2:4, 2:4], mask[10:20, 10:20], mask[5:25, 30:50] = 1, 1, 1
    assert separate_objects(mask).data.max() == 3
    assert separate_objects(mask, config={"min_size": 5}).data.max() == 2
    found = separate_objects(mask, config={"min_size": 5, "max_size": 150}).data
    assert (found > 0).sum() == 100
    fine = Volume(mask, (0.001, 0.002))
    assert separate_objects(fine, config={"min_size": "8um2"}).data.max() == 3
    assert separate_objects(fine, config={"min_size": "8.1 µm²"}).data.max() == 2
    for given, words in (
        ("5um3", "be a number of pixels, or such as 50um2"),
        ("big", "be a number of pixels"),
        (-1, "be a number of pixels"),
    ):
        with pytest.raises(InputError, match=words):
            separate_objects(fine, config={"min_size": given})
    with pytest.raises(InputError, match="a number of pixels for an image without spacing"):
        separate_objects(mask, config={"min_size": "5um2"})
    with pytest.raises(InputError, match="max_size must be at least min_size"):
        separate_objects(mask, config={"min_size": 5, "max_size": 4})


def test_fragments_become_a_part_of_what_they_touch():
    mask = disks((40, 60), ((20, 20), 12), ((20, 39), 8))
    assert separate_objects(mask).data.max() == 2
    whole = separate_objects(mask, config={"min_size": 250}).data
    np.testing.assert_array_equal(whole, mask)


def test_an_image_or_confidence_shows_borders():
    block = np.zeros((30, 50), np.uint8)
    block[5:25, 5:45] = 1
    line = np.ones(block.shape, np.float32)
    line[:, 24:26] = 0.1
    assert separate_objects(block).data.max() == 1
    for given in ({"confidence": line}, {"image": 1000 * line},
                  {"confidence": (255 * line).astype(np.uint8)},
                  {"image": -line, "config": {"borders": "bright"}}):  # fmt: skip
        found = separate_objects(block, **given).data
        assert found.max() == 2, given.keys()
        assert found[15, 10] != found[15, 40]
    with pytest.raises(InputError, match="not stand beside an image"):
        separate_objects(block, image=line, confidence=line)
    with pytest.raises(InputError, match="must have the shape"):
        separate_objects(block, image=line[1:])


@pytest.mark.parametrize("axis", [0, 2])
def test_slice_by_slice_and_linked(axis):
    mask = disks((40, 60, 20), ((20, 18, 10), 12), ((20, 38, 10), 11))
    mask = np.moveaxis(mask, 2, axis)
    found = separate_objects(mask, axis=axis, config={"by": "slices"}).data
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, mask > 0)


def test_slices_of_two_objects_do_not_link_them():
    mask = np.zeros((6, 20, 20), np.uint8)
    mask[:3, 2:10, 2:10] = 1
    mask[3:, 9:18, 9:18] = 1
    assert separate_objects(mask).data.max() == 2
    assert separate_objects(mask, config={"by": "slices"}).data.max() == 2
    labels = mask.copy()
    labels[1] *= 2
    by_slices = separate_objects(labels, config={"by": "slices"}).data
    assert by_slices.max() == 4


@pytest.mark.parametrize("by", ["volume", "slices"])
def test_blocks_give_the_same(monkeypatch, by):
    _, truth = touching_cells(1, (12, 60, 60), cells=12)
    mask = truth.with_data((truth.data > 0).astype(np.uint8))
    whole = separate_objects(mask, config={"by": by}).data
    monkeypatch.setattr(components, "AT_ONCE", 3000)
    np.testing.assert_array_equal(separate_objects(mask, config={"by": by}).data, whole)


def test_many_objects_need_more_bits_and_none_is_none():
    mask = np.zeros((60, 60), np.uint8)
    mask[::2, ::2] = 1
    found = separate_objects(mask).data
    assert found.dtype == np.uint16
    assert found.max() == 900
    np.testing.assert_array_equal(found[mask > 0], np.arange(1, 901))
    assert separate_objects(np.zeros((5, 6, 7), np.uint8)).data.max() == 0


def test_clumps_of_cells_are_better_separated_than_by_their_parts():
    _, truth = touching_cells(0, (200, 200), (0.25, 0.25), cells=60)
    found = separate_objects(truth.with_data((truth.data > 0).astype(np.uint8))).data
    count = len(np.unique(truth.data)) - 1
    assert abs(int(found.max()) - count) <= 0.15 * count


def test_cancel():
    def stop(done, total, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        separate_objects(TWO, progress=stop)
