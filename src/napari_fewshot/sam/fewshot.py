"""The mask decoder of SAM with two tokens, prompted by embeddings of labelled regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from .encoder import SamCheckpoint
from .network import DECODER_HEADS, part_of, sam_modeling

__all__ = ["DecoderMeasures", "FewShotDecoder"]


class DecoderMeasures(NamedTuple):
    """Measures of a decoder.

    Parameters
    ----------
    channels : int
        Of the image embedding.
    grid : int
        Cells along each side of it.
    depth, mlp : int
        Of the two-way transformer.
    """

    channels: int
    grid: int
    depth: int
    mlp: int


class FewShotDecoder(nn.Module):
    """Mask decoder of "SAM Fewshot Finetuning for Anatomical Segmentation in Medical Images".

    SAM's two-way transformer, upscaling and token networks, with two output tokens (foreground
    and background) in place of SAM's four, and without its prediction of the IoU. Prompts are
    vectors of the space of the image embedding. The tokens are the same for all labels: what
    tells labels apart are the embeddings that prompt for them.

    Weights are those of He et al. (2015) until :meth:`start_from` and :meth:`start_as_masks` take
    those of a SAM.

    Parameters
    ----------
    measures : DecoderMeasures
    """

    def __init__(self, measures: DecoderMeasures) -> None:
        super().__init__()
        self.measures = measures
        parts: Any = sam_modeling()
        width = measures.channels
        self.decoder = parts.MaskDecoder(
            transformer_dim=width,
            transformer=parts.TwoWayTransformer(
                depth=measures.depth,
                embedding_dim=width,
                num_heads=DECODER_HEADS,
                mlp_dim=measures.mlp,
            ),
            num_multimask_outputs=1,  # and one: two tokens
        )
        del self.decoder.iou_token, self.decoder.iou_prediction_head
        self.position: Any = parts.prompt_encoder.PositionEmbeddingRandom(width // 2)
        self.no_mask: torch.Tensor
        self.register_buffer("no_mask", torch.zeros(width))
        self.apply(_he)

    def start_from(self, checkpoint: SamCheckpoint) -> list[str]:
        """Take the weights of a SAM where name and shape agree; return the names of the rest.

        SAM's positional encoding and its embedding of "no mask prompt" are taken too; they are
        no parameters and stay as they are in training.
        """
        given = part_of(checkpoint.state, "mask_decoder")
        own: Mapping[str, torch.Tensor] = self.decoder.state_dict()
        agreeing = {n: t for n, t in given.items() if n in own and own[n].shape == t.shape}
        self.decoder.load_state_dict(agreeing, strict=False)
        prompts = part_of(checkpoint.state, "prompt_encoder")
        matrix = "positional_encoding_gaussian_matrix"
        self.position.load_state_dict({matrix: prompts[f"pe_layer.{matrix}"]})
        with torch.no_grad():
            self.no_mask.copy_(prompts["no_mask_embed.weight"][0])
        return [name for name in own if name not in agreeing]

    def start_as_masks(self, checkpoint: SamCheckpoint) -> None:
        """Let foreground start as SAM's first mask, background as the opposite of its second.

        With tokens drawn at random (as published) both channels start as nothing in particular,
        and hundreds of steps go by before they tell more than how frequent a label is.
        """
        masks = part_of(checkpoint.state, "mask_decoder")
        last = self.decoder.output_hypernetworks_mlps[1].layers[-1]
        with torch.no_grad():
            self.decoder.mask_tokens.weight.copy_(masks["mask_tokens.weight"][:2])
            last.weight.neg_()
            last.bias.neg_()

    def forward(self, image: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Decode one image with B sets of prompts.

        Parameters
        ----------
        image : tensor, shape (C, g, g)
            Image embedding, padding included.
        prompts : tensor, shape (B, T, C)
            Vectors that describe what to find.

        Returns
        -------
        tensor, shape (B, 2, 4g, 4g)
            Logits of foreground and background.
        """
        decoder = self.decoder
        count, (width, height, across) = len(prompts), image.shape
        tokens = torch.cat([decoder.mask_tokens.weight.expand(count, -1, -1), prompts], dim=1)
        source = (image + self.no_mask[:, None, None]).expand(count, -1, -1, -1)
        position = self.position((height, across)).expand(count, -1, -1, -1)
        found, source = decoder.transformer(source, position, tokens)
        source = source.transpose(1, 2).reshape(count, width, height, across)
        upscaled = decoder.output_upscaling(source)
        networks = decoder.output_hypernetworks_mlps
        weights = torch.stack([net(found[:, k]) for k, net in enumerate(networks)], dim=1)
        logits: torch.Tensor = torch.einsum("bkc,bchw->bkhw", weights, upscaled)
        return logits


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.ConvTranspose2d | nn.Embedding):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        bias = getattr(module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)
