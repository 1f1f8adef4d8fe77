"""Any other network of timm, as ``timm:<name>``."""

from __future__ import annotations

import difflib
from typing import Any

from ..device import avoid_llvm_clash
from ..errors import UnknownNameError
from .base import BackboneEntry, BackboneSpec, Preprocessing
from .timm_network import build_network, timm_entry
from .weights import WeightsSource

__all__ = ["PREFIX", "any_timm_entry"]

PREFIX = "timm:"


def any_timm_entry(name: str) -> BackboneEntry:
    """Make the entry of ``timm:<name>``; a name without a tag means timm's default weights.

    Raises
    ------
    UnknownNameError
        If timm has no such network with weights; the message lists near matches.
    InputError
        If the network takes images of one size only.
    """
    avoid_llvm_clash()
    import timm
    import torch

    model = name.removeprefix(PREFIX)
    tagged = timm.list_models(pretrained=True)
    known = {*tagged, *(full.split(".")[0] for full in tagged)}
    if model not in known:
        near = difflib.get_close_matches(model, known, n=5, cutoff=0.3)
        raise UnknownNameError("backbone", name, [PREFIX + other for other in near])
    with torch.device("meta"):  # shapes only
        network = build_network(model)
    config: Any = timm.models.get_pretrained_cfg(model)
    stages = list(network.feature_info)
    size_mb = round(sum(t.numel() * 4 for t in network.state_dict().values()) / 1e6, 1)
    spec = BackboneSpec(
        name=name,
        summary=f"timm {type(network).__name__}",
        stride=stages[-1]["reduction"],
        preprocessing=Preprocessing(
            channels=config.input_size[0],
            mean=tuple(config.mean),
            std=tuple(config.std),
            resize="grid",
            multiple=max(stage["reduction"] for stage in stages),
        ),
        channels=stages[-1]["num_chs"],
        licence=config.license or "not stated",
        source=config.hf_hub_id or config.url or "timm",
        size_mb=size_mb,
    )
    source = WeightsSource(
        name=name,
        licence=spec.licence,
        hub_id=config.hf_hub_id,
        hub_file=config.hf_hub_filename or "model.safetensors",
        size_mb=size_mb,
    )
    return timm_entry(spec, model, source)
