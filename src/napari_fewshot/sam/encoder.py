"""The image encoder of SAM (Kirillov et al. 2023) and of MedSAM (Ma et al. 2024)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.base import BackboneEntry, BackboneSpec, Preprocessing
from ..backbones.checkpoint import read_checkpoint
from ..backbones.weights import WeightsSource, find_weights, resolve_weights
from ..download import has_digest
from ..errors import InputError, WeightsError
from .network import SamArchitecture, build_encoder

if TYPE_CHECKING:
    import torch

__all__ = ["SAMS", "Sam", "SamBackbone", "SamCheckpoint", "read_sam"]

_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)
_URL = "https://dl.fbaipublicfiles.com/segment_anything"
_SIDE, _STRIDE, _CHANNELS = 1024, 16, 256


@dataclass(frozen=True)
class Sam:
    """A SAM by name.

    Parameters
    ----------
    spec : BackboneSpec
        Of its image encoder.
    source : WeightsSource
    encoder : tuple of int
        Width and depth of the official image encoder.
    one_mask : bool
        Whether the first mask alone was trained (MedSAM).
    """

    spec: BackboneSpec
    source: WeightsSource
    encoder: tuple[int, int]
    one_mask: bool = False

    def available(self) -> bool:
        """Whether the weights are on this machine."""
        return find_weights(self.source) is not None


def _sam(size: str, width: int, depth: int, file: str, size_mb: float, sha256: str) -> Sam:
    return _named(
        f"sam-vit-{size[0]}",
        f"Segment Anything, ViT-{size}",
        Preprocessing(
            mean=tuple(value / 255 for value in _MEAN),
            std=tuple(value / 255 for value in _STD),
            resize="longest",
            size=_SIDE,
            multiple=_STRIDE,
        ),
        (width, depth),
        WeightsSource(
            f"sam-vit-{size[0]}", "Apache-2.0", None, "", f"{_URL}/{file}", sha256, file, size_mb
        ),
    )


def _named(
    name: str,
    summary: str,
    preprocessing: Preprocessing,
    encoder: tuple[int, int],
    source: WeightsSource,
    one_mask: bool = False,
) -> Sam:
    spec = BackboneSpec(
        name=name,
        summary=summary,
        stride=_STRIDE,
        preprocessing=preprocessing,
        channels=_CHANNELS,
        licence=source.licence,
        source=source.url or "",
        size_mb=source.size_mb,
        sha256=source.sha256,
    )
    return Sam(spec, source, encoder, one_mask)


SAMS: dict[str, Sam] = {
    sam.spec.name: sam
    for sam in (
        _sam("base", 768, 12, "sam_vit_b_01ec64.pth", 375.0,
             "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
        _sam("large", 1024, 24, "sam_vit_l_0b3195.pth", 1249.5,
             "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
        _sam("huge", 1280, 32, "sam_vit_h_4b8939.pth", 2564.6,
             "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
        _named(
            "medsam",
            "MedSAM, ViT-base: Segment Anything fine-tuned on medical images with boxes",
            Preprocessing(scale="minmax", resize="square", size=_SIDE, multiple=_STRIDE),
            (768, 12),
            WeightsSource(
                "medsam", "Apache-2.0", None, "",
                "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
                "md5:3bb6db55bd0c9ca30b61248bca72f8d6",  # all that Zenodo publishes
                "medsam_vit_b.pth", 375.0,
            ),
            one_mask=True,
        ),
    )
}  # fmt: skip
"""SAM and MedSAM by name: what refinement, comparison and the few-shot decoder take as well."""


@dataclass(frozen=True, eq=False)
class SamCheckpoint:
    """A checkpoint of a SAM, read.

    Parameters
    ----------
    sam : Sam
        What it was asked for as; its spec has the measures of this checkpoint.
    path : Path
    state : dict of str to tensor
    measures : SamArchitecture
    """

    sam: Sam
    path: Path
    state: dict[str, torch.Tensor]
    measures: SamArchitecture

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

    Raises
    ------
    InputError
        If ``name`` is no SAM.
    WeightsError
        If the weights are missing, damaged, no SAM, or those of another one.
    """
    if name not in SAMS:
        raise InputError("sam", f"be one of {', '.join(SAMS)}", name)
    sam = SAMS[name]
    path = resolve_weights(sam.source, weights)
    state = read_checkpoint(path)
    measures = SamArchitecture.of(state, name, path)
    if measures.encoder != sam.encoder:
        fits = [other.spec.name for other in SAMS.values() if other.encoder == measures.encoder]
        if fits:
            raise WeightsError(
                f"The weights file {path} must belong to {name}; it has an {measures}. "
                f"It fits {' and '.join(fits)}."
            )
    if weights is not None:
        _refuse_file_of_another(name, path, measures)
    prep = replace(sam.spec.preprocessing, size=measures.side, multiple=measures.patch)
    spec = replace(sam.spec, preprocessing=prep, stride=measures.patch, channels=measures.channels)
    return SamCheckpoint(replace(sam, spec=spec), path, state, measures)


def _refuse_file_of_another(name: str, path: Path, measures: SamArchitecture) -> None:
    alike = (other for other in SAMS.values() if other.encoder == measures.encoder)
    for other in alike:
        digest = other.source.sha256
        if other.spec.name != name and digest is not None and has_digest(path, digest):
            raise WeightsError(
                f"The weights file {path} must belong to {name}; it is the official file of "
                f"{other.spec.name}. Name that one."
            )


class SamBackbone:
    """The image encoder of a SAM behind the contract of :class:`~.base.Backbone`.

    Parameters
    ----------
    checkpoint : SamCheckpoint
    """

    def __init__(self, checkpoint: SamCheckpoint) -> None:
        self.spec = checkpoint.sam.spec
        self.weights_hash = checkpoint.digest()
        self._network: Any = build_encoder(
            checkpoint.measures, checkpoint.state, self.spec.name, checkpoint.path
        )

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode the middle slices; see :class:`~.base.Backbone`."""
        import torch

        side = self.spec.preprocessing.size
        if images.ndim != 5 or tuple(images.shape[-2:]) != (side, side):
            raise InputError(
                "images", f"have shape (B, S, 3, {side}, {side})", f"shape {tuple(images.shape)}"
            )
        with torch.inference_mode():
            features: torch.Tensor = self._network(images[:, images.shape[1] // 2])
            return features.float()

    def to(self, device: str) -> SamBackbone:
        """Move the weights to a torch device and return the backbone."""
        self._network.to(device)
        return self


def _loader(name: str) -> Callable[[Path | None, int], SamBackbone]:
    def load(weights: Path | None, blocks: int) -> SamBackbone:
        if blocks != 1:
            raise InputError("blocks", f"be 1 for {name}", blocks)
        return SamBackbone(read_sam(name, weights))

    return load


ENTRIES = {
    name: BackboneEntry(sam.spec, _loader(name), sam.available) for name, sam in SAMS.items()
}
