"""Tuning of the mask decoder: losses, what changes in the file, and whether prompts profit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from napari_fewshot import Template, evaluate_labels, load_sam, sam_automatic, sam_boxes, sam_points
from napari_fewshot.config import TuneConfig
from napari_fewshot.errors import Cancelled, InputError, UnknownNameError
from napari_fewshot.phantoms import make_phantom, painted_labels
from napari_fewshot.sam import tune_sam
from napari_fewshot.sam.prompts import training_prompts
from napari_fewshot.sam.tuning import mask_loss, prompt_loss
from napari_fewshot.types import Volume

QUICK = {"steps": 3}


@pytest.fixture(scope="module")
def scene():
    """Four painted slices of noise, in which label 3 has two parts."""
    image = np.random.default_rng(0).random((4, 40, 56)).astype(np.float32)
    labels = np.zeros(image.shape, np.int16)
    labels[:, 5:20, 8:30] = 2
    labels[:, 25:35, 5:15] = 3
    labels[:, 26:30, 40:50] = 3
    return Volume(image, (2, 1, 1)), labels


def naive(logits, mask, weight, focal):
    """Dice and focal loss of one mask, place by place."""
    both = sizes = entropy = 0.0
    for x, m, w in zip(logits, mask, weight, strict=True):
        p = 1 / (1 + np.exp(-x))
        both += w * p * m
        sizes += w * (p + m)
        balance = 0.25 * m + 0.75 * (1 - m)
        cross = -(m * np.log(p) + (1 - m) * np.log(1 - p))
        entropy += w * balance * abs(p - m) ** 2 * cross
    return 1 - (2 * both + 1) / (sizes + 1) + focal * entropy / sum(weight)


def test_the_loss_of_a_mask_is_dice_and_focal_loss():
    rng = np.random.default_rng(1)
    logits, masks, weight = rng.normal(size=(2, 3, 20)), rng.random((2, 1, 20)), rng.random(20)
    found = mask_loss(*(torch.from_numpy(a) for a in (logits, masks, weight)), 5.0)
    for b, m in np.ndindex(2, 3):
        expected = naive(logits[b, m], masks[b, 0], weight, 5.0)
        assert float(found[b, m]) == pytest.approx(expected, rel=1e-6)


def test_only_the_best_of_three_masks_is_learned_from():
    """Beside the single mask; and what is predicted is compared with the IoU that it has."""
    inside = torch.zeros(1, 4, 5)
    inside[0, 1:3, 1:4] = 1  # 6 cells
    low = torch.full((1, 4, 4, 5), -4.0)
    low[0, 2, 1:3, 1:4] = 4.0  # the second of three is right
    low[0, 0, 1:3, 1:3] = 4.0  # the single one has 4 of 6
    low.requires_grad_(True)
    predicted = torch.tensor([[0.5, 0.0, 1.0, 0.0]], requires_grad=True)
    loss = prompt_loss(low, predicted, inside, torch.ones(4, 5), 2.0)
    every = mask_loss(low.flatten(2), inside.flatten(1)[:, None], None, 2.0)[0]
    assert loss.item() == pytest.approx(
        (every[0] + every[2]).item() + (2 / 3 - 0.5) ** 2 / 4, abs=1e-6
    )
    loss.sum().backward()
    assert [bool(part.any()) for part in low.grad[0]] == [True, False, True, False]


def test_cells_that_do_not_count_change_nothing():
    rng = np.random.default_rng(2)
    low, inside = torch.from_numpy(rng.normal(size=(1, 1, 4, 4))), torch.zeros(1, 4, 4)
    known = torch.ones(4, 4)
    known[3] = 0
    iou = torch.zeros(1, 1)
    other = low.clone()
    other[:, :, 3] = 9.0
    one, same = (prompt_loss(x, iou, inside, known, 1.0) for x in (low, other))
    assert float(one) == pytest.approx(float(same))


@pytest.mark.parametrize("kind", ["boxes", "points", "both"])
def test_prompts_are_drawn_in_and_round_regions(kind):
    regions = [np.zeros((30, 40), bool) for _ in range(2)]
    regions[0][3:13, 5:25] = True
    regions[1][20, 39] = True  # one pixel, at the edge
    config, rng = TuneConfig(prompts=kind, points=5, jitter=0.2), np.random.default_rng(0)
    counts, edges = set(), []
    for _ in range(40):
        drawn = training_prompts(regions, config, rng)
        assert len(drawn) == 2
        if drawn.boxes is not None:
            assert (drawn.boxes[:, :2] <= drawn.boxes[:, 2:]).all()
            assert (drawn.boxes >= 0).all()
            assert (drawn.boxes <= [29, 39, 29, 39]).all()
            edges.append(drawn.boxes[0])
        else:
            counts.add(drawn.points.shape[1])
            for region, points in zip(regions, drawn.points.astype(int), strict=True):
                assert region[tuple(points.T)].all()
    assert bool(edges) == (kind != "points")
    assert counts == (set() if kind == "boxes" else {1, 2, 3, 4, 5})
    if edges:
        np.testing.assert_allclose(np.mean(edges, axis=0), [3, 5, 12, 24], atol=2.5)
        assert np.std(edges, axis=0)[1] > np.std(edges, axis=0)[0] > 0.5  # wider, more off


def test_the_file_has_the_encoders_as_they_were_and_is_used_like_any(sam, scene, tmp_path):
    volume, labels = scene
    told = []
    weights = {name: tensor.clone() for name, tensor in sam.checkpoint.state.items()}
    tuned = tune_sam(
        Template(volume, labels), sam=sam, config=QUICK, progress=lambda *t: told.append(t)
    )
    assert (tuned.slices, tuned.held_out) == (3, 1)
    assert set(tuned.before) == set(tuned.after) == {"boxes", "points"}
    assert [t[0] for t in told if t[2] == "templates"] == [1, 2, 3, 4]
    assert [t for t in told if t[2] == "tuning"] == [(k, 3, "tuning") for k in (1, 2, 3)]
    for name in ("tuned.pth", "tuned.safetensors"):
        tuned.save(tmp_path / name)
        read = load_sam("sam-vit-b", weights=tmp_path / name)
        state = read.checkpoint.state
        assert sorted(state) == sorted(weights)
        changed = {key for key, tensor in state.items() if not torch.equal(tensor, weights[key])}
        assert changed
        assert all(key.startswith("mask_decoder.") for key in changed)
        assert any("iou_prediction_head" in key for key in changed)
        assert read.checkpoint.digest() == sam.checkpoint.digest()  # stored embeddings serve it
        found, same = (
            sam_points(volume, labels, sam=one, slices=[1]).confidence for one in (read, tuned.sam)
        )
        np.testing.assert_allclose(found, same, atol=1e-4)
    for key, tensor in sam.checkpoint.state.items():
        assert torch.equal(tensor, weights[key])  # what was given is as it was
    with pytest.raises(InputError, match=r"end in .pth, .pt, .safetensors; got .*tuned.onnx"):
        tuned.save(tmp_path / "tuned.onnx")


def test_segment_anything_reads_the_file(tmp_path, monkeypatch, scene):
    """A small SAM of the official builder: input of 1024, embeddings of 256 channels."""
    from segment_anything import sam_model_registry
    from segment_anything.build_sam import _build_sam

    monkeypatch.setitem(sam_model_registry, "vit_small", partial(_build_sam, 32, 1, 2, []))
    torch.manual_seed(0)
    torch.save(sam_model_registry["vit_small"](checkpoint=None).state_dict(), tmp_path / "sam.pth")
    volume, labels = scene
    template = Template(Volume(volume.data[0], (1, 1)), labels[0])
    sam = load_sam("sam-vit-b", weights=tmp_path / "sam.pth")
    config = {**QUICK, "steps": 1}
    tuned = tune_sam(template, sam=sam, config=config)
    assert (tuned.held_out, tuned.before) == (0, {})
    tuned.save(tmp_path / "tuned.pth")
    read = sam_model_registry["vit_small"](checkpoint=str(tmp_path / "tuned.pth")).state_dict()
    mine = tuned.sam.checkpoint.state
    assert set(read) == set(mine)
    assert all(torch.equal(read[name], mine[name]) for name in read)
    assert not torch.equal(
        read["mask_decoder.mask_tokens.weight"],
        sam.checkpoint.state["mask_decoder.mask_tokens.weight"],
    )


def test_the_same_seed_gives_the_same_decoder(sam, scene):
    template = Template(*scene, slices=[0, 1])
    one, same, other = (
        tune_sam(template, sam=sam, config={**QUICK, "seed": seed}).sam.checkpoint
        for seed in (1, 1, 2)
    )
    name = "mask_decoder.mask_tokens.weight"
    torch.testing.assert_close(one.state[name], same.state[name])
    assert not torch.allclose(one.state[name], other.state[name], atol=1e-7)


def test_medsam_is_tuned_with_its_one_mask_and_then_knows_points(tiny_sam, scene):
    medsam = load_sam("medsam", weights=tiny_sam)
    tuned = tune_sam(Template(*scene), sam=medsam, config=QUICK)
    before, after = (one.checkpoint.state for one in (medsam, tuned.sam))
    for number in range(4):
        name = f"mask_decoder.output_hypernetworks_mlps.{number}.layers.0.weight"
        assert torch.equal(before[name], after[name]) == (number > 0)
    assert set(np.unique(sam_points(*scene, sam=tuned.sam, slices=[0]).labels)) <= {0, 2, 3}
    settings = {"points_per_side": 4, "stability": 0, "max_area": None}
    found = sam_automatic(scene[0], sam=tuned.sam, config=settings, slices=[0])
    assert all(one.iou == one.stability for one in found.instances)


def test_cancel_leaves_the_sam_as_it_was(sam, scene):
    before = sam.checkpoint.state["mask_decoder.mask_tokens.weight"].clone()

    def stop(done, total, what):
        if what == "tuning" and done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        tune_sam(Template(*scene), sam=sam, config=QUICK, progress=stop)
    assert torch.equal(sam.checkpoint.state["mask_decoder.mask_tokens.weight"], before)
    assert not any(p.requires_grad for p in sam.predictor.decoder.parameters())


def test_what_cannot_be_learned_from_is_refused(sam, scene):
    volume, labels = scene
    with pytest.raises(InputError, match=r"templates must be .* whole regions; got scribbles"):
        tune_sam(Template(volume, labels, kind="scribble"), sam=sam)
    with pytest.raises(InputError, match="have at least one painted label"):
        tune_sam(Template(volume, 0 * labels, slices=[0]), sam=sam)
    with pytest.raises(InputError, match="min_area must be at most the size of some painted part"):
        tune_sam(Template(volume, labels), sam=sam, config={**QUICK, "min_area": 10_000})
    with pytest.raises(UnknownNameError, match="epochs"):
        tune_sam(Template(volume, labels), sam=sam, config={"epochs": 3})


@pytest.mark.parametrize(
    ("kind", "prompt", "more"), [("torso", sam_boxes, 0.02), ("joint", sam_points, 0.05)]
)
def test_prompts_find_more_on_slices_that_were_not_painted(trained, kind, prompt, more):
    phantom = make_phantom(kind, 0, (9, 64, 80))
    painted, truth = (1, 3, 5, 7), phantom.labels.data
    template = Template(phantom.image, painted_labels(phantom, painted), axis=0)
    tuned = tune_sam(template, sam=trained, config={"steps": 120, "hold_out": False})
    before, after = (
        evaluate_labels(
            prompt(phantom.image, truth, sam=one, axis=0).labels,
            truth,
            phantom.image.spacing,
            exclude=(0, list(painted)),
        ).mean.dice
        for one in (trained, tuned.sam)
    )
    assert after > before + more
