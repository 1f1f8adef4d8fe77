"""Refinement: localised regions made exact, by prompts to SAM or without a download."""

from .base import REFINERS, RefinerEntry, Region, SliceRefiner
from .choice import AUTO, WALKER, Refiner, check_method, get_refiner
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
