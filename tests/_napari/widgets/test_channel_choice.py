"""Which files are offered as channels of one image."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_fewshot._napari.widgets.main.channels import differ_in_channel


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("cells_ch0.tif", "cells_ch1.tif", True),
        ("well A C=1.ome.tif", "well A C=2.ome.tif", False),  # not a name that we know
        ("cells-w1.tif", "cells-w2.tif", True),
        ("case_0000.nii.gz", "case_0001.nii.gz", True),
        ("head_t1.nii.gz", "head_flair.nii.gz", True),
        ("hippocampus_001.nii.gz", "hippocampus_002.nii.gz", False),
        ("patient_1.nii.gz", "patient_2.nii.gz", False),
        ("a_ch0.tif", "b_ch1.tif", False),
        ("other/cells_ch0.tif", "cells_ch1.tif", False),
    ],
)
def test_names_that_differ_in_the_channel_alone(one, other, alike):
    assert differ_in_channel(Path(one), Path(other)) is alike
