"""The training of the few-shot decoder: loss, held-out slices, the best pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.config import SamDecoderConfig, SegmenterConfig
from napari_fewshot.errors import Cancelled
from napari_fewshot.sam.cells import TargetEmbeddings
from napari_fewshot.sam.decoder_training import (
    DecoderTraining,
    TrainingSample,
    batches,
    choose_held_out,
    decoder_loss,
)
from napari_fewshot.slices.stack import SlicePosition
from napari_fewshot.templates.known import KnownSlice
from napari_fewshot.types import FeatureMap


def example(index, *values, volume=0, origin=None):
    labels = np.zeros((8, 8), np.int32)
    for row, value in enumerate(values):
        labels[row] = value
    return KnownSlice(
        labels, SlicePosition(index, (30, 8, 8), 0), frozenset({3, 7}), volume, origin=origin
    )


@pytest.mark.parametrize("dice", [0.0, 0.7])
def test_loss_is_cross_entropy_of_what_is_known(dice):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 2, 3, 4))
    shares, known = rng.random((2, 3, 4)), rng.random((2, 3, 4)) * (rng.random((2, 3, 4)) < 0.7)
    found = decoder_loss(*(torch.from_numpy(a) for a in (logits, shares, known)), dice)
    for b in range(2):
        total = weight = both = sizes = 0.0
        for place in np.ndindex(3, 4):
            fore, back = np.exp(logits[b, 0][place]), np.exp(logits[b, 1][place])
            p, s, w = fore / (fore + back), shares[b][place], known[b][place]
            total += w * -(s * np.log(p) + (1 - s) * np.log(1 - p))
            weight += w
            both += w * p * s
            sizes += w * (p + s)
        expected = total / weight + dice * (1 - (2 * both + 1) / (sizes + 1))
        assert float(found[b]) == pytest.approx(expected, rel=1e-6)


def test_batches_group_labels_by_number_of_prompts():
    prompts = {0: np.ones((2, 5)), 1: np.zeros((0, 5)), 2: np.ones((1, 5)), 4: np.zeros((2, 5))}
    found = [(labels, vectors.shape) for labels, vectors in batches(prompts, 4)]
    assert found == [([2], (1, 1, 5)), ([0, 4], (2, 2, 5))]
    one_by_one = [labels for labels, _ in batches(prompts, 2**14)]
    assert one_by_one == [[2], [0], [4]]


def test_what_is_held_out():
    assert choose_held_out([example(0, 3), example(9, 3)]) == []
    # The most labels, if they occur elsewhere too; the middle one of several.
    assert choose_held_out([example(0, 3, 7), example(9, 3), example(20, 7)]) == [0]
    assert choose_held_out([example(k, 3) for k in range(5)]) == [2]
    assert choose_held_out([example(0, 3), example(9, 7), example(20)]) == []  # each is needed
    across = [example(k, 3, volume=k // 2) for k in range(6)]
    assert choose_held_out(across) == [2, 3]
    assert choose_held_out(across[:4]) == [1]  # two volumes


class Net(torch.nn.Module):
    """A network whose foreground logit is one weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.prompted: list[list[float]] = []

    def forward(self, image, prompts):
        self.prompted.append(prompts[0, :, 0].tolist())
        logits = self.weight * torch.ones(len(prompts), 2, 4 * image.shape[1], 4 * image.shape[2])
        return logits * torch.tensor([1.0, 0.0])[None, :, None, None]


def samples(examples, copies=0):
    made = []
    for own, one in enumerate(examples):
        made.append(sample(0, one, own, own))
        for number in range(copies):
            copy = example(own, *np.unique(one.labels[one.labels > 0]), origin=one)
            made.append(sample(1, copy, own, 100 * own + 11 + number))
    return made


def sample(grey, one, own, vector):
    image = np.full((2, 2, 2), grey, np.float16)
    vectors = np.array([[vector]], np.float32)
    features = FeatureMap(image, one.labels.shape, (8.0, 8.0))
    return TrainingSample(one, features, own, vectors, np.array([True]))


def training(network, count, **settings):
    vectors = np.arange(count, dtype=np.float32)[:, None, None]
    targets = TargetEmbeddings(vectors, np.ones((count, 1), bool))
    return DecoderTraining(network, targets, [3], SamDecoderConfig(**settings), seed=0)


def test_the_held_out_slice_is_not_learned_from_and_prompts_for_nothing():
    network = Net()
    seen = []
    training(network, 3).run(
        samples([example(k, 3) for k in range(3)], copies=2), [1], 4, lambda *r: seen.append(r)
    )
    assert seen == [(k, 24, "training") for k in range(1, 25)]  # two slices, two copies of each
    learned = [p for k, p in enumerate(network.prompted) if k % 7 != 6]
    validated = network.prompted[6::7]
    assert {len(p) for p in learned} == {1}  # each by the other one
    assert {p[0] for p in learned} == {0.0, 11.0, 12.0, 2.0, 211.0, 212.0}
    assert validated == [[0.0, 2.0]] * 4


def prompts_of(run, sample):
    """Sets of vectors that are drawn to learn a slice from."""
    drawn = (run._prompts(0, sample, learn=True)[:, 0].tolist() for _ in range(300))
    return {frozenset(vectors) for vectors in drawn}


def test_any_number_of_the_other_slices_prompts_in_any_copy():
    learned = samples([example(k, 3) for k in range(3)], copies=1)
    run = training(Net(), 3)
    run.run(learned, [], 1, lambda *_: None)
    for one in learned:
        own = {0: (0.0, 11.0), 1: (1.0, 111.0), 2: (2.0, 211.0)}
        first, second = (own[k] for k in range(3) if k != one.own)
        pairs = {frozenset({a, b}) for a in first for b in second}
        assert prompts_of(run, one) == pairs | {frozenset({v}) for v in (*first, *second)}


def test_the_number_of_prompts_does_not_tell_whether_the_label_is_there():
    learned = samples([example(k, 3) for k in range(3)])
    vectors = np.arange(3, dtype=np.float32)[:, None, None]
    targets = TargetEmbeddings(vectors, np.array([[True], [True], [False]]))
    run = DecoderTraining(Net(), targets, [3], SamDecoderConfig(), seed=0)
    run.run(learned, [], 1, lambda *_: None)
    assert prompts_of(run, learned[0]) == {frozenset({1.0})}
    assert prompts_of(run, learned[2]) == {frozenset({0.0}), frozenset({1.0})}


def test_a_label_of_one_slice_is_prompted_by_another_copy_of_it():
    learned = samples([example(0, 3)], copies=2)
    run = training(Net(), 1)
    run.run(learned, [], 1, lambda *_: None)
    for one in learned:
        others = {frozenset({float(e.vectors[0, 0])}) for e in learned if e is not one}
        assert prompts_of(run, one) == others


def test_without_copies_a_label_of_one_slice_has_but_itself():
    network = Net()
    training(network, 1).run(samples([example(0, 3)]), [], 3, lambda *_: None)
    assert network.prompted == [[0.0]] * 3


def test_all_target_embeddings_prompt_as_in_use():
    """Also that of the slice itself, for copies as well; none of a copy."""
    learned = samples([example(k, 3) for k in range(3)], copies=2)
    network = Net()
    run = training(network, 3, prompts="all", iteration="slices", best_epoch=False)
    run.run(learned, [], 5, lambda *_: None)
    assert network.prompted == [[0.0, 1.0, 2.0]] * 15
    run = training(Net(), 3, prompts="all")
    run.run(learned, [1], 1, lambda *_: None)
    assert set(map(tuple, run._network.prompted[:-1])) == {(0.0, 2.0)}


@pytest.mark.parametrize(
    ("iteration", "steps", "epochs"), [("copies", 36, 4), ("slices", 12, 4), ("step", 4, 4)]
)
def test_what_an_iteration_is(iteration, steps, epochs):
    seen, visited = [], []
    learned = samples([example(k, 3) for k in range(3)], copies=2)
    run = training(Net(), 3, iteration=iteration)
    true_loss = run.loss
    run.loss = lambda sample, learn: (visited.append(sample), true_loss(sample, learn=learn))[1]
    assert run.run(learned, [], epochs, lambda *report: seen.append(report)) == epochs
    assert seen == [(k, steps, "training") for k in range(1, steps + 1)]
    if iteration == "copies":
        for k in range(epochs):
            assert len(set(map(id, visited[9 * k : 9 * k + 9]))) == 9
    else:
        for start in range(0, steps - 2, 3):
            assert {sample.own for sample in visited[start : start + 3]} == {0, 1, 2}
    if iteration == "slices":
        assert len({id(sample) for sample in visited}) > 3  # copies and the slices themselves


@pytest.mark.parametrize("scale", [4, 16])
def test_the_loss_is_that_of_masks_on_the_grid_asked_for(scale):
    """A border between two pixels falls into the middle of a coarse cell, not of a fine one."""
    run = training(Net(), 1, mask_scale=scale)
    one = example(0, 3, 3, 3)  # the first 3 of 8 rows
    (learned,) = samples([one])
    with torch.no_grad():
        run._network.weight.fill_(2.0)
    side = 2 * scale
    labels = np.clip(3 * side / 8 - np.arange(side), 0, 1)
    expected = -(labels * np.log(1 / (1 + np.exp(-2))) + (1 - labels) * np.log(1 / (1 + np.exp(2))))
    found = run.loss(learned, learn=True) - (1 - dice_of(labels, 1 / (1 + np.exp(-2))))
    assert found == pytest.approx(expected.mean(), rel=1e-5)
    assert float(run._network.weight.grad) != 0


def dice_of(labels, probability):
    """As :func:`decoder_loss` has it, of rows of equal cells."""
    size = len(labels)
    both, sizes = size * labels.sum() * probability, size * (labels.sum() + size * probability)
    return (2 * both + 1) / (sizes + 1)


def test_the_best_pass_is_kept():
    """Full slices are learned, a slice of one row is held out: each pass is worse than the last."""
    full, thin = [3] * 8, [3]
    for held_out, better in (([2], True), ([], False)):
        network = Net()
        examples = [example(0, *full), example(9, *full), example(20, *thin)]
        run = training(network, 3, learning_rate=0.1, patience=0)
        best = run.run(samples(examples)[: 3 if held_out else 2], held_out, 30, lambda *_: None)
        assert best == (1 if held_out else 30)
        first = float(network.weight.detach()) < 0.5
        assert first is better
    network = Net()
    seen = []
    run = training(network, 3, learning_rate=0.1, patience=4)
    run.run(samples(examples), [2], 30, lambda *report: seen.append(report[0]))
    assert seen == [*range(1, 11), 60]  # five passes of two slices, and then the end


def test_cancel_within_a_pass():
    def stop(done, total, what):
        if done == 2:
            raise Cancelled

    network = Net()
    with pytest.raises(Cancelled):
        training(network, 5).run(samples([example(k, 3) for k in range(5)]), [], 50, stop)
    assert len(network.prompted) == 2


def test_same_seed_same_order():
    found = []
    for _ in range(2):
        network = Net()
        training(network, 4).run(samples([example(k, 3) for k in range(4)]), [], 5, lambda *_: None)
        found.append(network.prompted)
    assert found[0] == found[1]
    assert found[0][:4] != found[0][4:8]


@pytest.mark.parametrize(
    ("templates", "epochs"), [(1, 50), (5, 50), (10, 60), (20, 80), (35, 90), (50, 100), (90, 100)]
)
def test_epochs_for_few_and_many(templates, epochs):
    assert SamDecoderConfig().epochs_for(templates) == epochs
    assert SamDecoderConfig(epochs=7).epochs_for(templates) == 7


def test_steps_of_the_published_preset():
    published = SegmenterConfig(preset="published").sam_decoder
    steps = [published.epochs_for(n) * published.steps_per_epoch(n, 21 * n) for n in (5, 20, 50)]
    assert steps == [50 * 5, 80 * 20, 100 * 50]
