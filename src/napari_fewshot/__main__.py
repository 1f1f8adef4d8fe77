"""``python -m napari_fewshot``: the command line."""

import sys

from .cli import main

sys.exit(main())
