"""The review list in a real viewer, on real files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from npe2 import PluginManager
from qtpy.QtWidgets import QMessageBox

from napari_fewshot import make_phantom, read_labels, write_image, write_labels, write_points
from napari_fewshot._napari.widgets import review_list
from napari_fewshot._napari.widgets.review_list import ReviewResults, results_reader
from napari_fewshot.io import read_points, read_volume
from napari_fewshot.jobs import TABLE, ImageResult, read_table, write_table

pytestmark = pytest.mark.viewer

SHAPE = (12, 32, 32)
Buttons = QMessageBox.StandardButton


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results of four images, of which one failed, and their table in ``out``."""
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    images, out = tmp_path / "in", tmp_path / "out"
    rows = []
    for number, sure in enumerate((0.9, 0.6, 0.75)):
        made = make_phantom("joint", number, SHAPE)
        row = ImageResult(
            images / f"p{number}.nii.gz",
            out / f"p{number}_labels.nii.gz",
            mean_confidence=sure,
            disagreement=1 - sure,
            slices=SHAPE[0],
            landmarks=out / f"p{number}_landmarks.csv",
        )
        write_image(row.image, made.image.data, made.image)
        write_labels(row.labels, made.labels.data, made.image, made.labels.names)
        write_points(row.landmarks, made.landmarks, made.image)
        rows.append(row)
    rows.append(ImageResult(images / "bad.nii.gz", status="failed", error="broken file"))
    write_table(out / TABLE, rows)
    return tmp_path


@pytest.fixture
def viewer(make_napari_viewer, folder):
    PluginManager.instance().discover()
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((4, 4)), name="own")
    return viewer


@pytest.fixture
def dock(viewer, folder):
    viewer.open(folder / "out" / TABLE, plugin="napari-fewshot")
    _, found = viewer.window.add_plugin_dock_widget("napari-fewshot", "Review list")
    return found


@pytest.fixture
def answer(monkeypatch):
    """What the person answers, and what was asked."""
    asked: list[str] = []

    def set_to(button):
        def question(parent, title, text, *_):
            asked.append(text)
            return button

        monkeypatch.setattr(QMessageBox, "question", question)
        return asked

    return set_to


def shown(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def rows_of(dock) -> list[tuple[str, ...]]:
    model = dock.table.view.model()
    rows = range(model.rowCount())
    return [tuple(model.index(row, column).data() for column in range(4)) for row in rows]


def status(folder) -> dict[str, str]:
    return {row.image.name[:2]: row.status for row in read_table(folder / "out" / TABLE)}


def paint(layer, value: int = 7) -> None:
    layer.data_setitem((np.array([5]), np.array([3]), np.array([3])), value)


def test_the_table_opens_as_a_list_worst_first(viewer, dock):
    assert rows_of(dock) == [
        ("bad", "failed", "", ""),
        ("p1", "done", "0.600", "0.400"),
        ("p2", "done", "0.750", "0.250"),
        ("p0", "done", "0.900", "0.100"),
    ]
    assert shown(viewer) == ["own"]
    assert "1 failed" in dock.table.counts.text()
    assert "3 to look at" in dock.table.counts.text()
    tip = dock.table.view.model().index(0, 0).data(3)
    assert tip.endswith("bad.nii.gz\nbroken file")


@pytest.mark.parametrize("text", ["name,label,z,y,x\na,1,2,3,4\n", "image,labels,status\n", ""])
def test_another_csv_is_left_to_others(tmp_path, text):
    path = tmp_path / TABLE
    path.write_text(text)
    assert results_reader(str(path)) is None
    assert results_reader(str(tmp_path / "none.csv")) is None


def test_several_tables_at_once_are_left(folder):
    path = str(folder / "out" / TABLE)
    assert results_reader([path, path]) is None
    assert results_reader([path]) is not None


def test_a_row_opens_its_layers_in_place_of_those_before(viewer, dock, folder):
    dock.open_row(1)
    assert shown(viewer) == ["own", "p1", "p1_labels", "p1_landmarks"]
    labels = viewer.layers["p1_labels"]
    assert viewer.layers.selection.active is labels
    assert labels.data[viewer.dims.current_step[0]].any()
    assert labels.features["name"].tolist()[0] == "background"
    dock.next.click()
    assert shown(viewer) == ["own", "p2", "p2_labels", "p2_landmarks"]
    dock.previous.click()
    dock.previous.click()
    assert shown(viewer) == ["own"]  # it failed
    assert dock.about.text() == "broken file"
    assert "must be an existing file" in dock.status.text()
    assert dock.save.reason == "there are no labels to save"
    assert not dock.previous.isEnabled()


def test_a_click_and_keys_go_through_the_list(viewer, dock, qtbot):
    from qtpy.QtCore import Qt

    place = dock.table.view.model().index(1, 0)
    spot = dock.table.view.visualRect(place).center()
    qtbot.mouseClick(dock.table.view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert "p1" in shown(viewer)
    assert dock.next.text() == "Next  [J]"
    press = {str(key): act for key, act in viewer.keymap.items()}
    press["J"](viewer)
    assert "p2" in shown(viewer)
    press["H"](viewer)
    assert "p1" in shown(viewer)
    press["W"](viewer)
    assert "p2" in shown(viewer)


def test_sorting_by_a_column_decides_what_is_next(viewer, dock):
    from qtpy.QtCore import Qt

    dock.table.view.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    dock.next.click()
    assert "p2" in shown(viewer)
    dock.next.click()
    assert "p1" in shown(viewer)


def test_save_and_next_writes_labels_and_marks_the_row(viewer, dock, folder):
    table = folder / "out" / TABLE
    lines = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([f"{lines[0]},note", *(f"{one},mine" for one in lines[1:])]) + "\n")
    files = {p: p.read_bytes() for p in sorted((folder / "out").iterdir()) if p != table}
    before = read_labels(folder / "out" / "p1_labels.nii.gz")
    dock.open_row(1)
    paint(viewer.layers["p1_labels"])
    dock.save.click()
    assert "p2" in shown(viewer)
    assert status(folder) == {"ba": "failed", "p1": "reviewed", "p2": "done", "p0": "done"}
    assert rows_of(dock)[1][1] == "reviewed"
    assert all(line.endswith(",mine") for line in table.read_text("utf-8").splitlines()[1:])
    after = read_labels(folder / "out" / "p1_labels.nii.gz")
    assert int((after.data != before.data).sum()) == 1
    assert (after.data == 7).sum() == 1
    assert after.names == before.names
    np.testing.assert_array_equal(after.affine, before.affine)
    changed = [p.name for p, content in files.items() if p.read_bytes() != content]
    assert changed == ["p1_labels.nii.gz"]


def test_what_is_right_is_marked_and_its_files_stay_as_they_are(viewer, dock, folder):
    path = folder / "out" / "p1_labels.nii.gz"
    before = path.stat().st_mtime_ns
    dock.open_row(1)
    for _ in range(3):
        dock.save.click()
    assert path.stat().st_mtime_ns == before
    assert set(status(folder).values()) == {"failed", "reviewed"}
    assert dock.status.text() == "All images that have labels are reviewed."


def test_moved_landmarks_are_saved_too(viewer, dock, folder):
    path = folder / "out" / "p1_landmarks.csv"
    like = read_volume(folder / "in" / "p1.nii.gz")
    before = read_points(path, like)
    dock.open_row(1)
    layer = viewer.layers["p1_landmarks"]
    layer.data = np.add(layer.data, [1.0, 0, 0])
    dock.save.click()
    after = read_points(path, like)
    moved = np.array([a.position for a in after]) - np.array([b.position for b in before])
    np.testing.assert_allclose(np.abs(moved).sum(axis=1), 1)
    assert [a.name for a in after] == [b.name for b in before]


def test_changes_are_never_left_without_being_asked(viewer, dock, folder, answer):
    path = folder / "out" / "p1_labels.nii.gz"
    before = path.read_bytes()
    dock.open_row(1)
    paint(viewer.layers["p1_labels"])
    asked = answer(Buttons.Cancel)
    dock.next.click()
    assert "p1_labels.nii.gz" in asked[0]
    assert (viewer.layers["p1_labels"].data == 7).any()
    dock.open_table(folder / "out" / TABLE)
    assert "p1" in shown(viewer)
    assert not viewer.window._qt_window.close()
    assert len(asked) == 3
    answer(Buttons.Discard)
    dock.next.click()
    assert path.read_bytes() == before
    dock.previous.click()
    assert not (viewer.layers["p1_labels"].data == 7).any()
    paint(viewer.layers["p1_labels"])
    answer(Buttons.Save)
    dock.next.click()
    assert (read_labels(path).data == 7).any()
    assert status(folder)["p1"] == "done"  # saved, not said to be reviewed


def test_a_dock_that_is_closed_leaves_its_layers(viewer, dock, folder, qtbot, answer):
    dock.open_row(1)
    paint(viewer.layers["p1_labels"])
    asked = answer(Buttons.Cancel)
    frame, _ = viewer.window.add_plugin_dock_widget("napari-fewshot", "Review list")
    frame.destroyOnClose()
    qtbot.wait(50)
    assert (viewer.layers["p1_labels"].data == 7).any()
    viewer.open(folder / "out" / TABLE, plugin="napari-fewshot")
    _, again = viewer.window.add_plugin_dock_widget("napari-fewshot", "Review list")
    assert again is not dock
    again.open_row(2)
    assert shown(viewer)[-3:] == ["p2", "p2_labels", "p2_landmarks"]
    assert "p1_labels" in shown(viewer)
    assert again.next.text() == "Next  [J]"
    assert not asked
    assert not viewer.window._qt_window.close()
    assert "p1_labels.nii.gz" in asked[0]
    assert len(asked) == 1
    answer(Buttons.Discard)


def test_a_template_stays_when_its_row_is_left(viewer, dock):
    from napari_fewshot._napari.widgets.extraction import FeatureExtraction

    extraction = FeatureExtraction(viewer)
    viewer.window.add_dock_widget(extraction)
    dock.open_row(1)
    image, labels = viewer.layers["p1"], viewer.layers["p1_labels"]
    assert extraction.image.choose(image)
    assert extraction.labels.choose(labels)
    extraction.templates.add.click()
    dock.next.click()
    assert len(dock.session.templates) == 1
    assert image in viewer.layers
    assert not image.visible
    dock.previous.click()
    assert shown(viewer) == ["own", "p1", "p1_labels", "p1_landmarks"]
    assert image.visible
    assert "p2" not in shown(viewer)
    dock.session.close()


def test_what_others_changed_meanwhile_is_not_overwritten(viewer, dock, folder):
    path = folder / "out" / "p1_labels.nii.gz"
    dock.open_row(1)
    paint(viewer.layers["p1_labels"])
    labels = read_labels(path)
    write_labels(path, np.zeros_like(labels.data), labels)
    dock.save.click()
    assert "changed by another program" in dock.status.text()
    assert not read_labels(path).data.any()
    assert "p1" in shown(viewer)
    assert status(folder)["p1"] == "done"
    viewer.layers.remove("p1_labels")
    dock.save.click()
    assert "Open the row again" in dock.status.text()


def test_a_table_that_others_changed_is_read_again(viewer, dock, folder):
    table = folder / "out" / TABLE
    dock.open_row(1)
    rows = read_table(table)
    write_table(table, [replace(r, status="reviewed") if "p2" in r.image.name else r for r in rows])
    dock.save.click()
    assert "p0" in shown(viewer)
    assert [row[1] for row in rows_of(dock)] == ["failed", "reviewed", "reviewed", "done"]
    write_table(table, [row for row in rows if "p0" not in row.image.name])
    dock.save.click()
    assert "changed by another program: open it again" in dock.status.text()
    table.unlink()
    dock.save.click()
    assert "must be an existing file" in dock.status.text()
    assert "p0" in shown(viewer)


def test_broken_rows_and_missing_files_are_told(viewer, dock, folder):
    table = folder / "out" / TABLE
    text = table.read_text("utf-8").replace("../in/p2.nii.gz,p2_labels.nii.gz,done", ",,lost")
    table.write_text(text)
    dock.open_table(table)
    assert [row[:2] for row in rows_of(dock)][:2] == [
        ("bad", "failed"),
        ("row 4", "failed"),
    ]
    (folder / "out" / "p1_labels.nii.gz").unlink()
    dock.open_row(2)
    assert shown(viewer) == ["own", "p1"]
    assert "p1_labels.nii.gz must be an existing file" in dock.status.text()
    dock.save.click()
    assert "Open the row again" in dock.status.text()
    assert table.read_text("utf-8") == text
    (folder / "elsewhere").mkdir()
    moved = table.rename(folder / "elsewhere" / "a.csv")
    (folder / "in").rename(folder / "in2")
    dock.open_table(moved)
    dock.open_row(2)
    assert "open it where predict wrote it" in dock.status.text()
    dock.path.line.setText(str(folder / "in2" / "p0.nii.gz"))
    dock.path._on_edited()
    assert "be a table as predict writes it" in dock.status.text()
    assert dock.list.table == moved


def test_without_a_table_the_dock_says_what_it_wants(make_napari_viewer, folder):
    viewer = make_napari_viewer()
    dock = ReviewResults(viewer)
    viewer.window.add_dock_widget(dock)
    assert dock.next.reason == dock.save.reason == "choose a table"
    dock.path.line.setText(str(folder / "out" / TABLE))
    dock.path._on_edited()
    assert dock.table.view.model().rowCount() == 4
    dock.next.click()
    assert dock.list.current == 0


def test_without_a_window_the_reader_says_so(monkeypatch, folder):
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    with pytest.raises(review_list.InputError, match="have a window"):
        results_reader(str(folder / "out" / TABLE))(str(folder / "out" / TABLE))


def test_what_was_corrected_here_teaches_and_no_run_replaces_it(make_napari_viewer, folder):
    from napari_fewshot import FewShotSegmenter, Template
    from napari_fewshot.jobs import predict_many

    image, labels = folder / "in" / "p0.nii.gz", folder / "out" / "p0_labels.nii.gz"
    model = FewShotSegmenter(backbone="multiscale", adapter="cosine", device="cpu")
    model.fit(Template(read_volume(image), read_labels(labels)))
    model.save(folder / "a.fewshot")
    images, out = [folder / "in" / f"p{n}.nii.gz" for n in (1, 2)], folder / "run"
    predict_many(folder / "a.fewshot", images, out)
    PluginManager.instance().discover()
    viewer = make_napari_viewer()
    viewer.open(out / TABLE, plugin="napari-fewshot")
    _, dock = viewer.window.add_plugin_dock_widget("napari-fewshot", "Review list")
    dock.next.click()
    paint(viewer.layers[1])
    first = dock.list.row.labels
    dock.save.click()
    found = predict_many(folder / "a.fewshot", images, out)
    assert sorted(row.status for row in found) == ["reviewed", "skipped"]
    assert read_labels(first).data.max() == 7
    dock.save.click()
    assert dock.status.text() == "All images that have labels are reviewed."
    entry = dock.session.add_template(viewer.layers[0], viewer.layers[1])
    assert entry.kind == "dense"
    dock.session.load_model(folder / "a.fewshot")
    dock.session.train(score=False).wait(60)
    assert dock.session.model is not None
    dock.session.close()
