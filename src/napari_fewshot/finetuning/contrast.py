"""The embedded network learns to see images as they are, however they are shown."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backbones.embedded import FORMAT, EmbeddedBackbone
from ..config import FinetuneConfig
from ..device import avoid_llvm_clash
from ..features.encode import cpu_has_bfloat16
from ..types import Array
from .group import Group
from .matching import disagreement, matching_loss, relation_loss
from .pixels import encode
from .scans import Scans
from .steps import clipped_step, follow
from .synthetic.episodes import draw_batch
from .views import Views, draw_views, mirrored_places, sampled
from .weights_file import write_tensors

if TYPE_CHECKING:
    import torch

__all__ = ["DenseContrast"]

_RATE = 1e-4
_WEIGHT_DECAY = 1e-4
_CLIP = 1.0
_MULTIPLE = 32
_ANYWHERE = 1 / 3
"""Share of the pixels of a view that are drawn anywhere, the others from all regions alike."""
_SYNTHETIC = ((64, 4), (96, 2), (128, 1))
"""Side of synthetic images and episodes in a step; one of these is drawn for each."""


class DenseContrast:
    """Trains a copy of an embedded network on views; see :mod:`~.views`.

    Pixels of other slices and images that a pixel is like, and the features themselves, are to be
    those that the starting network finds in the images as they are. It stays as it is, so that
    nothing drifts.

    Parameters
    ----------
    backbone : EmbeddedBackbone
        Left as it is.
    scans : Scans
    config : FinetuneConfig
    group : Group
        Of the processes that train.
    """

    method = "dense contrast between views of a slice and its neighbour"

    def __init__(
        self, backbone: EmbeddedBackbone, scans: Scans, config: FinetuneConfig, group: Group
    ) -> None:
        import torch

        avoid_llvm_clash()
        self._scans, self._config, self._group = scans, config, group
        device = self._device = group.device
        self._base, self._start = backbone, backbone.network.to(device)
        self._network = copy.deepcopy(self._start).requires_grad_(True)
        self._mean = copy.deepcopy(self._start)
        self._hash = backbone.weights_hash
        self._optimizer = torch.optim.AdamW(self._network.parameters(), weight_decay=_WEIGHT_DECAY)
        self.steps = 0

    def step(self, number: int) -> dict[str, float]:
        """Take a step; see :class:`~.learner.Learner`."""
        import torch

        config = self._config
        rng = np.random.default_rng([config.seed, number, self._group.rank])
        episodes = self._episodes(number, rng)
        total: dict[str, float] = {}
        self._optimizer.zero_grad(set_to_none=True)
        for same in _of_one_size(episodes):
            loss, parts = self._loss(same, rng)
            share = len(same) / len(episodes)
            (loss * share).backward()
            for name, value in parts.items():
                total[name] = total.get(name, 0.0) + value * share
        if config.contrast.synthetic:
            loss, parts = self._synthetic_loss(number)
            loss.backward()
            total |= parts | {"loss": total["loss"] + float(loss.detach())}
        highest = config.learning_rate or _RATE
        for group in self._optimizer.param_groups:
            group["lr"] = highest * min(1.0, (number + 1) / max(1, config.warm_up))
        self._group.average(self._network.parameters())
        clipped_step(self._network, self._optimizer, _CLIP)
        self.steps += 1
        with torch.no_grad():
            follow(self._mean.state_dict(), self._network, self.steps, config.averaged)
        return total

    def _episodes(self, number: int, rng: np.random.Generator) -> list[Views]:
        config = self._config.contrast
        drawn = [self._scans.draw(number, rng) for _ in range(config.episodes)]
        return [draw_views(one, config, rng) for one in drawn]

    def _loss(
        self, episodes: list[Views], rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Loss of episodes of one size, and its parts by name."""
        import torch

        config, device = self._config.contrast, self._device
        images = torch.from_numpy(np.stack([one.images for one in episodes])).to(device)
        count, views = images.shape[:2]
        chosen = [[_pixels(v, config.pixels, rng) for v in one.regions] for one in episodes]
        index = torch.from_numpy(np.array(chosen)).to(device)
        with self._autocast():
            found = encode(self._network, images.flatten(0, 1)).at(index.flatten(0, 1))
        pixels = found.reshape(count, views, config.pixels, -1)
        before = torch.stack([self._before(v, at) for v, at in zip(episodes, chosen, strict=True)])
        parts = {"change": disagreement(pixels, before)}
        loss = config.keep * parts["change"]
        if config.relations and count > 1:
            parts["relations"] = relation_loss(
                pixels.flatten(1, 2), before.flatten(1, 2), config.temperature, config.sharpness
            )
            loss = loss + config.relations * parts["relations"]
        parts["loss"] = loss
        return loss, {name: float(value.detach()) for name, value in parts.items()}

    def _synthetic_loss(self, number: int) -> tuple[torch.Tensor, dict[str, float]]:
        """What the starting network learned from, so that it is not forgotten; parts by name."""
        import torch

        config, device = self._config.contrast, self._device
        step = number * self._group.size + self._group.rank
        batch = draw_batch(self._config.seed, step, _SYNTHETIC, 2, config.pixels)
        index, labels = (torch.from_numpy(a).to(device) for a in (batch.index, batch.labels))
        images = [torch.from_numpy(one).to(device) for one in batch.images]
        with self._autocast():
            found, before = (
                torch.stack([encode(net, x).at(index[:, k]) for k, x in enumerate(images)], dim=1)
                for net in (self._network, self._start)
            )
        told = matching_loss(found, labels, config.temperature)[0]
        change = disagreement(found, before)
        parts = {"synthetic": float(told.detach()), "synthetic change": float(change.detach())}
        return config.synthetic * (told + config.keep * change), parts

    def _before(self, views: Views, chosen: list[Array]) -> torch.Tensor:
        """Features (K, P, C) that the starting network gives to pixels, seen as they are."""
        import torch
        from torch.nn.functional import grid_sample, normalize

        shape = np.array(views.sources.shape[2:])
        rows, columns = -shape % _MULTIPLE
        padded = np.pad(views.sources[1:], ((0, 0), (0, 0), (0, rows), (0, columns)), "symmetric")
        with torch.no_grad(), self._autocast():
            maps = self._base.encode(torch.from_numpy(padded)[:, None].to(self._device))
            maps = maps.float()[..., : shape[0], : shape[1]]
            maps = maps[[0, 0, 1]]  # two views are of one slice
            places = views.places.reshape(len(views.places), -1, 2)
            at = np.take_along_axis(places, np.stack(chosen)[..., None], axis=1)
            halves = (mirrored_places(at, shape) + 0.5) * 2 / shape - 1
            grid = torch.from_numpy(halves[:, :, ::-1].astype(np.float32)).to(self._device)
            read = grid_sample(maps, grid[:, :, None], "bilinear", "border", align_corners=False)
            return normalize(read[..., 0].transpose(1, 2), dim=-1)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        """Products in bfloat16 where that is quick; what they are compared by is float32."""
        import torch

        kind = self._device.partition(":")[0]
        quick = cpu_has_bfloat16() if kind == "cpu" else kind == "cuda"
        return torch.autocast(kind, torch.bfloat16, enabled=quick)

    def averaged(self) -> dict[str, torch.Tensor]:
        """Running mean of the weights, in float16 as the file of the package has them."""
        return {
            name: tensor.half().cpu().clone() for name, tensor in self._mean.state_dict().items()
        }

    def backbone(self) -> EmbeddedBackbone:
        """The backbone with the running mean."""
        return EmbeddedBackbone(self._mean, self._hash)

    def state(self) -> dict[str, Any]:
        """See :meth:`~.learner.Learner.state`."""
        return {
            "steps": self.steps,
            "network": self._network.state_dict(),
            "mean": self._mean.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See :meth:`~.learner.Learner.restore`."""
        self._network.load_state_dict(state["network"])
        self._mean.load_state_dict(state["mean"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.steps = int(state["steps"])

    def pictures(self, number: int) -> Array:
        """Views of a step, one slice in each row, with the borders of its regions at the left."""
        from skimage.segmentation import mark_boundaries

        rng = np.random.default_rng([self._config.seed, number])
        rows = []
        for one in self._episodes(number, rng):
            images = np.moveaxis(one.images, 1, -1)
            plain = np.moveaxis(sampled(one.sources[0], one.places[0]), 0, -1)
            rows.append([mark_boundaries(plain, one.regions[0]), plain, *images])
        side = max(row[0].shape[0] for row in rows)
        canvas = np.zeros((len(rows), len(rows[0]), side, side, 3), np.uint8)
        for r, row in enumerate(rows):
            for c, picture in enumerate(row):
                height, width = picture.shape[:2]
                canvas[r, c, :height, :width] = np.clip(255 * picture, 0, 255).round()
        return canvas

    def write(
        self, path: Path, weights: Mapping[str, torch.Tensor], about: Mapping[str, str]
    ) -> None:
        """Write weights as the backbone reads them."""
        own = {
            "format": FORMAT,
            "network": json.dumps(self._start.config.to_dict()),
            "licence": "BSD-3-Clause",
        }
        write_tensors(path, weights, own | dict(about))


def _of_one_size(episodes: list[Views]) -> list[list[Views]]:
    """Episodes whose views have one size, together."""
    groups: dict[int, list[Views]] = {}
    for one in episodes:
        groups.setdefault(one.images.shape[-1], []).append(one)
    return list(groups.values())


def _pixels(regions: Array, count: int, rng: np.random.Generator) -> Array:
    """Pixels of a view, positions in the flattened image: some anywhere, some of all regions."""
    flat = regions.ravel()
    known = np.flatnonzero(flat >= 0)
    if not len(known):
        return rng.integers(len(flat), size=count)
    anywhere = rng.choice(known, int(count * _ANYWHERE))
    order = known[np.argsort(flat[known], kind="stable")]
    _, starts, sizes = np.unique(flat[order], return_index=True, return_counts=True)
    which = rng.integers(len(starts), size=count - len(anywhere))
    alike = order[starts[which] + (rng.random(len(which)) * sizes[which]).astype(int)]
    found: Array = np.concatenate([anywhere, alike]).astype(np.int64)
    return found
