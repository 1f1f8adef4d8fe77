"""The networks of SAM: as a checkpoint has them, and two changes of its mask decoder.

:class:`FewShotDecoder` is prompted by embeddings of labelled regions; :func:`guide_decoder` lets a
decoder be guided to a target, as PerSAM does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..backbones.checkpoint import check_fit
from ..device import avoid_llvm_clash
from ..errors import WeightsError
from .checkpoint import SamCheckpoint

__all__ = [
    "DecoderArchitecture",
    "FewShotDecoder",
    "build_encoder",
    "build_heads",
    "guide_decoder",
]

_HEADS = 8  # of attention in the decoder of all SAM; nothing in a checkpoint shows it


def _modeling() -> Any:
    avoid_llvm_clash()  # it imports torchvision
    from segment_anything import modeling

    return modeling


@contextmanager
def _building(checkpoint: SamCheckpoint) -> Iterator[None]:
    """Build without memory; measures that no network can have are those of a bad checkpoint."""
    try:
        with torch.device("meta"):
            yield
    except (AssertionError, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise WeightsError(
            f"The weights file {checkpoint.path} must be a checkpoint of SAM; no network has its "
            f"measures, {checkpoint.architecture}."
        ) from error


def build_encoder(checkpoint: SamCheckpoint) -> Any:
    """Build the image encoder with its weights, which must fit exactly; frozen."""
    parts, of = _modeling(), checkpoint.architecture
    with _building(checkpoint):  # weights are put in place, not drawn and then replaced
        network = parts.ImageEncoderViT(
            depth=of.n_layers,
            embed_dim=of.width,
            img_size=of.side,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_heads=of.heads,
            patch_size=of.patch,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=of.global_layers,
            window_size=of.window,
            out_chans=of.channels,
        )
    return _filled(network, checkpoint, "image_encoder")


def build_heads(checkpoint: SamCheckpoint) -> tuple[Any, Any]:
    """Build the prompt encoder and the mask decoder with their weights; frozen."""
    parts, of = _modeling(), checkpoint.architecture
    with _building(checkpoint):
        prompts = parts.PromptEncoder(
            embed_dim=of.channels,
            image_embedding_size=(of.grid, of.grid),
            input_image_size=(of.side, of.side),
            mask_in_chans=of.mask_channels,
        )
        decoder = parts.MaskDecoder(
            num_multimask_outputs=of.masks,
            transformer=_transformer(of.channels, of.decoder_layers, of.decoder_mlp),
            transformer_dim=of.channels,
            iou_head_depth=of.iou_layers,
            iou_head_hidden_dim=of.iou_width,
        )
    return (
        _filled(prompts, checkpoint, "prompt_encoder"),
        _filled(decoder, checkpoint, "mask_decoder"),
    )


def _transformer(channels: int, n_layers: int, mlp: int) -> Any:
    return _modeling().TwoWayTransformer(
        depth=n_layers, embedding_dim=channels, mlp_dim=mlp, num_heads=_HEADS
    )


def _filled(network: Any, checkpoint: SamCheckpoint, part: str) -> Any:
    state = checkpoint.part(part)
    check_fit(checkpoint.sam.spec.name, checkpoint.path, network.state_dict(), state)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


class DecoderArchitecture(NamedTuple):
    """Measures of a :class:`FewShotDecoder`, in the order in which model files hold them."""

    channels: int  # of the image embedding
    grid: int  # cells along each side of it
    n_layers: int  # this and the next: of the two-way transformer
    mlp: int


class FewShotDecoder(nn.Module):
    """Mask decoder of "SAM Fewshot Finetuning for Anatomical Segmentation in Medical Images".

    SAM's two-way transformer, upscaling and token networks, with two output tokens (foreground
    and background) in place of SAM's four, and without its prediction of the IoU. Prompts are
    vectors of the space of the image embedding. The tokens are the same for all labels: what
    tells labels apart are the embeddings that prompt for them.

    Weights are those of He et al. (2015) until :meth:`start_from` and :meth:`start_as_masks` take
    those of a SAM.
    """

    def __init__(self, architecture: DecoderArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        parts: Any = _modeling()
        width, _, n_layers, mlp = architecture
        self.decoder = parts.MaskDecoder(
            transformer_dim=width,
            transformer=_transformer(width, n_layers, mlp),
            num_multimask_outputs=1,  # and one: two tokens
        )
        del self.decoder.iou_token, self.decoder.iou_prediction_head
        self.position: Any = parts.prompt_encoder.PositionEmbeddingRandom(width // 2)
        self.no_mask: Tensor
        self.register_buffer("no_mask", torch.zeros(width))
        self.apply(_he)

    def start_from(self, checkpoint: SamCheckpoint, *, decoder: bool = True) -> list[str]:
        """Take the weights of a SAM where name and shape agree; return the names of the rest.

        Without ``decoder`` nothing that is trained is taken. SAM's positional encoding and its
        embedding of "no mask prompt" always are; they are no parameters, and training leaves them.
        """
        given, own = checkpoint.part("mask_decoder"), self.decoder.state_dict()
        agreeing = {
            n: t for n, t in given.items() if decoder and n in own and own[n].shape == t.shape
        }
        self.decoder.load_state_dict(agreeing, strict=False)
        prompts = checkpoint.part("prompt_encoder")
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
        masks = checkpoint.part("mask_decoder")
        last = self.decoder.output_hypernetworks_mlps[1].layers[-1]
        with torch.no_grad():
            self.decoder.mask_tokens.weight.copy_(masks["mask_tokens.weight"][:2])
            last.weight.neg_()
            last.bias.neg_()

    def forward(self, image: Tensor, prompts: Tensor) -> Tensor:
        """Decode an embedding, (C, g, g), with B sets of T vectors, (B, T, C).

        Returns logits of foreground and background, (B, 2, 4g, 4g).
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
        return torch.einsum("bkc,bchw->bkhw", weights, upscaled)


def _he(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.ConvTranspose2d | nn.Embedding):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        bias = getattr(module, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)


def guide_decoder(decoder: Any, attention: Tensor | None, target: Tensor | None) -> Any:
    """Return a decoder of the same weights, guided to a target (Zhang et al. 2023).

    SAM's decoder has no place for guidance, so its attention from tokens to image and the loop
    over its layers are wrapped (arXiv:2305.03048); ``decoder``, of segment_anything, stays as it
    is. Rows are those of the B prompts that are decoded together: ``attention``, (B, g * g), is
    the similarity of each cell to the target, in 0..1 (target-guided attention), ``target``,
    (B, C), its embedding (target-semantic prompting).
    """
    guided = _twin(decoder)
    guided.transformer = _GuidedTransformer(decoder.transformer, attention, target)
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

    def __init__(self, plain: Any, attention: Tensor | None, target: Tensor | None) -> None:
        super().__init__()
        self._target = None if target is None else target[:, None]
        self.layers = nn.ModuleList(plain.layers)
        self.final_attn_token_to_image = plain.final_attn_token_to_image
        self.norm_final_attn = plain.norm_final_attn
        if attention is not None:
            for number, layer in enumerate(plain.layers):
                twin = _twin(layer)
                guided = _GuidedAttention(layer.cross_attn_token_to_image, attention)
                twin.cross_attn_token_to_image = guided
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
