"""Targets: what a labelled structure looks like to SAM's image encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..config import IntensityConfig
from ..errors import InputError
from ..slices.cells import coverage
from ..slices.stack import SliceStack
from ..templates import Template
from ..templates.known import known_slices
from ..types import Array, Progress, no_progress
from .loaded import SamModel
from .predictor import SamPredictor

if TYPE_CHECKING:
    import torch

__all__ = ["LabelledSlice", "labelled_slices", "similarity", "target_of"]


@dataclass(frozen=True, eq=False)
class LabelledSlice:
    """A template slice.

    Parameters
    ----------
    labels : int array, shape (H, W)
        0 for background, below 0 where nothing is known.
    embedding : tensor, shape (C, g, g)
    """

    labels: Array
    embedding: torch.Tensor


def labelled_slices(
    templates: Sequence[Template],
    sam: SamModel,
    intensity: IntensityConfig,
    progress: Progress = no_progress,
) -> list[LabelledSlice]:
    """Encode the painted slices of templates; points of templates are not used.

    Raises
    ------
    InputError
        If a template has no labels, or none of them has a painted slice.
    """
    if not templates:
        raise InputError("templates", "be at least one", "none")
    work = list(_painted(templates, intensity))
    found = []
    for done, (stack, planes) in enumerate(work):
        embeddings = sam.embeddings(stack)
        for number, (index, plane) in enumerate(planes, start=1):
            found.append(LabelledSlice(plane, embeddings[index]))
            before = sum(len(others) for _, others in work[:done])
            progress(before + number, sum(len(others) for _, others in work), "templates")
    return found


def _painted(
    templates: Sequence[Template], intensity: IntensityConfig
) -> Iterator[tuple[SliceStack, list[tuple[int, Array]]]]:
    for template in templates:
        if template.labels is None:
            raise InputError("templates", "have labels", "points alone")
        stack = SliceStack(template.volume, template.working_axis(), intensity)
        known = known_slices(replace(template, points=()), stack, 1.0)
        planes = [(one.index, one.labels) for one in known if (one.labels > 0).any()]
        if not planes:
            raise InputError("templates", "have at least one painted slice", "no paint")
        yield stack, planes


def target_of(slices: Sequence[LabelledSlice], label: int, predictor: SamPredictor) -> torch.Tensor:
    """Mean embedding of a label, shape (C,): over each slice that has it, then over slices.

    Cells count by how much of them the label covers, so that small structures do not vanish.
    """
    import torch

    means = []
    for one in slices:
        region = one.labels == label
        if region.any():
            cells = (predictor.grid, predictor.grid)
            extent = predictor.extent((region.shape[0], region.shape[1]))
            weights = torch.from_numpy(coverage(region, cells, extent))
            means.append((one.embedding * weights).sum((1, 2)) / weights.sum())
    return torch.stack(means).mean(dim=0)


def similarity(targets: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """Cosine similarity of every cell of a slice to targets.

    Parameters
    ----------
    targets : tensor, shape (L, C)
        One row for each label.
    embedding : tensor, shape (C, g, g)
        Of the slice.

    Returns
    -------
    tensor, shape (L, g, g), in -1..1
    """
    import torch
    from torch.nn.functional import normalize

    return torch.einsum("lc,chw->lhw", normalize(targets, dim=1), normalize(embedding, dim=0))
