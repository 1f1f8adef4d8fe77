"""Connected components: of a prediction with many false ones, which parts stay."""

from __future__ import annotations

import numpy as np
import pytest

from .compare import Tolerance

CLEAN = {
    "nothing": {},
    "largest": {"largest_only": True},
    "largest in slices": {"dimensions": 2, "largest_only": True},
    "size": {"min_size": 40},
    "size across corners": {"min_size": 40, "connectivity": 3},
}


@pytest.fixture(scope="module")
def found(segmenter, one, other):
    """Predictions of features that see little, cleaned in each way."""
    model = segmenter(backbone="multiscale", adapter="cosine", position={"use": False})
    model.fit(one.template())
    return {
        name: model.with_propagation({"cleanup": settings}).predict(other.image, landmarks=False)
        for name, settings in CLEAN.items()
    }


@pytest.mark.parametrize("name", CLEAN)
def test_clean_up(found, golden, name):
    golden(name, labels=found[name].labels, confidence=found[name].confidence)


def test_each_way_gives_its_own(found):
    volumes = [found[name].labels for name in CLEAN]
    for number, labels in enumerate(volumes):
        for later in volumes[number + 1 :]:
            assert (labels != later).sum() > Tolerance().voxels * (labels != 0).sum()
    changed = found["largest"].labels != found["nothing"].labels
    apart = found["largest"].confidence[changed] - found["nothing"].confidence[changed]
    assert np.abs(apart).mean() > 0.01  # it is of the background that stands there now
