"""Answers of the network, and scores on synthetic images that training never draws."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Generator, Tensor

from .loss import iou_of
from .pool import Pool
from .prompts import Prompt, box_of, points_in

__all__ = ["answer", "embed", "held_out_iou", "normalised"]


def normalised(sam: Sam, images: Tensor) -> Tensor:
    """Images in 0..255 as the image encoder takes them."""
    return torch.as_tensor((images - sam.pixel_mean) / sam.pixel_std)


def embed(sam: Sam, images: Tensor, *, bfloat16: bool = False) -> Tensor:
    """Embeddings (N, C, G, G) of padded images (N, 3, S, S) in 0..255."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
        features: Tensor = sam.image_encoder(normalised(sam, images))
    return features.float()


def answer(
    sam: Sam, embedding: Tensor, prompt: Prompt, *, bfloat16: bool = False
) -> tuple[Tensor, Tensor]:
    """All four masks of each prompt.

    ``MaskDecoder.predict_masks`` takes one image; for several, its steps are gone through here,
    since one call for all is faster.

    Parameters
    ----------
    sam : Sam
        The network.
    embedding : Tensor, shape (N, C, G, G)
        Of N images.
    prompt : Prompt
        For R regions: R / N of the first image, then as many of the next, ...
    bfloat16 : bool
        Whether the decoder runs in it.

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
    decoder = sam.mask_decoder
    with torch.autocast(embedding.device.type, torch.bfloat16, enabled=bfloat16):
        sparse, dense = sam.prompt_encoder(points=points, boxes=prompt.boxes, masks=prompt.masks)
        count = len(sparse)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(count, -1, -1), sparse], 1)
        source = embedding.repeat_interleave(count // len(embedding), 0) + dense
        where = sam.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
        told, changed = decoder.transformer(source, where, tokens)
        changed = changed.transpose(1, 2).reshape(source.shape)
        pixels = decoder.output_upscaling(changed)
        heads = decoder.output_hypernetworks_mlps
        weights = torch.stack([head(told[:, 1 + k]) for k, head in enumerate(heads)], 1)
        logits = (weights @ pixels.flatten(2)).unflatten(2, pixels.shape[2:])
        iou = decoder.iou_prediction_head(told[:, 0])
    return logits.float(), iou.float()


@torch.no_grad()
def held_out_iou(sam: Sam, pool: Pool) -> dict[str, float]:
    """Mean IoU at full resolution by kind of prompt.

    ``point`` takes the mask of highest predicted IoU of the three, ``point_best`` the truly best
    of them, ``points`` (ten) and ``box`` the single mask. ``filled`` is the box itself, and
    ``box, phantoms`` and ``filled, phantoms`` count slices of phantoms alone.
    """
    side = sam.image_encoder.img_size
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    sums: dict[str, list[Tensor]] = {}
    for k in range(len(pool.images)):
        rng = Generator().manual_seed(k)
        batch = pool.at(k)
        embedding, truth = embed(sam, batch.images), batch.masks[0]
        rows, boxes = torch.arange(len(truth)), box_of(truth)
        prompts = {
            "point": Prompt(points_in(truth, 1, rng), torch.ones(len(truth), 1)),
            "points": Prompt(points_in(truth, 10, rng), torch.ones(len(truth), 10)),
            "box": Prompt(boxes=boxes),
        }
        found = {}
        for kind, prompt in prompts.items():
            logits, predicted = answer(sam, embedding, prompt)
            iou = iou_of(F.interpolate(logits, (side, side), mode="bilinear") > 0, truth[:, None])
            if kind == "point":
                found["point"] = iou[rows, 1 + predicted[:, 1:].argmax(1)]
                found["point_best"] = iou[:, 1:].max(1).values
            else:
                found[kind] = iou[:, 0]
        x0, y0, x1, y1 = boxes[:, :, None, None].unbind(1)
        found["filled"] = iou_of((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1), truth)
        if k % 2:
            found |= {f"{kind}, phantoms": found[kind] for kind in ("box", "filled")}
        for kind, values in found.items():
            sums.setdefault(kind, []).append(values)
    return {kind: float(torch.cat(values).mean()) for kind, values in sums.items()}
