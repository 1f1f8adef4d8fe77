"""Crops for transformers, masks of their patches, and settings out of files."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.config import DistillationConfig, FinetuneConfig, IntensityConfig
from napari_fewshot.errors import InputError, UnknownNameError
from napari_fewshot.finetuning.crops import block_mask, draw_crops, stacked
from napari_fewshot.finetuning.ready import ready_settings
from napari_fewshot.finetuning.scans import Drawn
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume

CONFIG = DistillationConfig(tokens=4, local_tokens=2, local_crops=3, masked_images=1.0)


def test_crops_are_of_their_sizes_in_range_and_a_function_of_the_seed():
    data = np.random.default_rng(0).random((1, 30, 50)).astype(np.float32)
    one = Drawn(SliceStack(Volume(data, (1.0,) * 3), 0, IntensityConfig()), 0)

    def batch():
        rng = np.random.default_rng(1)
        return stacked([draw_crops(one, 8, CONFIG, rng) for _ in range(2)], CONFIG, rng)

    found = batch()
    assert found.large.shape == (4, 3, 32, 32)
    assert found.small.shape == (6, 3, 16, 16)
    assert found.masks.shape == (4, 4, 4)
    assert found.masks.any(dim=(1, 2)).all()
    assert 0 <= found.large.min() <= found.large.max() <= 1
    assert (batch().large == found.large).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_masks_have_about_their_share(share):
    for seed in range(5):
        mask = block_mask(16, share, np.random.default_rng(seed))
        assert mask.shape == (16, 16)
        assert 0.8 * share <= mask.mean() <= share + 0.01


def test_ready_settings_are_valid_and_others_are_refused(tmp_path):
    published = FinetuneConfig.of(ready_settings("published"), "config")
    assert published.distillation.train == "all"
    own = tmp_path / "own.toml"
    own.write_text("steps = 5\n[contrast]\nside = 64\n")
    assert ready_settings(str(own)) == {"steps": 5, "contrast": {"side": 64}}
    own.write_text("steps 5")
    with pytest.raises(InputError, match="be a TOML file"):
        ready_settings(str(own))
    with pytest.raises(UnknownNameError, match="publish"):
        ready_settings("publish")


def test_shares_rise_within_0_and_1():
    with pytest.raises(InputError, match=r"distillation.global_scale"):
        FinetuneConfig.of({"distillation": {"global_scale": [0.9, 0.2]}}, "config")


@pytest.mark.parametrize(
    "text", ["steps = " + "9" * 5000, "a = " + "[" * 20_000, "\ufeffsteps = 1"]
)
def test_toml_of_a_stranger_is_one_line(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match="be a TOML file") as told:
        ready_settings(str(path))
    assert "\n" not in str(told.value)
