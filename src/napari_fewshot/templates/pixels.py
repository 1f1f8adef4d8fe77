"""Pixels out of template slices: which, how many, and what is known of them."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..config import SamplingConfig
from ..types import Array

__all__ = ["Samples", "plan_pixels", "with_decoys"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Samples:
    """Pixels to learn from.

    ``features`` (N, C), float32, are not yet standardised, position columns last. ``classes`` (N,)
    are 0 for background, i + 1 for ``label_values[i]``. ``possible`` (N, L + 1) are the classes
    that each pixel may have: one for a painted pixel; for background the class 0 and the labels
    that nobody looked for there. ``places`` (N, 3) are number of the slice, row and column.
    ``frequency`` (L + 1,) is the part of each class among all known pixels of the templates, before
    sampling, of which there are ``known``. ``planes`` are the label values (H, W) of the slices.
    """

    features: Array
    classes: Array
    possible: Array
    places: Array
    label_values: tuple[int, ...]
    frequency: Array
    planes: Sequence[Array] = ()
    known: int = 0

    @property
    def class_count(self) -> int:
        """Number of classes, L + 1."""
        return len(self.label_values) + 1

    @property
    def are_present(self) -> Array:
        """Whether there are samples of each label, shape (L,)."""
        present: Array = np.bincount(self.classes, minlength=self.class_count)[1:] > 0
        return present

    def far_from_labels(self, distance: float) -> Array:
        """Whether each sample is this many pixels or more from what is painted of each label.

        Counted in its slice, shape (N, L); all of a slice without a label is far from that label,
        as is a sample of no slice. One distance map is in memory at a time.
        """
        from scipy.ndimage import distance_transform_edt

        far = np.ones((len(self.places), len(self.label_values)), dtype=bool)
        for number, plane in enumerate(self.planes):
            members = np.flatnonzero(self.places[:, 0] == number)
            rows, columns = self.places[members, 1:].astype(np.int64).T
            for column, value in enumerate(self.label_values):
                outside = plane != value
                if len(members) and not outside.all():
                    near = distance_transform_edt(outside)[rows, columns] < distance
                    far[members[near], column] = False
        return far


def plan_pixels(
    planes: Sequence[Array],
    label_values: Sequence[int],
    config: SamplingConfig,
    rng: np.random.Generator,
    columns: int = 1,
) -> tuple[list[Array], Array]:
    """Choose the pixels to learn from, before their features are read.

    How many is set by ``config``; they are spread over the slices in proportion to the area of the
    label there, at least one from each that has it. ``planes`` (H, W) are label values, negative
    where unknown; a pixel has ``columns`` features (float32). Returns ascending flat indices for
    each plane, and the share (L + 1,) of each class among all known pixels.
    """
    values = [0, *label_values]
    counts = np.array([[int((p == v).sum()) for v in values] for p in planes], dtype=np.int64)
    counts = counts.reshape(len(planes), len(values))
    quota = _quota(counts.sum(axis=0), config, columns)
    shares = [_spread(counts[:, c], int(quota[c])) for c in range(len(values))]
    chosen = []
    for number, plane in enumerate(planes):
        flat = plane.reshape(-1)
        parts = [
            rng.choice(np.flatnonzero(flat == value), shares[c][number], replace=False)
            for c, value in enumerate(values)
            if shares[c][number]
        ]
        chosen.append(np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64))
    total = counts.sum(axis=0).astype(np.float64)
    return chosen, total / max(1.0, total.sum())


def _quota(counts: Array, config: SamplingConfig, columns: int) -> Array:
    """Pixels to take of background and each label, out of so many."""
    every = int(counts[1:].max(initial=0))
    wanted = min(config.pixels_per_label or every, every)
    room = int(config.max_memory * 1e9 / 4 / columns)

    def taken(most: int) -> Array:
        """Pixels of background and each label, with at most so many of a label."""
        quota = np.minimum(counts, most)
        background = round(config.background_factor * int(quota[1:].sum()))
        quota[0] = min(int(counts[0]), max(config.min_background, background))
        return quota

    most = bisect_right(range(wanted + 1), room, key=lambda n: int(taken(n).sum())) - 1
    most = max(1, most)
    if most < every and not config.pixels_per_label:
        _LOGGER.warning(
            "At most %d pixels of a label are learned from, not all that are painted: the "
            "features of more do not fit into sampling.max_memory, %g GB.",
            most,
            config.max_memory,
        )
    return taken(most)


def _spread(counts: Array, quota: int) -> Array:
    """Share a quota out over slices in proportion to their counts, one at least where any."""
    total = int(counts.sum())
    if total <= quota:
        return counts.copy()
    exact = counts * (quota / total)
    share = np.maximum(np.floor(exact).astype(np.int64), counts > 0)
    rest = np.argsort(np.floor(exact) - exact, kind="stable")
    for number in rest[: max(0, quota - int(share.sum()))]:
        share[number] += 1
    return np.minimum(share, counts)


def with_decoys(samples: Samples, factor: float, seed: int) -> Samples:
    """Add background pixels whose features are drawn column by column from all samples.

    A network that knows the templates only may call anything else by the name of a label: a
    few painted slices rarely show all that other images contain. Drawing every feature from
    another pixel keeps the range of each and breaks how they go together, as in the synthetic
    class of Shi and Horvath (2006, "Unsupervised learning with random forest predictors").

    There are ``factor`` of them for each sample, behind the samples: class 0, in no slice
    (number -1).
    """
    count = round(factor * len(samples.features))
    if count == 0:
        return samples
    rng = np.random.default_rng(seed)
    size, columns = samples.features.shape
    made = np.empty((count, columns), dtype=samples.features.dtype)
    for column in range(columns):
        made[:, column] = samples.features[rng.integers(0, size, count), column]
    background = np.zeros((count, samples.class_count), dtype=bool)
    background[:, 0] = True
    return replace(
        samples,
        features=np.concatenate([samples.features, made]),
        classes=np.concatenate([samples.classes, np.zeros(count, samples.classes.dtype)]),
        possible=np.concatenate([samples.possible, background]),
        places=np.concatenate([samples.places, np.full((count, 3), -1, samples.places.dtype)]),
    )
