"""Label maps of instances in training."""

from __future__ import annotations

import pytest

from napari_fewshot.io import write_image, write_labels
from napari_fewshot.phantoms.cells import touching_cells

from .conftest import labels_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An image of cells with its instances."""
    monkeypatch.chdir(tmp_path)
    image, truth = touching_cells(0, (64, 64), (0.4, 0.4), cells=12)
    write_image("cells.tif", image.data, image)
    write_labels("cells_labels.tif", truth.data, image)
    return tmp_path


def test_instances_are_said_and_learned_as_one_class(run, folder):
    files = ["train", "--image", "cells.tif", "--labels", "cells_labels.tif", "--adapter", "cosine",
             "--no-score", "--no-store"]  # fmt: skip
    said = run(*files, "-o", "many.fewshot")
    assert said.code == 0
    assert "look like instances of one class" in said.err
    assert "--merge-labels" in said.err
    said = run(*files, "-o", "one.fewshot", "--merge-labels", "cell")
    assert said.code == 0, said.err
    assert "labels: 1 cell" in said.out
    assert "instances" not in said.err
    assert run("predict", "one.fewshot", "cells.tif", "-o", "out", "--no-store").code == 0
    assert labels_of(folder / "out" / "cells_labels.tif") <= {0, 1}
    said = run("objects", "out", "--image", "cells.tif", "-o", "objects")
    assert said.code == 0, said.err
    assert len(labels_of(folder / "objects" / "cells_instances.tif") - {0}) > 1
