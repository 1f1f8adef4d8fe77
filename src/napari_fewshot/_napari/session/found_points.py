"""Points of one image that were found: where each may lie instead, and what was not found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...types import Array, Candidate, Landmark, Volume
from ..layers import columns_of, is_missing
from .slicing import Key

__all__ = [
    "FoundLandmark",
    "FoundPoints",
    "Kind",
    "Missing",
    "Place",
    "is_placed",
    "labels_of",
    "mm_columns",
    "points_of",
]

Kind = Literal["found", "placed", "missing"]
_SAME = 1e-6
"""Voxels: a point that lies within is where it was."""


@dataclass(frozen=True, eq=False)
class Place:
    """A place that a landmark may have: in data of the layer, (axes,), and its score."""

    at: Array
    score: float


@dataclass(frozen=True, eq=False)
class Missing:
    """A landmark that was looked for and not found, with places that it may have all the same."""

    name: str
    label: int
    places: tuple[Place, ...] = ()

    @property
    def best(self) -> float:
        """Score of the best place; 0 without one."""
        return self.places[0].score if self.places else 0.0


@dataclass(frozen=True)
class FoundLandmark:
    """A landmark of an image, for people.

    Parameters
    ----------
    name : str
    label : int
        As its points layer has it.
    row : int, optional
        Of its point; None where it was not found.
    kind : {"found", "placed", "missing"}
        Placed (or moved) by a person; missing: looked for and not found.
    score : float, optional
        Of one that was found.
    why : str
        Why it is missing, and what to do.
    others : int
        How many other places it may have.
    """

    name: str
    label: int
    row: int | None
    kind: Kind
    score: float | None = None
    why: str = ""
    others: int = 0


class FoundPoints:
    """What is known of the points of an image beside their layer, by place of the leading axes.

    Attributes
    ----------
    choices : dict
        Places that a landmark may have, by its place on the leading axes and its label: that where
        it was found, then its candidates.
    missing : dict
        Landmarks that were not found, by place of the leading axes.
    """

    def __init__(self) -> None:
        self.choices: dict[tuple[Key, int], tuple[Place, ...]] = {}
        self.missing: dict[Key, tuple[Missing, ...]] = {}
        self._last: Array = np.zeros((0, 0))
        self._writing = 0

    def note(
        self,
        landmarks: Sequence[Landmark],
        not_found: Mapping[int, tuple[Candidate, ...]],
        names: Mapping[int, str],
        lead: Key,
        axes: int,
    ) -> None:
        """Remember what a search of the place ``lead`` gave; what a person placed is not of it.

        ``not_found`` and ``names`` are by label; ``axes`` are those of space.
        """

        def places(found: Sequence[Candidate | Landmark]) -> tuple[Place, ...]:
            ats = (np.array([*lead, *one.position[-axes:]], float) for one in found)
            return tuple(
                Place(at, float(one.score or 0)) for at, one in zip(ats, found, strict=True)
            )

        for mark in landmarks:
            if mark.score is not None:
                self.choices[lead, mark.label] = places([mark, *mark.candidates])
        self.missing[lead] = tuple(
            Missing(names.get(label, str(label)), label, places(found))
            for label, found in not_found.items()
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return not (self.choices or self.missing)

    def about(self) -> dict[str, Any]:
        """Return what is known of candidates and of what was not found, ready for JSON."""
        return {
            "choices": [
                {"lead": list(lead), "label": label, "places": _about(places)}
                for (lead, label), places in self.choices.items()
            ],
            "missing": [
                {
                    "lead": list(lead),
                    "landmarks": [
                        {"name": one.name, "label": one.label, "places": _about(one.places)}
                        for one in every
                    ],
                }
                for lead, every in self.missing.items()
            ],
        }

    def take(self, saved: Mapping[str, Any]) -> None:
        """Know what :meth:`about` said; ValueError, TypeError or KeyError if it is none."""
        self.choices = {
            (_lead_of(one), int(one["label"])): _places_of(one["places"])
            for one in saved["choices"]
        }
        self.missing = {
            _lead_of(every): tuple(
                Missing(str(one["name"]), int(one["label"]), _places_of(one["places"]))
                for one in every["landmarks"]
            )
            for every in saved["missing"]
        }

    @contextmanager
    def writing(self, layer: Any) -> Iterator[None]:
        """What is written to the layer meanwhile is ours, and no move of a person."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
            self.see(layer)

    @property
    def is_writing(self) -> bool:
        """Whether what changes now is written by us."""
        return self._writing > 0

    def see(self, layer: Any) -> None:
        """Remember where the points of the layer are."""
        self._last = np.array(layer.data, float).reshape(-1, layer.ndim)

    def moved(self, layer: Any) -> list[int]:
        """Rows that were moved since it was seen last; none where there are more or fewer now."""
        before, now = self._last, np.asarray(layer.data, float)
        self.see(layer)
        if before.shape != now.shape:
            return []
        rows: list[int] = np.flatnonzero((np.abs(now - before) > _SAME).any(axis=1)).tolist()
        return rows


def _about(places: Sequence[Place]) -> list[list[float]]:
    return [[place.score, *map(float, place.at)] for place in places]


def _places_of(saved: Sequence[Sequence[float]]) -> tuple[Place, ...]:
    return tuple(Place(np.array(at, float), float(score)) for score, *at in saved)


def _lead_of(saved: Mapping[str, Any]) -> Key:
    return tuple(int(k) for k in saved["lead"])


def is_placed(features: Any) -> Array:
    """Which points (N,) a person placed or moved: those that have no score."""
    scores = columns_of(features).get("score", [])
    return np.array([is_missing(score) for score in scores], bool)


def labels_of(layer: Any, rows: Collection[int]) -> set[Any]:
    """Labels of some points of a layer."""
    labels = columns_of(layer.features).get("label", [])
    return {labels[row] for row in rows if row < len(labels)}


def points_of(
    landmarks: Sequence[Landmark], volume: Volume, lead: Key
) -> tuple[Array, dict[str, list[Any]]]:
    """Points, shape (N, axes of the layer), and features of a points layer.

    Features are name, label, score, and the position in mm as of :func:`mm_columns`.
    """
    positions = np.array([mark.position[-volume.ndim :] for mark in landmarks], dtype=float)
    positions = positions.reshape(-1, volume.ndim)
    features: dict[str, list[Any]] = {
        "name": [mark.name for mark in landmarks],
        "label": [mark.label for mark in landmarks],
        "score": [np.nan if mark.score is None else mark.score for mark in landmarks],
    }
    features |= mm_columns(positions, volume)
    places = np.broadcast_to(np.array(lead, float), (len(positions), len(lead)))
    return np.concatenate([places, positions], axis=1), features


def mm_columns(positions: Array, volume: Volume) -> dict[str, list[Any]]:
    """Positions (N, 2 or 3) in voxels of a volume as columns in mm.

    R, A, S in the patient where the volume has an orientation, else z_mm, y_mm, x_mm from its first
    voxel.
    """
    if volume.affine is not None:
        ones = np.ones((len(positions), 1))
        mm = np.concatenate([positions, ones], axis=1) @ volume.affine[:3].T
        names: Sequence[str] = "RAS"
    else:
        mm = positions * np.asarray(volume.spacing)
        names = ("z_mm", "y_mm", "x_mm")[-volume.ndim :]
    return {name: mm[:, k].tolist() for k, name in enumerate(names)}
