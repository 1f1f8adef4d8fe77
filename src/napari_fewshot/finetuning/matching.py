"""Losses: pixels of one image are classified by pixels of the others, and keep their features."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["disagreement", "gather_pixels", "matching_loss", "relation_loss"]


def gather_pixels(features: Tensor, index: Tensor) -> Tensor:
    """Take pixels out of feature maps.

    Parameters
    ----------
    features : tensor, shape (E * K, C, H, W)
        Maps of all images.
    index : tensor, shape (E, K, P), int64
        Positions in the flattened H × W.

    Returns
    -------
    tensor, shape (E, K, P, C)
    """
    e, k, p = index.shape
    c = features.shape[1]
    flat = features.permute(0, 2, 3, 1).reshape(e * k, -1, c)
    picked = flat.gather(1, index.reshape(e * k, p, 1).expand(-1, -1, c))
    return picked.reshape(e, k, p, c)


def matching_loss(pixels: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of a matching network (Vinyals et al. 2016, arXiv:1606.04080).

    Every image of an episode is the query once. The probability of a query pixel's region is
    the softmax attention, over cosine similarity by temperature, that falls on pixels of that
    region in the episode's other images. Query pixels whose region no other image shows are
    left out.

    Parameters
    ----------
    pixels : tensor, shape (E, K, P, C)
        Unit-norm features.
    labels : tensor, shape (E, K, P), integer
        Their regions.
    temperature : float
        Divides the cosine similarity.

    Returns
    -------
    loss : tensor, scalar
        Mean over the query pixels; 0 where there is none.
    probability : tensor, scalar
        Mean probability of the true region.
    """
    e, k, p, c = pixels.shape
    flat, names = pixels.reshape(e, k * p, c), labels.reshape(e, k * p)
    scores = flat @ flat.transpose(1, 2) / temperature
    image = torch.arange(k, device=pixels.device).repeat_interleave(p)
    other = image[:, None] != image[None, :]
    same = (names[:, :, None] == names[:, None, :]) & other
    scores = scores.masked_fill(~other, -torch.inf)
    known = same.any(-1)
    # A row without a match would have a gradient of NaN: let it match everything instead.
    match = scores.masked_fill(~(same | ~known[:, :, None]), -torch.inf)
    likelihood = match.logsumexp(-1) - scores.logsumexp(-1)
    count = known.sum().clamp(min=1)
    loss = -(likelihood * known).sum() / count
    return loss, ((likelihood.exp() * known).sum() / count).detach()


def disagreement(one: Tensor, other: Tensor) -> Tensor:
    """Mean of 1 minus the cosine of unit-norm features of the same pixels, both (..., C)."""
    return 1 - (one * other).sum(-1).mean()


def relation_loss(pixels: Tensor, wanted: Tensor, temperature: float, sharpness: float) -> Tensor:
    """How far pixels are related to those of other episodes otherwise than they ought to be.

    Cross-entropy of the softmax attention of each pixel over the pixels of the other episodes, by
    cosine similarity, against that of the features ``wanted``, which is sharper: what is like a
    pixel somewhat is to be like it clearly, or not.

    Parameters
    ----------
    pixels : tensor, shape (E, P, C)
        Unit-norm features; E is 2 at least.
    wanted : tensor, shape (E, P, C)
        Unit-norm features of the same pixels, without gradient.
    temperature : float
        Divides the cosine similarity.
    sharpness : float
        Divides the temperature of what is wanted.
    """
    e, p, c = pixels.shape
    flat, fixed = pixels.reshape(e * p, c), wanted.reshape(e * p, c)
    episode = torch.arange(e, device=pixels.device).repeat_interleave(p)
    same = episode[:, None] == episode[None, :]
    target = (fixed @ fixed.T * (sharpness / temperature)).masked_fill(same, -torch.inf).softmax(-1)
    found = (flat @ flat.T / temperature).masked_fill(same, -torch.inf).log_softmax(-1)
    return -(target * found.masked_fill(same, 0)).sum(-1).mean()
