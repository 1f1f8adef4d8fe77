"""The rule that ends a training."""

from __future__ import annotations

from napari_fewshot.bench.methods.from_scratch import Convergence


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
