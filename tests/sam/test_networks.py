"""PerSAM's guidance of the decoder, against the official decoder and a plain computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_fewshot.sam.networks import guide_decoder


@pytest.fixture(scope="module")
def inputs(official):
    rng = torch.Generator().manual_seed(0)
    return {
        "image_embeddings": torch.randn(1, 32, 8, 8, generator=rng),
        "image_pe": official.prompt_encoder.get_dense_pe(),
        "sparse_prompt_embeddings": torch.randn(3, 2, 32, generator=rng),
        "dense_prompt_embeddings": torch.randn(3, 32, 8, 8, generator=rng),
        "multimask_output": True,
    }


def test_without_guidance_it_is_the_official_decoder(official, inputs):
    decoder = official.mask_decoder
    masks, iou = decoder(**inputs)
    found, found_iou = guide_decoder(decoder, None, None)(**inputs)
    torch.testing.assert_close(found, masks, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found_iou, iou, rtol=1e-4, atol=1e-5)


def test_the_wrapped_decoder_stays_as_it_is_and_weights_are_shared(official, inputs):
    decoder = official.mask_decoder
    before = decoder(**inputs)[0]
    names = [name for name, _ in decoder.named_modules()]
    guided = guide_decoder(decoder, torch.rand(3, 64), torch.randn(3, 32))
    assert not torch.allclose(guided(**inputs)[0], before)
    torch.testing.assert_close(decoder(**inputs)[0], before, rtol=1e-4, atol=1e-5)
    assert [name for name, _ in decoder.named_modules()] == names
    weights = {parameter.data_ptr() for parameter in decoder.parameters()}
    assert {parameter.data_ptr() for parameter in guided.parameters()} <= weights


def test_equal_similarity_everywhere_flattens_attention_and_no_target_adds_nothing(
    official, inputs
):
    """Adding a constant inside of a softmax changes nothing, so the constant does not matter."""
    decoder = official.mask_decoder
    low, high = (guide_decoder(decoder, torch.full((3, 64), v), None) for v in (0.1, 0.9))
    assert torch.allclose(low(**inputs)[0], high(**inputs)[0], atol=1e-5)
    none = guide_decoder(decoder, None, torch.zeros(3, 32))
    assert torch.allclose(none(**inputs)[0], decoder(**inputs)[0], atol=1e-6)


def test_guidance_is_that_of_the_paper(official, inputs):
    """A slow plain decoder: attention head by head, the target added before every layer."""
    rng = torch.Generator().manual_seed(1)
    attention = torch.rand(3, 64, generator=rng)
    target = torch.randn(3, 32, generator=rng)
    decoder = official.mask_decoder
    found, iou = guide_decoder(decoder, attention, target)(**inputs)
    for b in range(3):
        tokens = torch.cat(
            [
                decoder.iou_token.weight,
                decoder.mask_tokens.weight,
                inputs["sparse_prompt_embeddings"][b],
            ]
        )
        image = inputs["image_embeddings"][0] + inputs["dense_prompt_embeddings"][b]
        queries, keys = plain_transformer(
            decoder.transformer,
            image.flatten(1).T,
            inputs["image_pe"][0].flatten(1).T,
            tokens,
            attention[b],
            target[b],
        )
        assert torch.allclose(decoder.iou_prediction_head(queries[0])[1:], iou[b], atol=1e-4)
        upscaled = decoder.output_upscaling(keys.T.reshape(1, 32, 8, 8))[0]
        for m in (1, 2, 3):
            weights = decoder.output_hypernetworks_mlps[m](queries[1 + m])
            mask = torch.einsum("c,chw->hw", weights, upscaled)
            assert torch.allclose(mask, found[b, m - 1], atol=1e-4)


def plain_transformer(network, image, places, tokens, similarity, target):
    keys, start = image, tokens + target
    queries = tokens
    for number, layer in enumerate(network.layers):
        queries = queries + target
        if number == 0:
            queries = plain_attention(layer.self_attn, queries, queries, queries)
        else:
            seen = queries + start
            queries = queries + plain_attention(layer.self_attn, seen, seen, queries)
        queries = layer.norm1(queries)
        queries = layer.norm2(
            queries
            + plain_attention(
                layer.cross_attn_token_to_image, queries + start, keys + places, keys, similarity
            )
        )
        queries = layer.norm3(queries + layer.mlp(queries))
        keys = layer.norm4(
            keys
            + plain_attention(
                layer.cross_attn_image_to_token, keys + places, queries + start, queries
            )
        )
    seen = queries + start + target
    last = plain_attention(network.final_attn_token_to_image, seen, keys + places, keys)
    return network.norm_final_attn(queries + last), keys


def plain_attention(attention: nn.Module, q, k, v, similarity=None):
    q, k, v = attention.q_proj(q), attention.k_proj(k), attention.v_proj(v)
    width = q.shape[1] // attention.num_heads
    results = []
    for head in range(attention.num_heads):
        part = slice(head * width, (head + 1) * width)
        weights = torch.softmax(q[:, part] @ k[:, part].T / math.sqrt(width), dim=1)
        if similarity is not None:
            weights = torch.softmax(weights + similarity, dim=1)
        results.append(weights @ v[:, part])
    return attention.out_proj(torch.cat(results, dim=1))
