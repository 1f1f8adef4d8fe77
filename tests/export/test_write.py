"""Files of exported models, as ONNX Runtime and the library of bioimage.io read them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.version import Version

import napari_fewshot
from napari_fewshot import export_model
from napari_fewshot.errors import FewShotError
from napari_fewshot.features.encode import context_slices
from napari_fewshot.slices.stack import SliceStack

from .conftest import fitted

runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(Version(torch.__version__) < Version("2.9"), reason="exporter of torch"),
    # Of protobuf, and of what bioimage.io's library and ONNX use.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def onnx(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "torso.onnx"
    found = export_model(model, path)
    assert found.path == path
    assert found.agreement.alike > 0.9999
    assert found.agreement.apart < 1e-3
    assert found.left_out[0].startswith("in an image that was painted, labels carried")
    assert [file.name for file in path.parent.iterdir()] == ["torso.onnx"]
    return path


def ask(path: Path, **inputs: np.ndarray) -> np.ndarray:
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, inputs)
    return found


def test_slices_of_a_real_size_get_the_labels_of_the_model(onnx, model, other):
    stack = SliceStack(other, 0, model.config.intensity)
    chosen, (_, numbers) = [1, 3, 4], stack.file_slices()
    near = [context_slices(k, len(stack), 3) for k in chosen]
    images = np.stack([np.stack([stack.slice(n) for n in own], axis=1) for own in near])
    depths = np.float32([[2 * (k + 0.5) / len(stack) - 1] for k in chosen])
    found = ask(onnx, image=images, depth=depths)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    predictor = model.slice_predictor(other)
    flips = stack.frame.flips[1:]
    for one, k in zip(found, chosen, strict=True):
        wanted = predictor.preview(numbers.index(k))
        turned = np.flip(one, [axis + 1 for axis, flip in enumerate(flips) if flip])
        labels = np.array([0, *model.label_values_])[turned.argmax(axis=0)]
        assert (labels == wanted.labels).mean() > 0.9999
        np.testing.assert_allclose(turned.max(axis=0), wanted.confidence, atol=1e-3)


def test_the_file_says_what_it_is(onnx, model):
    session = runtime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    assert json.loads(said["label_values"]) == [0, *model.label_values_]
    assert json.loads(said["label_names"])[1:] == list(model.names_.values())
    assert said["author"] == "A lab"
    assert [one.name for one in session.get_inputs()] == ["image", "depth"]
    assert session.get_inputs()[0].shape == ["batch", 1, 7, "height", "width"]
    assert session.get_outputs()[0].shape[1] == len(model.label_values_) + 1
    package = Path(napari_fewshot.__file__).parent
    assert str(package).encode() not in onnx.read_bytes()  # nothing of this machine


def test_a_package_of_volumes(model, tmp_path):
    core = pytest.importorskip("bioimageio.core")
    spec = pytest.importorskip("bioimageio.spec")
    path = tmp_path / "torso.zip"
    export_model(model, path)
    checked = core.load_description_and_test(path, expected_type="model")
    assert checked.validation_summary.status == "passed", checked.validation_summary.format()
    said = spec.load_model_description(path)
    assert [author.name for author in said.authors] == ["A lab"]
    assert said.license == "CC-BY-4.0"
    assert said.description == "A computed torso."
    assert [str(axis.id) for axis in said.inputs[0].axes] == ["batch", "channel", "z", "y", "x"]
    assert said.outputs[0].axes[1].channel_names[0] == "background"
    steps = [one.id for one in said.inputs[0].preprocessing if one.id != "ensure_dtype"]
    assert steps == ["scale_range", "clip"]
    with zipfile.ZipFile(path) as archive:
        text = archive.read("README.md").decode()
    assert "## What is left out" in text
    assert "labels carried from the painted slices" in text
    assert "the same label in 100.00 % of the pixels" in text


@pytest.mark.parametrize(
    "settings",
    [{"experts": {"hand_made": False}}, {"position": {"use": False}}],
    ids=["without neighbours", "without depth"],
)
def test_a_file_of_volumes_goes_through_their_slices(settings, other, tmp_path):
    model = fitted(**settings).with_card(author="A lab", licence="MIT")
    export_model(model, tmp_path / "slices.onnx")
    export_model(model, tmp_path / "volume.zip")
    with zipfile.ZipFile(tmp_path / "volume.zip") as archive:
        archive.extract("model.onnx", tmp_path)
    stack = SliceStack(other, 0, model.config.intensity)
    slices = np.stack([stack.slice(k) for k in range(len(stack))])
    inputs = {"image": slices}
    if "position" in settings:
        near = [context_slices(k, len(stack), 3) for k in range(len(stack))]
        inputs["image"] = np.stack([slices[own].swapaxes(0, 1) for own in near])
    else:
        depth = (2 * np.arange(len(stack)) + 1) / len(stack) - 1
        inputs["depth"] = depth[:, None].astype(np.float32)
    wanted = ask(tmp_path / "slices.onnx", **inputs)
    (found,) = ask(tmp_path / "model.onnx", volume=slices.swapaxes(0, 1)[None])
    np.testing.assert_allclose(found.swapaxes(0, 1), wanted, atol=1e-4)


def test_a_package_of_colour_images(colours, tmp_path):
    core = pytest.importorskip("bioimageio.core")
    path = tmp_path / "cells.zip"
    export_model(colours, path)
    checked = core.load_description_and_test(path, expected_type="model")
    assert checked.validation_summary.status == "passed", checked.validation_summary.format()
    assert [str(a.id) for a in checked.inputs[0].axes] == ["batch", "channel", "y", "x"]
    (scale,) = [one for one in checked.inputs[0].preprocessing if one.id == "scale_range"]
    assert [str(axis) for axis in scale.kwargs.axes] == ["channel", "y", "x"]


def test_nothing_is_written_that_does_not_agree(model, tmp_path, monkeypatch):
    from napari_fewshot.export import network

    monkeypatch.setattr(network, "_mirrored_to", lambda x, axis, multiple: x * 0)
    with pytest.raises(FewShotError, match="does not agree with the model"):
        export_model(model, tmp_path / "torso.onnx")
    assert not list(tmp_path.iterdir())
