from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_fewshot.backbones import BACKBONES, get_backbone
from napari_fewshot.config import ExtractionConfig, IntensityConfig
from napari_fewshot.errors import InputError, WeightsError
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.store import FeatureStore
from napari_fewshot.sam.checkpoint import SAMS, SamArchitecture, read_sam
from napari_fewshot.sam.networks import build_encoder, build_heads
from napari_fewshot.slices.stack import SliceStack
from napari_fewshot.types import Volume


def official(side: str) -> torch.nn.Module:
    """The network of an official size as segment_anything builds it, on no device."""
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        return sam_model_registry[side]()


def grey(shape: tuple[int, ...], seed: int = 0) -> Volume:
    data = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return Volume(data, spacing=(1.0,) * len(shape))


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_measures_of_the_official_sizes_are_read_off_their_tensors(size):
    network = official(size)
    name = f"sam-{size.replace('_', '-')}"
    measures = SamArchitecture.of(network.state_dict(), name, Path("x.pth"))
    assert measures.encoder == SAMS[name].encoder
    assert (measures.side, measures.patch, measures.window, measures.channels) == (
        1024,
        16,
        14,
        256,
    )
    blocks = network.image_encoder.blocks
    assert measures.heads == blocks[0].attn.num_heads
    assert measures.global_layers == tuple(n for n, b in enumerate(blocks) if b.window_size == 0)


def test_a_small_sam_gives_the_features_of_the_official_code(tiny_sam):
    from segment_anything import modeling  # the fixture built the file with it

    backbone = get_backbone("sam-vit-b", tiny_sam)
    assert (backbone.spec.stride, backbone.spec.channels) == (8, 32)
    checkpoint = read_sam("sam-vit-b", tiny_sam)
    reference = modeling.ImageEncoderViT(
        depth=3, embed_dim=48, img_size=64, num_heads=3, patch_size=8, use_rel_pos=True,
        global_attn_indexes=(1,), window_size=3, out_chans=32,
        norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
    )  # fmt: skip
    reference.load_state_dict(checkpoint.part("image_encoder"))
    images = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(backbone.encode(images), reference(images[:, 0]))


def test_heads_are_those_of_the_checkpoint(tiny_sam):
    checkpoint = read_sam("medsam", tiny_sam)
    prompts, decoder = build_heads(checkpoint)
    for part, network in (("prompt_encoder", prompts), ("mask_decoder", decoder)):
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, checkpoint.state[f"{part}.{name}"])


def test_a_half_precision_copy_gives_the_same_names_and_nearly_the_same_features(
    tiny_sam, tmp_path
):
    state = torch.load(tiny_sam, weights_only=True)
    save_file({n: t.half().contiguous() for n, t in state.items()}, tmp_path / "half.safetensors")
    images = torch.randn(1, 1, 3, 64, 64)
    half = get_backbone("sam-vit-b", tmp_path / "half.safetensors")
    whole = get_backbone("sam-vit-b", tiny_sam)
    assert half.weights_hash != whole.weights_hash
    torch.testing.assert_close(half.encode(images), whole.encode(images), atol=0.02, rtol=0.02)


def test_padding_is_cropped_for_adapters_and_kept_for_the_decoder(tiny_sam, tmp_path):
    store = FeatureStore(tmp_path / "store")
    extractor = FeatureExtractor(
        get_backbone("sam-vit-b", tiny_sam), ExtractionConfig(precision="float32"), store=store
    )
    stack = SliceStack(grey((3, 50, 100)), 0, IntensityConfig())
    cropped, whole = (
        next(extractor.maps(stack, [1], padding=padding))[1] for padding in (False, True)
    )
    assert cropped.data.shape == (32, 4, 8)
    assert whole.data.shape == (32, 8, 8)
    np.testing.assert_array_equal(whole.data[:, :4], cropped.data)
    assert whole.extent == (100.0, 100.0)


def test_medsam_stretches_each_slice_to_the_square(tiny_sam):
    extractor = FeatureExtractor(
        get_backbone("medsam", tiny_sam), ExtractionConfig(precision="float32")
    )
    volume = grey((2, 40, 100))
    dark = Volume(volume.data * np.float32(0.3), spacing=volume.spacing)
    maps = [
        extractor.map(SliceStack(one, 0, IntensityConfig(mode="window", low=0, high=1)), 0).data
        for one in (volume, dark)
    ]
    assert maps[0].shape == (32, 8, 8)
    np.testing.assert_allclose(maps[0], maps[1], atol=0.02)


def test_a_checkpoint_of_another_official_size_is_refused_by_name(tiny_sam, tmp_path, monkeypatch):
    monkeypatch.setitem(
        SAMS, "sam-vit-l", SAMS["sam-vit-l"].__class__(
            SAMS["sam-vit-l"].spec, SAMS["sam-vit-l"].source, (48, 3)
        ),
    )  # fmt: skip
    with pytest.raises(WeightsError, match="It fits sam-vit-l"):
        read_sam("sam-vit-b", tiny_sam)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_the_official_file_of_another_sam_of_this_size_is_refused(tiny_sam, monkeypatch, kind):
    digest = hashlib.new(kind, tiny_sam.read_bytes()).hexdigest()
    written = digest if kind == "sha256" else f"md5:{digest}"
    known = SAMS["sam-vit-b"]
    monkeypatch.setitem(SAMS, "medsam", replace(SAMS["medsam"], encoder=(48, 3)))
    source = replace(known.source, sha256=written)
    monkeypatch.setitem(SAMS, "sam-vit-b", replace(known, source=source, encoder=(48, 3)))
    with pytest.raises(WeightsError, match="must belong to medsam; it is the official file of sam"):
        read_sam("medsam", tiny_sam)
    assert read_sam("sam-vit-b", tiny_sam).path == tiny_sam
    source = replace(known.source, sha256="0" * 64)
    monkeypatch.setitem(SAMS, "sam-vit-b", replace(known, source=source, encoder=(48, 3)))
    assert read_sam("medsam", tiny_sam).path == tiny_sam


@pytest.mark.parametrize("part", ["image_encoder", "prompt_encoder", "mask_decoder"])
def test_a_file_without_a_part_is_refused(tiny_sam, tmp_path, part):
    state = torch.load(tiny_sam, weights_only=True)
    path = tmp_path / "part.pth"
    torch.save({n: t for n, t in state.items() if not n.startswith(part)}, path)
    with pytest.raises(WeightsError, match=f"it has no {part}"):
        read_sam("sam-vit-b", path)


def test_a_tensor_of_another_shape_is_refused(tiny_sam):
    checkpoint = read_sam("sam-vit-b", tiny_sam)
    state = dict(checkpoint.state)
    state["image_encoder.blocks.0.mlp.lin1.weight"] = torch.zeros(10, 48)
    with pytest.raises(WeightsError, match=r"1 of another shape \(blocks.0.mlp"):
        build_encoder(replace(checkpoint, state=state))


def test_unknown_sams_and_blocks_are_refused(tiny_sam):
    with pytest.raises(InputError, match="be one of sam-vit-b"):
        read_sam("sam-vit-x", tiny_sam)
    with pytest.raises(InputError, match="be 1 for medsam"):
        get_backbone("medsam", tiny_sam, blocks=2)


def test_missing_weights_say_where_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FEWSHOT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not BACKBONES.get("medsam").available()
    with pytest.raises(WeightsError, match=r"medsam_vit_b.pth.*Apache-2.0.*zenodo") as caught:
        get_backbone("medsam")
    assert str(tmp_path) in str(caught.value)


def test_the_true_vit_b_encodes_an_image(tmp_path):
    """Random weights, official file format: a slice becomes 64 × 64 × 256."""
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(sam_model_registry["vit_b"]().state_dict(), path)
    extractor = FeatureExtractor(get_backbone("sam-vit-b", path), ExtractionConfig())
    stack = SliceStack(grey((1, 96, 128)), 0, IntensityConfig())
    ((_, whole),) = extractor.maps(stack, [0], padding=True)
    assert whole.data.shape == (256, 64, 64)
    assert whole.without_padding().data.shape == (256, 48, 64)
    assert np.isfinite(whole.data).all()
    assert whole.data.astype(np.float32).std() > 0.01
