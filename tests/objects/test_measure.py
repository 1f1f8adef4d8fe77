"""Measurements against those of scikit-image, in blocks and at once."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from skimage.measure import label, regionprops_table

from napari_fewshot import measure_labels
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.predict import components
from napari_fewshot.types import Volume

SPACING = (2.0, 0.5, 0.25)


@pytest.fixture
def blobs():
    """Labels 0 to 3 in parts of many sizes, and an image of large values."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, (9, 7, 8)).repeat(3, 0).repeat(4, 1).repeat(5, 2)
    image = random.normal(30000, 2, labels.shape).astype(np.float32)
    return labels.astype(np.uint8), image


def expected(numbers, image):
    names = ("num_pixels", "area", "centroid", "bbox", "intensity_mean", "intensity_std")
    return regionprops_table(numbers, image, properties=("label", *names), spacing=SPACING)


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("at_once", [2**22, 500])
def test_as_scikit_image_measures(blobs, monkeypatch, objects, at_once):
    monkeypatch.setattr(components, "AT_ONCE", at_once)
    labels, image = blobs
    affine = np.diag([1.0, 1, 1, 1])
    volume = Volume(labels, SPACING, affine)
    table = measure_labels(volume, Volume(image, SPACING, affine), objects=objects)
    numbers = labels.astype(int)
    if objects:
        parts = label(labels, connectivity=1)
        order = regionprops_table(parts, labels, properties=("label", "intensity_max"))
        rank = np.argsort(order["intensity_max"], kind="stable")
        where = np.zeros(len(rank) + 1, int)
        where[rank + 1] = np.arange(1, len(rank) + 1)
        numbers = where[parts]
    true = expected(numbers, image.astype(np.float64))
    assert len(table) == len(true["label"])
    np.testing.assert_array_equal(table["voxels"], true["num_pixels"])
    np.testing.assert_allclose(table["volume_mm3"], true["area"])
    for axis, letter in enumerate("zyx"):
        np.testing.assert_allclose(table[f"centroid_{letter}_mm"], true[f"centroid-{axis}"])
        np.testing.assert_allclose(
            table[f"centroid_{letter}"] * SPACING[axis], true[f"centroid-{axis}"]
        )
        np.testing.assert_array_equal(table[f"first_{letter}"], true[f"bbox-{axis}"])
        np.testing.assert_array_equal(table[f"last_{letter}"] + 1, true[f"bbox-{axis + 3}"])
    np.testing.assert_allclose(table["mean_intensity"], true["intensity_mean"])
    np.testing.assert_allclose(table["std_intensity"], true["intensity_std"], atol=1e-6)
    if objects:
        assert (
            table.groupby("label")["object"]
            .apply(list)
            .map(lambda found: found == list(range(1, len(found) + 1)))
            .all()
        )


def test_positions_in_the_patient_and_names():
    affine = np.array([[0, 0, -1.0, 10], [0, 2.0, 0, 20], [3.0, 0, 0, 30], [0, 0, 0, 1]])
    data = np.zeros((4, 5, 6), np.int16)
    data[1, 2, 3] = data[3, 2, 3] = 7
    table = measure_labels(Volume(data, (3.0, 2.0, 1.0), affine, names={7: "spleen"}))
    row = table.iloc[0]
    assert (len(table), row["label"], row["name"], row["voxels"]) == (1, 7, "spleen", 2)
    assert (row["R"], row["A"], row["S"]) == (7, 24, 36)
    assert row["volume_mm3"] == 12


def test_units_follow_the_grid():
    data = np.ones((4, 4), np.uint8)
    plain = measure_labels(data)
    assert not [name for name in plain if name.endswith(("mm", "um", "mm2", "um2"))]
    assert plain["pixels"].tolist() == [16]
    fine = measure_labels(Volume(data, (0.0005, 0.0005)))
    assert fine["area_um2"].tolist() == [4.0]
    assert fine["centroid_y_um"].tolist() == [0.75]
    assert measure_labels(Volume(data, (0.0005, 0.0005)), unit="mm")["area_mm2"][0] == 4e-6
    assert "area_um2" not in measure_labels(Volume(data, (0.0005, 0.0005)), unit="pixels")
    with pytest.raises(InputError, match="unit must be pixels for an image without spacing"):
        measure_labels(data, unit="mm")
    with pytest.raises(InputError, match="unit must be one of auto, mm, um, pixels"):
        measure_labels(data, unit="inch")


def test_channels_and_values_that_are_none():
    labels = np.array([[1, 1, 2], [1, 0, 2]])
    image = np.zeros((2, 3, 2), np.float32)
    image[..., 0] = [[1, 3, np.nan], [np.nan, 9, np.inf]]
    image[..., 1] = [[1, 2, 5], [3, 9, 7]]
    table = measure_labels(labels, image)
    assert table["mean_intensity_0"][0] == 2
    assert np.isnan(table["mean_intensity_0"][1])
    assert table["mean_intensity_1"].tolist() == [2, 6]
    assert table["std_intensity_1"][1] == 1


def test_lazy_arrays_and_empty_maps():
    labels = np.zeros((6, 8, 8), np.uint8)
    labels[2:4] = 3
    lazy = measure_labels(Volume.of(da.from_array(labels, chunks=(2, 8, 8))))
    assert lazy["voxels"].tolist() == [128]
    labels.setflags(write=False)  # as a mapped file is
    for objects in (False, True):
        assert measure_labels(labels, labels, objects=objects)["voxels"].tolist() == [128]
    empty = measure_labels(np.zeros((6, 8), np.uint8), objects=True)
    assert len(empty) == 0
    assert "centroid_y" in empty


def test_what_is_refused_and_cancelled():
    labels = np.ones((4, 4), np.uint8)
    with pytest.raises(InputError, match="connectivity must be within"):
        measure_labels(labels, connectivity=3)
    with pytest.raises(InputError, match="must have the shape"):
        measure_labels(labels, np.zeros((4, 5)))
    with pytest.raises(InputError, match="labels of at least 0"):
        measure_labels(-labels.astype(int))

    def stop(done, total, what):
        raise Cancelled

    with pytest.raises(Cancelled):
        measure_labels(labels, progress=stop)
