"""DINOv2 (Oquab et al. 2023) and DINOv3 (Siméoni et al. 2025), in their sizes, through timm."""

from __future__ import annotations

from collections.abc import Iterator

from .base import BackboneEntry, BackboneSpec, Preprocessing
from .checkpoint import Architecture
from .timm_network import timm_entry
from .weights import WeightsSource

__all__ = ["ENTRIES"]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_DINOV2_URL = "https://dl.fbaipublicfiles.com/dinov2"

# Digests of the official DINOv2 files, as several projects that pin them publish them.
_DINOV2 = (
    ("s", "small", 384, 12, 88.2,
     "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
     "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb"),
    ("b", "base", 768, 12, 346.3,
     "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
     "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71"),
    ("l", "large", 1024, 24, 1217.5,
     "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
     "36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51"),
    ("g", "giant", 1536, 40, 4545.9,
     "baf8467e50af277596bbbafa06887c177ee899ab46033649c383577d7e9309d3",
     "746ecb8c6301c645c5c855be91687d274587d6e48fdaec4a729753160b34a283"),
)  # fmt: skip

# The official names of DINOv3 end in the first digits of the file's digest.
_DINOV3 = (
    ("s", "small", "small", 384, 12, 86.3, "vits16_pretrain_lvd1689m-08c60483"),
    ("s-plus", "small, wider", "small_plus", 384, 12, 114.7,
     "vits16plus_pretrain_lvd1689m-4057cbaa"),
    ("b", "base", "base", 768, 12, 342.6, "vitb16_pretrain_lvd1689m-73cec8be"),
    ("l", "large", "large", 1024, 24, 1212.3, "vitl16_pretrain_lvd1689m-8aa4cbdd"),
    ("h-plus", "huge, wider", "huge_plus", 1280, 32, 3362.0,
     "vith16plus_pretrain_lvd1689m-7c1da9a5"),
    ("7b", "seven billion parameters", "7b", 4096, 40, 26864.1,
     "vit7b16_pretrain_lvd1689m-a955f4ea"),
)  # fmt: skip

_DINOV3_CONVNEXT = (
    ("t", "tiny", 768, 111.3, "21b726bb"),
    ("s", "small", 768, 197.8, "296db49d"),
    ("b", "base", 1024, 350.3, "801f2ba9"),
    ("l", "large", 1536, 784.9, "61fa432d"),
)


def _entries() -> Iterator[BackboneEntry]:
    for short, size, width, n_layers, size_mb, plain, with_registers in _DINOV2:
        for registers, sha256 in ((0, plain), (4, with_registers)):
            reg = f"_reg{registers}" if registers else ""
            yield _entry(
                f"dinov2-{short}{'-reg' if registers else ''}",
                f"DINOv2 vision transformer, {size}{', 4 registers' if registers else ''}",
                f"vit_{size}_patch14{reg}_dinov2.lvd142m",
                Architecture(width, n_layers, 14, registers),
                size_mb, f"dinov2_vit{short}14{reg}_pretrain.pth", sha256,
            )  # fmt: skip
    for short, size, model, width, n_layers, size_mb, file in _DINOV3:
        yield _entry(
            f"dinov3-{short}", f"DINOv3 vision transformer, {size}",
            f"vit_{model}_patch16_dinov3.lvd1689m", Architecture(width, n_layers, 16, 4),
            size_mb, f"dinov3_{file}.pth",
        )  # fmt: skip
    for short, size, width, size_mb, digest in _DINOV3_CONVNEXT:
        yield _entry(
            f"dinov3-convnext-{short}", f"DINOv3 convolutional network, {size}",
            f"convnext_{size}.dinov3_lvd1689m", Architecture(width, 4, 32, 0),
            size_mb, f"dinov3_convnext_{size}_pretrain_lvd1689m-{digest}.pth",
        )  # fmt: skip


def _entry(
    name: str,
    summary: str,
    model: str,
    architecture: Architecture,
    size_mb: float,
    file: str,
    sha256: str | None = None,
) -> BackboneEntry:
    """Entry of a network of timm; ``file`` and its digest are those that the authors publish."""
    second = name.startswith("dinov2")
    licence = "Apache-2.0" if second else "dinov3-license"
    folder = file.split("_pretrain", maxsplit=1)[0].replace("_reg4", "")
    source = WeightsSource(
        name=name,
        licence=licence,
        hub_id=f"timm/{model}",
        # The official DINOv3 files are handed out one by one after registration.
        url=f"{_DINOV2_URL}/{folder}/{file}" if second else None,
        sha256=sha256,
        official_file=file,
        size_mb=size_mb,
    )
    stride = architecture.patch
    spec = BackboneSpec(
        name=name,
        summary=summary,
        stride=stride,
        preprocessing=Preprocessing(mean=_MEAN, std=_STD, resize="grid", multiple=stride),
        channels=architecture.width,
        licence=licence,
        source=f"timm/{model}",
        size_mb=size_mb,
        sha256=sha256,
    )
    # Random numbers that the checkpoint replaces take longer to draw than it takes to read.
    options = {"weight_init": "skip"} if second else {}
    is_transformer = model.startswith("vit")
    return timm_entry(spec, model, source, options, architecture if is_transformer else None)


ENTRIES = {entry.spec.name: entry for entry in _entries()}
