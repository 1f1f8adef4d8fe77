"""Painted slices of a phantom."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.phantoms import painted_labels, template_slices


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_even_and_within_the_labels(cohorts, axis):
    phantom = cohorts["joint"][0]
    chosen = template_slices(phantom, 5, axis)
    gaps = np.diff(chosen)
    assert len(chosen) == 5
    assert gaps.max() - gaps.min() <= 1
    assert all(phantom.labels.data.take(n, axis).any() for n in chosen)


def test_painted_labels_hold_these_slices_only(cohorts):
    phantom = cohorts["torso"][0]
    painted = painted_labels(phantom, (30, 12), axis=1)
    np.testing.assert_array_equal(painted.data[:, [12, 30]], phantom.labels.data[:, [12, 30]])
    rest = np.delete(painted.data, [12, 30], axis=1)
    assert not rest.any()
    assert painted.names == phantom.labels.names
    np.testing.assert_array_equal(painted.affine, phantom.image.affine)


def test_bad_arguments_are_refused(cohorts):
    phantom = cohorts["joint"][0]
    for n in (0, 500, 2.5):
        with pytest.raises(InputError, match=r"^n must"):
            template_slices(phantom, n)
    with pytest.raises(InputError, match="axis"):
        template_slices(phantom, 3, 3)
    with pytest.raises(InputError, match="slices"):
        painted_labels(phantom, [phantom.labels.shape[0]])
