"""The network of a model trained on its templates: one more expert, in the model and its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot import (
    FewShotSegmenter,
    InputError,
    ModelFileError,
    NotFittedError,
    Template,
)
from napari_fewshot.errors import Cancelled
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.segmenter import polishing
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Landmark, Volume

from .test_model_damage import changed

VOLUME = (5, 48, 56)
STEPS = 4
SETTINGS = {
    "classification": {"steps": 30, "hidden": 16, "batch": 256},
    "contrastive": {"steps": 20, "hidden": 8, "width": 8},
}


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polishing, "STEPS", STEPS)
        patch.setattr(polishing, "MORE_STEPS", STEPS // 2)
        yield


@pytest.fixture(scope="module")
def pictures(discs):
    planes = [discs(k) for k in range(VOLUME[0])]
    return tuple(np.stack(part) for part in zip(*planes, strict=True))


@pytest.fixture(scope="module")
def painted(pictures):
    labels = pictures[1].copy()
    labels[[1, 3]] = 0
    return Template(pictures[0], labels)


@pytest.fixture(scope="module")
def plain(quick, painted):
    return quick(**SETTINGS).fit(painted)


@pytest.fixture(scope="module")
def polished(plain):
    return plain.polish()


@pytest.fixture(scope="module")
def file(polished, tmp_path_factory):
    path = tmp_path_factory.mktemp("polished") / "m.fewshot"
    polished.save(path)
    return path


def equal(one, other):
    return np.array_equal(one.confidence, other.confidence)


def test_it_is_one_more_expert(plain, polished, pictures):
    assert (plain.polished_steps_, polished.polished_steps_) == (0, STEPS)
    before = plain.predict(pictures[0])
    assert not equal(before, polished.predict(pictures[0]))
    without = polished.with_weights(replace(polished.weights_, polished=0.0))
    assert equal(before, without.predict(pictures[0]))
    assert without.polished_steps_ == STEPS


def test_it_counts_for_less_in_other_images(polished, pictures):
    experts, config = polished.volume_predictor().experts, polished.config
    for image, share in ((pictures[0], 1 / 3), (pictures[0] // 2, 0.4 / 3)):
        stack = SliceStack(Volume.of(image), 0, config.intensity, config.resampling)
        weights = [weight for _, weight in experts.of(stack)._adapters]
        assert weights[-1] == pytest.approx(share)
        assert sum(weights) == pytest.approx(1)


def test_it_comes_back_from_a_file(plain, polished, file, pictures, tmp_path):
    loaded = FewShotSegmenter.load(file, device="cpu")
    assert loaded.polished_steps_ == STEPS
    assert equal(polished.predict(pictures[0]), loaded.predict(pictures[0]))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == file.read_bytes()
    plain.save(tmp_path / "plain")
    grown = file.stat().st_size - (tmp_path / "plain").stat().st_size
    assert 8.0e6 < grown < 8.7e6
    with pytest.raises(NotFittedError, match="loaded"):
        loaded.polish()


def test_features_of_the_two_networks_are_not_mixed(quick, painted, pictures):
    cache = FeatureCache()
    kept = quick(**SETTINGS, cache=cache).fit(painted)
    before = kept.predict(pictures[0])
    polished = kept.polish()
    first, second = (polished.predict(pictures[0]) for _ in range(2))
    assert equal(first, second)
    assert equal(before, kept.predict(pictures[0]))


def test_an_update_keeps_the_network_and_teaches_its_adapter(polished, pictures):
    labels = pictures[1].copy()
    labels[3] = 0
    labels[1, 30:36, 4:12] = 7  # a new label
    more = polished.updated(Template(pictures[0], labels))
    assert more.label_values_ == (1, 2, 7)
    assert more.polished_steps_ == STEPS
    own, new = polished._saved.polished, more._saved.polished
    assert all(np.array_equal(own.weights[name], new.weights[name]) for name in own.weights)
    assert set(np.unique(more.predict(pictures[0]).labels)) <= {0, 1, 2, 7}
    again = more.polish()
    assert again.polished_steps_ == STEPS + STEPS // 2
    assert more.polished_steps_ == STEPS
    moved = again._saved.polished.weights
    assert any(not np.array_equal(own.weights[name], moved[name]) for name in moved)


def test_what_is_polished_again_leaves_the_model_of_before_alone(polished, pictures):
    before = polished.predict(pictures[0])
    polished.polish()
    assert equal(before, polished.predict(pictures[0]))


@pytest.mark.parametrize(("stage", "steps"), [("training", 0), ("polishing", 0), ("second", 1)])
def test_cancelled_it_keeps_what_is_there(plain, pictures, stage, steps):
    def progress(done, total, what):
        if what == stage or (stage == "second" and what == "polishing" and done == 1):
            raise Cancelled("enough")

    found = plain.polish(progress=progress)
    assert found.polished_steps_ == steps
    assert equal(plain.predict(pictures[0]), found.predict(pictures[0])) == (steps == 0)


def test_the_time_is_limited(plain):
    assert plain.polish(1e-9).polished_steps_ == 0
    for minutes in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=r"minutes must be above 0"):
            plain.polish(minutes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "multiscale"}, "backbone must be embedded to be polished; got multiscale"),
        ({"adapter": "cosine"}, "adapter must be contrastive or classification"),
    ],
)
def test_what_cannot_be_polished_is_said(quick, painted, settings, message):
    with pytest.raises(InputError, match=message):
        quick(**(SETTINGS | settings)).fit(painted).polish()


def test_landmarks_alone_cannot_be_polished(quick, pictures):
    marks = [Landmark("tip", 1, (1, 20, 20)), Landmark("tip", 1, (3, 22, 20))]
    model = quick(**SETTINGS).fit(Template(pictures[0], points=marks))
    with pytest.raises(InputError, match="painted labels"):
        model.polish()


@pytest.mark.parametrize(
    ("content", "tensors", "message"),
    [
        ({"shape.widths": [10**6] * 5}, {}, "readable settings"),
        ({"shape.kernel": -1}, {}, "readable settings"),
        ({"shape.std": 0.0}, {}, "readable settings"),
        ({"steps": 1.5}, {}, "readable settings"),
        ({"shape.head_width": 12}, {}, "tensors of its polished network"),
        ({"shape.heads": 5}, {}, "tensors of its polished network"),
        ({"shape.out_channels": 24}, {}, "tensors of its polished network"),
        ({"head.classes": 9}, {}, "tensors of its polished network"),
        ({}, {"polished.network.stem.bias": 3}, "tensors of its polished network"),
        ({}, {"polished.head.mean": 3}, "tensors of its polished network"),
    ],
    ids=str,
)
def test_a_damaged_file_is_refused(file, tmp_path, content, tensors, message):
    packed = {f"experts.polished.{name}": value for name, value in content.items()}
    others = {name: np.zeros(size, np.float16) for name, size in tensors.items()}
    path = changed(file, tmp_path / "damaged", packed, **others)
    with pytest.raises(ModelFileError, match=message) as caught:
        FewShotSegmenter.load(path, device="cpu").volume_predictor()
    assert "\n" not in str(caught.value)
