"""Write the references of the golden tests anew: what today's code gives is held from now on.

::

    python tests/golden/make.py [tests/golden/test_sam.py ...]

They go to the folder of the environment variable ``NAPARI_FEWSHOT_GOLDEN_DATA``, else to ``data``.
Those of the viewer need a display.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    os.environ["NAPARI_FEWSHOT_GOLDEN"] = "write"
    given = sys.argv[1:]
    if all(word.startswith("-") for word in given):
        given.append(str(here))
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", f"--rootdir={here.parents[1]}", *given]))
