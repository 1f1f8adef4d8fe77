"""Two patients of each kind, made once."""

from __future__ import annotations

import pytest

from napari_fewshot.phantoms import make_cohort

# Coarser than the default, for speed; structures are still several voxels thick.
SHAPES = {"torso": (48, 80, 80), "joint": (40, 80, 80)}


@pytest.fixture(scope="session")
def cohorts():
    return {kind: make_cohort(kind, 2, shape) for kind, shape in SHAPES.items()}
