"""Prompts from true masks: points, boxes and rough masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["Prompt", "box_of", "draw_prompt", "halved", "points_in"]


@dataclass(frozen=True, eq=False)
class Prompt:
    """Prompts for R regions, in pixels of the network's input.

    Parameters
    ----------
    points : Tensor, shape (R, P, 2), optional
        As (x, y).
    signs : Tensor, shape (R, P), optional
        1 inside the region, 0 outside.
    boxes : Tensor, shape (R, 4), optional
        As (x0, y0, x1, y1).
    masks : Tensor, shape (R, 1, S / 2, S / 2), optional
        Logits of a rough or former answer.
    """

    points: Tensor | None = None
    signs: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether this is one point alone, which may mean a part or the whole."""
        return (
            self.boxes is None
            and self.masks is None
            and self.points is not None
            and self.points.shape[1] == 1
        )


def halved(masks: Tensor) -> Tensor:
    """Masks (R, S, S) at the resolution of the decoder, (R, S / 2, S / 2), bool."""
    return F.avg_pool2d(masks[:, None].float(), 2)[:, 0] >= 0.5


def points_in(masks: Tensor, count: int, rng: Generator) -> Tensor:
    """Draw ``count`` pixels of each mask (R, H, W) as (x, y), shape (R, count, 2)."""
    width = masks.shape[-1]
    at = torch.multinomial(masks.flatten(1).float(), count, replacement=True, generator=rng)
    return torch.stack([at % width, at // width], -1).float()


def box_of(masks: Tensor) -> Tensor:
    """The smallest boxes round masks (R, H, W), shape (R, 4)."""
    ends = []
    for axis in (1, 2):  # columns, then rows
        held = masks.any(axis).to(torch.uint8)
        low = held.argmax(1)
        high = held.shape[1] - 1 - held.flip(1).argmax(1)
        ends.append((low, high))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], 1).float()


def _loose_box(masks: Tensor, rng: Generator) -> Tensor:
    boxes = box_of(masks)
    side = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
    shift = torch.randn(boxes.shape, generator=rng) * (0.4 + 0.06 * side)
    return (boxes + shift.clamp(-10, 10)).clamp(0, masks.shape[-1] - 1)


def _rough_mask(masks: Tensor, rng: Generator) -> Tensor:
    """Logits of a blurred, shifted and noisy copy."""
    small = halved(masks).float()[:, None]
    shift = torch.randint(-2, 3, (2,), generator=rng).tolist()
    blurred = F.avg_pool2d(small, 5, 1, 2).roll(shift, (2, 3))
    steep = 4 + 16 * torch.rand((), generator=rng)
    noise = F.avg_pool2d(torch.randn(small.shape, generator=rng), 5, 1, 2)
    return (blurred - 0.45 + 0.6 * noise) * steep


def _points(masks: Tensor, count: int, outside: int, rng: Generator) -> tuple[Tensor, Tensor]:
    points, signs = points_in(masks, count, rng), torch.ones(len(masks), count)
    if outside:
        # Mostly near by, where a negative point tells most.
        grown = F.max_pool2d(masks[:, None].float(), 31, 1, 15)[:, 0]
        weight = (0.02 + grown) * ~masks
        points = torch.cat([points, points_in(weight, outside, rng)], 1)
        signs = torch.cat([signs, torch.zeros(len(masks), outside)], 1)
    return points, signs


def draw_prompt(masks: Tensor, rng: Generator) -> Prompt:
    """Draw prompts for regions (R, S, S); all get the same kind."""
    kind = float(torch.rand((), generator=rng))
    rough = _rough_mask(masks, rng) if torch.rand((), generator=rng) < 0.08 else None
    if kind < 0.35:
        return Prompt(*_points(masks, 1, 0, rng), masks=rough)
    count = int(torch.randint(1, 11, (), generator=rng))
    if kind < 0.55:
        outside = int(torch.randint(0, 4, (), generator=rng))
        return Prompt(*_points(masks, count, outside, rng), masks=rough)
    boxes = _loose_box(masks, rng)
    if kind < 0.9:
        return Prompt(boxes=boxes, masks=rough)
    return Prompt(*_points(masks, count, 0, rng), boxes=boxes, masks=rough)
