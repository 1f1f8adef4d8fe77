"""Golden: what is kept of a session comes back in another one, also from version 0.1.0."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from .person import EXTRACTION, PROPAGATION, Golden, Person, in_order_of_the_layer

pytestmark = pytest.mark.viewer

GOLDEN = Golden("autosave")
OLD = Path(__file__).parents[1] / "data" / "autosave_0.1.0"
RESULT = "patient predicted"


@pytest.fixture
def person(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    return Person(make_napari_viewer(), qtbot)


def test_restored_in_a_new_viewer(person, make_napari_viewer, qtbot, tmp_path, assert_same_labels):
    phantom = person.open_patient(tmp_path)
    truth = in_order_of_the_layer(phantom.labels)
    person.open_docks()
    person.use_quick_settings()
    person.label_patient()
    made = person.slices("predicted")
    person.go_to(made[5])
    person.correct(RESULT, made[5], truth[made[5]])
    person.press("K")
    person.go_to(made[2])
    person.press("G")
    person.paint(RESULT, (made[8], 24, 24), 4)
    person.unfold(PROPAGATION, "Autosave")
    person.click(PROPAGATION, "Save now")
    before, statuses = person.viewer.layers[RESULT].data.copy(), person.statuses()
    features = person.viewer.layers[RESULT].features.copy()
    person.viewer.close()  # what waits to be saved is saved

    again = Person(make_napari_viewer(), qtbot)
    again.viewer.open(tmp_path / "patient.nii.gz", plugin="napari-fewshot")
    again.open_docks()
    again.unfold(PROPAGATION, "Autosave")
    GOLDEN.look("may be restored", again.looks(PROPAGATION))
    again.click(PROPAGATION, "Restore")
    qtbot.waitUntil(lambda: RESULT in again.layers(), timeout=120_000)
    qtbot.waitUntil(again.button(PROPAGATION, "Propagate").isEnabled, timeout=120_000)
    again.settle()
    layer = again.viewer.layers[RESULT]
    np.testing.assert_array_equal(layer.data, before)
    assert layer.features.equals(features)
    assert again.statuses() == statuses
    assert again.field("Adapter training", "Adapter").currentText() == "cosine"
    GOLDEN.look("layers", again.layers())
    GOLDEN.docks("restored", again)
    again.press("U", "Updating: done")
    np.testing.assert_array_equal(layer.data[made[5]], truth[made[5]])
    np.testing.assert_array_equal(layer.data[made[2]], before[made[2]])
    assert layer.data[made[8], 24, 24] == 4
    assert_same_labels(layer.data, GOLDEN.array("updated after it was restored", layer.data))


def tube():
    """Image that the old folder is of: a tube that widens, on a chequered ground."""
    z, y, x = np.mgrid[:8, :32, :32]
    inside = (y - 15.5) ** 2 + (x - 15.5) ** 2 < (4 + z) ** 2
    return (60 * inside + 10 * ((y // 4 + x // 4) % 2)).astype(np.uint8), inside


def test_autosave_of_version_0_1_0(person, qtbot, tmp_path):
    """Template, marks, strokes, result and model of a folder that the first version wrote."""
    folder = shutil.copytree(OLD, tmp_path / "old")
    image, inside = tube()
    placed = {"scale": (2, 1, 1), "units": ("mm",) * 3, "axis_labels": ("Z", "Y", "X")}
    person.viewer.add_image(image, name="tube", **placed)
    person.open_docks()
    person.unfold(PROPAGATION, "Autosave")
    line = person.line_of(PROPAGATION, "Folder")
    line.setText(str(folder))
    line.editingFinished.emit()
    person.settle()
    person.click(PROPAGATION, "Restore")
    qtbot.waitUntil(lambda: "tube predicted" in person.layers(), timeout=120_000)
    qtbot.waitUntil(person.button(PROPAGATION, "Propagate").isEnabled, timeout=120_000)
    person.settle()
    assert person.layers() == {
        "tube": "image",
        "tube template": "labels",
        "tube predicted": "labels",
    }
    assert person.statuses() == {
        **{0: "reviewed", 1: "predicted", 2: "painted", 3: "predicted"},
        **{4: "painted", 5: "strokes", 6: "painted", 7: "predicted"},
    }
    template, result = (person.viewer.layers[f"tube {name}"] for name in ("template", "predicted"))
    known = np.isin(np.arange(8), (2, 6))
    np.testing.assert_array_equal(template.data, np.where(known[:, None, None] & inside, 3, 0))
    for layer in (template, result):
        assert list(layer.features["name"]) == ["background", "tube"]
        np.testing.assert_array_equal(layer.scale, placed["scale"])
    np.testing.assert_array_equal(result.data[[2, 4, 6]], np.where(inside, 3, 0)[[2, 4, 6]])
    assert (result.data[5, 1:3, 1:3] == 3).all()
    assert (result.data == GOLDEN.array("old result", result.data)).all()
    settings = [
        person.field(EXTRACTION, "Backbone").currentText().partition(" ")[0],
        person.field("Adapter training", "Adapter").currentText(),
        person.button("Adapter training", "Use position").isChecked(),
    ]
    assert settings == ["multiscale", "cosine", False]
    person.press("U", "Updating: done")  # the marks still count
    np.testing.assert_array_equal(result.data[[2, 4, 6]], np.where(inside, 3, 0)[[2, 4, 6]])
    assert (result.data[5, 1:3, 1:3] == 3).all()
    assert ((result.data > 0) == inside).mean() > 0.95
