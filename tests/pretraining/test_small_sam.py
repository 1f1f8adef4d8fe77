"""Images, prompts, loss, resume and export of the small SAM; the file that tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining.checkpoint import load_checkpoint, save_checkpoint
from pretraining.probe_data import Slice
from pretraining.small_sam.check import answer, embed, held_out_iou
from pretraining.small_sam.files import (
    export,
    read_sam,
    read_start,
)
from pretraining.small_sam.images import choose_regions, draw_batch
from pretraining.small_sam.loss import guide_target, iou_of, mask_losses, sam_loss
from pretraining.small_sam.network import build_sam, measures_of
from pretraining.small_sam.probe import components, score_slices
from pretraining.small_sam.prompts import Prompt, box_of, correct, first_prompt, halved, points_in
from pretraining.small_sam.settings import Measures, SmallSamConfig
from pretraining.small_sam.train import Trainer, run
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "tests" / "data" / "small_sam.safetensors"
TINY = Measures(
    image_size=64, patch=8, width=16, depth=2, heads=2, window=4, global_blocks=(1,), dim=32
)
CONFIG = SmallSamConfig(steps=4, warmup=1, images=2, regions=3, checks=1, network=TINY)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first, again = draw_batch(3, 5, 64, 2, 4), draw_batch(3, 5, 64, 2, 4)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.masks, again.masks)
    assert not torch.equal(first.images, draw_batch(3, 6, 64, 2, 4).images)


def test_images_are_padded_with_the_mean_and_regions_lie_within_them() -> None:
    padded = 0
    for step in range(6):
        batch = draw_batch(0, step, 64, 2, 4)
        assert batch.images.min() >= 0
        assert batch.images.max() <= 255
        assert batch.masks.flatten(2).any(-1).all()
        for image, masks in zip(batch.images, batch.masks, strict=True):
            empty = (image == image[:, -1:, -1:]).all(0)
            if empty[-1].all() or empty[:, -1].all():
                padded += 1
                torch.testing.assert_close(
                    image[:, -1, -1], torch.tensor([123.675, 116.28, 103.53])
                )
                rows = empty.all(1) if empty[-1].all() else empty.all(0)
                assert not masks.any(2 if empty[-1].all() else 1)[:, rows].any()
    assert padded > 2


def test_a_region_without_a_visible_border_is_left_out() -> None:
    labels = np.zeros((64, 64), dtype=np.int16)
    labels[8:40, 8:40], labels[44:60, 10:50] = 1, 2
    image = np.full((3, 64, 64), 0.2, dtype=np.float32)
    image[:, labels == 1] = 0.7
    masks = choose_regions(np.random.default_rng(0), image, labels, 8)
    assert any(np.array_equal(m, labels == 1) for m in masks)
    assert not any(np.array_equal(m, labels == 2) for m in masks)


def test_prompts_lie_where_they_should() -> None:
    rng = torch.Generator().manual_seed(0)
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 10:20, 30:50] = True
    masks[1, 40:44, 3:9] = True
    assert box_of(masks).tolist() == [[30, 10, 49, 19], [3, 40, 8, 43]]
    for k, points in enumerate(points_in(masks, 7, rng).long()):
        assert masks[k, points[:, 1], points[:, 0]].all()
    kinds = set()
    for _ in range(60):
        prompt = first_prompt(masks, rng)
        kinds.add((prompt.points is None, prompt.boxes is None, prompt.ambiguous))
        if prompt.points is not None and prompt.signs is not None:
            at = prompt.points.long()
            inside = masks[torch.arange(2)[:, None], at[..., 1], at[..., 0]]
            assert torch.equal(inside, prompt.signs > 0)
    assert len(kinds) == 4


def test_corrections_are_points_in_the_wrong_part() -> None:
    rng = torch.Generator().manual_seed(0)
    truth = torch.zeros(1, 32, 32, dtype=torch.bool)
    truth[0, 5:15, 5:15] = True
    logits = torch.full((1, 32, 32), -4.0)
    logits[0, 5:15, 10:20] = 4.0
    for _ in range(10):
        prompt = correct(Prompt(boxes=torch.zeros(1, 4)), logits, truth, rng)
        assert prompt.points is not None
        assert prompt.signs is not None
        for (x, y), sign in zip((prompt.points[0] // 2).long(), prompt.signs[0], strict=True):
            assert bool(truth[0, y, x]) == bool(sign)
            assert bool(logits[0, y, x] > 0) != bool(sign)


def test_loss_agrees_with_naive_computation() -> None:
    logits = torch.randn(2, 4, 6, 6, requires_grad=True)
    truth = torch.rand(2, 6, 6) > 0.5
    p, t = logits.sigmoid(), truth[:, None].float()
    likely = p * t + (1 - p) * (1 - t)
    focal = (0.5 * (1 - likely) ** 2 * -likely.log()).mean((2, 3))
    dice = 1 - (2 * (p * t).sum((2, 3)) + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)
    torch.testing.assert_close(mask_losses(logits, truth), 20 * focal + dice)
    iou = iou_of(logits > 0, truth[:, None])
    loss, given = sam_loss(logits, iou, truth, ambiguous=True)
    losses = mask_losses(logits, truth)
    torch.testing.assert_close(loss, (0.3 * losses[:, 0] + losses[:, 1:].amin(1)).mean())
    assert torch.equal(given, iou)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_the_guide_asks_each_token_for_its_own_patch() -> None:
    images = torch.zeros(1, 3, 32, 32)
    images[0, 0, 8:16, 16:24] = 3.0
    target = guide_target(images)
    assert target.shape == (1, 28, 4, 4)
    assert target.abs().sum(1).nonzero().tolist() == [[0, 1, 2]]
    assert target[0, :, 1, 2].tolist() == [3.0] * 4 + [0.0] * 8 + [1.0] * 16


def test_training_lowers_the_loss() -> None:
    faster = {"steps": 1000, "learning_rate": 5e-3, "images": 1}
    trainer = Trainer(SmallSamConfig.from_dict({**CONFIG.to_dict(), **faster}))
    batch = trainer.batch()
    losses = [trainer.update(batch)["loss"] for _ in range(20)]
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:3])


def test_a_resumed_run_equals_one_in_a_single_piece(tmp_path: Path) -> None:
    whole = Trainer(CONFIG)
    run(whole, tmp_path, minutes=9, every=9, share=tmp_path / "shared.safetensors")
    assert whole.step == 4
    assert (tmp_path / "shared.safetensors").exists()

    first = Trainer(CONFIG)
    for _ in range(2):
        first.update(first.batch())
    save_checkpoint(tmp_path / "part.pt", first.state(), CONFIG)
    state, config = load_checkpoint(tmp_path / "part.pt", SmallSamConfig)
    assert config == CONFIG
    second = Trainer(config)
    second.resume(state)
    for _ in range(2):
        second.update(second.batch())
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name


@pytest.mark.parametrize("measures", [TINY, Measures(), Measures(window=0, global_blocks=())])
def test_measures_are_read_off_the_tensors(measures: Measures) -> None:
    assert measures_of(build_sam(measures).state_dict()) == measures


def test_an_exported_file_is_the_averaged_network(tmp_path: Path) -> None:
    trainer = Trainer(CONFIG)
    trainer.update(trainer.batch())
    path = tmp_path / "sam.safetensors"
    export(trainer.state(), CONFIG, path)
    sam = read_sam(path)
    for name, value in sam.state_dict().items():
        torch.testing.assert_close(value, trainer.average[name], rtol=1e-3, atol=1e-4)
    later = Trainer(CONFIG)
    later.resume(read_start(path))
    later.update(later.batch())
    assert set(held_out_iou(sam, 0, 1, 2)) == {"point", "point_best", "points", "box"}


def test_the_probe_prompts_each_component() -> None:
    labels = np.zeros((48, 60), dtype=np.int64)
    labels[5:15, 5:15], labels[20:40, 30:50], labels[1:3, 50:53] = 2, 2, 3
    assert [int(m.sum()) for m in components(labels)] == [100, 400]
    image = (labels > 0).astype(np.float32)
    scores = score_slices(build_sam(TINY).eval(), [Slice(image, labels)])
    assert scores["components"] == 2
    assert 0 <= scores["box: iou"] <= scores["box: dice"] <= 1


@pytest.mark.skipif(not WEIGHTS.exists(), reason="the weights are not in this checkout")
def test_the_kept_weights_segment_what_is_prompted() -> None:
    assert WEIGHTS.stat().st_size < 3_000_000
    with safe_open(WEIGHTS, "pt") as file:
        assert {"seed", "steps", "licence", "data"} <= set(file.metadata())
        assert all(file.get_tensor(name).dtype == torch.float16 for name in file.keys())  # noqa: SIM118
    sam = read_sam(WEIGHTS)
    side = sam.image_encoder.img_size
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    disk = (torch.hypot(y - 70.0, x - 50.0) < 22)[None]
    image = (90 + 80 * disk.float()).expand(1, 3, -1, -1) + 6 * torch.randn(1, 1, side, side)
    with torch.inference_mode():
        logits, predicted = answer(sam, embed(sam, image), Prompt(boxes=box_of(disk)))
    assert iou_of(logits[:, 0] > 0, halved(disk)).item() > 0.8
    assert predicted[0, 0] > 0.5
