"""SAMs of random weights, and the official code round the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_fewshot.features.cache import FeatureCache
from napari_fewshot.sam import SamModel, load_sam


@pytest.fixture(scope="session")
def sam(tiny_sam: Path) -> SamModel:
    return load_sam("sam-vit-b", weights=tiny_sam)


@pytest.fixture(scope="session")
def official(sam: SamModel) -> Any:
    """The official network around the same weights."""
    from segment_anything import modeling

    from napari_fewshot.sam.networks import build_encoder, build_heads

    return modeling.Sam(build_encoder(sam.checkpoint), *build_heads(sam.checkpoint))


@pytest.fixture(scope="session")
def drawing(sam: SamModel, tiny_sam: Path, official: Any) -> tuple[SamModel, Any]:
    """Our SAM and the official one with a decoder that draws disks: masks that are not noise."""
    import copy

    import torch

    class Disks(torch.nn.Module):
        """Three blobs of cells near the point, their edges moved by the embedding."""

        def __init__(self, prompts: Any) -> None:
            super().__init__()
            self.inside = prompts.point_embeddings[1].weight

        def forward(self, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
            place = given["sparse_prompt_embeddings"][:, 0] - self.inside
            near = torch.einsum("bc,chw->bhw", place, given["image_pe"][0]) / len(place[0])
            near = near + 0.1 * given["image_embeddings"][0].mean(dim=0)
            near = torch.nn.functional.interpolate(near[:, None], scale_factor=4, mode="bilinear")
            levels = torch.tensor([0.3, 0.2, 0.1])[:, None, None]
            better = near.std((2, 3)) * torch.tensor([3.0, 2.8, 2.6])
            return 20 * (near - levels), better

    ours = load_sam("sam-vit-b", weights=tiny_sam)
    ours.predictor.decoder = Disks(official.prompt_encoder)
    theirs = copy.copy(official)
    theirs._modules = {**official._modules, "mask_decoder": Disks(official.prompt_encoder)}
    return ours, theirs


@pytest.fixture(scope="module")
def trained(repository: Path) -> SamModel:
    """The small SAM that was trained on synthetic shapes."""
    path = repository / "tests" / "data" / "small_sam.safetensors"
    if not path.is_file():
        pytest.skip("no tests/data/small_sam.safetensors: pretraining/small_sam makes it")
    return load_sam("sam-vit-b", weights=path, cache=FeatureCache())
