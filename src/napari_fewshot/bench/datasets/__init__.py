"""Data sets in the folder layouts that they are published in, and any cohort by patterns."""

from .case import LAYOUTS, Case, Layout

__all__ = ["LAYOUTS", "Case", "Layout"]
