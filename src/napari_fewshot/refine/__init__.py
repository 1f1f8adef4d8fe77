"""Refinement: localised regions made exact, by prompts to SAM or without a download."""

from . import sam
from .base import REFINERS, RefinerEntry, Region, SliceRefiner
from .choice import AUTO, WALKER, Refiner, check_method, get_refiner
from .random_walker import make_walker
from .settings import RefinerSettings
from .volume import LabelRefiner, RefinedSlice, refine_labels

__all__ = [
    "AUTO",
    "REFINERS",
    "WALKER",
    "LabelRefiner",
    "RefinedSlice",
    "Refiner",
    "RefinerEntry",
    "RefinerSettings",
    "Region",
    "SliceRefiner",
    "check_method",
    "get_refiner",
    "refine_labels",
]

REFINERS.add(
    WALKER,
    RefinerEntry(
        WALKER,
        "labels drawn to the edges of the image; no download",
        available=lambda: True,
        make=make_walker,
    ),
)
for _entry in sam.entries():
    REFINERS.add(_entry.name, _entry)
