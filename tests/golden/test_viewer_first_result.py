"""Golden: from an empty viewer to the first result, with the defaults of the docks."""

from __future__ import annotations

import numpy as np
import pytest

from .person import (
    EXTRACTION,
    PROPAGATION,
    TRAINED,
    TRAINING,
    Golden,
    Person,
    in_order_of_the_layer,
)

pytestmark = pytest.mark.viewer

GOLDEN = Golden("first_result")


@pytest.fixture
def person(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    return Person(make_napari_viewer(), qtbot)


def placement(layer):
    """Where a layer lies, and in what units."""
    return {
        "scale": [float(x) for x in layer.scale],
        "translate": [float(x) for x in layer.translate],
        "units": [str(x) for x in layer.units],
        "axes": [str(x) for x in layer.axis_labels],
        "dtype": str(layer.data.dtype),
        "visible": layer.visible,
        "metadata": sorted(layer.metadata),
    }


def test_empty_viewer(person):
    person.open_docks()
    GOLDEN.docks("empty", person)


def test_sample(person):
    """The sample is chosen in all docks, and may be learned from."""
    person.viewer.open_sample("napari-fewshot", "torso")
    person.open_docks()
    assert person.layers() == {
        "torso": "image",
        "torso truth": "labels",
        "torso template": "labels",
        "torso landmarks": "points",
    }
    assert not person.viewer.layers["torso truth"].visible
    GOLDEN.look("places of the sample", {x.name: placement(x) for x in person.viewer.layers})
    GOLDEN.docks("sample", person)
    person.click(EXTRACTION, "Add template")
    GOLDEN.docks("sample as a template", person)


def test_first_result(person, tmp_path, assert_same_labels):
    phantom = person.open_patient(tmp_path)
    person.open_docks()
    truth = in_order_of_the_layer(phantom.labels)
    painted = np.flatnonzero(person.viewer.layers["patient_labels"].data.any(axis=(1, 2)))

    person.click(EXTRACTION, "Extract features", "Extracting features: done")
    GOLDEN.docks("extracted", person)
    assert person.slices("painted") == painted.tolist()

    person.set_number(TRAINING, "Steps", 150)
    person.click(TRAINING, "Train", TRAINED)
    assert person.why_not(PROPAGATION, "Propagate") == ""
    person.click(PROPAGATION, "Propagate", "Propagating to patient: done")
    person.wait(TRAINING, "Scoring: done")
    GOLDEN.docks("propagated", person)
    GOLDEN.look("layers", person.layers())
    GOLDEN.look("places", {x.name: placement(x) for x in person.viewer.layers})
    assert person.slices("painted") == painted.tolist()
    assert len(person.slices("predicted")) == len(truth) - len(painted)

    result = person.viewer.layers["patient predicted"]
    confidence = person.viewer.layers["patient confidence"]
    landmarks = person.viewer.layers["patient landmarks found"]
    template = person.viewer.layers["patient_labels"]
    np.testing.assert_array_equal(result.data[painted], template.data[painted])
    assert dict(zip(result.features["index"], result.features["name"], strict=True)) == dict(
        zip(template.features["index"], template.features["name"], strict=True)
    )
    assert all((result.get_color(v) == template.get_color(v)).all() for v in range(1, 10))
    same = GOLDEN.array("labels", result.data) == result.data
    assert same[truth > 0].mean() > 0.97  # training makes rounding grow
    assert (confidence.data[painted] == 1).all()
    assert 0 <= confidence.data.min() <= confidence.data.max() <= 1
    stored = GOLDEN.array("confidence", confidence.data[::4, ::4, ::4].astype(np.float16))
    assert abs(stored - confidence.data[::4, ::4, ::4]).mean() < 0.03
    assert list(landmarks.features) == ["name", "label", "score", "R", "A", "S"]
    GOLDEN.look("landmarks", sorted(landmarks.features["name"]))
