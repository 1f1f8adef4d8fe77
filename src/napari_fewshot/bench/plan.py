"""What is to be done: fits, and under each of them the cases that it predicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from .cases import Selection
from .config import BenchmarkConfig, MethodConfig, Shot
from .datasets import Case
from .fingerprints import Fingerprints

__all__ = ["Fit", "Unit", "make_plan", "weight_files"]

_FORMAT = 4
"""Raised when scores are taken in another way, so that nothing old is mixed with them."""


@dataclass(frozen=True)
class Unit:
    """The smallest piece of work that is kept: one case, predicted by one fit.

    Parameters
    ----------
    method : str
        Name of the row.
    shot, seed, case
        What it is of.
    key : str
        Digest of all that its result depends on.
    """

    method: str
    shot: Shot
    seed: int
    case: str
    key: str


@dataclass(frozen=True)
class Fit:
    """One training, and what is predicted with it.

    Parameters
    ----------
    method : MethodConfig
    shot, seed
        How many templates, and what is drawn.
    units : tuple of Unit
    """

    method: MethodConfig
    shot: Shot
    seed: int
    units: tuple[Unit, ...]

    @property
    def key(self) -> str:
        """Digest of the fit, whichever of its cases are left to predict."""
        return hashlib.sha256("".join(unit.key for unit in self.units).encode()).hexdigest()[:16]


def make_plan(
    config: BenchmarkConfig, selection: Selection, fingerprints: Fingerprints
) -> list[Fit]:
    """List all fits, method by method."""
    return [
        fit for method in config.methods for fit in _fits(config, method, selection, fingerprints)
    ]


def _fits(
    config: BenchmarkConfig, method: MethodConfig, selection: Selection, fingerprints: Fingerprints
) -> Iterator[Fit]:
    combined = [(s, k) for s in config.shots_of(method) for k in config.seeds_of(method)]
    common = _common(config, method, selection, fingerprints)
    if config.templates.scope == "across":
        groups = [((shot, seed), selection.scored) for shot, seed in combined]
    else:  # case by case, so that one case at a time is in memory
        groups = [(one, (case,)) for case in selection.scored for one in combined]
    for (shot, seed), cases in groups:
        units = tuple(
            Unit(method.name, shot, seed, case.name, _key(common, shot, seed, case, fingerprints))
            for case in cases
        )
        yield Fit(method, shot, seed, units)


def _common(
    config: BenchmarkConfig, method: MethodConfig, selection: Selection, fingerprints: Fingerprints
) -> dict[str, Any]:
    """All that the results of a method depend on, but for shot, seed and case."""
    settings = method.model_dump(mode="json", include={"method", "settings"})
    return {
        "format": _FORMAT,
        "version": __version__,
        "device": config.device,
        "axis": config.dataset.axis,
        "options": config.dataset.model_dump(mode="json")["options"],
        "predictions": config.output.predictions,
        "method": settings,
        "weights": fingerprints.of(weight_files(settings["settings"])),
        "pool": [[case.name, fingerprints.of(case.files)] for case in selection.pool],
        **{
            section: getattr(config, section).model_dump(mode="json")
            for section in ("image", "templates", "labels", "metrics")
        },
        "landmarks": config.landmarks and config.landmarks.model_dump(mode="json"),
    }


def _key(
    common: dict[str, Any], shot: Shot, seed: int, case: Case, fingerprints: Fingerprints
) -> str:
    content = {
        **common,
        "shot": shot,
        "seed": seed,
        "case": case.name,
        "files": fingerprints.of(case.files),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def weight_files(settings: Mapping[str, Any]) -> Iterator[Path]:
    """Files of weights that the settings of a method name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from weight_files(value)
        elif isinstance(value, str) and (key == "weights" or key.endswith("_weights")):
            yield Path(value)
