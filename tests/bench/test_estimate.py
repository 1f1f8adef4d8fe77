"""Estimates before a run: they go with the data, the backbone and the device."""

from __future__ import annotations

import pytest

from napari_fewshot.bench import estimate as module
from napari_fewshot.bench import runner
from napari_fewshot.bench.checking import CaseCheck
from napari_fewshot.bench.estimate import estimate, format_plan
from napari_fewshot.bench.runner import open_benchmark

from .conftest import ACROSS, METHODS, WITHIN

NETWORKS = """
[[methods]]
name = "U-Net"
method = "unet"

[[methods]]
name = "nnU-Net"
method = "nnunet"
shots = ["all"]

[[methods]]
name = "small"
method = "fewshot"
settings = { backbone = "dinov2-s" }

[[methods]]
name = "large"
method = "fewshot"
settings = { backbone = "dinov2-l" }

[[methods]]
name = "large again"
method = "fewshot"
settings = { backbone = "dinov2-l", adapter = "cosine" }
"""


def opened(config_of, folder, text=ACROSS, methods=METHODS):
    return open_benchmark(config_of(text, methods), folder / "none", dry_run=True)


def seconds(benchmark) -> dict[str, float]:
    return {row.method: row.seconds for row in estimate(benchmark)}


def larger_cases(benchmark, slices: int, pixels: int):
    """Say that the first case is larger than it is; nothing is read."""
    benchmark.__dict__["first_case"] = CaseCheck((), slices, pixels)


def test_the_first_case_is_read_once_and_stands_for_all(config_of, tmp_path, monkeypatch):
    count = []
    checked = runner.check_case
    monkeypatch.setattr(runner, "check_case", lambda *given: count.append(given) or checked(*given))
    benchmark = opened(config_of, tmp_path)
    benchmark.check()
    before = seconds(benchmark)
    assert len(count) == 1
    assert (benchmark.first_case.slices, benchmark.first_case.pixels) == (10, 20 * 24)
    larger_cases(benchmark, 100, 200 * 200)
    reference = seconds(benchmark)
    assert reference["random forest"] > before["random forest"]
    larger_cases(benchmark, 0, 0)  # it could not be read
    assert seconds(benchmark) == reference


def test_time_goes_with_the_data_the_backbone_and_the_device(config_of, tmp_path, monkeypatch):
    benchmark = opened(config_of, tmp_path, methods=METHODS + NETWORKS)
    before = seconds(benchmark)
    assert before["large"] > 5 * before["small"] > before["classification"]
    larger_cases(benchmark, 100, 200 * 200)
    larger = seconds(benchmark)
    assert all(larger[name] > before[name] for name in ("random forest", "large", "U-Net"))
    monkeypatch.setattr(module, "choose_device", lambda name: "cuda")
    faster = seconds(benchmark)
    assert all(faster[name] < larger[name] / 5 for name in ("large", "U-Net", "nnU-Net"))
    assert faster["random forest"] == larger["random forest"]


def test_room_for_features_and_trainings(config_of, tmp_path):
    text = 'features = "disk"\n' + ACROSS
    benchmark = opened(config_of, tmp_path, text, METHODS + NETWORKS)
    rows = {row.method: row for row in estimate(benchmark)}
    # Ten slices each of a template and of the scored case; 32 x 32 tokens of 1024 channels.
    assert rows["large"].features_mb["dinov2-l"] == pytest.approx(20 * 2.1, rel=0.1)
    assert rows["large again"].seconds < rows["large"].seconds / 2
    assert rows["nnU-Net"].work_mb > 1000 > rows["U-Net"].work_mb > 1
    printed = format_plan(benchmark)
    assert "features of dinov2-s, dinov2-l: 59 MB  (rough)" in printed
    assert "a training, until it is done: up to 1000 MB  (rough)" in printed
    small = format_plan(opened(config_of, tmp_path, WITHIN))
    five = opened(config_of, tmp_path, WITHIN.replace("[1, 3]", '["all"]'), NETWORKS)
    one = opened(config_of, tmp_path, WITHIN.replace("[1, 3]", "[1]"), NETWORKS)
    assert seconds(five)["U-Net"] > 4 * seconds(one)["U-Net"]
    assert "features of" not in small
    assert "a training" not in small
