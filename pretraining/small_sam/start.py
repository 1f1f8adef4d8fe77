"""Weights to begin with, from which the decoder finds out soon where a prompt is."""

from __future__ import annotations

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.transformer import Attention
from torch import nn

__all__ = ["begin"]


@torch.no_grad()
def begin(sam: Sam) -> None:
    """Set random weights that differ from PyTorch's, from the random state of PyTorch.

    Two thirds of the frequencies of the position embedding lie along an axis and begin below one
    wave per image, so that left and right of a box's edge differ in sign; of SAM's own, which
    are drawn from a normal distribution, hardly any do at this width. Layers of the decoder keep
    the size of what goes through them, and attention between tokens and image begins with equal
    projections of queries and keys: each looks where its own position is. What tokens add to
    the image begins small: the upscaling, which is taught before, still finds its embedding.
    """
    nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    frequencies = sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    third = frequencies.shape[1] // 3
    along = torch.logspace(-3, 1, third + 1, base=2)
    frequencies.mul_(0.7)[:, : 2 * (third + 1)] = 0
    frequencies[0, : third + 1] = along
    frequencies[1, third + 1 : 2 * (third + 1)] = along
    for module in sam.mask_decoder.modules():
        if isinstance(module, nn.Linear | nn.ConvTranspose2d):
            fan = module.weight.shape[module.weight.ndim == 2]
            gain = 1.0 if isinstance(module, nn.Linear) else 1.5
            nn.init.normal_(module.weight, std=(gain / fan) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in sam.mask_decoder.output_hypernetworks_mlps.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for name, module in sam.mask_decoder.named_modules():
        if isinstance(module, Attention) and "self" not in name:
            module.k_proj.weight.copy_(module.q_proj.weight)
    for layer in sam.mask_decoder.transformer.layers:
        layer.cross_attn_image_to_token.out_proj.weight.mul_(0.25)
