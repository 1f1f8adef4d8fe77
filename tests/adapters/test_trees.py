"""Trees that teach other adapters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot import NotFittedError
from napari_fewshot.adapters.trees import TreesClassifier, trees_adapter
from napari_fewshot.templates.pixels import Samples


def samples(per_class=40, classes=(0, 1, 2), count=2, seed=0):
    """Pixels of which the first feature tells the class, and the others nothing."""
    rng = np.random.default_rng(seed)
    numbers = np.repeat(classes, per_class)
    features = rng.normal(0, 0.1, (len(numbers), 5)).astype(np.float32)
    features[:, 0] += numbers
    return Samples(
        features=features,
        classes=numbers.astype(np.int64),
        possible=np.eye(count + 1, dtype=bool)[numbers],
        places=np.zeros((len(numbers), 3), np.float32),
        label_values=tuple(range(1, count + 1)),
        frequency=np.full(count + 1, 1 / (count + 1)),
    )


def pixels(*first):
    vectors = torch.zeros(len(first), 5)
    vectors[:, 0] = torch.tensor(first)
    return vectors


def test_few_pixels_are_enough():
    found = TreesClassifier().fit(samples(), 0).predict(pixels(0.0, 1.0, 2.0))
    assert found.dtype == torch.float32
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    assert found.argmax(1).tolist() == [0, 1, 2]
    assert found.max(1).values.min() > 0.8


def test_they_are_not_sure_of_what_lies_between_labels():
    trees = TreesClassifier().fit(samples(), 0)
    assert trees.predict(pixels(0.5))[0, :2].max() < 0.8


def test_a_label_without_pixels_has_no_probability():
    found = TreesClassifier().fit(samples(classes=(0, 2)), 0).predict(pixels(0.0, 2.0))
    assert found[:, 1].tolist() == [0, 0]
    assert found.argmax(1).tolist() == [0, 2]


def test_rare_labels_count_as_much():
    many, few = samples(400, (0,)), samples(8, (1,))
    own = Samples(
        features=np.concatenate([many.features, few.features * 0.5]),  # closer to background
        classes=np.concatenate([many.classes, few.classes]),
        possible=np.concatenate([many.possible, few.possible]),
        places=np.concatenate([many.places, few.places]),
        label_values=many.label_values,
        frequency=many.frequency,
    )
    assert TreesClassifier().fit(own, 0).predict(pixels(0.5))[0].argmax() == 1


def test_the_seed_decides_and_updates_grow_anew():
    first, again, other = (TreesClassifier().fit(samples(), seed) for seed in (0, 0, 1))
    asked = pixels(0.4, 0.6, 1.4)
    assert torch.equal(first.predict(asked), again.predict(asked))
    assert not torch.equal(first.predict(asked), other.predict(asked))
    other.update(samples(), (1, 2), 0)
    assert torch.equal(first.predict(asked), other.predict(asked))


@pytest.mark.parametrize(("labels", "pixels"), [(1, 2000), (3, 2000), (60, 100), (5000, 10)])
def test_they_stay_small_with_many_labels(labels, pixels):
    adapter = trees_adapter(labels, 0)
    assert adapter.sampling.pixels_per_label == pixels
    assert not adapter.position.use


def test_they_are_not_kept():
    with pytest.raises(NotFittedError, match="trees"):
        TreesClassifier().predict(pixels(0.0))
    with pytest.raises(TypeError, match="not kept"):
        TreesClassifier().fit(samples(), 0).state()
