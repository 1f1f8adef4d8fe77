"""The backbone in the package: recorded features, any size and channels, no seams."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_fewshot import Volume
from napari_fewshot.backbones import get_backbone
from napari_fewshot.backbones.embedded import FORMAT, SPEC, WEIGHTS, read_network
from napari_fewshot.backbones.embedded_network import EmbeddedNet, NetworkConfig
from napari_fewshot.config import ExtractionConfig, IntensityConfig, ResamplingConfig
from napari_fewshot.errors import WeightsError
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Array

RECORDED = Path(__file__).with_name("embedded_features.json")
RAW = IntensityConfig(mode="window", low=0, high=1)


def fixed_image(height: int, width: int, channels: int = 0) -> Array:
    """Blobs, stripes and an edge in 0..1, the same on every machine."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = [
        0.3
        + 0.25 * np.sin(x / (9 + c)) * np.cos(y / (13 - c))
        + 0.2 * ((x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 3) ** 2)
        + 0.15 * (x > 0.7 * width)
        for c in range(max(channels, 1))
    ]
    image = np.stack(planes, axis=-1) if channels else planes[0]
    return image.astype(np.float32)


def features_of(image: Array) -> Array:
    """Features (C, H, W) of one 2D image through the extractor."""
    volume = Volume(image, (1.0, 1.0), has_channels=image.ndim == 3)
    stack = SliceStack(volume, 0, RAW, ResamplingConfig())
    extractor = FeatureExtractor(get_backbone("embedded"), ExtractionConfig(), "cpu")
    features = extractor.map(stack, 0)
    found = np.zeros((features.channels, *stack.shape), np.float32)
    for part in features.parts():
        (row, column), (height, width) = part.origin, part.shape
        found[:, row : row + height, column : column + width] = part.data
    return found


def test_shipped_weights_give_the_recorded_features() -> None:
    recorded = json.loads(RECORDED.read_text())
    for case in recorded["cases"]:
        found = features_of(fixed_image(*case["size"], case["channels"]))
        values = found[::6, 3::29, 5::31].ravel()
        np.testing.assert_allclose(values, case["values"], atol=2e-4)


def test_every_pixel_has_a_vector_of_length_one() -> None:
    found = features_of(fixed_image(70, 45))
    assert found.shape == (SPEC.channels, 70, 45)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-5)


def test_half_size_is_context() -> None:
    backbone = get_backbone("embedded")
    image = torch.from_numpy(fixed_image(96, 96)).expand(1, 1, 3, -1, -1)
    with torch.inference_mode():
        found, plain = backbone.encode(image), backbone.network(image[:, 0])  # type: ignore[attr-defined]
    assert not torch.equal(found, plain)
    torch.testing.assert_close(found.norm(dim=1), torch.ones_like(found[:, 0]))
    # Most of a pixel's features are still its own.
    assert (found * plain).sum(1).mean() > 0.7


@pytest.mark.parametrize("side", [31, 32, 48])
def test_one_pixel_more_changes_little_in_small_images(side: int) -> None:
    """Crops of a cohort differ by a few pixels; those of 32 are not padded, those of 33 are."""
    large = fixed_image(side + 1, side + 1)
    one, other = features_of(large[:-1, :-1]), features_of(large)[:, :-1, :-1]
    assert (one * other).sum(axis=0).mean() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (16, 16), (17, 31)])
def test_any_size_is_encoded(size: tuple[int, int]) -> None:
    found = features_of(fixed_image(*size))
    assert found.shape == (SPEC.channels, *size)
    assert np.isfinite(found).all()


def test_colour_is_seen_and_other_channels_are_joined() -> None:
    colour = fixed_image(40, 48, 3)
    grey = np.repeat(colour.mean(-1, keepdims=True), 3, axis=-1)
    assert features_of(colour).shape[0] == SPEC.channels
    assert np.abs(features_of(colour) - features_of(grey)).max() > 0.05
    two = fixed_image(40, 48, 2)
    joined = features_of(two)
    assert joined.shape[0] == 2 * SPEC.channels
    np.testing.assert_allclose(joined[: SPEC.channels], features_of(two[..., 0]), atol=1e-5)


def test_tiles_leave_no_seams() -> None:
    side = SPEC.preprocessing.size or 0
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.random((1, 1, 40, 60)).astype(np.float32))
    image = torch.nn.functional.interpolate(noise, (2 * side - 40, 200), mode="bicubic")
    image = image[0, 0].clamp(0, 1).numpy()
    found = features_of(image)
    steps = np.linalg.norm(np.diff(found, axis=1), axis=0).mean(axis=1)  # from row to row
    # A seam would be a row where features jump more than the image makes them elsewhere; at
    # the border of the image they do, for want of a neighbour.
    inner = steps[8:-8]
    assert inner.max() < 1.5 * np.percentile(inner, 99)
    # And a tile says the same as the whole image would, but for what it cannot see.
    with torch.inference_mode():
        grid = torch.from_numpy(image).expand(1, 1, 3, -1, -1)
        padded = torch.nn.functional.pad(
            grid[0], (0, -image.shape[1] % 32, 0, -image.shape[0] % 32), mode="replicate"
        )
        whole = get_backbone("embedded").encode(padded[None])[0].numpy()
    whole = whole[:, : image.shape[0], : image.shape[1]]
    likeness = (whole * found).sum(0) / np.linalg.norm(found, axis=0)
    assert likeness.mean() > 0.9


def test_a_file_of_other_weights_is_used_and_foreign_ones_are_refused(tmp_path: Path) -> None:
    config = NetworkConfig(widths=(4, 6, 8, 8, 12), depths=(1, 1, 1, 1), heads=2, head_width=6)
    torch.manual_seed(0)
    state = {k: v.half().contiguous() for k, v in EmbeddedNet(config).state_dict().items()}
    metadata = {"format": FORMAT, "network": json.dumps(config.to_dict())}
    own = tmp_path / "own.safetensors"
    save_file(state, own, metadata)
    images = torch.rand(1, 1, 3, 32, 48)
    backbone = get_backbone("embedded", own)
    assert backbone.encode(images).shape == (1, 48, 32, 48)
    assert backbone.weights_hash != get_backbone("embedded").weights_hash

    foreign = tmp_path / "foreign.safetensors"
    save_file(state, foreign)
    with pytest.raises(WeightsError, match=r"must be of backbone embedded.*got None"):
        get_backbone("embedded", foreign)
    narrow = NetworkConfig(**{**config.to_dict(), "out_channels": 5})
    state = {k: v.contiguous() for k, v in EmbeddedNet(narrow).state_dict().items()}
    save_file(state, own, {"format": FORMAT, "network": json.dumps(narrow.to_dict())})
    with pytest.raises(WeightsError, match=r"\(3, 48, 16\); got \(3, 5, 16\)"):
        get_backbone("embedded", own)
    del state["project.bias"]
    save_file(state, own, {"format": FORMAT, "network": json.dumps(narrow.to_dict())})
    with pytest.raises(WeightsError, match=r"1 missing \(project.bias\)"):
        get_backbone("embedded", own)


def test_the_file_is_small_half_precision_and_says_where_it_comes_from() -> None:
    from safetensors import safe_open

    assert WEIGHTS.stat().st_size < 10e6
    assert {t.dtype for t in load_file(WEIGHTS).values()} == {torch.float16}
    with safe_open(WEIGHTS, "pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == "BSD-3-Clause"
    assert metadata["data"] == "synthetic images only"
    card = WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")
    assert f"{int(metadata['steps']):,} steps" in card
    assert read_network(WEIGHTS).config.out_channels == SPEC.channels
