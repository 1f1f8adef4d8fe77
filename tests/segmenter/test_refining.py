"""Refinement after a prediction."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Template, UnknownNameError, Volume, get_refiner, refine_labels
from napari_fewshot.features.cache import FeatureCache


def test_a_prediction_is_not_refined_by_default(fitted, torso, predicted):
    assert fitted.config.propagation.refinement.method is None
    assert fitted.load_refiner() is None
    np.testing.assert_array_equal(fitted.predict(torso.image).labels, predicted.labels)


def test_refined_is_what_refine_labels_makes_of_it(fitted, torso, predicted, assert_same_labels):
    found = fitted.predict(torso.image, refine="random-walker")
    labels, confidence = refine_labels(
        torso.image,
        predicted.labels,
        predicted.confidence,
        method="random-walker",
        intensity=fitted.config.intensity,
    )
    assert (labels != predicted.labels).any()
    assert_same_labels(found.labels, labels)
    np.testing.assert_allclose(found.confidence, confidence, atol=1e-4)
    assert found.labels.dtype == predicted.labels.dtype
    assert found.landmarks == predicted.landmarks
    assert found.names == predicted.names


def test_the_configuration_names_it_and_the_argument_counts_more(
    quick, template, torso, stub_refiner, assert_same_labels
):
    model = quick(propagation={"refinement": {"method": "stub"}}).fit(template)
    plain = model.with_settings(propagation={"refinement": {"method": None}}).fit(template)
    before = plain.predict(torso.image)
    found = model.predict(torso.image)
    # Rows run from anterior to posterior in this file, and the other way in its slices.
    assert_same_labels(found.labels, np.roll(before.labels, -1, axis=1))
    calls = len(stub_refiner.slices)
    assert calls == before.labels.any(axis=(1, 2)).sum()
    model.predict(torso.image, refine="random-walker")
    assert len(stub_refiner.slices) == calls


def test_it_follows_the_clean_up(quick, template, torso, stub_refiner, assert_same_labels):
    settings = {"cleanup": {"min_size": 60}, "refinement": {"method": "stub"}}
    model = quick(propagation=settings).fit(template)
    model.predict(torso.image)
    clean = quick(propagation={"cleanup": {"min_size": 60}}).fit(template).predict(torso.image)
    for index, region, _ in stub_refiner.slices:
        assert_same_labels(region.labels, clean.labels[index, ::-1, ::-1])
        wanted = clean.confidence[index, ::-1, ::-1]
        np.testing.assert_allclose(region.confidence, wanted, atol=1e-4)


def test_settings_and_caches_reach_the_method(quick, tmp_path, stub_refiner):
    cache = FeatureCache()
    refinement = {"method": "stub", "prompts": {"strategy": "box"}}
    model = quick(
        seed=4, cache=cache, store=tmp_path / "store", propagation={"refinement": refinement}
    )
    model.load_refiner(sam_weights=tmp_path / "sam.pth")
    (settings,) = stub_refiner.made
    assert settings.config.prompts.strategy == "box"
    assert (settings.seed, settings.device) == (4, "cpu")
    assert settings.weights == tmp_path / "sam.pth"
    assert settings.cache is cache
    assert settings.store is model.store


@pytest.mark.parametrize("axis", [None, "coronal", 2, "fused"])
def test_slices_are_refined_along_the_axis_of_the_prediction(
    painted_twice, torso, stub_refiner, axis
):
    painted_twice.predict(torso.image, axis=axis, refine="stub")
    (stack,) = stub_refiner.stacks
    assert stack.axis == {None: 0, "coronal": 1, 2: 2, "fused": 0}[axis]
    assert stack.grid.working == stack.grid.shape


def test_oblique_volumes_keep_their_order(
    fitted, torso, predicted, stub_refiner, assert_same_labels
):
    data = np.ascontiguousarray(torso.image.data.transpose(2, 0, 1)[::-1])
    affine = torso.image.affine[:, [2, 0, 1, 3]].copy()
    affine[:, 3] += affine[:, 0] * (data.shape[0] - 1)
    affine[:, 0] *= -1
    spacing = tuple(torso.image.spacing[axis] for axis in (2, 0, 1))
    found = fitted.predict(Volume(data, spacing, affine), refine="stub")
    straight = fitted.predict(torso.image, refine="stub")
    assert_same_labels(found.labels, straight.labels.transpose(2, 0, 1)[::-1])
    assert (straight.labels != predicted.labels).any()


@pytest.mark.parametrize("colour", [False, True])
def test_images_of_two_axes(quick, discs, colour):
    image, labels = discs(colour=colour)
    model = quick().fit(Template(image, labels))
    before = model.predict(image)
    found = model.predict(image, refine="random-walker")
    assert found.labels.shape == found.confidence.shape == labels.shape
    assert (found.labels == labels).mean() >= (before.labels == labels).mean() - 0.005


def test_a_ready_refiner_is_loaded_once_for_all_volumes(fitted, torso, stub_refiner):
    refiner = get_refiner("stub")
    for _ in range(2):
        fitted.predict(torso.image, refine=refiner)
    assert len(stub_refiner.made) == 1
    assert len(stub_refiner.stacks) == 2


def test_unknown_names_are_refused_before_any_prediction(quick, fitted, torso):
    seen = []
    with pytest.raises(UnknownNameError, match="Did you mean random-walker"):
        fitted.predict(torso.image, refine="random-walk", progress=lambda *a: seen.append(a))
    assert not seen
    with pytest.raises(UnknownNameError, match=r"refinement.method must be one of .*auto"):
        quick(propagation={"refinement": {"method": "sam-vit-q"}})


def test_progress_tells_the_slices_of_both_stages(fitted, torso, stub_refiner):
    seen = []
    fitted.predict(torso.image, refine="stub", progress=lambda *a: seen.append(a))
    count = torso.image.shape[0]
    assert [a for a in seen if a[2] == "refining"] == [
        (n, count, "refining") for n in range(1, count + 1)
    ]
    assert seen[:count] == [(n, count, "slices") for n in range(1, count + 1)]


def test_a_model_file_keeps_it(quick, template, tmp_path, stub_refiner, torso, assert_same_labels):
    from napari_fewshot import FewShotSegmenter

    model = quick(propagation={"refinement": {"method": "stub"}}).fit(template)
    model.save(tmp_path / "m.fewshot")
    loaded = FewShotSegmenter.load(tmp_path / "m.fewshot", device="cpu")
    wanted = model.predict(torso.image).labels
    assert_same_labels(loaded.predict(torso.image).labels, wanted)
    off = FewShotSegmenter.load(
        tmp_path / "m.fewshot", device="cpu", propagation={"refinement": {"method": None}}
    )
    assert (off.predict(torso.image).labels != wanted).any()
