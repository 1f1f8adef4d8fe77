"""One run: network, teacher, averaged weights and optimiser, and what a step does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Generator, Tensor

from napari_fewshot.features.encode import cpu_has_bfloat16
from napari_fewshot.finetuning.steps import clipped_step, follow

from .check import answer, embed, normalised
from .loss import sam_loss
from .network import build_sam
from .pool import Batch, Pool
from .prompts import draw_prompt, halved
from .settings import SmallSamConfig
from .start import begin
from .teacher import Teacher

__all__ = ["Trainer"]

# Images that are decoded in one call, with one kind of prompt.
_TOGETHER = 2


class Trainer:
    """Network, averaged weights and optimiser of one run.

    Parameters
    ----------
    config : SmallSamConfig
    pool : Pool
        What batches are taken from.
    """

    def __init__(self, config: SmallSamConfig, pool: Pool) -> None:
        torch.manual_seed(config.seed)
        self.config, self.pool, self.step = config, pool, 0
        self.bfloat16 = config.bfloat16 and cpu_has_bfloat16()
        self.network = build_sam(config.network)
        begin(self.network)
        self.teacher = Teacher(config.network.dim)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        groups = []
        for encoder in (True, False):
            named = {
                name: value
                for name, value in self.network.named_parameters()
                if name.startswith("image_encoder.") == encoder
            }
            plain = {n for n, p in named.items() if p.ndim < 2 or "embed" in n or "token" in n}
            for names, decay in ((named.keys() - plain, config.weight_decay), (plain, 0.0)):
                parameters = [named[n] for n in named if n in names]
                groups.append({"params": parameters, "weight_decay": decay, "encoder": encoder})
        taught = {"params": list(self.teacher.parameters()), "weight_decay": 0.0, "encoder": True}
        self.optimiser = torch.optim.AdamW(
            [*groups, taught], lr=config.learning_rate, betas=(0.9, 0.98)
        )

    def rate(self, *, encoder: bool) -> float:
        """Learning rate of the present step, of the image encoder or of what follows it."""
        c = self.config
        part, number = c.part(self.step)
        rate = c.learning_rate * (c.encoder_rate if encoder else 1.0)
        if part != "joint" or encoder:
            rate *= min(1.0, (number + 1) / max(c.warmup, 1))
        if part == "encoder":
            return rate * max(0.05, min(1.0, 2 * (1 - number / c.encoder_steps)))
        left = (c.steps - self.step) / max(c.fall * c.joint_steps, 1)
        return rate * max(0.01, min(1.0, left))

    def batch(self) -> Batch:
        """Images of the present step."""
        c = self.config
        rng = np.random.default_rng([c.seed, 31, self.step])
        teaching = c.part(self.step)[0] == "encoder"
        return self.pool.batch(rng, c.encoder_images if teaching else c.images, c.regions)

    def _teach(self, batch: Batch, rng: Generator) -> dict[str, float]:
        embedding = embed(self.network, batch.images, bfloat16=self.bfloat16)
        images = normalised(self.network, batch.images)
        loss, iou = self.teacher(self.network, embedding, images, batch.masks, rng)
        loss.backward()
        return {"loss": float(loss.detach()), "iou": float(iou)}

    def _prompted(self, embedding: Tensor, masks: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Loss of some images with one kind of prompt, and the IoU of the mask that counts."""
        masks = masks.flatten(0, 1)
        truth = halved(masks)
        prompt = draw_prompt(masks, rng)
        logits, predicted = answer(self.network, embedding, prompt, bfloat16=self.bfloat16)
        loss, iou = sam_loss(logits, predicted, truth, ambiguous=prompt.ambiguous)
        rows = torch.arange(len(masks))
        chosen = 1 + predicted[:, 1:].argmax(1) if prompt.ambiguous else 0 * rows
        return loss, iou[rows, chosen].mean()

    def _segment(self, batch: Batch, rng: Generator, *, joint: bool) -> dict[str, float]:
        with torch.set_grad_enabled(joint):
            embedding = embed(self.network, batch.images, bfloat16=self.bfloat16)
        # The decoder's graph is freed call by call; its gradient is then sent on at once.
        leaf = embedding.detach().requires_grad_(joint)
        parts = list(zip(leaf.split(_TOGETHER), batch.masks.split(_TOGETHER), strict=True))
        results = []
        for some, masks in parts:
            loss, iou = self._prompted(some, masks, rng)
            (loss / len(parts)).backward()
            results.append((float(loss.detach()), float(iou)))
        if joint:
            embedding.backward(leaf.grad)
        loss, iou = np.mean(results, 0)
        return {"loss": float(loss), "iou": float(iou)}

    def update(self, batch: Batch) -> dict[str, float]:
        """Take one step; return what is worth logging."""
        part = self.config.part(self.step)[0]
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(encoder=group["encoder"])
        self.network.train()
        rng = Generator().manual_seed(1_000_003 * self.config.seed + self.step)
        self.optimiser.zero_grad(set_to_none=True)
        if part == "encoder":
            result = self._teach(batch, rng)
        else:
            result = self._segment(batch, rng, joint=part == "joint")
        norm = clipped_step(self.network, self.optimiser, self.config.clip)
        self.step += 1
        follow(self.average, self.network, self.step, self.config.ema)
        return {**result, "norm": norm}

    def averaged(self) -> Sam:
        """A network with the averaged weights."""
        sam = build_sam(self.config.network)
        sam.load_state_dict(self.average)
        return sam.eval()

    def state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on."""
        return {
            "step": self.step,
            "model": self.network.state_dict(),
            "teacher": self.teacher.state_dict(),
            "ema": self.average,
            "optimiser": self.optimiser.state_dict(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Take up a state exactly."""
        self.step = int(state["step"])
        self.network.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        self.average = {k: v.clone() for k, v in state["ema"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
