"""The network: ``segment_anything.modeling.Sam`` with small measures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

from .settings import Measures

__all__ = ["DECODER_HEADS", "build_sam", "measures_of"]

DECODER_HEADS = 8
_MEAN = [123.675, 116.28, 103.53]
_STD = [58.395, 57.12, 57.375]


def build_sam(m: Measures) -> Sam:
    """Build the network with random weights."""
    grid = m.image_size // m.patch
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=m.image_size,
            patch_size=m.patch,
            embed_dim=m.width,
            depth=m.depth,
            num_heads=m.heads,
            out_chans=m.dim,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=m.window,
            global_attn_indexes=m.global_blocks,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=m.dim,
            image_embedding_size=(grid, grid),
            input_image_size=(m.image_size, m.image_size),
            mask_in_chans=m.mask_channels,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=m.dim,
            transformer=TwoWayTransformer(
                depth=m.decoder_depth,
                embedding_dim=m.dim,
                num_heads=DECODER_HEADS,
                mlp_dim=m.mlp_dim,
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=m.iou_hidden,
        ),
        pixel_mean=_MEAN,
        pixel_std=_STD,
    )


def measures_of(state: Mapping[str, Tensor]) -> Measures:
    """Read the measures off the shapes of ``Sam.state_dict()``."""
    encoder, decoder = "image_encoder.", "mask_decoder.transformer.layers."
    width, _, patch, _ = state[encoder + "patch_embed.proj.weight"].shape
    grid = state[encoder + "pos_embed"].shape[1]
    relative = {
        int(name.split(".")[2]): value
        for name, value in state.items()
        if name.startswith(encoder) and name.endswith("attn.rel_pos_h")
    }
    reach = {block: (len(value) + 1) // 2 for block, value in relative.items()}
    wide = tuple(sorted(block for block, size in reach.items() if size == grid))
    windows = [size for size in reach.values() if size != grid]
    depths = {int(n[len(decoder) :].split(".")[0]) for n in state if n.startswith(decoder)}
    return Measures(
        image_size=int(grid * patch),
        patch=int(patch),
        width=int(width),
        depth=len(relative),
        heads=int(width // relative[0].shape[1]),
        window=windows[0] if windows else 0,
        global_blocks=wide if windows else (),
        dim=int(state[encoder + "neck.0.weight"].shape[0]),
        mlp_dim=int(state[decoder + "0.mlp.lin1.weight"].shape[0]),
        decoder_depth=len(depths),
        mask_channels=int(state["prompt_encoder.mask_downscaling.3.weight"].shape[0]),
        iou_hidden=int(state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0]),
    )
