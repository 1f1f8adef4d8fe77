"""The contract of refinement: a localised region in, an exact one out, slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...registry import Registry
from ...types import Array

__all__ = ["REFINERS", "RefinerEntry", "Region", "SliceRefiner"]


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
        ``make(settings) -> Callable[[SliceStack], SliceRefiner]``, where ``settings`` is a
        :class:`~napari_fewshot.predict.refine.RefinerSettings`; loads networks once for all stacks.
    """

    name: str
    summary: str
    available: Callable[[], bool]
    make: Callable[..., Callable[..., SliceRefiner]]


REFINERS: Registry[RefinerEntry] = Registry(
    "refinement", ".predict.refine.random_walker", ".sam.refiner"
)
