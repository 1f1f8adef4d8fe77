"""The rule that ends a training, and the loss of known pixels, against a plain sum."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_fewshot.bench.methods.from_scratch import Convergence, partial_loss

torch = pytest.importorskip("torch")


def plain(logits: np.ndarray, classes: np.ndarray, looked_for: np.ndarray) -> float:
    batch, count, height, width = logits.shape
    entropy, known = 0.0, 0
    overlap, size, truth = np.zeros(count), np.zeros(count), np.zeros(count)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                here = classes[b, y, x]
                if here < 0:
                    continue
                p = np.exp(logits[b, :, y, x])
                p /= p.sum()
                right = p[here]
                if here == 0:
                    right += sum(p[c] for c in range(1, count) if not looked_for[b, c - 1])
                entropy -= math.log(right)
                known += 1
                for c in range(1, count):
                    if looked_for[b, c - 1]:
                        overlap[c] += p[c] * (here == c)
                        size[c] += p[c] + (here == c)
                        truth[c] += here == c
    scores = [(2 * overlap[c] + 1) / (size[c] + 1) for c in range(1, count) if truth[c]]
    return entropy / known + (1 - float(np.mean(scores)) if scores else 0.0)


def test_it_equals_the_plain_sum() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 4, 5, 6))
    classes = rng.integers(-1, 3, size=(2, 5, 6))  # class 3 does not occur
    looked_for = np.array([[True, True, True], [True, True, False]])
    found = partial_loss(*(torch.from_numpy(a) for a in (logits, classes, looked_for)))
    assert float(found) == pytest.approx(plain(logits, classes, looked_for), rel=1e-9)


def test_pixels_that_are_not_known_have_no_gradient() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    classes = torch.randint(0, 3, (1, 4, 4))
    classes[:, :2] = -1
    partial_loss(logits, classes, torch.ones(1, 2, dtype=torch.bool)).backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, :2].any()
    assert logits.grad[:, :, 2:].any()


def test_nothing_known_is_no_loss() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = partial_loss(logits, torch.full((1, 3, 3), -1), torch.ones(1, 1, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0


def test_it_ends_after_epochs_without_gain() -> None:
    rule = Convergence(patience=3, max_epochs=100, min_gain=0.01, smoothing=0.0)
    assert [rule.put(loss) for loss in (1.0, 0.5, 0.495, 0.5)] == [True, True, False, False]
    assert not rule.finished
    rule.put(0.6)
    assert rule.finished
    assert (rule.waited, rule.epochs) == (3, 5)


def test_it_ends_at_the_maximum() -> None:
    rule = Convergence(patience=3, max_epochs=4, smoothing=0.0)
    for loss in (4.0, 3.0, 2.0, 1.0):
        assert not rule.finished
        rule.put(loss)
    assert rule.finished
    assert (rule.waited, rule.epochs) == (0, 4)


def test_one_noisy_epoch_is_no_gain_once_smoothed() -> None:
    sharp = Convergence(patience=9, max_epochs=99, min_gain=0.05, smoothing=0.0)
    smooth = Convergence(patience=9, max_epochs=99, min_gain=0.05, smoothing=0.9)
    for loss in (1.0, 1.0, 1.0, 1.0):
        sharp.put(loss)
        smooth.put(loss)
    assert sharp.put(0.8)
    assert not smooth.put(0.8)


def test_the_smoothed_loss_starts_without_bias() -> None:
    rule = Convergence(patience=2, max_epochs=9, smoothing=0.9)
    rule.put(2.0)
    assert abs(rule.best - 2.0) < 1e-12


def test_half_of_the_patience_without_gain_is_a_plateau() -> None:
    rule = Convergence(patience=4, max_epochs=99, smoothing=0.0)
    seen = []
    for loss in (1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5):
        rule.put(loss)
        seen.append(rule.plateaus)
    assert seen == [0, 0, 1, 1, 1, 1, 2]


def test_without_dice_it_is_binary_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(2, 2, 5, 6), torch.randint(-1, 2, (2, 5, 6))
    loss = partial_loss(logits, classes, torch.ones(2, 1, dtype=torch.bool), dice=False)
    known = classes >= 0
    foreground = (logits[:, 1] - logits[:, 0])[known].sigmoid()
    expected = torch.nn.functional.binary_cross_entropy(foreground, classes[known].float())
    torch.testing.assert_close(loss, expected)
