"""The rule that ends a training, on made-up losses."""

from __future__ import annotations

from napari_fewshot.bench.methods.convergence import Convergence


def test_it_ends_after_passes_without_gain() -> None:
    rule = Convergence(patience=3, most=100, min_gain=0.01, smoothing=0.0)
    assert [rule.put(loss) for loss in (1.0, 0.5, 0.495, 0.5)] == [True, True, False, False]
    assert not rule.finished
    rule.put(0.6)
    assert rule.finished
    assert "no gain in the last 3 of 5 passes" in rule.reason


def test_it_ends_at_the_most() -> None:
    rule = Convergence(patience=3, most=4, smoothing=0.0)
    for loss in (4.0, 3.0, 2.0, 1.0):
        assert not rule.finished
        rule.put(loss)
    assert rule.finished
    assert "most of 4 passes" in rule.reason


def test_one_noisy_pass_is_no_gain_once_smoothed() -> None:
    sharp = Convergence(patience=9, most=99, min_gain=0.05, smoothing=0.0)
    smooth = Convergence(patience=9, most=99, min_gain=0.05, smoothing=0.9)
    for loss in (1.0, 1.0, 1.0, 1.0):
        sharp.put(loss)
        smooth.put(loss)
    assert sharp.put(0.8)
    assert not smooth.put(0.8)


def test_the_smoothed_loss_starts_without_bias() -> None:
    rule = Convergence(patience=2, most=9, smoothing=0.9)
    rule.put(2.0)
    assert abs(rule.best - 2.0) < 1e-12


def test_it_can_be_taken_up_again() -> None:
    losses = [1.0, 0.8, 0.81, 0.82]
    again = Convergence.after(losses, patience=5, most=9, smoothing=0.5)
    rule = Convergence(5, 9, smoothing=0.5)
    for loss in losses:
        rule.put(loss)
    assert (again.best, again.waited, again.losses) == (rule.best, rule.waited, rule.losses)
