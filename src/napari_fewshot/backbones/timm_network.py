"""Networks of timm as backbones, any as ``timm:<name>``: built, filled with weights, and run."""

from __future__ import annotations

import difflib
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device import avoid_llvm_clash
from ..errors import InputError, UnknownNameError, WeightsError
from .base import BackboneEntry, BackboneSpec, Preprocessing
from .checkpoint import Architecture, architecture_of, check_fit, read_checkpoint
from .weights import WeightsSource, find_weights, resolve_weights

if TYPE_CHECKING:
    import torch

__all__ = ["PREFIX", "TimmBackbone", "any_timm_entry", "build_network", "timm_entry"]

_OPTIONS: Mapping[str, Any] = {}

_ARCHITECTURES: dict[str, Architecture] = {}  # of the entries made, to guess what a file fits
_DIGESTS: dict[tuple[str, int, int, str], str] = {}  # by path, size, time and network


class TimmBackbone:
    """A network of timm behind the contract of :class:`~.base.Backbone`.

    The outputs of the last ``blocks`` blocks (of a transformer, each through its final norm) or
    stages (of a convolutional network) are joined along the channels; maps of coarser stages are
    brought to the finest grid among them. ``spec`` is of one block; stride and channels of the
    joined output replace its own. The network has ``forward_intermediates`` and its weights.
    """

    def __init__(self, spec: BackboneSpec, network: Any, weights_hash: str, blocks: int) -> None:
        info = list(network.feature_info)
        if not 1 <= blocks <= len(info):
            raise InputError("blocks", f"be in 1..{len(info)} for {spec.name}", blocks)
        joined = info[-blocks:]
        self.spec = replace(
            spec,
            stride=min(stage["reduction"] for stage in joined),
            channels=sum(stage["num_chs"] for stage in joined),
        )
        self._blocks = blocks
        self.weights_hash = hashlib.sha256(f"timm-1 {weights_hash} {blocks}".encode()).hexdigest()
        self.network = network.eval().requires_grad_(False)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode the middle slices; see :class:`~.base.Backbone`. Autocast is up to the caller."""
        import torch

        multiple = self.spec.preprocessing.multiple
        if images.ndim != 5 or images.shape[-2] % multiple or images.shape[-1] % multiple:
            raise InputError(
                "images",
                f"have shape (B, S, C, H, W) with H and W multiples of {multiple}",
                f"shape {tuple(images.shape)}",
            )
        with torch.inference_mode():
            maps = self.network.forward_intermediates(
                images[:, images.shape[1] // 2],
                indices=self._blocks,
                output_fmt="NCHW",
                norm=True,
                intermediates_only=True,
            )
            height = max(grid.shape[-2] for grid in maps)
            width = max(grid.shape[-1] for grid in maps)
            same = [
                grid.float()
                if grid.shape[-2:] == (height, width)
                else torch.nn.functional.interpolate(grid.float(), (height, width), mode="bilinear")
                for grid in maps
            ]
            return torch.cat(same, dim=1).contiguous()

    def to(self, device: str) -> TimmBackbone:
        """Move the weights to a torch device and return the backbone."""
        self.network.to(device)
        return self


def build_network(model: str, options: Mapping[str, Any] = _OPTIONS) -> Any:
    """Build a network of timm that takes images of any size and shows its maps, without weights."""
    avoid_llvm_clash()
    import timm

    network: Any
    try:
        # Transformers with a grid of positions have this switch; others refuse it.
        network = timm.create_model(model, num_classes=0, dynamic_img_size=True, **options)
    except TypeError:
        network = timm.create_model(model, num_classes=0, **options)
        if network.pretrained_cfg.get("fixed_input_size"):
            raise InputError(
                "backbone",
                "be a network for images of any size",
                f"timm:{model}, which takes {network.pretrained_cfg['input_size'][1:]} only",
                "Plain vision transformers and convolutional networks do.",
            ) from None
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "feature_info"):
        raise InputError("backbone", "show its feature maps (forward_intermediates)", model)
    return network


def timm_entry(
    spec: BackboneSpec,
    model: str,
    source: WeightsSource,
    options: Mapping[str, Any] = _OPTIONS,
    architecture: Architecture | None = None,
) -> BackboneEntry:
    """Make the registry entry of a network of timm.

    ``spec`` is of one block, ``model`` the name in timm with the tag of its weights, ``options``
    are further arguments of ``timm.create_model``; the architecture is named in errors about a
    checkpoint of another network, and tells what that one fits.
    """
    if architecture is not None:
        _ARCHITECTURES[spec.name] = architecture

    def load(weights: Path | None, blocks: int) -> TimmBackbone:
        if architecture is not None and not 1 <= blocks <= architecture.n_layers:
            raise InputError("blocks", f"be in 1..{architecture.n_layers} for {spec.name}", blocks)
        # The file first: it is missing more often than a network fails to build.
        path = resolve_weights(source, weights)
        state = read_checkpoint(path)
        network = build_network(model, options)
        _fill(network, state, spec.name, path)
        return TimmBackbone(spec, network, _network_digest(network, path), blocks)

    return BackboneEntry(spec, load, lambda: find_weights(source) is not None)


def _fill(network: Any, state: dict[str, torch.Tensor], name: str, path: Path) -> None:
    """Load a checkpoint, in timm's own format or one that timm converts, into a network."""
    own = network.state_dict()
    given, expected = architecture_of(state), architecture_of(own)
    fits = [other for other, known in _ARCHITECTURES.items() if known == given and other != name]
    if given is None or given == expected:
        try:
            state = _converted(network, state)
        except Exception as error:
            # timm's converters trust their input; what they raise on another one is arbitrary.
            raise WeightsError(
                f"The weights file {path} must belong to backbone {name}; timm cannot convert it "
                f"({type(error).__name__}: {error})."
            ) from error
    head = network.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{h}." for h in ([head] if isinstance(head, str) else head))
    state = {k: t for k, t in state.items() if k in own or not (heads and k.startswith(heads))}
    check_fit(name, path, own, state, fits)
    network.load_state_dict(state)


def _converted(network: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Let timm rename and resample what its own checkpoints have otherwise."""
    import torch

    if "register_tokens" in state or any(".mlp.w12." in key for key in state):
        # timm knows DINOv2's format by this tensor, which slimmed copies lack.
        state = {"mask_token": torch.empty(0), **state}
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return state if convert is None else dict(convert(dict(state), network))


def _network_digest(network: Any, path: Path) -> str:
    """Digest of the tensors as the network uses them, so that both formats of one set agree."""
    import torch

    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns, str(network.default_cfg))
    if key not in _DIGESTS:
        digest = hashlib.sha256()
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
        _DIGESTS[key] = digest.hexdigest()
    return _DIGESTS[key]


PREFIX = "timm:"


def any_timm_entry(name: str) -> BackboneEntry:
    """Make the entry of ``timm:<name>``; a name without a tag means timm's default weights."""
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
