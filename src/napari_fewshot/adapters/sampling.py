"""Pixels out of template slices with their features: what pixel adapters learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from ..config import SamplingConfig
from ..templates.known import UNKNOWN, KnownSlice
from ..templates.pixels import Samples, plan_pixels
from ..types import Array, FeatureMap, SliceFeatures

__all__ = ["POSITION_COLUMNS", "collect_samples", "gather_pixels"]

POSITION_COLUMNS = 3


def gather_pixels(features: FeatureMap, flat: Array) -> Array:
    """Features at chosen pixels of a slice, bilinear between cell centres; float32 (n, C).

    ``flat`` (n,) are flat indices into the (H, W) slice.
    """
    height, width = features.data.shape[1:]
    if features.is_dense:
        import torch

        whole = features.data.reshape(features.channels, -1)
        run = len(flat) > 0 and flat[-1] - flat[0] + 1 == len(flat) and (np.diff(flat) == 1).all()
        columns = whole[:, flat[0] : flat[-1] + 1] if run else whole[:, flat]
        # torch transposes several times faster than numpy.
        vectors = torch.from_numpy(columns).t().contiguous().to(torch.float32)
        return np.asarray(vectors.numpy())
    rows, columns = np.divmod(flat, features.shape[1])
    y = np.clip((rows + 0.5) * height / features.extent[0] - 0.5, 0, height - 1)
    x = np.clip((columns + 0.5) * width / features.extent[1] - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    dy, dx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    first, last = int(top.min(initial=height - 1)), int(bottom.max(initial=0))
    cells = features.data[:, first : last + 1].astype(np.float32)
    top, bottom = top - first, bottom - first
    upper = cells[:, top, left] * (1 - dx) + cells[:, top, right] * dx
    lower = cells[:, bottom, left] * (1 - dx) + cells[:, bottom, right] * dx
    mixed = upper * (1 - dy) + lower * dy
    return np.ascontiguousarray(mixed.T, dtype=np.float32)


def collect_samples(
    examples: Sequence[KnownSlice],
    maps: Iterable[SliceFeatures],
    label_values: Sequence[int],
    sampling: SamplingConfig,
    *,
    position: bool,
    rng: np.random.Generator,
) -> Samples:
    """Choose pixels from the labels, then read their features map by map.

    Only the chosen pixels stay in memory. ``maps`` come in the order of ``examples``.
    """
    planes = [e.labels for e in examples]
    maps = iter(maps)
    first = next(maps)  # tells how many features a pixel has
    columns = first.channels + (POSITION_COLUMNS if position else 0)
    chosen, frequency = plan_pixels(planes, label_values, sampling, rng, columns)
    values = np.array([0, *label_values])
    features = np.empty((sum(map(len, chosen)), columns), dtype=np.float32)
    classes, possible, places = [], [], []
    rest = features
    for number, (example, fmap) in enumerate(zip(examples, chain([first], maps), strict=True)):
        flat = chosen[number]
        _gather_parts(fmap, flat, rest[: len(flat), : first.channels])
        if position:
            rest[: len(flat), first.channels :] = example.position.columns(flat)
        rest = rest[len(flat) :]
        found = np.searchsorted(values, example.labels.reshape(-1)[flat])
        classes.append(found)
        possible.append(_possible(found, values, example.known_labels))
        row, column = np.divmod(flat, example.labels.shape[1])
        places.append(np.stack([np.full(len(flat), number), row, column], axis=1))
    return Samples(
        features=features,
        classes=np.concatenate(classes).astype(np.int64),
        possible=np.concatenate(possible),
        places=np.concatenate(places).astype(np.float32),
        label_values=tuple(int(v) for v in label_values),
        frequency=frequency,
        planes=planes,
        known=sum(int((plane != UNKNOWN).sum()) for plane in planes),
    )


def _gather_parts(features: SliceFeatures, flat: Array, out: Array) -> None:
    """Write features at chosen pixels of a slice, flat indices (n,), to ``out`` (n, C)."""
    rows, columns = np.divmod(flat, features.shape[1])
    for part in features.parts():
        row, column = rows - part.origin[0], columns - part.origin[1]
        height, width = part.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        if inside.any():
            out[inside] = gather_pixels(part, row[inside] * width + column[inside])


def _possible(classes: Array, values: Array, known: frozenset[int]) -> Array:
    table = np.eye(len(values), dtype=bool)
    table[0] = [v == 0 or int(v) not in known for v in values]
    result: Array = table[classes]
    return result
