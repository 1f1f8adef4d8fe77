"""SAM in the viewer, without an adapter: everything in an image, and what is in boxes."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnknownNameError

MINUTE = 60

pytestmark = pytest.mark.viewer


def blobs(viewer):
    """Two bright discs on each of three slices."""
    rows, columns = np.mgrid[:64, :64]
    plane = np.zeros((64, 64), np.float32)
    for row, column in ((20, 20), (44, 40)):
        plane[(rows - row) ** 2 + (columns - column) ** 2 < 64] = 1
    return viewer.add_image(np.stack([plane] * 3), name="blobs", scale=(3, 1, 1))


def test_everything_in_an_image_becomes_objects(session, viewer, tiny_sam):
    image = blobs(viewer)
    session.configure(sam_weights=tiny_sam)
    settings = {"iou": 0, "stability": 0, "points_per_side": 4, "max_area": 1e6}
    count = session.segment_everything(image, **settings).wait(MINUTE)
    layer = viewer.layers["blobs objects"]
    values = np.unique(layer.data)
    assert len(values) - 1 == count > 0
    np.testing.assert_array_equal(layer.scale, image.scale)
    of_slices = [set(np.unique(plane)) - {0} for plane in layer.data]
    assert not of_slices[0] & of_slices[1]


def test_automatic_mode_refuses_what_it_cannot_do(session, viewer):
    image = blobs(viewer)
    with pytest.raises(UnknownNameError, match="sam-vit-b"):
        session.segment_everything(image, sam="sam-vit-x")
    with pytest.raises(UnknownNameError, match="min_area"):
        session.segment_everything(image, min_aera=3)
    with pytest.raises(InputError, match=r"within 0\.\.2"):
        session.segment_everything(image, slices=[3])


def test_the_dock_of_automatic_mode(session, viewer, tiny_sam, qtbot):
    from napari_fewshot._napari.widgets.with_sam import SegmentWithSam

    blobs(viewer)
    dock = SegmentWithSam(viewer)
    viewer.window.add_dock_widget(dock)
    dock.image.choose(viewer.layers["blobs"])
    session.configure(sam_weights=tiny_sam)
    dock.filters.fields["iou"].setValue(0)
    dock.filters.fields["stability"].setValue(0)
    dock.filters.fields["points_per_side"].setValue(2)
    dock.max_area.setValue(1e6)
    session.go_to(1, "blobs")
    qtbot.waitUntil(dock.one.isEnabled)
    dock.one.click()
    assert not dock.status.text()
    qtbot.waitUntil(lambda: "blobs objects" in viewer.layers, timeout=MINUTE * 1000)
    qtbot.waitUntil(lambda: not session.jobs, timeout=MINUTE * 1000)
    data = viewer.layers["blobs objects"].data
    assert not data[[0, 2]].any()
    assert data[1].any()


def rectangle(slice_, low, high):
    """Corners of a rectangle on a slice."""
    (top, left), (bottom, right) = low, high
    flat = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array([(slice_, *corner) for corner in flat], float)


def draw(viewer, *corners, **options):
    return viewer.add_shapes(list(corners), shape_type="rectangle", name="drawn", **options)


def test_boxes_are_those_that_the_viewer_shows(viewer):
    from napari_fewshot._napari.annotations import boxes_in

    image = blobs(viewer)  # slices are 3 apart
    layer = draw(
        viewer,
        rectangle(3, (9.5, 4.5), (20.5, 30.5)),
        rectangle(0, (-8, 50), (12, 99)),
        rectangle(6, (200, 200), (300, 300)),
        scale=(1, 1, 1),
        features={"label": [7, np.nan, 2]},
    )
    one, two = boxes_in(layer, image, axis=0, here=0)
    assert (one.label, one.first, one.last) == (7, (1, 10, 5), (1, 20, 30))
    assert (two.label, two.first, two.last) == (2, (0, 0, 50.5), (0, 11.5, 63))
    assert boxes_in(layer, image, axis=0, here=0, label=4)[1].label == 4
    layer.features = {"label": [1.5, 1, 1]}
    with pytest.raises(InputError, match="whole numbers"):
        boxes_in(layer, image, axis=0, here=0)


def test_boxes_without_the_axis_of_slices_are_of_the_slice_in_view(viewer):
    from napari_fewshot._napari.annotations import boxes_in

    image = blobs(viewer)
    layer = draw(viewer, rectangle(0, (4, 6), (10, 12))[:, 1:])
    (box,) = boxes_in(layer, image, axis=0, here=2)
    assert (box.first, box.last) == ((2, 4.5, 6.5), (2, 9.5, 11.5))


def test_what_is_in_boxes_becomes_labels(session, viewer, tiny_sam, assert_same_labels):
    from napari_fewshot import PromptBox, Volume, load_sam, sam_boxes

    image = blobs(viewer)
    layer = draw(
        viewer,
        rectangle(0, (11.5, 11.5), (28.5, 28.5)),
        rectangle(2, (11.5, 11.5), (28.5, 28.5)),
        rectangle(2, (35.5, 31.5), (52.5, 48.5)),
        scale=image.scale,
    )
    session.configure(sam_weights=tiny_sam)
    job = session.segment_boxes(layer, image, sam="sam-vit-b")
    job.wait(MINUTE)
    found = viewer.layers["blobs in boxes"].data
    boxes = [
        PromptBox(1, (0, 12, 12), (0, 28, 28)),
        PromptBox(2, (2, 12, 12), (2, 28, 28)),
        PromptBox(3, (2, 36, 32), (2, 52, 48)),
    ]
    expected = sam_boxes(
        Volume(image.data, (3, 1, 1)), boxes, sam=load_sam("sam-vit-b", weights=tiny_sam), axis=0
    )
    assert_same_labels(found, expected.labels)
    assert found.any()
    assert not found[1].any()
    session.segment_boxes(layer, image, sam="sam-vit-b", label=5, slices=[2]).wait(MINUTE)
    again = viewer.layers["blobs in boxes [1]"].data
    assert set(np.unique(again)) <= {0, 5}
    assert not again[:2].any()


def test_boxes_that_cannot_be_asked_for_are_refused(session, viewer):
    image = blobs(viewer)
    layer = draw(viewer, rectangle(1, (5, 5), (9, 9)), scale=image.scale)
    with pytest.raises(InputError, match="have a shape on the slices"):
        session.segment_boxes(layer, image, slices=[0])
    with pytest.raises(InputError, match="label must be at least 1"):
        session.segment_boxes(layer, image, label=0)
    with pytest.raises(UnknownNameError, match="margin"):
        session.segment_boxes(layer, image, margn=0.1)
    with pytest.raises(InputError, match="boxes must be a layer of type shapes"):
        session.segment_boxes(image, image)
    corners = rectangle(1, (5, 5), (9, 9))
    corners[2:, 0] = 2
    layer.data = [corners]
    with pytest.raises(InputError, match="lie in one slice each"):
        session.segment_boxes(layer, image)
    assert "blobs in boxes" not in viewer.layers


def test_the_dock_asks_for_boxes(session, viewer, tiny_sam, qtbot):
    from napari_fewshot._napari.widgets.with_sam import SegmentWithSam

    image = blobs(viewer)
    dock = SegmentWithSam(viewer)
    viewer.window.add_dock_widget(dock)
    dock.what.setCurrentIndex(1)
    assert dock.sam.currentData() == "medsam"
    assert "rectangle" in dock.all.toolTip()
    assert not dock.all.isEnabled()
    draw(viewer, rectangle(1, (11.5, 11.5), (28.5, 28.5)), scale=image.scale)
    qtbot.waitUntil(dock.all.isEnabled)
    session.configure(sam_weights=tiny_sam)
    dock.sam.setCurrentIndex(dock.sam.findData("sam-vit-b"))
    dock.label.setValue(3)
    dock.all.click()
    assert not dock.status.text()
    qtbot.waitUntil(lambda: "blobs in boxes" in viewer.layers, timeout=MINUTE * 1000)
    qtbot.waitUntil(lambda: not session.jobs, timeout=MINUTE * 1000)
    data = viewer.layers["blobs in boxes"].data
    assert set(np.unique(data[1])) == {0, 3}
    assert not data[[0, 2]].any()


@pytest.fixture
def found_slowly(monkeypatch, session, tiny_sam):
    """Automatic mode that finds the label 7 everywhere; each slice waits for the gate."""
    session.configure(sam_weights=tiny_sam)
    gate = threading.Semaphore(0)

    def everything_in(work, model, settings, progress):
        for done, number in enumerate(work.numbers):
            while not gate.acquire(timeout=0.01):
                progress(done, len(work.numbers), "automatic")
            yield number, np.full(work.stack.shape, 7), [None]

    monkeypatch.setattr("napari_fewshot.sam.automatic.everything_in", everything_in)
    return gate


def test_nothing_is_added_for_an_image_that_was_removed(session, viewer, found_slowly):
    image = blobs(viewer)
    job = session.segment_everything(image)
    viewer.layers.remove(image)
    for _ in range(3):
        found_slowly.release()
    assert job.wait(MINUTE) is None
    assert job.state == "cancelled"
    assert "blobs objects" not in viewer.layers


def test_removing_the_objects_ends_the_job(session, viewer, qtbot, found_slowly):
    job = session.segment_everything(blobs(viewer))
    found_slowly.release()
    qtbot.waitUntil(lambda: "blobs objects" in viewer.layers, timeout=MINUTE * 1000)
    viewer.layers.remove("blobs objects")
    assert job.wait(10) is None
    assert job.state == "cancelled"
    assert not session.jobs


def test_strokes_that_were_painted_meanwhile_stay(session, viewer, qtbot, found_slowly):
    job = session.segment_everything(blobs(viewer), slices=[0, 1, 2])
    found_slowly.release()
    qtbot.waitUntil(lambda: "blobs objects" in viewer.layers, timeout=MINUTE * 1000)
    layer = viewer.layers["blobs objects"]
    layer.selected_label, layer.brush_size = 3, 5
    layer.paint([1, 20, 20], 3)
    stroke = layer.data[1] == 3
    assert stroke.any()
    for _ in range(2):
        found_slowly.release()
    job.wait(MINUTE)
    np.testing.assert_array_equal(layer.data[1], np.where(stroke, 3, 7))
    assert (layer.data[[0, 2]] == 7).all()


def test_one_slice_alone_shows_progress(session, viewer, tiny_sam, monkeypatch):
    from napari_fewshot._napari.session.jobs import Job

    real, seen = Job.progress, []

    def progress(self, done, total, what):
        seen.append(done / total)
        real(self, done, total, what)

    monkeypatch.setattr(Job, "progress", progress)
    session.configure(sam_weights=tiny_sam)
    image = viewer.add_image(np.asarray(blobs(viewer).data)[0], name="plane")
    session.segment_everything(image, points_per_side=4, batch=4).wait(MINUTE)
    assert seen == [0.25, 0.5, 0.75, 1]


def test_weights_are_kept_for_each_sam(session, tiny_sam, tmp_path):
    other = shutil.copy(tiny_sam, tmp_path / "other.pth")
    session.configure(sam_weights={"sam-vit-b": tiny_sam})
    assert session.settings.sam_file("sam-vit-b") == tiny_sam
    assert session.settings.sam_file("medsam") is None
    session.configure(sam_weights={"medsam": other})
    assert session.settings.sam_file("sam-vit-b") == tiny_sam
    assert str(session.settings.sam_file("medsam")) == str(other)
    session.configure(sam_weights={"medsam": None})
    assert session.settings.sam_weights == {"sam-vit-b": tiny_sam}
    with pytest.raises(UnknownNameError, match="sam-vit-b"):
        session.configure(sam_weights={"sam-vit-x": tiny_sam})
    with pytest.raises(InputError, match="existing file"):
        session.configure(sam_weights={"medsam": tmp_path / "no.pth"})
    session.configure(sam_weights=other)  # a script that uses one SAM need not name it
    assert {str(file) for file in session.settings.sam_weights.values()} == {str(other)}
    session.configure(sam_weights=None)
    assert session.settings.sam_weights == {}


def test_the_docks_show_the_weights_of_the_sam_that_is_chosen(session, viewer, tiny_sam):
    from napari_fewshot._napari.widgets.propagation import LabelPropagation
    from napari_fewshot._napari.widgets.with_sam import SegmentWithSam

    def choose(box, name):
        box.setCurrentIndex(box.findData(name))

    dock, propagation = SegmentWithSam(viewer), LabelPropagation(viewer)
    for widget in (dock, propagation):
        viewer.window.add_dock_widget(widget)
    choose(dock.sam, "sam-vit-b")
    dock.weights.line.setText(str(tiny_sam))
    dock.weights.line.editingFinished.emit()
    choose(dock.what, "boxes")
    assert dock.sam.currentData() == "medsam"
    assert dock.weights.path is None
    choose(dock.sam, "sam-vit-b")
    assert dock.weights.path == tiny_sam
    refine = propagation.refine
    choose(refine.method, "medsam")
    assert refine.weights.path is None
    choose(refine.method, "sam-vit-b")
    assert refine.weights.path == tiny_sam
    refine.weights.line.clear()
    assert session.settings.sam_file("sam-vit-b") is None


def test_the_dock_goes_back_to_the_job_that_runs(session, viewer, qtbot, found_slowly):
    from napari_fewshot._napari.widgets.with_sam import SegmentWithSam

    image = blobs(viewer)
    dock = SegmentWithSam(viewer)
    viewer.window.add_dock_widget(dock)
    first = session.segment_everything(image)
    second = session.segment_everything(image, slices=[1])
    assert "waiting" in dock.progress.text.text()
    second.cancel()
    second.wait(MINUTE)
    assert dock.progress.follows
    dock.progress.cancel.click()
    first.wait(MINUTE)
    assert first.state == "cancelled"
