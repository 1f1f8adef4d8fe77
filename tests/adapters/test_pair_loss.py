"""The loss over pairs against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.contrastive_network import (
    PairNetwork,
    PairTargets,
    near_pairs,
    pair_loss,
    similarity_term,
)
from napari_fewshot.config import ContrastiveConfig

LABELS, COUNT, INPUTS = 3, 4, 5
# Background that may be label 2 (nobody looked for it), plain background, labels 1, 3, 3.
POSSIBLE = np.array(
    [[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], dtype=bool
)


def case(head="bilinear", labels=(0, 1, 2), **weights):
    settings = {"pair_loss": 1.0, "pixel_loss": 0.0, "similarity_loss": 0.0} | weights
    config = ContrastiveConfig(head=head, hidden=8, width=6, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = PairNetwork(INPUTS, LABELS, config)
        with torch.no_grad():
            net.calibration.normal_()
        targets = torch.randn(len(POSSIBLE), INPUTS)
        references = torch.randn(len(labels), COUNT, INPUTS)
    known = PairTargets(torch.from_numpy(POSSIBLE), torch.tensor(labels))
    return net, targets, references, known, config


def kinds(labels):
    """+1 positive, -1 negative, 0 unknown, for every target and row of references."""
    result = np.zeros((len(POSSIBLE), len(labels)), int)
    for n, may in enumerate(POSSIBLE):
        for row, label in enumerate(labels):
            if not may[label + 1]:
                result[n, row] = -1
            elif may.sum() == 1:
                result[n, row] = 1
    return result


def test_kinds_of_pairs():
    known = case()[3]
    found = known.positive.int() - known.negative.int()
    np.testing.assert_array_equal(found.numpy(), kinds((0, 1, 2)))
    assert found[0].tolist() == [-1, 0, -1]


def naive_pairs(net, targets, references, labels):
    """Cross-entropy of every pair, with logits of the joined outputs one pair at a time."""
    with torch.inference_mode():
        left, right = net.shared(targets).double(), net.shared(references).double()
        net = net.double()
        each = np.zeros((len(targets), len(labels), COUNT))
        for n, row, k in np.ndindex(*each.shape):
            t, r, label = left[n], right[row, k], labels[row]
            positive = kinds(labels)[n, row] == 1
            if net.bilinear:
                g = net.target.weight[label] @ t + net.target.bias[label]
                g = float(g + net.reference.weight[label] @ r + t @ net.product @ r)
                each[n, row, k] = np.log1p(np.exp(-g if positive else g))
            else:
                g = (net.target(t) + net.reference(r)).numpy()
                wanted = label + 1 if positive else 0
                each[n, row, k] = np.log(np.exp(g).sum()) - g[wanted]
    return each


@pytest.mark.parametrize("head", ["concat", "bilinear"])
@pytest.mark.parametrize("labels", [(0, 1, 2), (2, 0)])
def test_cross_entropy_of_pairs(head, labels):
    net, targets, references, known, config = case(head, labels)
    found = float(pair_loss(net, targets, references, known, config).detach())
    each, kind = naive_pairs(net, targets, references, labels), kinds(labels)
    rows = []
    for row in range(len(labels)):
        parts = []
        for sign in (1, -1):
            members = each[kind[:, row] == sign, row]
            parts.append(members.mean() if len(members) else 0.0)
        rows.append(sum(parts) / 2)
    assert found == pytest.approx(np.mean(rows), rel=1e-4)


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_unknown_pairs_do_not_count(head):
    """Only the row of the label that nobody looked for: that target gets no gradient."""
    net, targets, references, known, config = case(head, (1,))
    targets.requires_grad_()
    pair_loss(net, targets, references, known, config).backward()
    assert float(targets.grad[0].abs().max()) == 0
    assert float(targets.grad[1].abs().max()) > 0


@pytest.mark.parametrize("head", ["concat", "bilinear"])
@pytest.mark.parametrize("labels", [(0, 1, 2), (2, 0)])
def test_loss_of_pixels_is_that_of_a_prediction(head, labels):
    net, targets, references, known, config = case(
        head, labels, pixel_loss=1.0, background_pull=0.0
    )
    plain = case(head, labels)[4]
    difference = pair_loss(net, targets, references, known, config) - pair_loss(
        net, targets, references, known, plain
    )
    with torch.inference_mode():
        outputs = net.shared(targets)
        logits = net.class_logits(outputs, net.references(references, known.labels)).numpy()
    columns = [0, *(label + 1 for label in labels)]
    naive = [
        np.log(np.exp(row).sum()) - np.log(np.exp(row[may[columns]]).sum())
        for row, may in zip(logits.astype(float), POSSIBLE, strict=True)
        if may[columns].any()
    ]
    assert float(difference.detach()) == pytest.approx(np.mean(naive), rel=1e-3)


def test_similarity_term_against_loops():
    generator = torch.Generator().manual_seed(2)
    outputs = torch.randn(5, 6, generator=generator)
    references = torch.randn(3, COUNT, 6, generator=generator)
    kind = kinds((0, 1, 2))
    pull, push = [], []
    for n, row, k in np.ndindex(5, 3, COUNT):
        a, b = outputs[n].numpy(), references[row, k].numpy()
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        if kind[n, row] == 1:
            pull.append(1 - cosine)
        elif kind[n, row] == -1:
            push.append(max(0, cosine))
    found = similarity_term(
        outputs,
        references,
        torch.from_numpy(kind == 1)[..., None],
        torch.from_numpy(kind == -1)[..., None],
    )
    assert float(found) == pytest.approx(np.mean(pull) + np.mean(push), rel=1e-5)


def test_terms_add_up_with_their_weights():
    values = {}
    for name, weights in {
        "pair": {},
        "twice": {"pair_loss": 2.0},
        "both": {"similarity_loss": 0.5},
    }.items():
        net, targets, references, known, config = case(**weights)
        values[name] = float(pair_loss(net, targets, references, known, config).detach())
        outputs, others = net.shared(targets), net.shared(references)
        term = similarity_term(
            outputs, others, known.positive[..., None], known.negative[..., None]
        )
    assert values["twice"] == pytest.approx(2 * values["pair"], rel=1e-5)
    assert values["both"] == pytest.approx(values["pair"] + 0.5 * float(term.detach()), rel=1e-4)


def places():
    targets = torch.tensor([[0, 0, 0], [0, 9, 9], [1, 0, 0], [1, 3, 4], [0, 0, 30]]).float()
    return targets, torch.tensor([[0, 3, 4], [1, 0, 1], [1, 9, 9]]).float().repeat(1, 4, 1)


@pytest.mark.parametrize("distance", [2.0, 5.0, 10.0])
def test_near_pairs_lie_close_in_one_slice(distance):
    targets, references = places()
    found = near_pairs(targets, references, distance)
    for n, r, k in np.ndindex(*found.shape):
        a, b = targets[n].numpy(), references[r, k].numpy()
        close = np.hypot(*(a[1:] - b[1:])) < distance
        assert bool(found[n, r, k]) == bool(a[0] == b[0] and close)


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_near_negative_pairs_do_not_count(head):
    net, targets, references, known, config = case(head, (0,))
    targets.requires_grad_()
    near = torch.zeros(len(POSSIBLE), 1, COUNT, dtype=torch.bool)
    near[1] = True  # plain background, too close to every reference
    near[2] = True  # a positive pair counts, however close
    pair_loss(
        net, targets, references, PairTargets(known.possible, known.labels, near), config
    ).backward()
    assert float(targets.grad[1].abs().max()) == 0
    assert float(targets.grad[2].abs().max()) > 0
    assert float(targets.grad[3].abs().max()) > 0
