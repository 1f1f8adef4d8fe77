"""One contract, the same test for every registered backbone that is small enough to build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_fewshot.backbones import BACKBONES, backbone_entry, get_backbone
from napari_fewshot.backbones.timm_network import build_network
from napari_fewshot.errors import InputError, UnknownNameError

# Besides the smallest of the registry (dinov2-s has a test of its own in test_timm_network.py):
# tiny networks of timm, one of each kind.
NAMES = [n for n, e in BACKBONES.items() if (e.spec.size_mb or 0) < 87] + [
    "timm:test_vit",
    "timm:test_convnext",
    "timm:test_resnet",
]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of each network, in the hub's format."""
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = {}
    for name in NAMES:
        source = backbone_entry(name).spec.source
        if source == "built in":
            continue
        with torch.device("meta"):
            network = build_network(source.removeprefix("timm/"))
        generator = torch.Generator().manual_seed(0)
        # Positive, as variances must be; small, so that deep networks stay finite.
        state = {
            key: torch.rand(tensor.shape, generator=generator).mul_(0.05).to(tensor.dtype)
            for key, tensor in network.state_dict().items()
        }
        paths[name] = folder / f"{name.replace(':', '_')}.safetensors"
        save_file(state, paths[name])
    return paths


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str, checkpoints: dict[str, Path]) -> None:
    entry = backbone_entry(name)
    backbone = get_backbone(name, checkpoints.get(name)).to("cpu")
    spec = backbone.spec
    assert (spec.name, spec.stride) == (name, entry.spec.stride)
    assert int(backbone.weights_hash, 16) > 0
    multiple = max(spec.preprocessing.multiple, 16 if spec.stride == 1 else 1)
    channels = spec.preprocessing.channels or 1
    slices = 1 + 2 * spec.context
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((2, 3), (5, 2)):
        height, width = rows * multiple, columns * multiple
        images = torch.rand(2, slices, channels, height, width, generator=generator)
        features = backbone.encode(images)
        assert features.dtype == torch.float32
        assert features.shape[0] == 2
        assert features.shape[2:] == (height // spec.stride, width // spec.stride)
        assert spec.channels in (None, features.shape[1])
        assert torch.isfinite(features).all()
        assert torch.equal(features, backbone.encode(images))
        torch.testing.assert_close(features[1:], backbone.encode(images[1:]), rtol=1e-3, atol=1e-4)


def test_stages_of_a_convolutional_network_are_joined(checkpoints: dict[str, Path]) -> None:
    name = "timm:test_convnext"
    images = torch.rand(1, 1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    one, two = (get_backbone(name, checkpoints[name], blocks) for blocks in (1, 2))
    last, joined = one.encode(images), two.encode(images)
    assert two.spec.stride == one.spec.stride // 2
    assert joined.shape[2:] == (64 // two.spec.stride, 96 // two.spec.stride)
    assert joined.shape[1] == two.spec.channels
    enlarged = torch.nn.functional.interpolate(last, joined.shape[2:], mode="bilinear")
    torch.testing.assert_close(joined[:, -last.shape[1] :], enlarged, rtol=1e-4, atol=1e-5)


def test_unknown_names_list_near_matches() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean dinov2-s"):
        get_backbone("dinov2-small")
    with pytest.raises(UnknownNameError, match="timm:vit_small_patch14_dinov2"):
        get_backbone("timm:vit_smal_patch14_dinov2")
    with pytest.raises(UnknownNameError, match=r"timm:vit_small_patch14_dinov2\.lvd142m"):
        get_backbone("timm:vit_small_patch14_dinov2.lvd")


def test_network_of_one_size_is_refused() -> None:
    with pytest.raises(InputError, match="images of any size"):
        backbone_entry("timm:hiera_tiny_224")


def test_blocks_below_one() -> None:
    with pytest.raises(InputError, match="blocks must be at least 1"):
        get_backbone("dinov2-s", blocks=0)


def test_listing_imports_neither_torch_nor_timm() -> None:
    code = (
        "import sys; from napari_fewshot.backbones import list_backbones; list_backbones();"
        "sys.exit(len({'torch', 'timm', 'skimage', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
