"""The samples open in a real viewer, at one place in space."""

from __future__ import annotations

import numpy as np
import pytest
from npe2 import PluginManager

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize(("key", "axis"), [("torso", 0), ("joint", 2)])
def test_sample_opens_with_units_names_and_painted_slices(make_napari_viewer, key, axis):
    PluginManager.instance().discover()
    viewer = make_napari_viewer()
    viewer.open_sample("napari-fewshot", key)

    image, truth, template, landmarks = viewer.layers
    assert [layer.name for layer in viewer.layers] == [
        key,
        f"{key} truth",
        f"{key} template",
        f"{key} landmarks",
    ]
    for layer in viewer.layers:
        np.testing.assert_array_equal(layer.scale, image.scale)
        np.testing.assert_array_equal(layer.translate, image.translate)
        assert layer.axis_labels == image.axis_labels == ("S", "A", "R")
        assert {str(unit) for unit in layer.units} == {"millimeter"}

    template_planes = np.moveaxis(template.data, axis, 0)
    painted = np.flatnonzero([(plane > 0).any() for plane in template_planes])
    assert len(painted) == 3
    true_planes = np.moveaxis(truth.data, axis, 0)
    np.testing.assert_array_equal(template_planes[painted], true_planes[painted])
    assert (truth.data > 0).sum() > (template.data > 0).sum()

    names = template.features.set_index("index")["name"]
    assert set(np.unique(truth.data)) <= set(names.index)
    assert names.is_unique
    inside = (landmarks.data >= -0.5) & (landmarks.data <= np.array(image.data.shape) - 0.5)
    assert len(landmarks.data) > 0
    assert inside.all()
