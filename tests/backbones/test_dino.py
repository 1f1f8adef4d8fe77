"""What we state of the networks, against what timm has."""

from __future__ import annotations

import pytest

from napari_fewshot.backbones import BACKBONES, list_backbones
from napari_fewshot.backbones.dino import ENTRIES


@pytest.mark.parametrize("name", ENTRIES)
def test_spec_agrees_with_timm(name: str) -> None:
    import timm
    import torch

    spec = BACKBONES.get(name).spec
    model = spec.source.removeprefix("timm/")
    config = timm.models.get_pretrained_cfg(model)
    assert config is not None
    assert spec.source == config.hf_hub_id
    assert spec.licence.lower() == config.license
    assert spec.preprocessing.mean == config.mean
    assert spec.preprocessing.std == config.std
    with torch.device("meta"):
        network = timm.create_model(model, num_classes=0)
    last = network.feature_info[-1]
    assert (spec.channels, spec.stride) == (last["num_chs"], last["reduction"])
    numbers = sum(tensor.numel() for tensor in network.state_dict().values())
    assert spec.size_mb == pytest.approx(numbers * 4 / 1e6, abs=0.1)
    if config.url:
        assert BACKBONES.get(name).spec.sha256


def test_all_sizes_are_listed() -> None:
    names = [spec.name for spec in list_backbones()]
    assert names[:2] == ["embedded", "multiscale"]
    assert {f"dinov2-{s}{r}" for s in "sblg" for r in ("", "-reg")} <= set(names)
    assert {"dinov3-s", "dinov3-b", "dinov3-l"} <= set(names)
