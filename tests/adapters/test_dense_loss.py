"""The loss of known pixels, against a plain sum."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_fewshot.adapters.dense_loss import partial_loss

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


def test_without_dice_it_is_binary_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, classes = torch.randn(2, 2, 5, 6), torch.randint(-1, 2, (2, 5, 6))
    loss = partial_loss(logits, classes, torch.ones(2, 1, dtype=torch.bool), dice=False)
    known = classes >= 0
    foreground = (logits[:, 1] - logits[:, 0])[known].sigmoid()
    expected = torch.nn.functional.binary_cross_entropy(foreground, classes[known].float())
    torch.testing.assert_close(loss, expected)
