"""What belongs to one image is not written to, nor learned, for another one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_fewshot._napari.session.teaching import provenance_of
from napari_fewshot.errors import InputError

from .conftest import MINUTE, stroke

pytestmark = pytest.mark.viewer


def add_other(viewer, name="other"):
    """Another image of the same shape: the patient upside down."""
    image = next(layer for layer in viewer.layers if layer._type_string == "image")
    return viewer.add_image(np.ascontiguousarray(image.data[::-1]), name=name, scale=image.scale)


def predicted_slices(session, image):
    return [info.index for info in session.slices(image) if info.status == "predicted"]


def test_into_the_result_of_another_image_is_of_this_one_alone(predicted, viewer):
    """Copies of its template, its scores and its refinement are nothing to the new image."""
    other, layer = add_other(viewer), predicted.result_layer("image")
    first = layer.data.copy()
    predicted.refine("image", method="random-walker", slices=[1]).wait(MINUTE)
    running = predicted.update("image")
    predicted.propagate(other, into=layer, landmarks=False).wait(MINUTE)
    assert running.state == "cancelled"
    assert predicted.result_layer("image") is None
    assert predicted.result_layer(other) is layer
    assert not predicted.can_discard_refinement("image")
    painted = [info.index for info in predicted.slices("image") if info.status == "painted"]
    assert painted
    assert predicted_slices(predicted, other) == list(range(len(first)))
    for k in painted:  # no copy of the other image's template is left
        assert (layer.data[k] != first[k]).any()
    (template,) = predicted._training.templates()
    assert list(template.slices) == painted
    predicted.propagate("image", landmarks=False).wait(MINUTE)
    assert predicted.result_layer("image") is not layer


def test_what_a_person_made_for_one_image_is_not_given_to_another(predicted, viewer):
    other, layer = add_other(viewer), predicted.result_layer("image")
    k = predicted_slices(predicted, "image")[5]
    stroke(layer, (k, 20, 20), 3)
    before = layer.data.copy()
    for into in (layer, "paint"):
        with pytest.raises(InputError, match=r"into .* painted or marked for another image.*image"):
            predicted.propagate(other, into=into)
    np.testing.assert_array_equal(layer.data, before)
    assert predicted.result_layer("image") is layer
    assert predicted.result_layer(other) is None


def test_images_of_one_name_and_shape_have_results_of_their_own(predicted, viewer):
    layer, confidence = predicted.result_layer("image"), viewer.layers["image confidence"]
    marks = viewer.layers["image landmarks found"]
    before = [layer.data.copy(), confidence.data.copy(), marks.data.copy()]
    twin = add_other(viewer, name="image")
    predicted.propagate(twin).wait(MINUTE)
    predicted.update(twin).wait(MINUTE)
    assert predicted.result_layer(twin) is not layer
    for one, data in zip((layer, confidence, marks), before, strict=True):
        np.testing.assert_array_equal(one.data, data)


def test_landmarks_that_became_a_template_are_not_replaced(predicted, viewer):
    marks = viewer.layers["image landmarks found"]
    marks.data = marks.data + 1
    before = marks.data.copy()
    predicted.add_template("image", marks)
    predicted.propagate("image").wait(MINUTE)
    np.testing.assert_array_equal(marks.data, before)


@pytest.mark.parametrize("moved", [False, True])
def test_results_are_restored_to_the_file_that_they_are_of(predicted, viewer, tmp_path, moved):
    """Another file of the same name was opened first, and so has the name of the layer."""
    image = viewer.layers["image"]
    (tmp_path / "a").mkdir()
    source = tmp_path / "a" / "image.nii.gz"
    source.write_bytes(b"a")
    image.metadata["source"] = source
    predicted.save(tmp_path / "kept").wait(MINUTE)
    image.name = "second"
    other = add_other(viewer, name="image")
    other.metadata["source"] = tmp_path / "b" / "image.nii.gz"
    image_for = predicted._restoring._image_for
    saved = json.loads((tmp_path / "kept" / "session.json").read_text())["layers"]
    assert [image_for(one["image"]) for one in saved] == [image, image]
    viewer.layers.remove(image)
    if moved:
        source.unlink()
        assert image_for(saved[0]["image"]) is other
    else:
        with pytest.raises(InputError, match="images must be open"):
            image_for(saved[0]["image"])


def test_strokes_in_a_result_still_teach_when_an_earlier_one_is_restored(predicted, tmp_path):
    predicted.save(tmp_path / "kept").wait(MINUTE)
    layer = predicted.result_layer("image")
    k = predicted_slices(predicted, "image")[5]
    stroke(layer, (k, 20, 20), 3)
    predicted.restore(tmp_path / "kept").wait(MINUTE)
    assert predicted.result_layer("image") is not layer
    assert provenance_of(layer).strokes((k,)).any()
    known = predicted._training.templates()[-1]
    assert known.kind == "scribble"
    assert np.asarray(known.labels.data)[k].any()
