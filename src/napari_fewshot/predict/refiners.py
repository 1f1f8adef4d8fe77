"""Methods of refinement: the contract, and each by name, made ready for any number of volumes.

A localised region goes in and an exact one comes out, slice by slice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..config import RefinementConfig
from ..errors import InputError, UnknownNameError
from ..features.cache import FeatureCache
from ..features.store import FeatureStore
from ..registry import Registry
from ..slices.stack import SliceStack
from ..types import Array

__all__ = [
    "AUTO",
    "REFINERS",
    "WALKER",
    "Refiner",
    "RefinerEntry",
    "RefinerSettings",
    "Region",
    "SliceRefiner",
    "check_method",
    "get_refiner",
]

AUTO = "auto"
"""SAM where its weights are on this machine, else the method that needs none."""

WALKER = "random-walker"


@dataclass(frozen=True, eq=False)
class Region:
    """What is known of one slice.

    Parameters
    ----------
    labels : int array, shape (H, W)
        Label values; 0 is background.
    confidence : float32 array, shape (H, W)
        Probability, in 0..1, of the value that ``labels`` has there.
    """

    labels: Array
    confidence: Array


class SliceRefiner(Protocol):
    """Refines the slices of one stack; made for it by :class:`RefinerEntry`."""

    def refine(self, index: int, region: Region) -> Region:
        """Refine slice ``index`` of the stack. Never asked where the region is empty."""
        ...


@dataclass(frozen=True)
class RefinerSettings:
    """What the making of a refiner needs to know.

    Parameters
    ----------
    config : RefinementConfig
    weights : Path, optional
        Checkpoint of SAM in place of the download.
    device : str
    seed : int
        Of random prompts.
    store, cache : optional
        Where embeddings of slices are kept.
    """

    config: RefinementConfig
    weights: Path | None = None
    device: str = "cpu"
    seed: int = 0
    store: FeatureStore | None = None
    cache: FeatureCache | None = None


@dataclass(frozen=True)
class RefinerEntry:
    """A registered method of refinement.

    Parameters
    ----------
    name : str
    summary : str
        One line for people who choose.
    available : callable
        ``available() -> bool``: whether it works now without a download.
    make : callable
        Loads networks once, and makes the refiners of any number of stacks.
    """

    name: str
    summary: str
    available: Callable[[], bool]
    make: Callable[[RefinerSettings], Callable[[SliceStack], SliceRefiner]]


REFINERS: Registry[RefinerEntry] = Registry("refinement", ".predict.random_walker", ".sam.refiner")


class Refiner:
    """A method of refinement with its settings, for any number of volumes.

    Made by :func:`get_refiner`.

    Parameters
    ----------
    name : str
        Of :data:`REFINERS`.
    settings : RefinerSettings
    """

    def __init__(self, name: str, settings: RefinerSettings) -> None:
        self.name = name
        self.settings = settings

    @cached_property
    def _on(self) -> Callable[[SliceStack], SliceRefiner]:
        return REFINERS.get(self.name).make(self.settings)

    def load(self) -> Refiner:
        """Load networks now, not at the first slice; once.

        Raises
        ------
        WeightsError
            If the weights cannot be had.
        """
        _ = self._on
        return self

    @property
    def is_loaded(self) -> bool:
        """Whether networks are in memory."""
        return "_on" in vars(self)

    def unload(self) -> None:
        """Let go of networks; the next use loads them again."""
        vars(self).pop("_on", None)

    def on(self, stack: SliceStack) -> SliceRefiner:
        """Refine the slices of a stack."""
        return self._on(stack)


def check_method(method: str, parameter: str = "method") -> str:
    """Return the registered name that a method stands for, or that ``"auto"`` chooses.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists near matches, and calls it ``parameter``.
    """
    if method == AUTO:
        others = (name for name in REFINERS if name != WALKER)
        return next((name for name in others if REFINERS.get(name).available()), WALKER)
    if method not in REFINERS:
        raise UnknownNameError(parameter, str(method), [AUTO, *REFINERS])
    return method


def get_refiner(
    method: str | None = None,
    *,
    config: RefinementConfig | dict[str, Any] | None = None,
    sam_weights: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    store: FeatureStore | None = None,
    cache: FeatureCache | None = None,
) -> Refiner:
    """Make a method of refinement ready; networks are loaded when it is first used.

    Parameters
    ----------
    method : str, optional
        ``"random-walker"``, the name of a SAM, or ``"auto"``: a SAM whose weights are on this
        machine, else the random walker. None: that of ``config``, else ``"auto"``.
    config : RefinementConfig or dict, optional
        Settings of the methods.
    sam_weights : path, optional
        Checkpoint of SAM in place of the download.
    device : str
        Where a network runs.
    seed : int
        Of random prompts.
    store, cache : optional
        Where embeddings of slices are kept.

    Raises
    ------
    UnknownNameError
        If the method or a setting does not exist.
    InputError
        If a setting breaks its limit, or weights are given for a method that has none.
    """
    settings = RefinementConfig.of(config, "config")
    wanted = method or settings.method or AUTO
    name = check_method(wanted)
    if sam_weights is not None and (name == WALKER or wanted == AUTO):
        raise InputError("sam_weights", "stand beside the name of a SAM", wanted)
    file = None if sam_weights is None else Path(sam_weights)
    return Refiner(name, RefinerSettings(settings, file, device, seed, store, cache))
