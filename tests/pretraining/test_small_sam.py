"""Images, prompts, loss, resume and export of the small SAM; the file that tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining.checkpoint import load_checkpoint, save_checkpoint
from pretraining.probe_data import Slice
from pretraining.small_sam.check import answer, embed, held_out_iou
from pretraining.small_sam.files import export, read_sam
from pretraining.small_sam.loss import iou_of, mask_losses, nearby, sam_loss
from pretraining.small_sam.network import build_sam, measures_of
from pretraining.small_sam.pool import Pool, draw_pool, read_pool
from pretraining.small_sam.probe import components, score_slices
from pretraining.small_sam.prompts import Prompt, box_of, draw_prompt, halved, points_in
from pretraining.small_sam.regions import choose_regions
from pretraining.small_sam.settings import Measures, SmallSamConfig
from pretraining.small_sam.teacher import patch_target
from pretraining.small_sam.train import make_pool, run
from pretraining.small_sam.trainer import Trainer
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "tests" / "data" / "small_sam.safetensors"
TINY = Measures(
    image_size=64, patch=8, width=16, depth=2, heads=2, window=4, global_blocks=(1,), dim=32
)
CONFIG = SmallSamConfig(
    pool=4,
    pool_regions=4,
    encoder_steps=1,
    decoder_steps=1,
    joint_steps=2,
    warmup=1,
    encoder_images=2,
    images=2,
    regions=3,
    checks=2,
    network=TINY,
)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return draw_pool(0, 0, 8, 64, 4)


def test_a_pool_depends_on_its_arguments_alone_and_a_batch_on_the_step(
    pool: Pool, tmp_path: Path
) -> None:
    again = draw_pool(0, 2, 2, 64, 4)
    np.testing.assert_array_equal(again.images, pool.images[2:4])
    np.testing.assert_array_equal(again.masks, pool.masks[2:4])
    again.save(tmp_path / "pool.npz")
    kept = make_pool(CONFIG, tmp_path / "pool.npz")
    np.testing.assert_array_equal(kept.masks, again.masks)
    np.testing.assert_array_equal(read_pool(tmp_path / "pool.npz").images, again.images)
    trainer = Trainer(CONFIG, pool)
    first = trainer.batch()
    assert torch.equal(first.images, trainer.batch().images)
    trainer.step = 1
    assert not torch.equal(first.images, trainer.batch().images)


def test_images_are_padded_with_the_mean_and_regions_lie_within_them(pool: Pool) -> None:
    padded = 0
    for k in range(8):
        batch = pool.at(k)
        image, masks = batch.images[0], batch.masks[0]
        assert masks.flatten(1).any(-1).all()
        empty = (image == image[:, -1:, -1:]).all(0)
        if empty[-1].all() or empty[:, -1].all():
            padded += 1
            assert image[:, -1, -1].tolist() == [124, 116, 104]
            rows = empty.all(1) if empty[-1].all() else empty.all(0)
            assert not masks.any(2 if empty[-1].all() else 1)[:, rows].any()
    assert padded > 1


def test_turned_regions_stay_on_their_image() -> None:
    image = np.zeros((1, 3, 16, 16), dtype=np.uint8)
    image[:, :, 2:5, 7:13] = 200
    masks = np.packbits(image[:, :1] > 100, axis=-1).reshape(1, 1, 16, 2)
    seen = set()
    for k in range(20):
        batch = Pool(image, masks).batch(np.random.default_rng(k), 1, 1)
        assert torch.equal(batch.images[0, 0] > 100, batch.masks[0, 0])
        seen.add(tuple(box_of(batch.masks[0])[0].tolist()))
    assert len(seen) > 3


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
        prompt = draw_prompt(masks, rng)
        kinds.add((prompt.points is None, prompt.boxes is None, prompt.ambiguous))
        if prompt.points is not None and prompt.signs is not None:
            at = prompt.points.long()
            inside = masks[torch.arange(2)[:, None], at[..., 1], at[..., 0]]
            assert torch.equal(inside, prompt.signs > 0)
    assert len(kinds) == 4


def test_loss_agrees_with_naive_computation() -> None:
    logits = torch.randn(2, 4, 6, 6, requires_grad=True)
    truth = torch.rand(2, 6, 6) > 0.5
    p, t = logits.sigmoid(), truth[:, None].float()
    entropy = -(t * p.log() + (1 - t) * (1 - p).log())
    entropy = (entropy * nearby(truth)[:, None]).sum((2, 3))
    dice = 1 - (2 * (p * t).sum((2, 3)) + 1) / (p.sum((2, 3)) + t.sum((2, 3)) + 1)
    torch.testing.assert_close(mask_losses(logits, truth), entropy + dice)
    iou = iou_of(logits > 0, truth[:, None])
    loss, given = sam_loss(logits, iou, truth, ambiguous=True)
    losses = mask_losses(logits, truth)
    torch.testing.assert_close(loss, (0.3 * losses[:, 0] + losses[:, 1:].amin(1)).mean())
    assert torch.equal(given, iou)
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_pixels_near_a_region_weigh_more() -> None:
    truth = torch.zeros(1, 32, 32, dtype=torch.bool)
    truth[0, 10:14, 20:28] = True
    weight = nearby(truth)
    torch.testing.assert_close(weight.sum(), torch.tensor(1.0))
    high = weight[0] > weight.mean()
    assert box_of(high[None])[0].tolist() == [16, 7, 31, 16]


def test_the_teacher_asks_each_token_for_its_own_patch() -> None:
    images = torch.zeros(1, 3, 32, 32)
    images[0, 0, 8:16, 16:24] = 3.0
    target = patch_target(images)
    assert target.shape == (1, 28, 4, 4)
    assert target.abs().sum(1).nonzero().tolist() == [[0, 1, 2]]
    assert target[0, :, 1, 2].tolist() == [3.0] * 4 + [0.0] * 8 + [1.0] * 16


def test_several_images_are_decoded_as_the_official_code_decodes_one() -> None:
    sam = build_sam(TINY).eval()
    embedding, boxes = torch.randn(2, 32, 8, 8), 64 * torch.rand(6, 4)
    with torch.inference_mode():
        logits, iou = answer(sam, embedding, Prompt(boxes=boxes))
        for k in range(2):
            own = slice(3 * k, 3 * k + 3)
            sparse, dense = sam.prompt_encoder(points=None, boxes=boxes[own], masks=None)
            pe = sam.prompt_encoder.get_dense_pe()
            official = sam.mask_decoder.predict_masks(embedding[k : k + 1], pe, sparse, dense)
            torch.testing.assert_close(logits[own], official[0])
            torch.testing.assert_close(iou[own], official[1])


@pytest.mark.parametrize("part", ["encoder", "decoder", "joint"])
def test_each_part_lowers_its_loss_and_changes_what_it_should(pool: Pool, part: str) -> None:
    steps = {f"{name}_steps": 0 for name in ("encoder", "decoder", "joint")}
    changed = {**CONFIG.to_dict(), **steps, f"{part}_steps": 1000, "learning_rate": 3e-3}
    trainer = Trainer(SmallSamConfig.from_dict(changed), pool)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    batch = trainer.batch()
    losses = [trainer.update(batch)["loss"] for _ in range(25)]
    assert np.mean(losses[-8:]) < 0.95 * np.mean(losses[:4])
    after = trainer.network.state_dict()
    moved = {k.split(".")[0] for k, v in before.items() if not torch.equal(v, after[k])}
    still = {"encoder": {"prompt_encoder"}, "decoder": {"image_encoder"}, "joint": set()}[part]
    assert moved == {"image_encoder", "prompt_encoder", "mask_decoder"} - still


def test_rates_rise_and_fall() -> None:
    steps = {"encoder_steps": 100, "decoder_steps": 100, "joint_steps": 100, "warmup": 10}
    trainer = Trainer(SmallSamConfig.from_dict({**CONFIG.to_dict(), **steps}), Pool(*2 * [None]))

    def share(step: int, *, encoder: bool) -> float:
        trainer.step = step
        highest = trainer.config.learning_rate * (trainer.config.encoder_rate if encoder else 1)
        return trainer.rate(encoder=encoder) / highest

    encoder = [(0, 0.1), (50, 1), (99, 0.05), (200, 0.1), (220, 1), (275, 0.5)]
    heads = [(100, 0.1), (150, 1), (200, 1), (250, 1), (275, 0.5)]
    for step, expected in encoder:
        assert share(step, encoder=True) == pytest.approx(expected)
    for step, expected in heads:
        assert share(step, encoder=False) == pytest.approx(expected)


def test_a_resumed_run_equals_one_in_a_single_piece(pool: Pool, tmp_path: Path) -> None:
    whole = Trainer(CONFIG, pool)
    run(whole, tmp_path, minutes=9, every=9, share=tmp_path / "shared.safetensors")
    assert whole.step == 4
    assert (tmp_path / "shared.safetensors").exists()

    first = Trainer(CONFIG, pool)
    for _ in range(2):
        first.update(first.batch())
    save_checkpoint(tmp_path / "part.pt", first.state(), CONFIG)
    state, config = load_checkpoint(tmp_path / "part.pt", SmallSamConfig)
    assert config == CONFIG
    second = Trainer(config, pool)
    second.resume(state)
    for _ in range(2):
        second.update(second.batch())
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name


@pytest.mark.parametrize("measures", [TINY, Measures(), Measures(window=0, global_blocks=())])
def test_measures_are_read_off_the_tensors(measures: Measures) -> None:
    assert measures_of(build_sam(measures).state_dict()) == measures


def test_an_exported_file_is_the_averaged_network(pool: Pool, tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, pool)
    trainer.update(trainer.batch())
    path = tmp_path / "sam.safetensors"
    export(trainer.state(), CONFIG, path)
    sam = read_sam(path)
    for name, value in sam.state_dict().items():
        torch.testing.assert_close(value, trainer.average[name], rtol=1e-3, atol=1e-4)


def test_held_out_scores_hold_the_filled_box_against_the_answer(pool: Pool) -> None:
    kinds = {"point", "point_best", "points", "box", "filled", "box, phantoms", "filled, phantoms"}
    scores = held_out_iou(build_sam(TINY).eval(), pool)
    assert set(scores) == kinds
    assert 0.3 < scores["filled"] < 1


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
    assert WEIGHTS.stat().st_size < 4_000_000
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
    assert predicted[0, 0] > 0.4
