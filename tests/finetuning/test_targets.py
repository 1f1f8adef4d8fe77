"""What a teacher says has one spread, however little its outputs differ."""

from __future__ import annotations

import pytest
import torch

from napari_fewshot.finetuning.targets import Standardised

TEMPERATURE = 0.07


def sharpness(said):
    shares = torch.softmax(said / TEMPERATURE, -1)
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum(-1).mean()
    return float(1 - entropy / torch.tensor(float(said.shape[1])).log())


@pytest.mark.parametrize("spread", [1e-4, 0.02, 3.0])
def test_outputs_of_any_spread_come_to_one(spread):
    torch.manual_seed(0)
    module = Standardised()
    usual = torch.randn(32)
    found = [usual + spread * torch.randn(64, 32) for _ in range(30)]
    said = [module(one) for one in found][-1]
    assert said.mean(0).abs().max() < 0.1
    assert float(said.std()) == pytest.approx(0.2, rel=0.1)
    assert sharpness(said) > 0.3
    if spread < 0.01:  # as they are, each says what all say
        assert sharpness(found[-1] - usual) < 0.001


def test_outputs_that_do_not_differ_stay_finite():
    module = Standardised()
    for _ in range(3):
        assert torch.equal(module(torch.ones(4, 8)), torch.zeros(4, 8))


def test_what_was_seen_is_part_of_the_state():
    torch.manual_seed(0)
    one, other = Standardised(), Standardised()
    for _ in range(3):
        one(torch.randn(16, 8))
    other.load_state_dict(one.state_dict())
    found = torch.randn(16, 8)
    assert torch.equal(one(found), other(found))
