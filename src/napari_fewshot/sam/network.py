"""The networks of the Segment Anything Model, built as a checkpoint shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.checkpoint import check_fit
from ..device import avoid_llvm_clash
from ..errors import WeightsError

if TYPE_CHECKING:
    import torch

__all__ = [
    "DECODER_HEADS",
    "SamArchitecture",
    "build_encoder",
    "build_heads",
    "part_of",
    "sam_modeling",
]

DECODER_HEADS = 8  # of all SAM; nothing in a checkpoint shows it
_ENCODER, _PROMPTS, _DECODER = "image_encoder.", "prompt_encoder.", "mask_decoder."


@dataclass(frozen=True)
class SamArchitecture:
    """Measures of a SAM (Kirillov et al. 2023, arXiv:2304.02643) that its checkpoint shows.

    Parameters
    ----------
    width, depth, heads : int
        Of the image encoder.
    patch : int
        Side of a patch in pixels of the input.
    grid : int
        Patches along each side of the input.
    window : int
        Side, in patches, of windows of attention.
    whole : tuple of int
        Blocks whose attention sees the whole image.
    channels : int
        Channels of the image embedding.
    decoder_depth, decoder_mlp : int
        Of the two-way transformer.
    iou_depth, iou_width : int
        Of the head that predicts the IoU of a mask.
    masks : int
        Masks for an ambiguous prompt.
    mask_channels : int
        Hidden channels of the encoder of mask prompts.
    """

    width: int
    depth: int
    heads: int
    patch: int
    grid: int
    window: int
    whole: tuple[int, ...]
    channels: int
    decoder_depth: int
    decoder_mlp: int
    iou_depth: int
    iou_width: int
    masks: int
    mask_channels: int

    @property
    def side(self) -> int:
        """Side of the square input in pixels."""
        return self.patch * self.grid

    @property
    def encoder(self) -> tuple[int, int]:
        """Width and depth of the image encoder: what tells the official sizes apart."""
        return self.width, self.depth

    def __str__(self) -> str:
        return (
            f"image encoder of width {self.width}, depth {self.depth}, patch {self.patch}, "
            f"input {self.side}; embedding of {self.channels} channels"
        )

    @classmethod
    def of(cls, state: Mapping[str, torch.Tensor], name: str, path: Path) -> SamArchitecture:
        """Read the measures off a checkpoint.

        Raises
        ------
        WeightsError
            If the tensors are not those of a SAM with its three parts.
        """
        try:
            return cls._measured(state)
        except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
            raise WeightsError(
                f"The weights file {path} must be a checkpoint of SAM ({name}) with image_encoder, "
                f"prompt_encoder and mask_decoder; {_lacking(state, error)}."
            ) from None

    @classmethod
    def _measured(cls, state: Mapping[str, torch.Tensor]) -> SamArchitecture:
        projection = state[f"{_ENCODER}patch_embed.proj.weight"]
        depth = _count(state, rf"{_ENCODER}blocks\.(\d+)\.")
        relative = [state[f"{_ENCODER}blocks.{n}.attn.rel_pos_h"] for n in range(depth)]
        sizes = [(len(table) + 1) // 2 for table in relative]
        grid = int(state[f"{_ENCODER}pos_embed"].shape[1])
        windows = {size for size in sizes if size != grid}
        iou = [f"{_DECODER}iou_prediction_head.layers.{n}.weight" for n in range(100)]
        return cls(
            width=int(projection.shape[0]),
            depth=depth,
            heads=int(projection.shape[0]) // int(relative[0].shape[1]),
            patch=int(projection.shape[-1]),
            grid=grid,
            window=windows.pop() if len(windows) == 1 else 0,
            whole=tuple(n for n, size in enumerate(sizes) if size == grid),
            channels=int(state[f"{_ENCODER}neck.0.weight"].shape[0]),
            decoder_depth=_count(state, rf"{_DECODER}transformer\.layers\.(\d+)\."),
            decoder_mlp=int(state[f"{_DECODER}transformer.layers.0.mlp.lin1.weight"].shape[0]),
            iou_depth=sum(layer in state for layer in iou),
            iou_width=int(state[iou[0]].shape[0]),
            masks=int(state[f"{_DECODER}mask_tokens.weight"].shape[0]) - 1,
            mask_channels=int(state[f"{_PROMPTS}mask_downscaling.3.weight"].shape[0]),
        )


def part_of(state: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """Tensors of ``image_encoder``, ``prompt_encoder`` or ``mask_decoder``, named within it."""
    prefix = f"{part}."
    return {name[len(prefix) :]: t.float() for name, t in state.items() if name.startswith(prefix)}


def build_encoder(
    measures: SamArchitecture, state: Mapping[str, torch.Tensor], name: str, path: Path
) -> Any:
    """Build the image encoder with its weights; frozen.

    Raises
    ------
    WeightsError
        If tensors are missing, unknown or of another shape.
    """
    modeling = sam_modeling()
    import torch

    with torch.device("meta"):  # weights are put in place, not drawn and then replaced
        network = modeling.ImageEncoderViT(
            depth=measures.depth,
            embed_dim=measures.width,
            img_size=measures.side,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            num_heads=measures.heads,
            patch_size=measures.patch,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=measures.whole,
            window_size=measures.window,
            out_chans=measures.channels,
        )
    return _filled(network, part_of(state, "image_encoder"), name, path)


def build_heads(
    measures: SamArchitecture, state: Mapping[str, torch.Tensor], name: str, path: Path
) -> tuple[Any, Any]:
    """Build the prompt encoder and the mask decoder with their weights; frozen.

    Raises
    ------
    WeightsError
        If tensors are missing, unknown or of another shape.
    """
    modeling = sam_modeling()
    import torch

    with torch.device("meta"):
        prompts = modeling.PromptEncoder(
            embed_dim=measures.channels,
            image_embedding_size=(measures.grid, measures.grid),
            input_image_size=(measures.side, measures.side),
            mask_in_chans=measures.mask_channels,
        )
        decoder = modeling.MaskDecoder(
            num_multimask_outputs=measures.masks,
            transformer=modeling.TwoWayTransformer(
                depth=measures.decoder_depth,
                embedding_dim=measures.channels,
                mlp_dim=measures.decoder_mlp,
                num_heads=DECODER_HEADS,
            ),
            transformer_dim=measures.channels,
            iou_head_depth=measures.iou_depth,
            iou_head_hidden_dim=measures.iou_width,
        )
    return (
        _filled(prompts, part_of(state, "prompt_encoder"), name, path),
        _filled(decoder, part_of(state, "mask_decoder"), name, path),
    )


def sam_modeling() -> Any:
    """Import the modules of SAM."""
    avoid_llvm_clash()  # it imports torchvision
    from segment_anything import modeling

    return modeling


def _filled(network: Any, state: dict[str, torch.Tensor], name: str, path: Path) -> Any:
    check_fit(name, path, network.state_dict(), state)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """One more than the highest number that ``pattern`` finds."""
    return max(int(m[1]) for m in (re.match(pattern, name) for name in state) if m) + 1


def _lacking(state: Mapping[str, torch.Tensor], error: Exception) -> str:
    parts = [part[:-1] for part in (_ENCODER, _PROMPTS, _DECODER)]
    missing = [part for part in parts if not any(n.startswith(f"{part}.") for n in state)]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    return f"it lacks {error}"
