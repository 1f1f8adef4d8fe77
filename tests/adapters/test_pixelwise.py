"""From labelled slices and their feature maps to probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fewshot.adapters import ADAPTERS, PixelAdapter, build_adapter
from napari_fewshot.adapters.cosine import CosineClassifier
from napari_fewshot.adapters.sampling import collect_samples
from napari_fewshot.config import CosineConfig, PositionConfig, SamplingConfig, SegmenterConfig
from napari_fewshot.errors import InputError, NotFittedError, UnknownNameError
from napari_fewshot.slices.grid import resize_plane
from napari_fewshot.slices.stack import SlicePosition
from napari_fewshot.templates.known import KnownSlice
from napari_fewshot.types import FeatureMap

PIXELWISE = [name for name in ADAPTERS if name != "sam-decoder"]
SHAPE = (24, 28)
STACK = (6, *SHAPE)
SMALL = {
    "classification": {"hidden": 16, "steps": 60, "batch": 128},
    "contrastive": {"hidden": 16, "width": 8, "steps": 60, "targets": 64, "references": 8},
}


def labels(offset=0):
    plane = np.zeros(SHAPE, np.int32)
    plane[4:12, 4 + offset : 12 + offset] = 5
    plane[14:20, 16:26] = 9
    return plane


def example(index=2, known=(5, 9), offset=0, plane=None):
    plane = labels(offset) if plane is None else plane
    return KnownSlice(plane, SlicePosition(index, STACK, 0), frozenset(known), 0)


def dense_map(plane, seed=0):
    """Three channels that tell the labels apart, and noise."""
    rng = np.random.default_rng(seed)
    channels = np.stack([plane == 0, plane == 5, plane == 9, np.zeros_like(plane)])
    data = channels + rng.normal(0, 0.1, channels.shape)
    return FeatureMap(data.astype(np.float32), SHAPE, (float(SHAPE[0]), float(SHAPE[1])))


def token_map(cells=(6, 7)):
    data = np.random.default_rng(3).normal(size=(4, *cells)).astype(np.float16)
    return FeatureMap(data, SHAPE, (float(SHAPE[0]), float(SHAPE[1])))


def collect(examples, *, position=True, **sampling):
    return collect_samples(
        examples,
        [dense_map(e.labels, k) for k, e in enumerate(examples)],
        [5, 9],
        SamplingConfig(**sampling),
        position=position,
        rng=np.random.default_rng(0),
    )


def test_samples_are_the_pixels_they_say():
    examples = [example(2), example(4, offset=3)]
    samples = collect(examples, pixels_per_label=30)
    maps = [dense_map(e.labels, k) for k, e in enumerate(examples)]
    rows = zip(samples.features, samples.classes, samples.places, strict=True)
    for features, found, place in rows:
        number, row, column = place.astype(int)
        value = examples[number].labels[row, column]
        assert (0, *samples.label_values)[found] == value
        np.testing.assert_array_equal(features[:4], maps[number].data[:, row, column])
        position = examples[number].position.columns(np.array([row * SHAPE[1] + column]))
        np.testing.assert_array_equal(features[4:], position[0])
    assert samples.features.shape[1] == 7
    assert collect(examples, position=False).features.shape[1] == 4


def test_a_label_that_was_not_looked_for_is_unknown_not_background():
    first = np.where(labels() == 5, 5, 0)
    second = np.where(labels() == 9, 9, 0)
    samples = collect([example(1, {5}, plane=first), example(4, {9}, plane=second)])
    rows = {
        (number, found): {tuple(r) for r in samples.possible[mask].tolist()}
        for number in (0, 1)
        for found in (0, 1, 2)
        if (mask := (samples.places[:, 0] == number) & (samples.classes == found)).any()
    }
    assert rows == {
        (0, 0): {(True, False, True)},  # background, or label 9
        (0, 1): {(False, True, False)},
        (1, 0): {(True, True, False)},  # background, or label 5
        (1, 2): {(False, False, True)},
    }


def test_labels_painted_in_separate_templates_do_not_fight():
    """Each template shows one label and never denies the other; both are learned."""
    first = np.where(labels() == 5, 5, 0)
    second = np.where(labels() == 9, 9, 0)
    examples = [example(1, {5}, plane=first), example(4, {9}, plane=second)]
    fmap = dense_map(labels(), 7)  # the same slice twice: what differs is what was looked for
    config = SegmenterConfig(
        adapter="classification", position={"use": False}, classification={"steps": 150}
    )
    wanted = labels()
    adapter = build_adapter(config).fit(examples, [fmap, fmap], [5, 9])
    probability = adapter.predict(fmap, examples[0].position)
    found = np.array([0, 5, 9])[probability.argmax(0)]
    assert (found[wanted == 5] == 5).mean() > 0.95
    assert (found[wanted == 9] == 9).mean() > 0.95
    assert probability[0][wanted > 0].mean() < 0.05

    denied = [replace(e, known_labels=frozenset({5, 9})) for e in examples]
    adapter = build_adapter(config).fit(denied, [fmap, fmap], [5, 9])
    probability = adapter.predict(fmap, examples[0].position)
    assert probability[0][wanted > 0].mean() > 0.12  # told that it is both, it doubts


@pytest.mark.parametrize("name", PIXELWISE)
@pytest.mark.parametrize("label_values", [[5], [5, 9]])
def test_every_adapter_learns_from_maps(name, label_values):
    config = SegmenterConfig(adapter=name, position={"use": False}, **SMALL)
    wanted = np.where(np.isin(labels(), label_values), labels(), 0)
    examples = [example(2, label_values, plane=wanted)]
    adapter = build_adapter(config).fit(examples, [dense_map(labels())], label_values)
    fresh = dense_map(labels(), seed=9)
    probability = adapter.predict(fresh, SlicePosition(4, STACK, 0))
    assert probability.shape == (len(label_values) + 1, *SHAPE)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(0), 1, atol=1e-5)
    found = np.array([0, *label_values])[probability.argmax(0)]
    assert (found == wanted).mean() > 0.95

    copy = build_adapter(config).restore(adapter.state())
    again = copy.predict(fresh, SlicePosition(4, STACK, 0))
    np.testing.assert_allclose(again, probability, atol=1e-5)


@pytest.mark.parametrize("name", PIXELWISE)
def test_unfitted_adapters_say_so(name):
    adapter = build_adapter(SegmenterConfig(adapter=name))
    with pytest.raises(NotFittedError, match="The adapter is not fitted yet"):
        adapter.predict(dense_map(labels()), SlicePosition(0, STACK, 0))
    with pytest.raises(NotFittedError):
        adapter.state()


def test_unknown_adapter():
    with pytest.raises(UnknownNameError, match="Did you mean contrastive"):
        build_adapter(SegmenterConfig(adapter="contrastve"))


def test_slice_position_of_a_single_template_slice_does_not_count():
    adapter = build_adapter(SegmenterConfig(adapter="classification", **SMALL))
    adapter.fit([example(2)], [dense_map(labels())], [5, 9])
    scale = adapter.state().tensors["scale"]
    assert scale[4] == 0  # of (s, a, r): every sample has the same s
    assert (scale[5:] > 0).all()
    fresh = dense_map(labels(), 5)
    np.testing.assert_array_equal(
        adapter.predict(fresh, SlicePosition(0, STACK, 0)),
        adapter.predict(fresh, SlicePosition(5, STACK, 0)),
    )
    adapter.fit([example(1), example(4)], [dense_map(labels())] * 2, [5, 9])
    assert adapter.state().tensors["scale"][4] > 0


def test_position_alone_can_tell_two_places_apart():
    blank = FeatureMap(np.zeros((4, *SHAPE), np.float32), SHAPE, (24.0, 28.0))
    right = {}
    for use in (True, False):
        config = SegmenterConfig(
            adapter="classification",
            position={"use": use},
            classification={"hidden": 32, "steps": 150, "balance": 1.0},
        )
        adapter = build_adapter(config).fit([example()], [blank], [5, 9])
        found = np.array([0, 5, 9])[adapter.predict(blank, example().position).argmax(0)]
        right[use] = (found == labels())[labels() > 0].mean()
    assert right[True] > 0.9
    assert right[False] < 0.6


def cosine_adapter(*, on_tokens, use_position=False):
    adapter = PixelAdapter(
        CosineClassifier(CosineConfig(threshold=0.1)),
        SamplingConfig(),
        PositionConfig(use=use_position),
        on_tokens=on_tokens,
    )
    return adapter.fit([example()], [token_map()], [5, 9])


@pytest.mark.parametrize("use_position", [False, True])
def test_probabilities_on_tokens_are_interpolated(use_position, classify):
    adapter = cosine_adapter(on_tokens=True, use_position=use_position)
    found = adapter.predict(token_map(), example().position)
    # The same cells as pixels of a slice of 6 × 7: probabilities first, then interpolation.
    cells = token_map().data.reshape(4, -1).T.astype(np.float32)
    if use_position:
        rows, columns = np.indices((6, 7)).reshape(2, -1)
        near = np.round(rows * 4 + 1.5) * SHAPE[1] + np.round(columns * 4 + 1.5)
        cells = np.concatenate([cells, example().position.columns(near.astype(int))], axis=1)
    state = adapter.state().tensors
    coarse = classify(adapter.classifier, (cells - state["mean"]) * state["scale"])
    expected = resize_plane(coarse.T.reshape(3, 6, 7), SHAPE)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_tokens_and_pixels_agree_at_the_centres_of_odd_cells():
    features = token_map((8, 4))  # cells of 3 × 7 pixels have a pixel at their centre
    on_tokens = cosine_adapter(on_tokens=True).predict(features, example().position)
    on_pixels = cosine_adapter(on_tokens=False).predict(features, example().position)
    np.testing.assert_allclose(on_tokens[:, 1::3, 3::7], on_pixels[:, 1::3, 3::7], atol=1e-4)
    assert np.abs(on_tokens - on_pixels).max() > 0.01  # elsewhere they are two computations


def test_tokens_with_padding():
    features = FeatureMap(token_map().data, (21, 26), (24.0, 28.0))
    adapter = cosine_adapter(on_tokens=True)
    whole = adapter.predict(token_map(), SlicePosition(0, STACK, 0))
    cut = adapter.predict(features, SlicePosition(0, (6, 21, 26), 0))
    np.testing.assert_allclose(cut, whole[:, :21, :26], atol=1e-6)


def test_tokens_do_not_matter_for_pixel_grids():
    fmap = dense_map(labels())
    found = [
        cosine_adapter(on_tokens=flag).predict(fmap, example().position) for flag in (True, False)
    ]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_chunks_do_not_show(monkeypatch):
    fmap = FeatureMap(np.random.default_rng(0).normal(size=(4, 50, 60)), (50, 60), (50.0, 60.0))
    adapter = cosine_adapter(on_tokens=False)
    whole = adapter.predict(fmap, SlicePosition(0, (6, 50, 60), 0))
    monkeypatch.setattr("napari_fewshot.adapters.pixelwise._PIXELS_AT_ONCE", 1)
    found = adapter.predict(fmap, SlicePosition(0, (6, 50, 60), 0))
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_other_number_of_features():
    fmap = FeatureMap(np.zeros((5, *SHAPE), np.float32), SHAPE, (24.0, 28.0))
    with pytest.raises(InputError, match="give 4 features for each pixel"):
        cosine_adapter(on_tokens=False).predict(fmap, example().position)
