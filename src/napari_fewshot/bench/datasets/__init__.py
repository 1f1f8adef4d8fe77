"""Data sets in their official folder layouts."""

from .case import LAYOUTS, Case, Layout
from .folder import find_folder
from .hanseg import find_hanseg
from .tasks import find_amos22, find_msd
from .totalsegmentator import find_totalsegmentator
from .verse import find_verse

__all__ = [
    "LAYOUTS",
    "Case",
    "Layout",
    "find_amos22",
    "find_folder",
    "find_hanseg",
    "find_msd",
    "find_totalsegmentator",
    "find_verse",
]
