"""SAM's mask decoder, guided to a target as PerSAM does (Zhang et al. 2023, arXiv:2305.03048).

The decoder of the official package has no place for guidance, so its attention from tokens to
image and the loop over its layers are wrapped. Weights are shared, and the decoder that is wrapped
stays as it is.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["Guidance", "guide_decoder"]


@dataclass(frozen=True, eq=False)
class Guidance:
    """Guidance for B prompts that are decoded together.

    Parameters
    ----------
    attention : tensor, shape (B, g * g), optional
        How much each cell of the embedding is like the target, in 0..1: target-guided attention.
    target : tensor, shape (B, C), optional
        The embedding of the target: target-semantic prompting.
    """

    attention: Tensor | None = None
    target: Tensor | None = None


def guide_decoder(decoder: Any, guidance: Guidance) -> Any:
    """Return a decoder of the same weights with guidance in it.

    Parameters
    ----------
    decoder : MaskDecoder
        Of segment_anything; it is not changed.
    guidance : Guidance
        With neither part the result decodes as ``decoder``.
    """
    guided = _twin(decoder)
    guided.transformer = _GuidedTransformer(decoder.transformer, guidance)
    return guided


def _twin(module: nn.Module) -> Any:
    """Copy a module so that its parts can be replaced; they and its weights are shared."""
    twin = copy(module)
    twin._modules = dict(module._modules)
    return twin


class _GuidedTransformer(nn.Module):
    """A two-way transformer whose tokens are guided.

    The target is added to the tokens before each layer and before the last attention, as the
    published code does; it thereby is a part of what is added to the queries as their position.
    """

    def __init__(self, plain: Any, guidance: Guidance) -> None:
        super().__init__()
        self._target = None if guidance.target is None else guidance.target[:, None]
        self.layers = nn.ModuleList(plain.layers)
        self.final_attn_token_to_image = plain.final_attn_token_to_image
        self.norm_final_attn = plain.norm_final_attn
        if guidance.attention is not None:
            for number, layer in enumerate(plain.layers):
                twin = _twin(layer)
                twin.cross_attn_token_to_image = _GuidedAttention(
                    layer.cross_attn_token_to_image, guidance.attention
                )
                self.layers[number] = twin

    def forward(
        self, image_embedding: Tensor, image_pe: Tensor, point_embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        keys = image_embedding.flatten(2).permute(0, 2, 1)
        places = image_pe.flatten(2).permute(0, 2, 1)
        tokens = queries = self._aimed(point_embedding)
        for number, layer in enumerate(self.layers):
            if number:
                queries = self._aimed(queries)
            queries, keys = layer(queries=queries, keys=keys, query_pe=tokens, key_pe=places)
        attended = self.final_attn_token_to_image(
            q=self._aimed(queries + tokens), k=keys + places, v=keys
        )
        return self.norm_final_attn(queries + attended), keys

    def _aimed(self, tokens: Tensor) -> Tensor:
        return tokens if self._target is None else tokens + self._target


class _GuidedAttention(nn.Module):
    """Attention of tokens over the image that also goes where the image is like the target.

    The weights are softmax(softmax(q kᵀ / √d) + similarity), as in the published code.
    """

    def __init__(self, plain: Any, similarity: Tensor) -> None:
        super().__init__()
        self._plain = plain
        self._similarity = similarity[:, None, None]

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        plain = self._plain
        query, key, value = (
            part.unflatten(-1, (plain.num_heads, -1)).transpose(1, 2)
            for part in (plain.q_proj(q), plain.k_proj(k), plain.v_proj(v))
        )
        weights = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(dim=-1)
        weights = (weights + self._similarity).softmax(dim=-1)
        result: Tensor = plain.out_proj((weights @ value).transpose(1, 2).flatten(2))
        return result
