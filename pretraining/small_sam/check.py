"""Scores on synthetic images that training never draws."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Generator, Tensor

from .images import draw_batch
from .loss import iou_of
from .prompts import Prompt, box_of, points_in

__all__ = ["answer", "embed", "held_out_iou"]

_SEED_OFFSET = 100_003


def embed(sam: Sam, images: Tensor, *, bfloat16: bool = False) -> Tensor:
    """Embeddings (N, C, G, G) of padded images (N, 3, S, S) in 0..255."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
        features: Tensor = sam.image_encoder((images - sam.pixel_mean) / sam.pixel_std)
    return features.float()


def answer(sam: Sam, embedding: Tensor, prompt: Prompt) -> tuple[Tensor, Tensor]:
    """All four masks of each prompt.

    Parameters
    ----------
    sam : Sam
        The network.
    embedding : Tensor, shape (1, C, G, G)
        Of one image.
    prompt : Prompt
        For R regions.

    Returns
    -------
    Tensor, shape (R, 4, S / 2, S / 2)
        Logits: the single mask, then the three.
    Tensor, shape (R, 4)
        Predicted IoU.
    """
    points = None
    if prompt.points is not None:
        points = (prompt.points, prompt.signs)
    sparse, dense = sam.prompt_encoder(points=points, boxes=prompt.boxes, masks=prompt.masks)
    logits, iou = sam.mask_decoder.predict_masks(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )
    return logits, iou


@torch.no_grad()
def held_out_iou(sam: Sam, seed: int, images: int, regions: int = 8) -> dict[str, float]:
    """Mean IoU at full resolution by kind of prompt.

    ``point`` takes the mask of highest predicted IoU of the three, ``point_best`` the truly best
    of them, ``points`` (ten) and ``box`` the single mask.
    """
    side = sam.image_encoder.img_size
    sums: dict[str, list[Tensor]] = {"point": [], "point_best": [], "points": [], "box": []}
    for k in range(images):
        rng = Generator().manual_seed(k)
        batch = draw_batch(seed + _SEED_OFFSET, k, side, 1, regions)
        embedding, truth = embed(sam, batch.images), batch.masks[0]
        rows = torch.arange(regions)
        prompts = {
            "point": Prompt(points_in(truth, 1, rng), torch.ones(regions, 1)),
            "points": Prompt(points_in(truth, 10, rng), torch.ones(regions, 10)),
            "box": Prompt(boxes=box_of(truth)),
        }
        for kind, prompt in prompts.items():
            logits, predicted = answer(sam, embedding, prompt)
            iou = iou_of(F.interpolate(logits, (side, side), mode="bilinear") > 0, truth[:, None])
            if kind == "point":
                sums["point"].append(iou[rows, 1 + predicted[:, 1:].argmax(1)])
                sums["point_best"].append(iou[:, 1:].max(1).values)
            else:
                sums[kind].append(iou[:, 0])
    return {kind: float(torch.cat(values).mean()) for kind, values in sums.items()}
