"""Refinement: localised regions made exact, by prompts to SAM or without a download."""

from .base import REFINERS, RefinerEntry, Region, SliceRefiner
from .settings import RefinerSettings

__all__ = ["REFINERS", "RefinerEntry", "RefinerSettings", "Region", "SliceRefiner"]
