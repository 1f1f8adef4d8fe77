"""Libraries that take seconds to import, fetched while a person still looks round."""

from __future__ import annotations

import importlib
import threading
from functools import lru_cache

from ...backbones import get_backbone
from ...config import DEFAULT_BACKBONE
from ...device import avoid_llvm_clash

__all__ = ["warm_up"]

_HEAVY = ("scipy.ndimage", "skimage.segmentation")


@lru_cache(maxsize=1)
def warm_up() -> threading.Thread:
    """Import in the background what the first job needs; once in a process.

    An import holds the interpreter for a fifth of a second at a time: better when a dock opens
    than in the middle of the first stroke.
    """
    thread = threading.Thread(target=_import, name="imports of napari-fewshot")
    thread.start()
    return thread


def _import() -> None:
    avoid_llvm_clash()
    import torch

    # The first step of an optimiser imports as much again as torch itself.
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimiser.step()
    backbone = get_backbone(DEFAULT_BACKBONE, None, 1)
    with torch.inference_mode():
        backbone.encode(torch.zeros(1, 1, 3, 64, 64))
    for name in _HEAVY:
        importlib.import_module(name)
