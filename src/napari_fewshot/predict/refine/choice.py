"""Methods of refinement by name, made ready for the slices of any volume."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from ...config import RefinementConfig
from ...errors import InputError, UnknownNameError
from ...features.cache import FeatureCache
from ...features.store import FeatureStore
from ...slices.stack import SliceStack
from .base import REFINERS, SliceRefiner
from .random_walker import WALKER
from .settings import RefinerSettings

__all__ = ["AUTO", "WALKER", "Refiner", "check_method", "get_refiner"]

AUTO = "auto"
"""SAM where its weights are on this machine, else the method that needs none."""


class Refiner:
    """A method of refinement with its settings, for any number of volumes.

    Made by :func:`get_refiner`.

    Parameters
    ----------
    name : str
        Of :data:`~napari_fewshot.predict.refine.REFINERS`.
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
    """Return the registered name that a method stands for.

    Parameters
    ----------
    method : str
        A registered name, or ``"auto"``.
    parameter : str
        What the caller named it.

    Raises
    ------
    UnknownNameError
        If there is none; the message lists near matches.
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
