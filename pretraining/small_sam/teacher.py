"""What the image encoder and the decoder's last layers learn before there are prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Generator, Tensor, nn

from .loss import iou_of, mask_losses
from .prompts import halved

__all__ = ["Teacher", "patch_target"]

# Values of a patch that its token has to tell: 2 × 2 colours and 4 × 4 grey values.
_TOLD = 2 * 2 * 3 + 4 * 4


def patch_target(images: Tensor) -> Tensor:
    """What the embedding of each token has to tell of its patch of 8 × 8 pixels.

    Parameters
    ----------
    images : Tensor, shape (N, 3, S, S)
        Normalised as the network sees them.

    Returns
    -------
    Tensor, shape (N, 28, S / 8, S / 8)
    """
    colours = F.pixel_unshuffle(F.avg_pool2d(images, 4), 2)
    greys = F.pixel_unshuffle(F.avg_pool2d(images.mean(1, keepdim=True), 2), 4)
    return torch.cat([colours, greys], 1)


class Teacher(nn.Module):
    """Asks the embedding what the decoder will need to read from it.

    A linear head tells the grey values of each patch. And the decoder's own last layers, given
    the mean embedding over some of a region's tokens in place of what attention will have
    gathered, have to find the region: its upscaling and the networks that make a mask's weights
    then know edges within a token before attention learns where to look.

    Parameters
    ----------
    dim : int
        Channels of the embedding.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.told = nn.Conv2d(dim, _TOLD, 1)

    def forward(
        self, sam: Sam, embedding: Tensor, images: Tensor, masks: Tensor, rng: Generator
    ) -> tuple[Tensor, Tensor]:
        """Loss of a batch, and the IoU of the regions that were found.

        Parameters
        ----------
        sam : Sam
            Whose last layers learn.
        embedding : Tensor, shape (N, C, G, G)
            Of the images.
        images : Tensor, shape (N, 3, S, S)
            Normalised.
        masks : Tensor, shape (N, R, S, S), bool
            Their regions.
        rng : Generator
            Source of chance: which tokens of a region count.
        """
        told = F.smooth_l1_loss(self.told(embedding), patch_target(images))
        decoder = sam.mask_decoder
        covered = (
            F.avg_pool2d(masks.float(), masks.shape[-1] // embedding.shape[-1]).square().flatten(2)
        )
        shares = covered * torch.rand(covered.shape, generator=rng)
        shares = shares / shares.sum(2, keepdim=True).clamp(min=1e-6)
        gathered = decoder.transformer.norm_final_attn(shares @ embedding.flatten(2).mT)
        head = int(torch.randint(len(decoder.output_hypernetworks_mlps), (), generator=rng))
        weights = decoder.output_hypernetworks_mlps[head](gathered)
        pixels = decoder.output_upscaling(embedding)
        logits = (weights @ pixels.flatten(2)).unflatten(2, pixels.shape[2:]).flatten(0, 1)
        truth = halved(masks.flatten(0, 1))
        loss = 2 * told + mask_losses(logits[:, None], truth).mean()
        return loss, iou_of(logits > 0, truth).mean()
