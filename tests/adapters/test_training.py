"""Draws of samples, and the loss of pixels of which only something is known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.training import (
    ClassBalancedDraw,
    TrainingRun,
    marginal_cross_entropy,
    partial_cross_entropy,
    train,
)
from napari_fewshot.config import ClassificationConfig
from napari_fewshot.types import no_progress


def test_marginal_cross_entropy_against_naive_sums():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, 4))
    possible = rng.random((50, 4)) < 0.5
    possible[:, 0] |= ~possible.any(1)
    naive = []
    for row, may in zip(logits, possible, strict=True):
        probability = np.exp(row) / np.exp(row).sum()
        naive.append(-np.log(sum(p for p, m in zip(probability, may, strict=True) if m)))
    found = marginal_cross_entropy(torch.tensor(logits), torch.tensor(possible))
    assert float(found) == pytest.approx(np.mean(naive))


def test_known_classes_give_plain_cross_entropy():
    logits = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(30) % 5
    found = marginal_cross_entropy(logits, torch.nn.functional.one_hot(classes, 5).bool())
    assert float(found) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, classes)))


def test_nothing_to_learn_from_a_pixel_that_may_be_anything():
    logits = torch.randn(3, 4, requires_grad=True)
    marginal_cross_entropy(logits, torch.ones(3, 4, dtype=torch.bool)).backward()
    assert float(logits.grad.abs().max()) < 1e-6


def test_huge_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    found = marginal_cross_entropy(logits, torch.tensor([[True, False], [True, False]]))
    assert float(found) == pytest.approx(1e4)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_shares_of_the_classes(balance, toy):
    samples = toy(labels=3, count=50, absent=(2,))
    object.__setattr__(samples, "frequency", np.array([0.9, 0.09, 0.0, 0.01]))
    draw = ClassBalancedDraw(samples, balance, torch.Generator().manual_seed(0))
    drawn = samples.classes[draw.targets(20000).numpy()]
    expected = np.array([0.9, 0.09, 0.0, 0.01]) ** (1 - balance) * [1, 1, 0, 1]
    shares = np.bincount(drawn, minlength=4) / 20000
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.015)


def test_draws_of_given_classes(toy):
    samples = toy(labels=2, count=20)
    draw = ClassBalancedDraw(samples, 0.5, torch.Generator().manual_seed(0))
    wanted = torch.tensor([[1, 2, 0], [2, 2, 1]]).repeat(100, 1)
    found = draw.of_classes(wanted)
    np.testing.assert_array_equal(samples.classes[found.numpy()], wanted.numpy())
    assert len(torch.unique(found)) == 60  # every sample has its turn


def test_only_undecided_pixels_are_pulled_to_background():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    possible = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]]).bool()
    plain = float(marginal_cross_entropy(logits, possible))
    assert float(partial_cross_entropy(logits, possible, 0.0)) == pytest.approx(plain)
    background = -float(logits[2].log_softmax(0)[0])
    expected = plain + 0.5 * background / 4
    assert float(partial_cross_entropy(logits, possible, 0.5)) == pytest.approx(expected)


def test_trainings_that_overlap_leave_the_threads_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    together = Barrier(2)

    def job(steps):
        network = torch.nn.Linear(2, 1)
        seen = []

        def loss():
            if not seen:
                together.wait(30)  # both are inside before either ends
            seen.append(torch.get_num_threads())
            return network(torch.ones(4, 2)).square().mean()

        config = ClassificationConfig()
        train(network, loss, config, TrainingRun(steps, 1e-2, no_progress), seed=0)
        return set(seen)

    try:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(job, [20, 60])) == [{1}, {1}]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_training_on_the_cpu_touches_no_other_device(monkeypatch):
    """Where there are several, torch warned of it, and made a context on every one."""

    def touched(*_):
        raise AssertionError("a CUDA device was touched")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("get_rng_state", "set_rng_state", "manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, touched)
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5))
    run = TrainingRun(2, 0.01, no_progress)
    train(network, lambda: network(torch.ones(4, 3)).sum(), ClassificationConfig(), run, seed=0)
