"""The fast evaluation of pairs against a loop over pixels and references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.contrastive_network import PairNetwork
from napari_fewshot.config import ContrastiveConfig

LABELS, COUNT, TARGETS, INPUTS = 3, 5, 7, 6


def network(head, scale=1.0):
    torch.manual_seed(0)
    made = PairNetwork(INPUTS, LABELS, ContrastiveConfig(head=head, hidden=9, width=4))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, scale)
    return made.eval()


@pytest.fixture(autouse=True)
def _own_random_state():
    with torch.random.fork_rng(devices=[]):
        yield


def vectors():
    generator = torch.Generator().manual_seed(1)
    targets = torch.randn(TARGETS, INPUTS, generator=generator)
    return targets, torch.randn(LABELS, COUNT, INPUTS, generator=generator)


def array(tensor):
    return tensor.detach().double().numpy()


def shared(net, x):
    """The branch, layer by layer: linear, ReLU, linear, ReLU."""
    for layer in (m for m in net.branch if isinstance(m, torch.nn.Linear)):
        x = np.maximum(0, array(layer.weight) @ x + array(layer.bias))
    return x


def naive_pair(net, x, y, label):
    """(p(label), p(0)) of one pair of vectors, the reference being of the label."""
    t, r = shared(net, x), shared(net, y)
    if net.bilinear:
        u, v = array(net.target.weight)[label], array(net.reference.weight)[label]
        g = u @ t + array(net.target.bias)[label] + v @ r + t @ array(net.product) @ r
        p = 1 / (1 + np.exp(-g))
        return p, 1 - p
    joined = np.concatenate([t, r])
    weight = np.concatenate([array(net.target.weight), array(net.reference.weight)], axis=1)
    g = weight @ joined + array(net.target.bias)
    p = np.exp(g - g.max()) / np.exp(g - g.max()).sum()
    return p[label + 1], p[0]


def naive_probabilities(net, labels=range(LABELS)):
    targets, references = (array(v) for v in vectors())
    result = np.zeros((2, TARGETS, len(labels)))
    for n in range(TARGETS):
        for row, label in enumerate(labels):
            pairs = [naive_pair(net, targets[n], references[row, k], label) for k in range(COUNT)]
            result[:, n, row] = np.mean(pairs, axis=0)
    return result


@pytest.mark.parametrize("head", ["concat", "bilinear"])
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_probabilities_averaged_over_references(head, scale):
    net = network(head, scale)
    targets, references = vectors()
    with torch.inference_mode():
        found = net.class_probabilities(net.shared(targets), net.references(references))
    np.testing.assert_allclose(
        np.stack([array(f) for f in found]), naive_probabilities(net), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_some_labels_only(head):
    net = network(head, 0.5)
    targets, references = vectors()
    chosen = torch.tensor([2, 0])
    with torch.inference_mode():
        prepared = net.references(references[:2], chosen)
        found = net.class_probabilities(net.shared(targets), prepared)
    expected = naive_probabilities(net, [2, 0])
    np.testing.assert_allclose(np.stack([array(f) for f in found]), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_pair_logits_are_log_odds(head):
    net = network(head, 0.5)
    targets, references = vectors()
    with torch.inference_mode():
        logits = array(net.pair_logits(net.shared(targets), net.references(references)))
    for n, label, k in np.ndindex(TARGETS, LABELS, COUNT):
        same, zero = naive_pair(net, array(targets)[n], array(references)[label, k], label)
        assert logits[n, label, k] == pytest.approx(np.log(same / zero), abs=1e-4)


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_a_pixel_takes_the_label_that_beats_class_zero_most(head):
    net = network(head, 0.5)
    targets, references = vectors()
    with torch.inference_mode():
        net.calibration.zero_()
        logits = array(net.class_logits(net.shared(targets), net.references(references)))
        net.calibration += torch.tensor([0.0, 2.0, 0.0])
        shifted = array(net.class_logits(net.shared(targets), net.references(references)))
    same, zero = naive_probabilities(net)
    np.testing.assert_allclose(logits[:, 1:], np.log(same / zero), atol=1e-3)
    assert (logits[:, 0] == 0).all()
    np.testing.assert_allclose(shifted - logits, np.broadcast_to([0, 0, 2, 0], (7, 4)), atol=1e-5)


def test_extreme_outputs_stay_finite():
    net = network("concat", 30.0)
    targets, references = vectors()
    with torch.inference_mode():
        logits = net.class_logits(net.shared(targets), net.references(references))
    assert torch.isfinite(logits).all()
