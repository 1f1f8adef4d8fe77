"""Model files that were damaged, or ask for more than they hold; and those of version 0.1.0."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from napari_fewshot import FewShotSegmenter, ModelFileError, Template
from napari_fewshot.segmenter.model_file import read_model, restored

OLD = Path(__file__).parents[1] / "data" / "model_0.1.0.fewshot"
ADAPTERS = ["cosine", "classification", "contrastive"]


@pytest.fixture(scope="module")
def files(quick, discs, tmp_path_factory):
    """A small model of each adapter."""
    folder = tmp_path_factory.mktemp("models")
    image, labels = discs()
    for adapter in ADAPTERS:
        steps = {"steps": 3, "hidden": 8}
        model = quick(adapter=adapter, classification=steps, contrastive=steps)
        model.fit(Template(image, labels)).save(folder / adapter)
    return folder


def changed(path, target, content=None, *, keep_digest=False, **tensors):
    """A model file with other settings (paths to values) and tensors, and without a digest."""
    with safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata())
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    settings = json.loads(metadata["content"])
    for place, value in (content or {}).items():
        *sections, key = place.split(".")
        section = settings
        for name in sections:
            section = section[name]
        section[key] = value
    metadata["content"] = json.dumps(settings)
    metadata.pop("content_digest", None)
    if not keep_digest:
        metadata.pop("digest", None)
    save_file(kept | tensors, target, metadata=metadata)
    return target


def refused(path, match=""):
    with pytest.raises(ModelFileError, match=match) as caught:
        restored(read_model(path), "cpu")
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_noticed(files, tmp_path):
    """In names, shapes and values of the tensors."""
    whole = (files / "cosine").read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    path = tmp_path / "damaged"
    for bit in random.Random(0).sample(range(8 * start, 8 * len(whole)), 60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refused(path, "must have the tensors that were saved")


def test_a_flipped_bit_in_the_settings_is_noticed(files, tmp_path):
    """Of those too that are as sound as before: other names, label values, weights of experts."""
    whole = (files / "cosine").read_bytes()
    header = whole[8 : 8 + int.from_bytes(whole[:8], "little")]
    start = 8 + header.index(b'"content":"') + 11
    end = 8 + header.index(b'}","content_digest"')
    path = tmp_path / "damaged"
    for bit in random.Random(0).sample(range(8 * start, 8 * end), 60):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refused(path, "^model must ")


def test_settings_that_were_changed_are_noticed(files, tmp_path):
    with safe_open(files / "cosine", framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    content = json.loads(metadata["content"])
    content["names"]["1"] = "another"
    metadata["content"] = json.dumps(content, sort_keys=True)
    save_file(tensors, tmp_path / "m", metadata=metadata)
    refused(tmp_path / "m", "must have the settings that were saved")
    del metadata["content_digest"]  # as in files that were written before there was one
    save_file(tensors, tmp_path / "m", metadata=metadata)
    assert read_model(tmp_path / "m").names[1] == "another"


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite(files, tmp_path, number):
    with safe_open(files / "cosine", framework="numpy") as file:
        mean = file.get_tensor("mean")
    refused(
        changed(files / "cosine", tmp_path / "m", mean=np.full_like(mean, number)),
        "must have finite numbers; got .* in mean",
    )


@pytest.mark.parametrize(
    ("adapter", "content"),
    [
        ("contrastive", {"config.contrastive.n_layers": 10**9}),
        ("contrastive", {"config.contrastive.n_layers": 64}),
        ("contrastive", {"config.contrastive.hidden": 10**9}),
        ("contrastive", {"config.contrastive.hidden": 8192}),
        ("contrastive", {"config.contrastive.width": 8192, "config.contrastive.n_layers": 64}),
        ("classification", {"config.classification.hidden": 10**9}),
        ("classification", {"config.classification.hidden": 8192}),
        ("classification", {"adapter.classifier.shape": [10**9, 10**9]}),
        ("classification", {"adapter.classifier.shape": [-1, 3]}),
        ("classification", {"adapter.classifier.shape": []}),
    ],
)
def test_sizes_are_compared_before_memory_is_taken(files, tmp_path, adapter, content):
    path = changed(files / adapter, tmp_path / "m", content, keep_digest=True)
    start = time.perf_counter()
    refused(path, "model must have")
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "content",
    [
        {"axes": []},
        {"axes": [9]},
        {"axes": [0.5]},
        {"channels": 0},
        {"channels": 2**40},
        {"label_values": []},
        {"label_values": [1]},
        {"label_values": [1, 1]},
        {"label_values": [0, 2]},
        {"label_values": [-1, 2]},
        {"label_values": [1, 2**40]},
        {"label_values": [1, math.inf]},
        {"label_values": [1, 2, 3]},
        {"adapter.classes": 2},
        {"adapter.classes": 10**9},
        {"arrangements": [{"1": [0.0, math.nan, 1.0]}]},
        {"point_labels": [1.5]},
    ],
    ids=str,
)
def test_settings_that_do_not_fit(files, tmp_path, adapter, content):
    refused(changed(files / adapter, tmp_path / "m", content), "model must have")


def test_shapes_and_types_that_do_not_fit(files, tmp_path):
    with safe_open(files / "cosine", framework="numpy") as file:
        mean, references = (file.get_tensor(n) for n in ("mean", "classifier.references"))
    for tensors in (
        {"mean": mean[:, None]},
        {"mean": mean[:-1].copy()},
        {"classifier.references": references[0].copy()},
        {"classifier.references": references[:, :-1].copy()},
    ):
        refused(changed(files / "cosine", tmp_path / "m", **tensors), "tensors of its cosine")
    whole = (files / "cosine").read_bytes()
    (tmp_path / "m").write_bytes(whole.replace(b'"dtype":"F32"', b'"dtype":"F9?"'))
    refused(tmp_path / "m", "must be a whole model file")


@pytest.mark.parametrize("measures", [[32, 8, 10**9, 16], [10**9, 8, 2, 16], [32, 8, 2], None])
def test_measures_of_a_sam_decoder_that_do_not_fit(files, tmp_path, measures):
    content = {
        "config.backbone": "sam-vit-b",
        "config.adapter": "sam-decoder",
        "adapter": {"measures": measures},
    }
    targets, present = np.zeros((1, 2, 32), np.float32), np.ones((1, 2), bool)
    path = changed(files / "cosine", tmp_path / "m", content, targets=targets, present=present)
    refused(path, "tensors of its sam-decoder adapter")


def test_headers_that_no_parser_should_follow(files, tmp_path):
    with safe_open(files / "cosine", framework="numpy") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del metadata["content_digest"]
    save_file(tensors, tmp_path / "m", metadata=metadata | {"content": "[" * 100_000})
    refused(tmp_path / "m", "readable settings")
    save_file(tensors, tmp_path / "m", metadata=metadata | {"version": "9" * 5000})
    refused(tmp_path / "m", "Update napari-fewshot")


def test_files_of_version_0_1_0_stay_readable():
    """They have no digest; this one was written by that version."""
    with safe_open(OLD, framework="numpy") as file:
        assert "digest" not in file.metadata()
    model = FewShotSegmenter.load(OLD, device="cpu")
    assert model.names_ == {1: "left", 4: "right"}
    rows, columns = np.indices((32, 40))
    truth = np.zeros((3, 32, 40), np.uint8)
    truth[:, np.hypot(rows - 12, columns - 12) < 7] = 1
    truth[:, np.hypot(rows - 20, columns - 28) < 6] = 4
    image = truth * 60.0 + np.random.default_rng(1).normal(0, 4, truth.shape)
    labels = model.predict(image.astype(np.float32)).labels
    for value in (1, 4):
        found, there = labels == value, truth == value
        assert 2 * (found & there).sum() > 0.9 * (found.sum() + there.sum())


def test_an_old_file_saved_again_has_a_digest(tmp_path):
    FewShotSegmenter.load(OLD, device="cpu").save(tmp_path / "m")
    with safe_open(tmp_path / "m", framework="numpy") as file:
        assert len(file.metadata()["digest"]) == 64
    restored(read_model(tmp_path / "m"), "cpu")
