"""Episodes, loss, resume and export of the training of the embedded backbone."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretraining.checkpoint import load_checkpoint, save_checkpoint
from pretraining.export import export, read_exported
from pretraining.probe import Options, score, vary
from pretraining.probe_data import Problem, Slice
from pretraining.settings import TrainConfig
from pretraining.train import Trainer, free_cores, run

from napari_fewshot.backbones.embedded import EmbeddedBackbone, read_network
from napari_fewshot.backbones.embedded_network import EmbeddedNet, NetworkConfig
from napari_fewshot.finetuning.matching import disagreement, gather_pixels, matching_loss
from napari_fewshot.finetuning.pixels import encode
from napari_fewshot.finetuning.synthetic.episodes import draw_batch

ROOT = Path(__file__).resolve().parents[2]
TINY = NetworkConfig(
    widths=(4, 6, 8), depths=(1, 1), heads=2, head_width=6, out_channels=5, block="residual"
)
CONFIG = TrainConfig(
    steps=6,
    warmup=2,
    cooldown=2,
    sizes=((24, 2), (32, 1)),
    images=2,
    pixels=40,
    checks=1,
    network=TINY,
)


def test_pixels_get_the_features_that_the_backbone_gives() -> None:
    network = EmbeddedNet(TINY).eval()
    images = torch.rand(2, 3, 96, 64)
    index = torch.randint(96 * 64, (2, 30))
    with torch.inference_mode():
        found = encode(network, images).at(index)
        whole = EmbeddedBackbone(network, "").encode(images[:, None]).flatten(2)
    expected = torch.stack([w[:, i].T for w, i in zip(whole, index, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_rate_rises_from_where_a_run_begins() -> None:
    config = replace(CONFIG, begin=100, steps=200, warmup=10, cooldown=50, learning_rate=1.0)
    rates = [config.rate_at(step) for step in (100, 104, 120, 150, 175, 200)]
    assert rates == pytest.approx([0.1, 0.5, 1, 1, 0.5, 0])


def test_features_of_the_same_pixels_disagree_by_the_cosine() -> None:
    one = torch.nn.functional.normalize(torch.randn(3, 5, 4), dim=-1)
    assert float(disagreement(one, one)) == pytest.approx(0, abs=1e-6)
    assert float(disagreement(one, -one)) == pytest.approx(2)


def test_loss_agrees_with_naive_computation() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 3, 7, 4))
    pixels /= np.linalg.norm(pixels, axis=-1, keepdims=True)
    labels = rng.integers(0, 3, (2, 3, 7))
    labels[0, 0, 0] = 9  # a region that no other image shows
    terms = []
    for e in range(2):
        for k in range(3):
            others = [j for j in range(3) if j != k]
            support = np.concatenate([pixels[e, j] for j in others])
            names = np.concatenate([labels[e, j] for j in others])
            for vector, name in zip(pixels[e, k], labels[e, k], strict=True):
                if name in names:
                    weight = np.exp(support @ vector / 0.2)
                    terms.append(weight[names == name].sum() / weight.sum())
    given = torch.tensor(pixels, requires_grad=True)
    loss, probability = matching_loss(given, torch.tensor(labels), 0.2)
    assert float(loss.detach()) == pytest.approx(-np.mean(np.log(terms)), rel=1e-9)
    assert float(probability) == pytest.approx(np.mean(terms), rel=1e-9)
    loss.backward()
    assert torch.isfinite(given.grad).all()


def test_gathered_pixels_are_those_of_the_map() -> None:
    maps = torch.randn(4, 3, 5, 6)
    index = torch.randint(30, (2, 2, 8))
    picked = gather_pixels(maps, index)
    for e, k, p in np.ndindex(2, 2, 8):
        at = int(index[e, k, p])
        assert torch.equal(picked[e, k, p], maps[2 * e + k, :, at // 6, at % 6])


@pytest.mark.parametrize("block", ["convnext", "residual"])
def test_features_have_unit_norm_at_each_pixel(block: str) -> None:
    config = NetworkConfig.from_dict({**TINY.to_dict(), "block": block})
    network = EmbeddedNet(config).eval()
    images = torch.rand(2, 3, 24, 36)
    with torch.inference_mode():
        features = network(images)
        alone = network(images[1:])
    assert features.shape == (2, 5, 24, 36)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2, 24, 36))
    torch.testing.assert_close(features[1:], alone)


def test_a_resumed_run_equals_one_in_a_single_piece(tmp_path: Path) -> None:
    whole = Trainer(CONFIG)
    run(whole, tmp_path, minutes=9, every=9, workers=0, keep=4)
    assert whole.step == 6
    assert read_exported(tmp_path / "step-4.safetensors")[0]["step"] == 4
    assert load_checkpoint(tmp_path / "last.pt", TrainConfig)[0]["step"] == 6

    first = Trainer(CONFIG)
    for batch in first.batches(0):
        first.update(batch)
        if first.step == 2:
            break
    save_checkpoint(tmp_path / "part.pt", first.state(), CONFIG)
    second = Trainer(CONFIG)
    state, config = load_checkpoint(tmp_path / "part.pt", TrainConfig)
    assert config == CONFIG
    second.resume(state)
    for batch in second.batches(0):
        second.update(batch)

    assert second.step == 6
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], second.average[name]), name


def test_training_lowers_the_loss() -> None:
    trainer = Trainer(TrainConfig.from_dict({**CONFIG.to_dict(), "steps": 1000, "warmup": 1}))
    batch = draw_batch(1, 0, ((32, 2),), 2, 60)
    losses = [trainer.update(batch)["loss"] for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_exported_files_hold_the_average_and_can_be_taken_up(tmp_path: Path) -> None:
    trainer = Trainer(CONFIG)
    for batch in trainer.batches(0):
        trainer.update(batch)
    save_checkpoint(tmp_path / "last.pt", trainer.state(), CONFIG)
    export(tmp_path / "last.pt", tmp_path / "embedded.safetensors")
    network = read_network(tmp_path / "embedded.safetensors")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, trainer.average[name], rtol=1e-3, atol=1e-4)

    state, config = read_exported(tmp_path / "embedded.safetensors")
    assert config == CONFIG
    later = Trainer(config)
    later.resume(state)
    assert later.step == 6
    later.update(draw_batch(1, 0, ((24, 1),), 2, 40))


def test_a_killed_run_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    settings = tmp_path / "tiny.toml"
    settings.write_text(
        "steps = 100000\nchecks = 1\nsizes = [[24, 1]]\npixels = 20\n"
        '[network]\nblock = "residual"\n'
        "widths = [4, 6, 8]\ndepths = [1, 1]\nheads = 2\nhead_width = 6\nout_channels = 5\n"
    )
    command = [sys.executable, "-m", "pretraining.train", "--config", str(settings), "--out"]
    command += [str(tmp_path / "out"), "--every", "0", "--workers", "0", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT)
    last = tmp_path / "out" / "last.pt"
    try:
        deadline = time.monotonic() + 120
        while not last.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    state, config = load_checkpoint(last, TrainConfig)
    assert state["step"] >= 1
    Trainer(config).resume(state)


def test_threads_give_way_to_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for load, used, expected in ((2.1, 2, 2), (5.2, 2, 1), (1.2, 1, 2), (3.9, 1, 1), (9.0, 2, 1)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, load, load))
        assert free_cores(2, used) == expected


def test_probe_learns_a_bright_disk_from_a_few_slices() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24]
    slices = []
    for k in range(6):
        disk = np.hypot(y - 11 - k % 3, x - 12 + k % 2) < 6
        image = np.clip(0.2 + 0.5 * disk + rng.normal(0, 0.03, disk.shape), 0, 1)
        slices.append(Slice(image.astype(np.float32), 7 * disk.astype(np.int64), k / 5))
    problem = Problem("disk", slices[::3], [slices[1::3] + slices[2::3]], (7,))
    torch.manual_seed(0)
    network = EmbeddedNet(TINY).eval()
    assert score(network, problem, Options(plain=True, augment=2, steps=60)) > 0.9


def test_a_varied_slice_keeps_labels_on_their_pixels() -> None:
    labels = np.zeros((32, 32), dtype=np.int64)
    labels[8:20, 10:24] = 3
    varied = vary(Slice((labels > 0).astype(np.float32), labels, 0.5), np.random.default_rng(1))
    assert varied.z == 0.5
    assert set(np.unique(varied.labels)) == {0, 3}
    assert not np.array_equal(varied.labels, labels)
    assert np.mean((varied.image > 0.5) == (varied.labels == 3)) > 0.97
