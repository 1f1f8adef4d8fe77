"""Two patients of each kind, made once."""

from __future__ import annotations

import pytest

from napari_fewshot.phantoms import make_cohort


@pytest.fixture(scope="session")
def cohorts():
    return {kind: make_cohort(kind, 2) for kind in ("torso", "joint")}
