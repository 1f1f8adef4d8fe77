"""Slice by slice in any order, and learning on after a correction."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import Cancelled, FewShotSegmenter, InputError, Template, Volume
from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices


@pytest.mark.parametrize("cleanup", [{}, {"min_fraction": 1}])
def test_all_slices_in_any_order_are_a_prediction(
    quick, template, torso, cleanup, assert_same_labels
):
    model = quick(propagation={"cleanup": cleanup}).fit(template)
    whole = model.predict(torso.image)
    predictor = model.slice_predictor(torso.image)
    count = torso.image.shape[0]
    order = [*range(9, count), *range(8, -1, -1)]
    found = list(predictor.run(order))
    assert [one.index for one in found] == order
    result = predictor.finish()
    assert_same_labels(result.labels, whole.labels)
    np.testing.assert_allclose(result.confidence, whole.confidence, atol=1e-4)
    assert [p.name for p in result.landmarks] == [p.name for p in whole.landmarks]
    if not cleanup:
        for one in found:
            assert_same_labels(one.labels, whole.labels[one.index])


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flip", [False, True])
def test_slices_are_those_of_the_file(fitted, torso, predicted, axes, flip, assert_same_labels):
    """However the file is stored: transposed or from the other end."""
    data = torso.image.data.transpose(axes)
    affine = torso.image.affine[:, [*axes, 3]]
    if flip:
        data = data[::-1]
        affine = affine.copy()
        affine[:, 3] += affine[:, 0] * (data.shape[0] - 1)
        affine[:, 0] *= -1
    spacing = tuple(torso.image.spacing[axis] for axis in axes)
    predictor = fitted.slice_predictor(Volume(np.ascontiguousarray(data), spacing, affine))
    assert predictor.axis == axes.index(0)
    assert len(predictor) == torso.image.shape[0]
    wanted = predicted.labels.transpose(axes)
    wanted = wanted[::-1] if flip else wanted
    for one in predictor.run([5, 6]):
        there = np.moveaxis(wanted, predictor.axis, 0)[one.index]
        assert one.labels.shape == predictor.slice_shape == there.shape
        assert_same_labels(one.labels, there)


def test_a_preview_is_the_slice_without_its_neighbours(quick, template, torso, assert_same_labels):
    model = quick().fit(template)
    predictor = model.slice_predictor(torso.image)
    alone, (smoothed,) = predictor.preview(7), predictor.run([7])
    assert alone.labels.shape == smoothed.labels.shape
    assert (alone.labels == smoothed.labels).mean() > 0.9
    assert (alone.confidence != smoothed.confidence).any()
    still = quick(propagation={"smoothing": 0}).fit(template).slice_predictor(torso.image)
    alone, (exact,) = still.preview(7), still.run([7])
    assert_same_labels(alone.labels, exact.labels)


def test_images_of_two_axes_have_one_slice(quick, discs, assert_same_labels):
    image, labels = discs()
    model = quick().fit(Template(image, labels))
    predictor = model.slice_predictor(image)
    assert (len(predictor), predictor.axis, predictor.slice_shape) == (1, 0, image.shape)
    (one,) = predictor.run()
    assert_same_labels(one.labels, model.predict(image).labels)
    assert_same_labels(predictor.finish().labels, one.labels)


def test_what_it_refuses(fitted, torso):
    predictor = fitted.slice_predictor(torso.image)
    for bad in (-1, torso.image.shape[0]):
        with pytest.raises(InputError, match="index must be within"):
            predictor.run([0, bad])
        with pytest.raises(InputError, match="index must be within"):
            predictor.preview(bad)


def test_cancelling_ends_within_a_slice(fitted, torso):
    seen = []

    def stop(done, total, what):
        seen.append((done, total))
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(fitted.slice_predictor(torso.image).run(progress=stop))
    assert seen == [(1, torso.image.shape[0]), (2, torso.image.shape[0])]


def test_a_cache_saves_the_backbone_and_changes_next_to_nothing(
    quick, template, torso, tmp_path, assert_same_labels
):
    fitted = quick().fit(template)
    plain = fitted.predict(torso.image, landmarks=False)
    fitted.save(tmp_path / "model.fewshot")
    same = FewShotSegmenter.load(tmp_path / "model.fewshot", device="cpu", cache=FeatureCache(200))
    cached = same.predict(torso.image, landmarks=False)
    assert (cached.labels == plain.labels).mean() > 0.99
    cache = FeatureCache(200)
    model = quick(cache=cache).fit(template)
    assert len(cache) == 2 * torso.image.shape[0]  # of two backbones: it learned from all slices
    model.extractor.backbone.encode = None  # nothing is left to encode
    first = model.predict(torso.image, landmarks=False)
    second = model.predict(torso.image, landmarks=False)
    assert_same_labels(first.labels, second.labels)
    # The cache rounds features to float16; training on them goes another way in small steps.
    assert (first.labels == plain.labels).mean() > 0.95
    assert model.with_settings(seed=3).fit(template).label_values_ == model.label_values_


def test_learning_on_is_a_new_model_that_knows_the_correction(quick, torso, dice):
    few, more = template_slices(torso, 2), template_slices(torso, 4)
    first = Template(torso.image, painted_labels(torso, few))
    values = first.painted_values()
    start = quick(cache=FeatureCache(200)).fit(first)
    before = start.predict(torso.image).labels
    progress = []
    model = start.updated(
        Template(torso.image, painted_labels(torso, more)).only(*values),
        lambda done, total, what: progress.append((what, total)),
    )
    steps = model.config.contrastive.update_steps
    assert ("training", steps) in progress
    np.testing.assert_array_equal(start.predict(torso.image).labels, before)
    after = model.predict(torso.image).labels
    rest = [k for k in range(torso.image.shape[0]) if k not in more]

    def score(labels):
        return np.mean([dice(labels[rest], torso.labels.data[rest], v) for v in values])

    assert score(after) > score(before)
    assert model.training_set_.describe().startswith("4 known")


@pytest.mark.parametrize("adapter", ["cosine", "classification", "contrastive"])
def test_labels_may_come_and_go(quick, discs, adapter):
    image, labels = discs()
    model = quick(adapter=adapter).fit(Template(image, np.where(labels == 2, 0, labels)))
    assert model.label_values_ == (1,)
    model = model.updated(Template(image, labels))
    assert model.label_values_ == (1, 2)
    assert (model.predict(image).labels[labels == 2] == 2).mean() > 0.5
    assert (model.predict(image).labels[labels == 1] == 1).mean() > 0.5
    model = model.updated(Template(image, np.where(labels == 1, 0, labels)))
    assert model.label_values_ == (2,)
    found = model.predict(image).labels
    assert (found[labels == 2] == 2).mean() > 0.5
    assert not (found == 1).any()


def test_a_cancelled_update_leaves_the_model(quick, discs):
    image, labels = discs()
    model = quick().fit(Template(image, labels))
    before = model.predict(image).confidence

    def stop(done, total, what):
        if what == "training":
            raise Cancelled

    with pytest.raises(Cancelled):
        model.updated(Template(image, labels), stop)
    np.testing.assert_array_equal(model.predict(image).confidence, before)


def test_the_other_end_of_a_second_patient(fitted):
    """A volume with other spacing and number of slices than the template's."""
    other = make_phantom("torso", seed=3, shape=(12, 40, 44))
    predictor = fitted.slice_predictor(other.image)
    last = len(predictor) - 1
    assert [one.index for one in predictor.run([last, 0])] == [last, 0]


def test_an_image_on_disk_is_read_slice_by_slice(
    fitted, torso, predicted, tmp_path, assert_same_labels
):
    """Results are those of the image in memory, and no chunk is held."""
    dask = pytest.importorskip("dask.array")
    import zarr

    stored = zarr.create_array(
        tmp_path / "image.zarr", data=np.asarray(torso.image.data), chunks=(4, 48, 48)
    )
    lazy = Volume(dask.from_zarr(stored), torso.image.spacing, torso.image.affine)
    found = fitted.predict(lazy)
    assert_same_labels(found.labels, predicted.labels)
