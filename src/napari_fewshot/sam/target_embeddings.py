"""Target embeddings: what labelled regions look like to the image encoder of SAM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..slices.cells import coverage
from ..templates.known import KnownSlice
from ..types import Array, FeatureMap

__all__ = ["TargetEmbeddings", "Targets", "targets_of"]


@dataclass(frozen=True, eq=False)
class TargetEmbeddings:
    """One vector for each template slice and label ("SAM Fewshot Finetuning").

    Parameters
    ----------
    vectors : array, shape (N, L, C), float32
        Mean embedding inside the label; 0 where the slice lacks it.
    present : bool array, shape (N, L)
        Whether the slice has the label.
    """

    vectors: Array
    present: Array

    @classmethod
    def of(
        cls,
        examples: Sequence[KnownSlice],
        embeddings: Sequence[FeatureMap],
        label_values: Sequence[int],
    ) -> TargetEmbeddings:
        """Average the cells of each label, weighted by the share that the label covers."""
        channels = embeddings[0].channels if embeddings else 0
        vectors = np.zeros((len(examples), len(label_values), channels), np.float32)
        present = np.zeros(vectors.shape[:2], dtype=bool)
        for n, (example, embedding) in enumerate(zip(examples, embeddings, strict=True)):
            cells = (embedding.data.shape[1], embedding.data.shape[2])
            for c, value in enumerate(label_values):
                mask = example.labels == value
                if mask.any():
                    share = coverage(mask, cells, embedding.extent).astype(np.float64)
                    total = np.tensordot(embedding.data.astype(np.float64), share, 2)
                    vectors[n, c] = total / share.sum()
                    present[n, c] = True
        return cls(vectors, present)

    def of_label(self, label: int) -> Array:
        """All vectors of the label of this number, shape (T, C)."""
        vectors: Array = self.vectors[self.present[:, label], label]
        return vectors

    def hiding(self, slices: Sequence[int]) -> TargetEmbeddings:
        """Return them as if some template slices had no label."""
        present = self.present.copy()
        present[list(slices)] = False
        return TargetEmbeddings(self.vectors, present)


@dataclass(frozen=True, eq=False)
class Targets:
    """What the decoder should find in one slice, on its own grid of cells.

    Parameters
    ----------
    labels : tuple of int
        Numbers of the labels of which something is known in this slice.
    shares : array, shape (len(labels), h, w), float32
        Share of each label in what is known of a cell.
    known : array, shape (len(labels), h, w), float32
        Share of each cell of which is known whether it has the label.
    """

    labels: tuple[int, ...]
    shares: Array
    known: Array


def targets_of(
    example: KnownSlice,
    label_values: Sequence[int],
    cells: tuple[int, int],
    extent: tuple[float, float],
) -> Targets:
    """Bring the labels of a slice to a grid of cells, by area.

    Padding and pixels of which nothing is known do not count. Of a label that nobody looked for
    it is only known that it is not where other labels were painted.
    """
    everywhere = coverage(example.labels >= 0, cells, extent)
    painted = coverage(example.labels > 0, cells, extent)
    here = set(np.unique(example.labels).tolist())
    numbers, shares, known = [], [], []
    for number, value in enumerate(label_values):
        looked_for = value in example.known_labels or value in here
        weight = everywhere if looked_for else painted
        if not weight.any():
            continue
        covered = np.zeros(cells, np.float32)
        if value in here:
            covered = coverage(example.labels == value, cells, extent)
        numbers.append(number)
        shares.append(np.clip(covered / np.maximum(weight, 1e-6), 0, 1))
        known.append(weight)
    if not numbers:
        return Targets((), np.zeros((0, *cells), np.float32), np.zeros((0, *cells), np.float32))
    return Targets(tuple(numbers), np.stack(shares), np.stack(known))
