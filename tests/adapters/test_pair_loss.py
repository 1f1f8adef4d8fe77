"""The loss over pairs against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.contrastive_network import (
    PairNetwork,
    PairTargets,
    pair_loss,
    similarity_loss,
)
from napari_fewshot.config import ContrastiveConfig

LABELS, COUNT, INPUTS = 3, 4, 5
# Background that may be label 2 (nobody looked for it), plain background, labels 1, 3, 3.
POSSIBLE = np.array(
    [[1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]], dtype=bool
)


def case(head="bilinear", labels=(0, 1, 2), **weights):
    settings = {"pair_loss": 1.0, "pixel_loss": 0.0} | weights
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


def naive_similarity(outputs, references, kind, temperature):
    """Both directions, one row at a time: cross-entropy to the even share of its positives."""
    n, rows, count = len(outputs), *references.shape[:2]
    cosine = np.zeros((n, rows * count))
    for a, row, k in np.ndindex(n, rows, count):
        left, right = outputs[a], references[row, k]
        cosine[a, row * count + k] = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    kind = np.repeat(kind, count, axis=1)
    directions = []
    for scores, kinds_of in ((cosine, kind), (cosine.T, kind.T)):
        each = []
        for line, signs in zip(scores / temperature, kinds_of, strict=True):
            if (signs == 1).any():
                total = np.log(np.exp(line[signs != 0]).sum())
                each.append(np.mean([total - line[j] for j in np.flatnonzero(signs == 1)]))
        directions.append(np.mean(each))
    return np.mean(directions)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("labels", [(0, 1, 2), (2, 0)])
def test_similarity_loss_against_loops(labels, temperature):
    generator = torch.Generator().manual_seed(2)
    outputs = torch.randn(5, 6, generator=generator)
    references = torch.randn(len(labels), COUNT, 6, generator=generator)
    known = PairTargets(torch.from_numpy(POSSIBLE), torch.tensor(labels))
    found = similarity_loss(outputs, references, known, temperature)
    naive = naive_similarity(outputs.numpy(), references.numpy(), kinds(labels), temperature)
    assert float(found) == pytest.approx(naive, rel=1e-4)


def test_similarity_loss_pulls_one_region_together_and_pushes_others_away():
    outputs = torch.eye(4)[[0, 1, 2, 3, 3]].requires_grad_()
    references = torch.ones(1, 1, 4)  # alike to all
    known = PairTargets(torch.from_numpy(POSSIBLE), torch.tensor([0]))
    similarity_loss(outputs, references, known, 0.1).backward()
    along = (outputs.grad * references[0]).sum(1)  # against the gradient is where it goes
    assert float(along[2]) < -1e-3  # of the label of the reference
    assert (along[[0, 1, 3, 4]] > 1e-3).all()  # of none, and of another label


def test_batches_without_positive_pairs_have_no_similarity_loss():
    known = PairTargets(torch.from_numpy(POSSIBLE[:2]), torch.tensor([0]))
    assert float(similarity_loss(torch.randn(2, 6), torch.randn(1, 4, 6), known, 0.07)) == 0


def test_terms_add_up_with_their_weights():
    values = {}
    for name, settings in {
        "pair": {},
        "twice": {"pair_loss": 2.0},
        "both": {"loss": "both", "similarity_loss": 0.5, "temperature": 0.2},
        "similarity": {"loss": "similarity", "similarity_loss": 0.5, "temperature": 0.2},
    }.items():
        net, targets, references, known, config = case(**settings)
        values[name] = float(pair_loss(net, targets, references, known, config).detach())
        outputs, others = net.shared(targets), net.shared(references)
        term = float(similarity_loss(outputs, others, known, 0.2).detach())
    assert values["twice"] == pytest.approx(2 * values["pair"], rel=1e-5)
    assert values["both"] == pytest.approx(values["pair"] + 0.5 * term, rel=1e-4)
    assert values["similarity"] == pytest.approx(values["both"], rel=1e-6)


@pytest.mark.parametrize("head", ["concat", "bilinear"])
def test_with_similarity_alone_the_head_does_not_teach_the_shared_network(head):
    """Its gradient is that of the similarity alone; the head gets the one it always has."""
    gradients = {}
    for name, weight in {"pair": 1.0, "similarity": 1.0, "heavy": 9.0}.items():
        loss = "pair" if name == "pair" else "similarity"
        net, targets, references, known, config = case(head, loss=loss, pair_loss=weight)
        pair_loss(net, targets, references, known, config).backward()
        gradients[name] = {key: value.grad for key, value in net.named_parameters()}
    branch = [name for name in gradients["pair"] if name.startswith("branch.")]
    for name in branch:
        assert torch.equal(gradients["heavy"][name], gradients["similarity"][name])
        assert not torch.equal(gradients["pair"][name], gradients["similarity"][name])
    for name in {"target.weight", "reference.weight", "product"} & set(gradients["pair"]):
        torch.testing.assert_close(gradients["similarity"][name], gradients["pair"][name])
    assert float(gradients["similarity"]["temperature"].abs()) > 0


@pytest.mark.parametrize("head", ["concat", "bilinear"])
@pytest.mark.parametrize("loss", ["pair", "similarity"])
def test_negative_pairs_too_near_to_the_label_do_not_count(head, loss):
    net, targets, references, known, config = case(head, (0,), loss=loss)
    targets.requires_grad_()
    far = torch.ones(len(POSSIBLE), 1, dtype=torch.bool)
    far[1] = False  # plain background, too close to the label
    far[2] = False  # a positive pair counts, however close
    known = PairTargets(known.possible, known.labels, far)
    pair_loss(net, targets, references, known, config).backward()
    assert float(targets.grad[1].abs().max()) == 0
    assert float(targets.grad[3].abs().max()) > 0
    if loss == "pair":
        assert float(targets.grad[2].abs().max()) > 0
