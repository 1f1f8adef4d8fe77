"""Tables of measurements as CSV."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_fewshot import measure_labels
from napari_fewshot.errors import InputError
from napari_fewshot.objects.table import as_text, write_table
from napari_fewshot.types import Volume


def test_names_are_no_formulas(tmp_path):
    labels = Volume(np.array([[1, 2], [2, 2]]), (1.0, 1.0), names={1: "=1+1", 2: 'a, "b"'})
    table = measure_labels(labels)
    write_table(tmp_path / "t.csv", table)
    read = pd.read_csv(tmp_path / "t.csv")
    assert read["name"].tolist() == ["'=1+1", 'a, "b"']
    assert read["pixels"].tolist() == [1, 3]
    assert table["name"][0] == "=1+1"
    assert as_text(table, "\t").splitlines()[1].startswith("1\t'=1+1\t1\t")


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="be a file to write"):
        write_table(tmp_path, measure_labels(np.ones((2, 2), np.uint8)))
