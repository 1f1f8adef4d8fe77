"""The model file: whole, readable, and of this program."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from napari_fewshot import FewShotSegmenter, Landmark, ModelFileError, Template, WeightsError
from napari_fewshot.config import CleanupConfig, LandmarkConfig, PromptConfig, PropagationConfig
from napari_fewshot.segmenter.model_file import FORMAT_VERSION, read_model, write_model
from napari_fewshot.templates.training_set import arrangements_of


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "torso.fewshot"
    fitted.save(path)
    return path


def parts(path):
    with safe_open(path, framework="numpy") as file:
        return {n: file.get_tensor(n) for n in file.keys()}, file.metadata()  # noqa: SIM118


def rewritten(saved, path, **changes):
    """The model with other metadata; ``content`` is laid over what is there, without a digest."""
    tensors, metadata = parts(saved)
    del metadata["content_digest"]
    content = json.loads(metadata["content"]) | changes.pop("content", {})
    metadata |= {"content": json.dumps(content), **changes}
    save_file(tensors, path, metadata=metadata)
    return path


@pytest.mark.parametrize("adapter", ["cosine", "classification", "contrastive"])
def test_a_loaded_model_predicts_the_same(adapter, quick, discs, tmp_path, assert_same_labels):
    image, labels = discs()
    template = Template(image, labels, names={1: "left", 2: "right"})
    model = quick(adapter=adapter, seed=3).fit(template)
    model.save(tmp_path / "m.fewshot")
    assert [p.name for p in tmp_path.iterdir()] == ["m.fewshot"]
    copy = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu")
    assert copy.config == model.config
    assert (copy.label_values_, copy.names_) == ((1, 2), {1: "left", 2: "right"})
    other = discs(seed=5)[0]
    one, two = model.predict(other), copy.predict(other)
    assert_same_labels(one.labels, two.labels)
    np.testing.assert_allclose(one.confidence, two.confidence, atol=1e-4)
    for here, there in zip(one.landmarks, two.landmarks, strict=True):
        assert (here.name, here.label) == (there.name, there.label)
        assert (*here.position, here.score) == pytest.approx(
            (*there.position, there.score), abs=0.1
        )


def test_settings_that_a_file_lacks_are_not_those_of_todays_preset(quick, discs, tmp_path):
    """They came later, and the model was trained without them."""
    image, labels = discs()
    model = quick(backbone="embedded", adapter="cosine", preset="published").fit(
        Template(image, labels)
    )
    model.save(tmp_path / "m.fewshot")
    content = json.loads(parts(tmp_path / "m.fewshot")[1]["content"])["config"]
    for name in ("prompts", "mask_scale"):
        del content["sam_decoder"][name]
    content["sam_decoder"]["passes"] = content["sam_decoder"].pop("epochs") + 7
    old = rewritten(tmp_path / "m.fewshot", tmp_path / "old.fewshot", content={"config": content})
    decoder = FewShotSegmenter.load(old, device="cpu").config.sam_decoder
    assert model.config.sam_decoder.mask_scale == 16
    assert (decoder.prompts, decoder.mask_scale, decoder.epochs) == ("drawn", 4, 7)
    assert decoder.start == "he"  # is in the file


def test_a_preset_and_its_changes_survive(quick, discs, tmp_path):
    image, labels = discs()
    settings = {"smoothing": 0.7, "cleanup": {"min_size": 3}}
    own = {"backbone": "embedded", "propagation": settings}
    model = quick(adapter="cosine", preset="published", **own)
    model.fit(Template(image, labels)).save(tmp_path / "m.fewshot")
    copy = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu")
    assert copy.config == model.config
    assert copy.config.propagation.cleanup.min_fraction == 0.1


def test_a_model_of_the_preset_as_it_was_goes_on_predicting_so(quick, discs, tmp_path):
    """It has the former key, and knows nothing of the settings that have come since."""
    image, labels = discs()
    own = {"backbone": "embedded", "adapter": "cosine"}
    quick(preset="published", **own).fit(Template(image, labels)).save(tmp_path / "now")
    _, metadata = parts(tmp_path / "now")
    config = json.loads(metadata["content"])["config"]
    below = config["propagation"]
    below["cleanup"] = {"dimensions": 2, "min_size": 0, "largest_only": True, "connectivity": 1}
    below["landmarks"] = {"per_label": 10, "min_score": 0.3, "min_distance": 5.0}
    below["refinement"]["method"] = None
    del below["refinement"]["prompts"]["choice"], below["refinement"]["landmarks"]
    then = rewritten(tmp_path / "now", tmp_path / "then", content={"config": config})
    loaded = FewShotSegmenter.load(then, device="cpu")
    found = loaded.config
    assert found.preset == "published"
    assert found.propagation.cleanup == CleanupConfig(dimensions=2, min_fraction=1)
    assert found.propagation.landmarks == LandmarkConfig(per_label=10)
    assert found.propagation.refinement.prompts == PromptConfig(agreement=0)
    assert found.propagation.refinement.landmarks
    assert loaded.load_refiner() is None
    assert loaded.with_settings().config == found


def test_propagation_may_change_after_training(saved, torso):
    model = FewShotSegmenter.load(saved, device="cpu", propagation={"landmarks": {"per_label": 4}})
    plain = FewShotSegmenter.load(saved, device="cpu").config
    assert model.config.propagation.landmarks.per_label == 4
    assert model.config.propagation.smoothing == plain.propagation.smoothing
    assert model.config.contrastive == plain.contrastive


def test_a_configuration_of_propagation_replaces_the_saved_one(quick, discs, tmp_path):
    model = quick(adapter="cosine", backbone="multiscale", propagation={"cleanup": {"min_size": 9}})
    model.fit(Template(*discs())).save(tmp_path / "m.fewshot")
    plain = PropagationConfig()
    assert model.with_propagation(plain).config.propagation == plain
    loaded = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu", propagation=plain)
    assert loaded.config.propagation == plain
    kept = model.with_propagation({"smoothing": 0.0}).config.propagation
    assert (kept.smoothing, kept.cleanup.min_size) == (0.0, 9)


def test_content(saved, fitted):
    tensors, metadata = parts(saved)
    assert metadata["format"] == "napari-fewshot"
    assert metadata["version"] == str(FORMAT_VERSION)
    content = json.loads(metadata["content"])
    assert content["config"] == fitted.config.model_dump(mode="json")
    assert content["weights_hash"] == fitted.weights_hash
    assert content["names"]["9"] == "lungs"
    assert content["channels"] == 1
    paint = {name for name in tensors if name.startswith("painted.")}
    assert len(paint) == len(fitted.training_set_.examples)
    kept = {name for name in tensors if "memory." in name}  # pixels to learn on from
    assert {tensors[name].dtype.name for name in kept} == {"float16", "int32", "bool"}
    rest = {name: t for name, t in tensors.items() if name not in kept}
    assert all(t.dtype == (np.uint8 if n in paint else np.float32) for n, t in rest.items())


def test_every_part_of_the_record_survives(fitted, tmp_path):
    record = replace(
        fitted._learned(), point_labels=frozenset({3}), axes=(2, 0), weights_hash="ff00"
    )
    write_model(tmp_path / "m", record)
    back = read_model(tmp_path / "m")
    for name in ("config", "weights_hash", "label_values", "names", "point_labels", "axes"):
        assert getattr(back, name) == getattr(record, name)
    assert back.adapter.values == record.adapter.values
    assert set(back.adapter.tensors) == set(record.adapter.tensors)


# ------------------------------------------------------------------ what is refused


def refused(path, message):
    with pytest.raises(ModelFileError, match=message):
        FewShotSegmenter.load(path, device="cpu")


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "none.fewshot", "must be an existing file")
    refused(tmp_path, "model must be")


@pytest.mark.parametrize("keep", [0, 5, 100, -1, -1000])
def test_truncated_files(saved, tmp_path, keep):
    path = tmp_path / "cut.fewshot"
    path.write_bytes(saved.read_bytes()[:keep])
    refused(path, "must be a whole model file")


def test_foreign_files(saved, tmp_path):
    path = tmp_path / "foreign.fewshot"
    path.write_bytes(b"\x80\x04 a pickle, or a text, or an image" * 20)
    refused(path, "must be a whole model file")
    save_file({"weight": np.zeros(3, np.float32)}, path)
    refused(path, "safetensors file of another kind")


@pytest.mark.parametrize("version", [str(FORMAT_VERSION + 1), "two", "-1", ""])
def test_other_versions(saved, tmp_path, version):
    path = rewritten(saved, tmp_path / "new.fewshot", version=version)
    refused(path, f"of format {version}. Update napari-fewshot")


@pytest.mark.parametrize(
    "content",
    [
        {"config": {"backbone": "multiscale", "adaptor": "cosine"}},
        {"config": {"seed": -1}},
        {"config": None},
        {"names": ["a", "b"]},
        {"label_values": ["one"]},
        {"axes": 3},
        {"channels": None},
    ],
)
def test_unreadable_settings(saved, tmp_path, content):
    refused(rewritten(saved, tmp_path / "bad.fewshot", content=content), "readable settings")


def test_settings_that_are_no_json(saved, tmp_path):
    tensors, metadata = parts(saved)
    del metadata["content_digest"]
    path = tmp_path / "bad.fewshot"
    save_file(tensors, path, metadata=metadata | {"content": "{"})
    refused(path, "readable settings")
    save_file(tensors, path, metadata=metadata | {"content": "[1]"})
    refused(path, "readable settings")


def test_tensors_of_another_adapter(saved, tmp_path, discs):
    tensors, metadata = parts(saved)
    del metadata["digest"]  # as in files of version 0.1.0
    path = tmp_path / "bad.fewshot"
    for changed in (
        {n: t for n, t in tensors.items() if n != "mean"},
        {n: t for n, t in tensors.items() if "references" not in n},
        {n: t[..., :-1] if t.ndim == 2 else t for n, t in tensors.items()},
    ):
        save_file({n: np.ascontiguousarray(t) for n, t in changed.items()}, path, metadata)
        model = FewShotSegmenter.load(path, device="cpu")
        with pytest.raises(ModelFileError, match="tensors of its contrastive adapter"):
            model.predict(discs()[0])


def test_other_weights(saved, tmp_path, discs):
    path = rewritten(
        saved, tmp_path / "other.fewshot", content={"weights_hash": "0123456789abcdef"}
    )
    model = FewShotSegmenter.load(path, device="cpu")
    image, labels = discs()
    for _ in range(2):  # the second time the backbone is there already
        with pytest.raises(WeightsError, match=r"trained with \(0123456789ab\)"):
            model.predict(image)
    model.fit(Template(image, labels))  # training again is a way on
    assert model.predict(image).labels.any()


@pytest.mark.parametrize("version", ["0.24.0", "0.26.0"])
def test_models_of_hand_made_features_outlive_their_library(quick, discs, tmp_path, version):
    """Version 0.1.0 noted the release of scikit-image beside what is computed."""
    image, labels = discs()
    model = quick(adapter="cosine", backbone="multiscale").fit(Template(image, labels))
    former = hashlib.sha256(f"multiscale-1 skimage {version} 1.0 16.0".encode()).hexdigest()
    assert former != model.weights_hash
    write_model(tmp_path / "old.fewshot", replace(model._saved, weights_hash=former))
    loaded = FewShotSegmenter.load(tmp_path / "old.fewshot", device="cpu")
    np.testing.assert_array_equal(loaded.predict(image).labels, model.predict(image).labels)


def test_a_failed_save_keeps_the_old_file(fitted, tmp_path, monkeypatch):
    path = tmp_path / "m.fewshot"
    path.write_bytes(b"old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("m.fewshot", b"old")]


def test_a_model_file_keeps_the_places_of_landmarks(quick, tmp_path, torso):
    where = np.random.default_rng(2).uniform(4, np.array(torso.image.shape) - 5, (7, 3)).round()
    points = [Landmark(f"p{k}", k, tuple(place)) for k, place in enumerate(where, start=1)]
    template = Template(torso.image, points=points, axis=0)
    quick().fit(template).save(tmp_path / "model.fewshot")
    expected = arrangements_of([template], [0])
    assert len(expected[0]) == 7
    assert read_model(tmp_path / "model.fewshot").arrangements == expected
