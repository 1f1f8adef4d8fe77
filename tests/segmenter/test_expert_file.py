"""Experts in a model file, whole and damaged."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from safetensors import safe_open

from napari_fewshot import FewShotSegmenter, InputError, Template
from napari_fewshot.predict.learned import ExpertWeights
from napari_fewshot.segmenter.expert_file import PackedExperts, pack_experts, unpack_experts
from napari_fewshot.segmenter.model_file import read_model
from napari_fewshot.slices import flow

from .test_model_damage import changed, refused

VOLUME = (4, 48, 56)


@pytest.fixture(scope="module")
def model(quick, discs):
    steps = {"steps": 10, "hidden": 8, "width": 8}
    planes = [discs(k) for k in range(VOLUME[0])]
    image, labels = (np.stack(part) for part in zip(*planes, strict=True))
    labels[[1, 3]] = 0
    segmenter = quick(contrastive=steps, experts={"flow": "lucas-kanade"})
    return segmenter.fit(Template(image, labels)), image


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("experts") / "m.fewshot"
    model[0].save(path)
    return path


def test_a_loaded_model_predicts_the_same(model, file):
    segmenter, image = model
    loaded = FewShotSegmenter.load(file, device="cpu")
    one, other = segmenter.predict(image), loaded.predict(image)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.confidence, other.confidence)


def test_a_file_that_is_read_and_written_is_the_same(model, file, tmp_path):
    FewShotSegmenter.load(file, device="cpu").save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()


def test_paint_is_kept_as_it_is(model, file):
    before, after = model[0]._saved, read_model(file)
    assert after.weights == ExpertWeights()
    assert after.flow == "lucas-kanade"
    (one,), (other,) = before.painted, after.painted
    assert (one.axis, one.shape) == (other.axis, other.shape) == (0, VOLUME)
    for own, read in zip(one.slices, other.slices, strict=True):
        np.testing.assert_array_equal(own.labels, read.labels)
        assert (own.index, own.original, own.digest) == (read.index, read.original, read.digest)
        assert own.known_labels == read.known_labels


@pytest.mark.parametrize(
    ("experts", "images", "known"),
    [
        ({"hand_made": False, "carried": False}, 0, False),
        ({"carried": False}, 1, False),
        ({"hand_made": False}, 1, True),
    ],
)
def test_no_paint_is_kept_that_is_not_carried(quick, discs, experts, images, known):
    image, labels = discs()
    steps = {"steps": 3, "hidden": 8, "width": 8}
    learned = quick(contrastive=steps, experts=experts).fit(Template(image, labels))._saved
    assert len(learned.painted) == images
    assert all((s.labels >= 0).any() == known for i in learned.painted for s in i.slices)
    values, tensors = pack_experts(learned)
    fields, rest = unpack_experts(PackedExperts(**values), tensors, learned.label_values)
    assert len(fields["painted"]) == images
    assert not rest


@pytest.mark.parametrize(
    "content",
    [
        {"flow": "magic"},
        {"hand_made": 3},
        {"hand_made": {}},
        {"painted": [{"axis": 7}]},
        {"volumes": [{"shape": [4, 48, 56]}]},
        {"weights": {"hand_made": 2.0}},
        {"weights": {"carried": -1.0}},
        {"weights": {"carried": float("nan")}},
        {"weights": {"registered": -1.0}},
    ],
    ids=str,
)
def test_experts_that_do_not_fit(file, tmp_path, content):
    packed = {f"experts.{name}": value for name, value in content.items()}
    path = changed(file, tmp_path / "m", packed)
    with pytest.raises(Exception, match="model must have") as caught:
        FewShotSegmenter.load(path, device="cpu").volume_predictor()
    assert type(caught.value).__name__ == "ModelFileError"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [4, 10**9, 10**9]},
        {"shape": [4, 30_000, 30_000]},
        {"shape": [4, 48, 55]},
        {"shape": [4, 48]},
        {"shape": [2, 48, 56]},
        {"axis": -1},
        {"slices": []},
    ],
    ids=str,
)
def test_images_that_do_not_fit(file, tmp_path, change):
    images = painted(file)
    start = time.perf_counter()
    refused(
        changed(file, tmp_path / "m", {"experts.painted": [images[0] | change]}),
        "readable settings",
    )
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "change", [{"index": 4}, {"index": -1}, {"index": 1.5}, {"dtype": "int32"}, {"dtype": "object"}]
)
def test_slices_that_do_not_fit(file, tmp_path, change):
    (image,) = painted(file)
    image["slices"][0] |= change
    refused(changed(file, tmp_path / "m", {"experts.painted": [image]}), "readable settings")


@pytest.mark.parametrize("damage", ["cut", "other", "bytes", "values", "none"])
def test_paint_that_is_damaged(file, tmp_path, damage):
    import zlib

    with safe_open(file, framework="numpy") as whole:
        tensor = whole.get_tensor("painted.0.0")
    parts = {
        "cut": tensor[: len(tensor) // 2].copy(),
        "other": np.arange(50, dtype=np.uint8),
        "bytes": tensor.astype(np.float32),
        "values": np.frombuffer(zlib.compress(b"\x07" * (48 * 56)), np.uint8),
        "none": np.zeros(0, np.uint8),
    }
    refused(changed(file, tmp_path / "m", **{"painted.0.0": parts[damage]}), "readable settings")


def test_more_paint_than_there_is(file, tmp_path):
    images = painted(file)
    refused(changed(file, tmp_path / "m", {"experts.painted": images * 2}), "painted.1.0")


@pytest.mark.parametrize("name", ["hand_made", "elsewhere", "carried", "registered"])
def test_weights_have_limits(model, name):
    with pytest.raises(InputError, match=f"weights.{name} must be"):
        ExpertWeights(**{name: -0.1})


@pytest.fixture(scope="module")
def whole(quick, discs, tmp_path_factory):
    """A model file that holds a volume, all of which is painted."""
    pytest.importorskip("SimpleITK")
    planes = [discs(k) for k in range(9)]
    image, labels = (np.stack(part) for part in zip(*planes, strict=True))
    steps = {"steps": 3, "hidden": 8, "width": 8}
    path = tmp_path_factory.mktemp("whole") / "m.fewshot"
    quick(contrastive=steps).fit(Template(image, labels)).save(path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [9, 48, 55]},
        {"shape": [9, 10**9, 10**9]},
        {"spacing": [1.0, 0.0, 1.0]},
        {"spacing": [1.0, float("inf"), 1.0]},
        {"dtype": "int32"},
        {"known_labels": [-1]},
    ],
    ids=str,
)
def test_volumes_that_do_not_fit(whole, tmp_path, change):
    file, (volume,) = whole, volumes(whole)
    refused(
        changed(file, tmp_path / "m", {"experts.volumes": [volume | change]}), "readable settings"
    )
    refused(changed(file, tmp_path / "n", {"experts.volumes": [volume] * 2}), "volume.1.grey")


def painted(path):
    return experts_in(path)["painted"]


def volumes(path):
    return experts_in(path)["volumes"]


def experts_in(path):
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["content"])["experts"]


def test_opencv_that_is_missing(model, file, tmp_path, quick, monkeypatch, caplog):
    """Said before the training; a model that was trained with it predicts without."""
    segmenter, image = model
    monkeypatch.setattr(flow, "_opencv", lambda: None)
    with pytest.raises(InputError, match=r"experts.flow must be"):
        quick(experts={"flow": "dis"}).fit(Template(image, (image > 80).astype(np.uint8)))
    path = changed(file, tmp_path / "m", {"experts.flow": "dis"})
    found = FewShotSegmenter.load(path, device="cpu").predict(image)
    assert "OpenCV is not installed" in caplog.text
    np.testing.assert_array_equal(found.labels, segmenter.predict(image).labels)
