"""SAM (Kirillov et al. 2023) and MedSAM (Ma et al. 2024): by name, and as a checkpoint shows them.

Loading, prompting and training build on what is read here; no network is built yet.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..backbones.base import BackboneSpec, Preprocessing
from ..backbones.checkpoint import read_checkpoint
from ..backbones.weights import WeightsSource, find_weights, resolve_weights
from ..download import has_digest
from ..errors import InputError, WeightsError
from ..io.outputs import replacing

if TYPE_CHECKING:
    import torch

__all__ = [
    "SAMS",
    "Sam",
    "SamArchitecture",
    "SamCheckpoint",
    "check_checkpoint_name",
    "read_sam",
    "write_sam",
]

_URL = "https://dl.fbaipublicfiles.com/segment_anything"
_SIDE, _STRIDE, _CHANNELS = 1024, 16, 256
_SUFFIXES = (".pth", ".pt", ".safetensors")
_PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")
_SAM_INPUT = Preprocessing(
    mean=tuple(value / 255 for value in (123.675, 116.28, 103.53)),
    std=tuple(value / 255 for value in (58.395, 57.12, 57.375)),
    resize="longest",
    size=_SIDE,
    multiple=_STRIDE,
)
_MEDSAM_INPUT = Preprocessing(scale="minmax", resize="square", size=_SIDE, multiple=_STRIDE)


@dataclass(frozen=True)
class Sam:
    """A SAM by name."""

    spec: BackboneSpec
    """Of its image encoder."""
    source: WeightsSource
    encoder: tuple[int, int]
    """Width and number of layers of the official image encoder."""
    one_mask: bool = False
    """Whether the first mask alone was trained, with boxes alone (MedSAM)."""

    def available(self) -> bool:
        """Whether the weights are on this machine."""
        return find_weights(self.source) is not None


def _sam(
    name: str,
    summary: str,
    encoder: tuple[int, int],
    url: str,
    digest: str,
    size_mb: float,
    preprocessing: Preprocessing = _SAM_INPUT,
) -> Sam:
    source = WeightsSource(
        name=name,
        licence="Apache-2.0",
        hub_file="",
        url=url,
        sha256=digest,
        official_file=url.rsplit("/", 1)[-1],
        size_mb=size_mb,
    )
    spec = BackboneSpec(
        name=name,
        summary=summary,
        stride=_STRIDE,
        preprocessing=preprocessing,
        channels=_CHANNELS,
        licence=source.licence,
        source=url,
        size_mb=size_mb,
        sha256=digest,
    )
    return Sam(spec, source, encoder, one_mask=preprocessing is _MEDSAM_INPUT)


SAMS: dict[str, Sam] = {
    sam.spec.name: sam
    for sam in (
        _sam("sam-vit-b", "Segment Anything, ViT-base", (768, 12), f"{_URL}/sam_vit_b_01ec64.pth",
             "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375.0),
        _sam("sam-vit-l", "Segment Anything, ViT-large", (1024, 24), f"{_URL}/sam_vit_l_0b3195.pth",
             "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1249.5),
        _sam("sam-vit-h", "Segment Anything, ViT-huge", (1280, 32), f"{_URL}/sam_vit_h_4b8939.pth",
             "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2564.6),
        _sam("medsam",
             "MedSAM, ViT-base: Segment Anything fine-tuned on medical images with boxes",
             (768, 12),
             "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
             "md5:3bb6db55bd0c9ca30b61248bca72f8d6",  # all that Zenodo publishes
             375.0, _MEDSAM_INPUT),
    )
}  # fmt: skip
"""SAM and MedSAM by name: what refinement, comparison and the few-shot decoder take as well."""


@dataclass(frozen=True)
class SamArchitecture:
    """Measures of a SAM (Kirillov et al. 2023, arXiv:2304.02643) that its checkpoint shows."""

    width: int  # this and the next six: of the image encoder
    n_layers: int
    heads: int
    patch: int  # side in pixels of the input
    grid: int  # patches along each side of the input
    window: int  # side of windows of attention, in patches
    global_layers: tuple[int, ...]  # whose attention sees the whole image
    channels: int  # of the image embedding
    decoder_layers: int  # of the two-way transformer
    decoder_mlp: int
    iou_layers: int  # of the head that predicts the IoU of a mask
    iou_width: int
    masks: int  # for an ambiguous prompt
    mask_channels: int  # hidden channels of the encoder of mask prompts

    @property
    def side(self) -> int:
        """Side of the square input in pixels."""
        return self.patch * self.grid

    @property
    def encoder(self) -> tuple[int, int]:
        """Width and layers of the image encoder: what tells the official sizes apart."""
        return self.width, self.n_layers

    def __str__(self) -> str:
        return (
            f"image encoder of width {self.width}, depth {self.n_layers}, patch {self.patch}, "
            f"input {self.side}; embedding of {self.channels} channels"
        )

    @classmethod
    def of(cls, state: Mapping[str, torch.Tensor], name: str, path: Path) -> SamArchitecture:
        """Read the measures off a checkpoint; it must have the three parts of a SAM."""
        try:
            return cls._measured(state)
        except (LookupError, ValueError, ArithmeticError, TypeError, AttributeError) as error:
            missing = [part for part in _PARTS if not any(n.startswith(f"{part}.") for n in state)]
            lacking = f"has no {' and no '.join(missing)}" if missing else f"lacks {error}"
            raise WeightsError(
                f"The weights file {path} must be a checkpoint of SAM ({name}) with image_encoder, "
                f"prompt_encoder and mask_decoder; it {lacking}."
            ) from None

    @classmethod
    def _measured(cls, state: Mapping[str, torch.Tensor]) -> SamArchitecture:
        encoder, prompts, decoder = (f"{part}." for part in _PARTS)
        projection = state[f"{encoder}patch_embed.proj.weight"]
        n_layers = _count(state, rf"{encoder}blocks\.(\d+)\.")
        relative = [state[f"{encoder}blocks.{n}.attn.rel_pos_h"] for n in range(n_layers)]
        sizes = [(len(table) + 1) // 2 for table in relative]
        grid = int(state[f"{encoder}pos_embed"].shape[1])
        windows = {size for size in sizes if size != grid}
        iou = [f"{decoder}iou_prediction_head.layers.{n}.weight" for n in range(100)]
        return cls(
            width=int(projection.shape[0]),
            n_layers=n_layers,
            heads=int(projection.shape[0]) // int(relative[0].shape[1]),
            patch=int(projection.shape[-1]),
            grid=grid,
            window=windows.pop() if len(windows) == 1 else 0,
            global_layers=tuple(n for n, size in enumerate(sizes) if size == grid),
            channels=int(state[f"{encoder}neck.0.weight"].shape[0]),
            decoder_layers=_count(state, rf"{decoder}transformer\.layers\.(\d+)\."),
            decoder_mlp=int(state[f"{decoder}transformer.layers.0.mlp.lin1.weight"].shape[0]),
            iou_layers=sum(layer in state for layer in iou),
            iou_width=int(state[iou[0]].shape[0]),
            masks=int(state[f"{decoder}mask_tokens.weight"].shape[0]) - 1,
            mask_channels=int(state[f"{prompts}mask_downscaling.3.weight"].shape[0]),
        )


def _count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """How many numbers ``pattern`` finds, which count from 0 without a gap."""
    found = {m[1] for m in (re.match(pattern, name) for name in state) if m}
    if found != {str(number) for number in range(len(found))} or not found:
        raise ValueError(f"layers 0..{len(found) - 1} of {pattern}")
    return len(found)


@dataclass(frozen=True, eq=False)
class SamCheckpoint:
    """A checkpoint of a SAM, read; the spec of its ``sam`` has the measures found in it."""

    sam: Sam
    path: Path
    state: dict[str, torch.Tensor]
    architecture: SamArchitecture

    def part(self, name: str) -> dict[str, torch.Tensor]:
        """Tensors of ``image_encoder``, ``prompt_encoder`` or ``mask_decoder``, float32.

        They are named as within it.
        """
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): tensor.float()
            for key, tensor in self.state.items()
            if key.startswith(prefix)
        }

    def with_decoder(self, decoder: Mapping[str, torch.Tensor]) -> SamCheckpoint:
        """Return it with other weights of the mask decoder, named as within it."""
        changed = {f"mask_decoder.{name}": tensor for name, tensor in decoder.items()}
        return replace(self, state={**self.state, **changed})

    def digest(self) -> str:
        """Digest of the tensors of the image encoder, in float32, whatever the file's format."""
        import torch

        digest = hashlib.sha256(b"sam-1")
        for name, tensor in sorted(self.state.items()):
            if name.startswith("image_encoder."):
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                values = tensor.detach().float().contiguous().reshape(-1)
                digest.update(values.view(torch.uint8).numpy().data)
        return digest.hexdigest()


def read_sam(name: str, weights: Path | None = None) -> SamCheckpoint:
    """Read the checkpoint of a SAM: the official one, or ``weights``.

    A checkpoint of other measures (a fine-tuned or a smaller SAM) is taken as it is; one of
    another official size is refused, and so is the official file of another SAM of this size:
    MedSAM has the measures of ``sam-vit-b``, but sees images otherwise.
    """
    if name not in SAMS:
        raise InputError("sam", f"be one of {', '.join(SAMS)}", name)
    sam = SAMS[name]
    path = resolve_weights(sam.source, weights)
    state = read_checkpoint(path)
    found = SamArchitecture.of(state, name, path)
    fits = [other for other in SAMS.values() if other.encoder == found.encoder]
    if fits and found.encoder != sam.encoder:
        raise WeightsError(
            f"The weights file {path} must belong to {name}; it has an {found}. "
            f"It fits {' and '.join(other.spec.name for other in fits)}."
        )
    if weights is not None:
        _refuse_file_of_another(name, path, fits)
    prep = replace(sam.spec.preprocessing, size=found.side, multiple=found.patch)
    spec = replace(sam.spec, preprocessing=prep, stride=found.patch, channels=found.channels)
    return SamCheckpoint(replace(sam, spec=spec), path, state, found)


def check_checkpoint_name(path: Path, parameter: str = "path") -> None:
    """Raise :class:`InputError` unless :func:`write_sam` knows the format by its suffix."""
    if path.suffix not in _SUFFIXES:
        raise InputError(parameter, f"end in {', '.join(_SUFFIXES)}", path)


def write_sam(checkpoint: SamCheckpoint, path: Path) -> None:
    """Write a checkpoint as the official files are: its tensors by name.

    ``.pth`` and ``.pt`` are read by ``segment_anything`` as well; ``.safetensors`` by us.
    """
    import torch
    from safetensors.torch import save

    check_checkpoint_name(path)
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.state.items()}
    # Written here: the libraries hide what the disk says.
    with replacing(path) as temporary, temporary.open("wb") as stream:
        if path.suffix == ".safetensors":
            stream.write(save(tensors))
        else:
            torch.save(tensors, stream)


def _refuse_file_of_another(name: str, path: Path, fits: list[Sam]) -> None:
    for other in fits:
        digest = other.source.sha256
        if other.spec.name != name and digest is not None and has_digest(path, digest):
            raise WeightsError(
                f"The weights file {path} must belong to {name}; it is the official file of "
                f"{other.spec.name}. Name that one."
            )
