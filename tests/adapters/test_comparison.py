"""The folded comparison against the softmax of the logits that training sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.adapters import comparison
from napari_fewshot.adapters.comparison import Comparison
from napari_fewshot.adapters.contrastive_network import PairNetwork
from napari_fewshot.config import ContrastiveConfig


@pytest.mark.parametrize("head", ["concat", "bilinear"])
@pytest.mark.parametrize("labels", [1, 4])
@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_is_the_softmax_of_the_class_logits(head, labels, scale, monkeypatch):
    monkeypatch.setattr(comparison, "_PAIRS_AT_ONCE", 1)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        net = PairNetwork(6, labels, ContrastiveConfig(head=head, hidden=9, width=5)).eval()
    with torch.inference_mode():
        for parameter in net.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
        if labels > 1:
            net.calibration[2] = -100.0  # a label of which nothing was painted
        targets = net.shared(torch.randn(700, 6, generator=generator))
        references = torch.randn(labels, 7, 6, generator=generator)
        expected = net.class_logits(targets, net.references(references)).softmax(1)
        found = Comparison(net, references)(targets)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_extreme_outputs_stay_finite(head):
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        net = PairNetwork(6, 2, ContrastiveConfig(head=head, hidden=9, width=5)).eval()
    with torch.inference_mode():
        for parameter in net.parameters():
            parameter.copy_(100 * torch.randn(parameter.shape, generator=generator))
        compare = Comparison(net, torch.randn(2, 7, 6, generator=generator))
        found = compare(net.shared(torch.randn(700, 6, generator=generator)))
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
