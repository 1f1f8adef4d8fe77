"""Several sources of label probabilities, fused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot import FewShotSegmenter, Template
from napari_fewshot.predict import experts as module
from napari_fewshot.predict.experts import FusedPredictor, fused_plane
from napari_fewshot.predict.learned import ExpertWeights
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

QUICK = {
    "device": "cpu",
    "contrastive": {"hidden": 16, "width": 8, "steps": 30, "targets": 96, "references": 8},
    "experts": {"flow": "lucas-kanade"},
}


def scene(shape=(7, 48, 52)):
    rng = np.random.default_rng(0)
    planes, rows, columns = np.indices(shape)
    labels = (np.hypot(rows - 24, columns - 14 - 2 * planes) < 9).astype(np.uint8) * 4
    image = np.where(labels > 0, 150, 60) + rng.normal(0, 8, shape)
    return image.astype(np.float32), labels


@pytest.fixture(scope="module")
def fitted():
    image, labels = scene()
    mine = np.zeros_like(labels)
    mine[[1, 5]] = labels[[1, 5]]
    return FewShotSegmenter(**QUICK).fit(Template(image, mine)), image, labels


def odds(*rows):
    return np.array(rows, np.float32).T[:, None]


def test_the_weighted_mean_of_logarithms():
    one, other = odds([0.9, 0.1], [0.5, 0.5]), odds([0.2, 0.8], [0.5, 0.5])
    found = fused_plane([one, other], [0.25, 0.75])
    expected = one**0.25 * other**0.75
    np.testing.assert_allclose(found, expected / expected.sum(axis=0), rtol=1e-5)
    assert found.dtype == np.float32


def test_carried_labels_are_never_certain():
    found = fused_plane([odds([0.5, 0.5])], [1.0], odds([1.0, 0.0]), 1.0)
    assert found[:, 0, 0] == pytest.approx([1 / 1.01, 0.01 / 1.01])


def test_one_alone_is_as_it_is():
    plane = odds([1.0, 0.0])
    assert fused_plane([plane], [1.0]) is plane
    assert fused_plane([plane], [1.0], odds([0.0, 1.0]), 0.0) is plane


def test_a_temperature_makes_less_sure():
    plane = odds([0.8, 0.2])
    found = fused_plane([plane], [1.0], temperature=2.0)
    np.testing.assert_allclose(found[:, 0, 0], [2 / 3, 1 / 3], rtol=1e-5)
    assert fused_plane([plane], [1.0], odds([1.0, 0.1]), 1.0, 2.0)[0, 0, 0] > found[0, 0, 0]


def test_planes_in_half_precision():
    rng = np.random.default_rng(0)
    planes = [rng.dirichlet([1, 1, 1], (8, 9)).transpose(2, 0, 1) for _ in range(2)]
    full = fused_plane([p.astype(np.float32) for p in planes], [0.5, 0.5])
    half = fused_plane([p.astype(np.float16) for p in planes], [0.5, 0.5])
    np.testing.assert_allclose(half, full, atol=2e-3)


class Fixed:
    """A predictor with the same planes for all slices, in parts."""

    def __init__(self, plane, parts):
        self.plane, self.count = plane, parts

    def parts(self, stack):
        return self.count

    def planes(self, stack, indices, tick):
        for _ in indices:
            for part in range(self.count if self.count > 1 else 0):
                tick(part + 1, self.count)
            yield self.plane.copy()


@pytest.mark.parametrize("large", [False, True])
def test_parts_of_all_are_counted(monkeypatch, large):
    if large:
        monkeypatch.setattr(module, "IN_MEMORY", 0)
    ticks = []
    plane = np.full((2, 4, 5), 0.5, np.float32)
    fused = FusedPredictor([(Fixed(plane, 3), 0.5), (Fixed(plane, 4), 0.3), (Fixed(plane, 1), 0.2)])
    found = list(fused.planes(None, [0, 1], lambda done, parts: ticks.append(parts)))
    assert len(found) == 2
    assert ticks == [7] * 14
    assert list(fused.planes(None, [])) == []


def stack_of(model, image):
    return SliceStack(Volume.of(image), 0, model.config.intensity)


def test_an_image_that_was_painted_is_known_again(fitted):
    model, image, labels = fitted
    experts = model.volume_predictor().experts
    mine, other = experts.of(stack_of(model, image)), experts.of(stack_of(model, image[::-1]))
    assert mine._carried is not None
    assert other._carried is None
    assert [w for _, w in mine._adapters] == [0.5, 0.5]
    assert [w for _, w in other._adapters] == [0.8, 0.2]
    found = model.predict(image)
    assert (found.labels[[1, 5]] != labels[[1, 5]]).mean() < 0.01  # but for the smoothing


def test_a_flat_image_carries_nothing():
    image, labels = scene()
    model = FewShotSegmenter(**QUICK).fit(Template(image[1], labels[1]))
    experts = model.volume_predictor().experts
    assert experts.of(stack_of(model, image[1]))._carried is None
    assert model.predict(image[1]).labels.any()


@pytest.mark.parametrize("switch", ["hand_made", "carried"])
def test_each_is_turned_off(switch):
    image, labels = scene()
    settings = QUICK | {"experts": QUICK["experts"] | {switch: False}}
    model = FewShotSegmenter(**settings).fit(Template(image, labels, slices=[2]))
    predictor = model.volume_predictor().experts.of(stack_of(model, image))
    assert (predictor._carried is None) is (switch == "carried")
    assert len(predictor._adapters) == (1 if switch == "hand_made" else 2)


@pytest.mark.parametrize("preset", [{"adapter": "cosine"}, {"backbone": "multiscale"}])
def test_where_no_second_adapter_helps(preset):
    image, labels = scene()
    model = FewShotSegmenter(**QUICK | preset).fit(Template(image, labels, slices=[2]))
    assert model._adapters.beside == {}


def test_hand_made_features_alone(fitted):
    """Slices are described by the features that are there."""
    model, image, _ = fitted
    alone = model.with_weights(ExpertWeights(hand_made=1.0, elsewhere=1.0, carried=0.0))
    (found,) = alone.slice_predictor(image).run([3])
    assert found.descriptor.size
    assert alone.weights_.hand_made == 1


def test_a_region_and_single_slices_equal_the_whole(fitted):
    model, image, _ = fitted
    model = model.with_propagation({"smoothing": 0.0})
    whole = model.predict(image)
    part = model.predict(image, region=((2, 5), (7, 41), (5, 44)))
    box = slice(2, 5), slice(7, 41), slice(5, 44)
    np.testing.assert_array_equal(part.confidence[box], whole.confidence[box])
    alone = model.slice_predictor(image).preview(4)
    np.testing.assert_array_equal(alone.confidence, whole.confidence[4])


def test_the_same_whatever_the_number_of_threads(fitted):
    _, image, labels = fitted
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            again = FewShotSegmenter(**QUICK).fit(Template(image, labels, slices=[1, 5]))
            found.append(again.predict(image).confidence)
    finally:
        torch.set_num_threads(before)
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


def test_two_planes_of_one_volume_carry_each_their_own():
    image, labels = scene((20, 40, 44))
    axial, coronal = np.zeros_like(labels), np.zeros_like(labels)
    axial[[4, 15]], coronal[:, [20, 26]] = labels[[4, 15]], labels[:, [20, 26]]
    templates = [Template(image, axial, axis=0), Template(image, coronal, axis=1)]
    model = FewShotSegmenter(**QUICK).fit(templates)
    assert sorted((p.axis, len(p.slices)) for p in model._saved.painted) == [(0, 2), (1, 2)]
    experts = model.volume_predictor().experts
    for axis in (0, 1):
        stack = SliceStack(Volume.of(image), axis, model.config.intensity)
        carried = experts.of(stack)._carried
        assert carried.weight(model._saved.painted[axis].slices[0].index) == 1
    assert model.predict(image, axis="fused").labels.any()


def test_colour():
    image, labels = scene()
    colour = np.clip(np.stack([image, 255 - image, image], -1), 0, 255).astype(np.uint8)
    model = FewShotSegmenter(**QUICK).fit(Template(colour, labels, slices=[3]))
    found = model.predict(colour)
    assert (found.labels[3] != labels[3]).mean() < 0.01
