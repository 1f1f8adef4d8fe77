"""Arrays of xarray: their names say what the axes are, their coordinates the spacing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, Volume, measure_labels
from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices

xr = pytest.importorskip("xarray")


def image(dims: str, shape: tuple[int, ...], **units: str):
    """Array whose axes have steps of 3 (z), 2 (y) and 0.5 (x)."""
    found = xr.DataArray(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), dims=[*dims])
    steps = {"z": 3.0, "y": -2.0, "x": 0.5}
    sizes = dict(zip(dims, shape, strict=True))
    found = found.assign_coords({n: steps[n] * np.arange(sizes[n]) for n in dims if n in steps})
    for name, unit in units.items():
        found.coords[name].attrs["units"] = unit
    return found


def test_names_in_any_order_and_coordinates():
    given = image("xcyz", (7, 2, 6, 5))
    found = Volume.of(given)
    assert found.shape == (5, 6, 7)
    assert found.has_channels
    assert found.spacing == (3.0, 2.0, 0.5)
    np.testing.assert_array_equal(found.data, given.transpose("z", "y", "x", "c").values)


def test_axes_of_length_one_go():
    found = Volume.of(image("tczyx", (1, 1, 5, 6, 7)))
    assert found.data.shape == (5, 6, 7)
    assert not found.has_channels


def test_units():
    found = Volume.of(image("zyx", (5, 6, 7), z="um", y="µm", x="micrometers"))
    assert found.spacing == pytest.approx((3e-3, 2e-3, 0.5e-3))
    assert Volume.of(image("yx", (6, 7), y="pixel")).spacing == (2.0, 0.5)


def test_without_coordinates_or_known_names():
    plain = xr.DataArray(np.zeros((5, 6, 7)), dims=("z", "y", "x"))
    assert Volume.of(plain).spacing == (1.0, 1.0, 1.0)
    other = xr.DataArray(np.zeros((5, 6, 7)), dims=("a", "b", "d"))
    assert Volume.of(other).shape == (5, 6, 7)


def test_what_cannot_be_is_said():
    with pytest.raises(InputError, match=r"t of length 2\. Choose one first: image\.isel\(t=0\)"):
        Volume.of(image("tzyx", (2, 5, 6, 7)))
    uneven = image("yx", (6, 7)).assign_coords(x=[0, 1, 2, 3, 5, 8, 13])
    with pytest.raises(InputError, match="must be evenly spaced; got steps of 1 to 5"):
        Volume.of(uneven)
    with pytest.raises(InputError, match="must have a length as its unit; got seconds"):
        Volume.of(image("yx", (6, 7), x="seconds"))


def test_learning_and_predicting():
    """As with plain arrays, whatever the order of the axes; results are arrays of xarray."""
    phantom = make_phantom("joint", 0, (8, 32, 40))
    data, painted = phantom.image.data, painted_labels(phantom, template_slices(phantom, 3)).data
    coords = {"z": 2.0 * np.arange(8), "y": np.arange(32), "x": np.arange(40)}
    volume = xr.DataArray(data, dims=("z", "y", "x"), coords=coords).chunk({"z": 4})
    turned = volume.transpose("x", "z", "y")
    labels = xr.DataArray(painted, dims=("z", "y", "x")).transpose("y", "x", "z")
    settings = {"contrastive": {"steps": 20}, "device": "cpu"}
    model = FewShotSegmenter(**settings).fit(Template(turned, labels))
    found = model.predict(turned)
    grid = Volume(data, (2.0, 1.0, 1.0))
    wanted = FewShotSegmenter(**settings).fit(Template(grid, painted)).predict(grid)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    like = found.labels_like(turned)
    assert like.dims == ("x", "z", "y")
    assert set(like.coords) == {"x", "y", "z"}
    np.testing.assert_array_equal(like.transpose("z", "y", "x").values, wanted.labels)
    assert wanted.labels_like(grid).spacing == grid.spacing
    assert found.labels_like(data) is found.labels
    table = measure_labels(like, turned)
    sizes = dict(zip(*np.unique(wanted.labels, return_counts=True), strict=True))
    assert table.set_index("label")["voxels"].to_dict() == {k: v for k, v in sizes.items() if k}
    assert (table["volume_mm3"] == 2 * table["voxels"]).all()
