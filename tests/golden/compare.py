"""What a run gave, beside what it gave before: the same but for rounding, or not."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_fewshot import Landmark

STEP = 7
"""Of the confidence every seventh voxel is kept; it divides no side of an image here."""


@dataclass(frozen=True)
class Tolerance:
    """How far rounding may move a result.

    Batches, threads and the processor decide the last bits of sums, and training amplifies
    them. The defaults are many times what runs with AVX-512 and with AVX2 differ by (no voxel, a
    confidence by 0.00002 in the mean); see ``test_sensitivity.py`` for what exceeds them.

    Parameters
    ----------
    voxels : float
        Share of the labelled voxels that may have another label.
    dice : float
        Least overlap of each label with what it was; two voxels may differ whatever its size.
    mean, most : float
        Mean, and 99th percentile, of the differences of the confidence.
    position, score : float
        Of a landmark, in voxels, and its confidence.
    number : float
        Of a number of a table, relative where it is above 1; small counts are exact by it.
    """

    voxels: float = 0.002
    dice: float = 0.995
    mean: float = 0.0005
    most: float = 0.005
    position: float = 0.25
    score: float = 0.02
    number: float = 0.005


BFLOAT16 = Tolerance(voxels=0.03, dice=0.85, mean=0.005, most=0.05)
"""For SAM by itself, whose encoder runs in bfloat16 where the processor has it, else in float32:
up to 0.016 of the voxels differ."""


def differences(found: Any, wanted: Any, kind: str, tolerance: Tolerance) -> list[str]:
    """What is not the same, in words; nothing where it is."""
    if kind == "labels":
        return list(_labels(np.asarray(found), np.asarray(wanted), tolerance))
    if kind == "confidence":
        return list(_confidence(np.asarray(found), np.asarray(wanted), tolerance))
    return list(_values(found, wanted, "", tolerance))


def _labels(found, wanted, tolerance):
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        yield f"{found.dtype} {found.shape} in place of {wanted.dtype} {wanted.shape}"
        return
    labelled = int(((found != 0) | (wanted != 0)).sum())
    other = int((found != wanted).sum())
    if other > max(2, tolerance.voxels * labelled):
        yield f"{other} of {labelled} labelled voxels differ ({other / labelled:.4f})"
    for label in np.union1d(np.unique(found), np.unique(wanted)):
        a, b = found == label, wanted == label
        dice = 2 * int((a & b).sum()) / int(a.sum() + b.sum())
        if dice < tolerance.dice and int((a != b).sum()) > 2:
            yield f"label {label} has a Dice of {dice:.4f} with what it was"


def _confidence(found, wanted, tolerance):
    if found.shape != wanted.shape:
        yield f"{found.shape} in place of {wanted.shape}"
        return
    apart = np.abs(found.astype(np.float64) - wanted)
    mean, most = float(apart.mean()), float(np.quantile(apart, 0.99))
    if not mean <= tolerance.mean or not most <= tolerance.most:
        yield f"differs by {mean:.5f} in the mean, {most:.5f} at the 99th percentile"


def _values(found, wanted, place, tolerance):
    if isinstance(wanted, dict) and isinstance(found, dict):
        if list(found) != list(wanted):
            yield f"{place}: keys {list(found)} in place of {list(wanted)}"
            return
        for key in wanted:
            yield from _values(found[key], wanted[key], f"{place}/{key}", tolerance)
    elif isinstance(wanted, list) and isinstance(found, list):
        if len(found) != len(wanted):
            yield f"{place}: {len(found)} entries in place of {len(wanted)}: {found}"
            return
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            yield from _values(one, other, f"{place}/{number}", tolerance)
    elif type(wanted) is int and type(found) is int:
        if abs(found - wanted) > tolerance.number * abs(wanted):
            yield f"{place}: {found} in place of {wanted}"
    elif isinstance(wanted, float) and isinstance(found, float):
        limit = {"position": tolerance.position, "score": tolerance.score}.get(
            next((part for part in reversed(place.split("/")) if not part.isdigit()), ""),
            tolerance.number * max(1.0, abs(wanted)),
        )
        if not (abs(found - wanted) <= limit or (math.isnan(found) and math.isnan(wanted))):
            yield f"{place}: {found} in place of {wanted}"
    elif found != wanted or type(found) is not type(wanted):
        yield f"{place}: {found!r} in place of {wanted!r}"


class References:
    """What the tests of one module gave before: an .npz for arrays and a .json for the rest.

    Parameters
    ----------
    folder : Path
    name : str
        Of the module.
    renew : bool
        Keep what is found in place of comparing it.
    """

    def __init__(self, folder: Path, name: str, *, renew: bool) -> None:
        self._arrays, self._texts = folder / f"{name}.npz", folder / f"{name}.json"
        self._renew = renew
        self._values: dict[str, Any] = {}
        self._kept: dict[str, np.ndarray] = {}
        if renew:
            return
        self._values = json.loads(self._texts.read_text("utf-8"))
        if self._arrays.is_file():
            with np.load(self._arrays) as file:
                self._kept = dict(file)

    def compare(self, name: str, tolerance: Tolerance, results: dict[str, Any]) -> list[str]:
        """What differs from what was kept under a name."""
        found: list[str] = []
        for what, value in results.items():
            kind = what if what in ("labels", "confidence") else "values"
            key = f"{name}/{what}"
            value = {"labels": np.asarray, "confidence": _thinned, "values": _plain}[kind](value)
            place = self._values if kind == "values" else self._kept
            if self._renew:
                place[key] = _packed(value) if kind == "confidence" else value
            elif key not in place:
                found.append(f"{key}: no reference")
            else:
                wanted = place[key] / 65535 if kind == "confidence" else place[key]
                parts = differences(value, wanted, kind, tolerance)
                found += [f"{key}: {part}" for part in parts]
        return found

    def save(self) -> None:
        """Write what was kept, where it is renewed."""
        if not self._renew:
            return
        lines = (f"{json.dumps(key)}: {json.dumps(one)}" for key, one in self._values.items())
        self._texts.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
        if self._kept:
            np.savez_compressed(self._arrays, **self._kept)


def _thinned(confidence: Any) -> np.ndarray:
    given = np.asarray(confidence)
    assert given.dtype == np.float32
    assert given.min() >= 0
    assert given.max() <= 1
    return given.ravel()[::STEP]


def _packed(values: np.ndarray) -> np.ndarray:
    return np.round(values.astype(np.float64) * 65535).astype(np.uint16)


def _plain(value: Any) -> Any:
    """As JSON gives it back, with the landmarks sorted by label and place."""
    if isinstance(value, Sequence) and any(isinstance(one, Landmark) for one in value):
        value = [asdict(one) for one in sorted(value, key=lambda one: (one.label, one.position))]
    return json.loads(json.dumps(value, default=_number))


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else list(value)
