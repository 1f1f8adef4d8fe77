"""Objects of labels layers: separated and measured, by the session and by the dock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_fewshot.errors import InputError, UnknownNameError
from napari_fewshot.phantoms.cells import touching_cells

MINUTE = 60
pytestmark = pytest.mark.viewer


@pytest.fixture
def cells(viewer):
    """An image of cells and their mask, in µm."""
    image, truth = touching_cells(0, (100, 100), (0.25, 0.25), cells=20)
    options = {"scale": (0.25, 0.25), "units": ("um", "um")}
    viewer.layers.clear()
    viewer.add_image(image.data, name="cells", **options)
    mask = viewer.add_labels((truth.data > 0).astype(np.uint8), name="mask", **options)
    return mask, len(np.unique(truth.data)) - 1


@pytest.fixture
def free(viewer):
    """A session without templates."""
    from napari_fewshot import viewer_session

    found = viewer_session(viewer)
    yield found
    found.close()


def test_objects_become_a_layer_on_the_grid_of_the_labels(free, viewer, cells):
    mask, count = cells
    before = mask.data.copy()
    free.objects.separate(mask, min_size="1um2").wait(MINUTE)
    layer = viewer.layers["mask objects"]
    assert abs(int(layer.data.max()) - count) <= 3
    np.testing.assert_array_equal(layer.scale, mask.scale)
    np.testing.assert_array_equal(mask.data, before)


def test_measured_in_units_of_the_layer(free, viewer, cells):
    mask, _ = cells
    table = free.objects.measure("mask", "cells", objects=True).wait(MINUTE)
    assert table["area_um2"].sum() == pytest.approx((mask.data > 0).sum() / 16)
    assert table["mean_intensity"].min() > viewer.layers["cells"].data[mask.data == 0].mean()


def test_measured_in_the_order_of_the_file(free, viewer, patient):
    from napari.layers import Layer

    from napari_fewshot import measure_labels
    from napari_fewshot._napari.layers import labels_layer

    phantom = patient[0]
    data, options, kind = labels_layer(phantom.labels, "truth")
    viewer.add_layer(Layer.create(data, options, kind))
    table = free.objects.measure("truth", "image").wait(MINUTE)
    pd.testing.assert_frame_equal(table, measure_labels(phantom.labels, phantom.image))


def test_a_time_point_of_several(free, viewer):
    viewer.layers.clear()
    data = np.zeros((2, 4, 20, 20), np.uint8)
    data[1, :, 2:8, 2:8] = 3
    viewer.add_labels(data, name="series")
    viewer.dims.set_point(0, 1)
    assert free.objects.measure("series").wait(MINUTE)["voxels"].tolist() == [144]
    free.objects.separate("series").wait(MINUTE)
    found = viewer.layers["series objects"].data
    assert found.shape == data.shape
    assert not found[0].any()


def test_what_is_refused(free, viewer, cells):
    viewer.add_image(np.zeros((5, 5)), name="small")
    with pytest.raises(InputError, match="image must have the shape"):
        free.objects.measure("mask", "small")
    with pytest.raises(UnknownNameError, match="labels"):
        free.objects.measure("none")
    with pytest.raises(UnknownNameError, match="neck"):
        free.objects.separate("mask", nek=1)


def test_a_smallest_size_is_proposed_where_outlines_were_painted(free, viewer, cells):
    from napari_fewshot._napari.widgets.measurements import Measurements

    mask, _ = cells
    dock = Measurements(viewer)
    viewer.window.add_dock_widget(dock)
    assert (dock.smallest.text(), dock.proposal.text()) == ("", "")  # nothing is painted
    data = np.zeros((100, 100), np.uint8)
    for k in range(6):
        data[5:15, 15 * k : 15 * k + 10] = 1
    paint = viewer.add_labels(data, name="paint", scale=mask.scale, units=mask.units)
    free.add_template("cells", paint)
    dock.labels.choose(mask)
    dock.labels.choose(paint)
    dock._propose()
    assert dock.smallest.text() == str(free.objects.proposed_min_size(paint)) == "25"
    assert "painted" in dock.proposal.text()
    dock.smallest.setText("7")
    assert not dock.proposal.text()
    dock._propose()
    assert dock.smallest.text() == "7"  # as the person has it


def test_the_dock(free, viewer, cells, qtbot, tmp_path):
    from napari_fewshot._napari.widgets.measurements import Measurements

    dock = Measurements(viewer)
    viewer.window.add_dock_widget(dock)
    assert dock.labels.layer is viewer.layers["mask"]
    dock.image.choose(viewer.layers["cells"])
    dock.smallest.setText("1um2")
    assert dock.save.reason == "measure something"
    dock.separate.click()
    qtbot.waitUntil(lambda: "mask objects" in viewer.layers, timeout=MINUTE * 1000)
    dock.labels.choose(viewer.layers["mask objects"])
    dock.measure.click()
    qtbot.waitUntil(dock.save.isEnabled, timeout=MINUTE * 1000)
    rows = dock.table.model().rowCount()
    assert rows == viewer.layers["mask objects"].data.max()
    assert dock.about.text() == f"{rows} rows: mask objects"
    dock.write_table(tmp_path / "t.csv")
    assert len(pd.read_csv(tmp_path / "t.csv")) == rows
    dock.copy.click()
    from qtpy.QtWidgets import QApplication

    assert QApplication.clipboard().text().startswith("label\tname\t")
    dock.smallest.setText("big")
    dock.separate.click()
    qtbot.waitUntil(lambda: not free.jobs, timeout=MINUTE * 1000)
    assert "min_size must be a number of pixels" in dock.progress.text.text() + dock.status.text()


def test_the_dock_without_labels(free, viewer):
    from napari_fewshot._napari.widgets.measurements import Measurements

    viewer.layers.clear()
    dock = Measurements(viewer)
    viewer.window.add_dock_widget(dock)
    assert dock.separate.reason == dock.measure.reason == "make or open labels"


def test_instances_are_said_and_learned_as_one_class(free, viewer, qtbot):
    from napari_fewshot._napari.widgets.extraction import FeatureExtraction

    image, truth = touching_cells(0, (100, 100), (0.25, 0.25), cells=20)
    viewer.layers.clear()
    viewer.add_image(image.data, name="cells")
    viewer.add_labels(truth.data, name="instances")
    dock = FeatureExtraction(viewer)
    viewer.window.add_dock_widget(dock)
    dock.templates.add.click()
    count = len(np.unique(truth.data)) - 1
    assert dock.instances.text.text().startswith(f"{count} labels that each occur once")
    assert dock.instances.isVisibleTo(dock)
    dock.instances.merge.click()
    (entry,) = free.templates
    assert entry.labels is viewer.layers["instances as one class"]
    assert free.label_names() == {1: "object"}
    np.testing.assert_array_equal(entry.labels.data, truth.data > 0)
    qtbot.waitUntil(lambda: not dock.instances.isVisibleTo(dock))


def test_few_or_named_labels_are_no_instances(session):
    (entry,) = session.templates
    assert session.objects.count_instances(entry) == 0


def test_one_class_of_a_template_takes_no_prediction_for_paint(session, viewer):
    entry = next(one for one in session.templates if one.kind == "dense")
    painted = entry.slices()
    free = next(key for key in range(entry.labels.data.shape[0]) if (key,) not in painted)
    entry.provenance.reviewed.add((free,))
    known = set(entry.slices())
    merged = session.objects.learn_as_one_class(entry)
    assert set(merged.slices()) == known
    assert set(np.unique(merged.labels.data)) == {0, 1}
