"""Data sets in their official folder layouts."""

from .case import LAYOUTS, Case, Layout

__all__ = ["LAYOUTS", "Case", "Layout"]
