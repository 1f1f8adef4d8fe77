"""A transformer learns from its own running mean, as DINOv2 does."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backbones.timm_network import TimmBackbone
from ..config import FinetuneConfig
from ..device import avoid_llvm_clash, seeded
from ..errors import InputError
from ..types import Array
from .crops import CropBatch, draw_crops, stacked
from .group import Group
from .scans import Scans
from .weights_file import write_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["SelfDistillation"]

INSTALL = 'Install it: pip install "napari-fewshot[finetune]".'
_RATE = 2e-5
_HEAD_RATE = 5e-4
_CLIP = 3.0
_MOST_SHOWN = 4


class SelfDistillation:
    """Trains a copy of a vision transformer of timm; see :class:`~.learner.Learner`.

    Losses and heads are those of lightly. What counts in the end is the teacher.

    Parameters
    ----------
    backbone : TimmBackbone
        Left as it is.
    scans : Scans
    config : FinetuneConfig
    group : Group
        Of the processes that train.

    Raises
    ------
    InputError
        If lightly is not installed, or the network has no patches or no class token.
    """

    def __init__(
        self, backbone: TimmBackbone, scans: Scans, config: FinetuneConfig, group: Group
    ) -> None:
        loss, heads = _lightly(backbone.spec.name)
        avoid_llvm_clash()
        import torch

        from .lora import choose_weights
        from .targets import Standardised

        self._scans, self._config, self._group = scans, config, group
        device = self._device = group.device
        self._spec, self._hash = backbone.spec, backbone.weights_hash
        _check(backbone)
        own = config.distillation
        self.method = f"self-distillation of large, small and masked crops ({_trained(own)})"
        self._names = list(backbone.network.state_dict())
        self._shown = backbone.network.to(device)
        with seeded(config.seed, device):
            student = copy.deepcopy(self._shown)
            chosen = choose_weights(student, own)
            student_heads, teacher_heads = (self._heads(heads, student.embed_dim) for _ in range(2))
        self._mask_token = torch.nn.Parameter(torch.zeros(student.embed_dim, device=device))
        teacher_heads.load_state_dict(student_heads.state_dict())
        self._student: Any = torch.nn.ModuleDict({"network": student, "heads": student_heads})
        teacher = {"network": copy.deepcopy(student), "heads": teacher_heads}
        self._teacher: Any = torch.nn.ModuleDict(teacher).requires_grad_(False)
        self._image_loss = loss.DINOLoss(own.prototypes, teacher_temp=own.teacher_temperature)
        self._patch_loss = loss.IBOTPatchLoss(own.prototypes, own.teacher_temperature)
        self._koleo = loss.KoLeoLoss()
        self._said = torch.nn.ModuleDict({name: Standardised() for name in ("image", "patch")})
        for module in (self._image_loss, self._patch_loss, self._said):
            module.to(device)
        rate = config.learning_rate or _RATE
        groups = [
            {"params": [p], "highest": rate * own.layer_decay**far, "head": False}
            for p, far in chosen
        ]
        groups.append(
            {
                "params": [*student_heads.parameters(), self._mask_token],
                "highest": _HEAD_RATE,
                "head": True,
            }
        )
        self._optimizer = torch.optim.AdamW(groups, weight_decay=own.weight_decay)
        self._precision = _precision(own.precision, device)
        self.steps = 0

    def _heads(self, heads: Any, width: int) -> nn.ModuleDict:
        """Heads for class tokens and for patches of a width; they begin with random weights."""
        import torch

        own = self._config.distillation
        sizes = (width, own.hidden, own.bottleneck, own.prototypes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, about its weight_norm
            made = {name: heads.DINOv2ProjectionHead(*sizes) for name in ("image", "patch")}
        return torch.nn.ModuleDict(made).to(self._device)

    def step(self, number: int) -> dict[str, float]:
        """Take a step; see :class:`~.learner.Learner`."""
        import torch

        config, own = self._config, self._config.distillation
        rng = np.random.default_rng([config.seed, number, self._group.rank])
        self._optimizer.zero_grad(set_to_none=True)
        total: dict[str, float] = {}
        for _ in range(own.accumulate):
            count = max(2, own.batch // own.accumulate)
            crops = self._crops(number, count, rng)
            loss, values = self._loss(crops)
            (loss / own.accumulate).backward()
            for name, value in values.items():
                total[name] = total.get(name, 0.0) + value / own.accumulate
        warm = min(1.0, (number + 1) / max(1, config.warm_up))
        late = max(0, number + 1 - own.head_steps)
        for group in self._optimizer.param_groups:
            share = warm if group["head"] else min(1.0, late / max(1, config.warm_up))
            group["lr"] = group["highest"] * share
        weights = [p for group in self._optimizer.param_groups for p in group["params"]]
        self._group.average(weights)
        norm = torch.nn.utils.clip_grad_norm_(weights, _CLIP)
        if torch.isfinite(norm):
            self._optimizer.step()
        self.steps += 1
        self._follow()
        return total

    def _follow(self) -> None:
        """Move the teacher towards the student, no faster in the first steps.

        Where it runs after a student that has learned little, both come to say nothing.
        """
        import torch

        share = 1 - self._config.averaged
        pairs = zip(self._teacher.parameters(), self._student.parameters(), strict=True)
        with torch.no_grad():
            for mean, weight in pairs:
                if weight.requires_grad:
                    mean.lerp_(weight, share)

    def _crops(self, number: int, count: int, rng: np.random.Generator) -> CropBatch:
        own, patch = self._config.distillation, self._spec.preprocessing.multiple
        drawn = [self._scans.draw(number, rng) for _ in range(count)]
        return stacked([draw_crops(one, patch, own, rng) for one in drawn], own, rng)

    def _loss(self, crops: CropBatch) -> tuple[torch.Tensor, dict[str, float]]:
        import torch

        own = self._config.distillation
        masks, told = (one.to(self._device) for one in (crops.masks, crops.told))
        large = self._prepared(crops.large)
        with self._autocast():
            with torch.no_grad():
                seen, patches = _tokens(self._teacher["network"], large)
                said = self._said["image"](self._teacher["heads"]["image"](seen).float())
                targets = self._teacher["heads"]["patch"](patches[told.flatten(1)]).float()
            found, hidden = _tokens(self._student["network"], large, masks, self._mask_token)
            answers = [*self._student["heads"]["image"](found).float().chunk(2)]
            guesses = self._student["heads"]["patch"](hidden[told.flatten(1)]).float()
            if own.local_crops:
                small, _ = _tokens(self._student["network"], self._prepared(crops.small))
                answers += self._student["heads"]["image"](small).float().chunk(own.local_crops)
        image = self._image_loss([*said.chunk(2)], answers)
        spread = sum(self._koleo(one.float()) for one in found.chunk(2)) / 2
        loss = own.image_loss * image + own.koleo_loss * spread
        values = {"image": image, "koleo": spread}
        if told.any():
            patch = self._patch_loss(self._said["patch"](targets), guesses, told)
            loss = loss + own.patch_loss * patch
            values["patch"] = patch
        said = said / own.teacher_temperature
        each = _entropy(torch.softmax(said, -1)).mean() / np.log(own.prototypes)
        mean = _entropy(torch.softmax(said, -1).mean(0)) / np.log(own.prototypes)
        values |= {"entropy": mean, "sharpness": 1 - each, "loss": loss}
        return loss, {name: float(value.detach()) for name, value in values.items()}

    def _prepared(self, crops: torch.Tensor) -> torch.Tensor:
        import torch

        prep = self._spec.preprocessing
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (prep.mean, prep.std))
        return ((crops - mean) / std).to(self._device)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        import torch

        if self._precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self._device.partition(":")[0], getattr(torch, self._precision))

    def averaged(self) -> dict[str, torch.Tensor]:
        """Weights of the teacher, with low-rank changes in them."""
        from .lora import merged

        return merged(self._teacher["network"], self._names)

    def backbone(self) -> TimmBackbone:
        """The backbone with the weights of the teacher."""
        self._shown.load_state_dict(self.averaged())
        return TimmBackbone(self._spec, self._shown, self._hash, 1)

    def state(self) -> dict[str, Any]:
        """See :meth:`~.learner.Learner.state`."""
        return {"steps": self.steps, "mask_token": self._mask_token.detach()} | {
            name: module.state_dict() for name, module in self._parts().items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :meth:`~.learner.Learner.restore`."""
        import torch

        for name, module in self._parts().items():
            module.load_state_dict(state[name])
        with torch.no_grad():
            self._mask_token.copy_(state["mask_token"])
        self.steps = int(state["steps"])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "student": self._student,
            "teacher": self._teacher,
            "optimizer": self._optimizer,
            "image_loss": self._image_loss,
            "patch_loss": self._patch_loss,
            "said": self._said,
        }

    def pictures(self, number: int) -> Array:
        """Crops of a step, one slice in each row; what is masked is black."""
        rng = np.random.default_rng([self._config.seed, number])
        own, patch = self._config.distillation, self._spec.preprocessing.multiple
        count = min(_MOST_SHOWN, own.batch)
        crops = self._crops(number, count, rng)
        side = own.tokens * patch
        seen = np.kron(~crops.masks.numpy(), np.ones((patch, patch), bool))
        large = crops.large.numpy() * seen[:, None]
        canvas = np.zeros((count, 2 + own.local_crops, side, side, 3), np.uint8)
        for at, picture in enumerate([*large, *crops.small.numpy()]):
            column, row = divmod(at, count)
            shown = np.clip(255 * np.moveaxis(picture, 0, -1), 0, 255).round()
            height, width = min(side, shown.shape[0]), min(side, shown.shape[1])
            canvas[row, column, :height, :width] = shown[:height, :width]
        return canvas

    def write(
        self, path: Path, weights: Mapping[str, torch.Tensor], about: Mapping[str, str]
    ) -> None:
        """Write weights in timm's format, as the backbone reads them."""
        write_tensors(path, weights, {"licence": self._spec.licence, **about})


def _lightly(name: str) -> tuple[Any, Any]:
    """Losses and heads of lightly."""
    try:
        from lightly import loss
        from lightly.models.modules import heads
    except ImportError:
        raise InputError(
            "backbone", "have the extra finetune installed, or be embedded", name, INSTALL
        ) from None
    return loss, heads


def _check(backbone: TimmBackbone) -> None:
    network = backbone.network
    parts = ("blocks", "norm", "patch_embed", "num_prefix_tokens", "forward_features")
    if not all(hasattr(network, part) for part in parts) or network.num_prefix_tokens < 1:
        raise InputError(
            "backbone",
            "be one that can be fine-tuned: embedded, or a vision transformer with a class token",
            backbone.spec.name,
        )


def _trained(config: Any) -> str:
    names = {"last": f"last {config.blocks} blocks", "all": "all blocks"}
    return names.get(config.train, f"changes of rank {config.rank}")


def _precision(wanted: str, device: str) -> str:
    """Type that products are computed in."""
    import torch

    if wanted != "auto":
        return wanted
    cuda = device.startswith("cuda")
    return "bfloat16" if cuda and torch.cuda.is_bf16_supported() else "float32"


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    return -(shares * shares.clamp(min=1e-12).log()).sum(-1)


def _tokens(
    network: Any,
    images: torch.Tensor,
    masks: torch.Tensor | None = None,
    token: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Class tokens (B, C) and patches (B, N, C) of images, of which some patches are not seen."""
    import torch

    def hide(module: Any, inputs: Any, found: torch.Tensor) -> torch.Tensor:
        if masks is None or token is None:
            return found
        at = masks if found.ndim == 4 else masks.flatten(1)
        return torch.where(at[..., None], token.to(found.dtype), found)

    hook = network.patch_embed.register_forward_hook(hide)
    try:
        tokens = network.forward_features(images)
    finally:
        hook.remove()
    return tokens[:, 0], tokens[:, network.num_prefix_tokens :]
