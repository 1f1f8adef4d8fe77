"""Maps of objects from files."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.io import read_labels, write_image, write_labels
from napari_fewshot.phantoms.cells import touching_cells

from .conftest import files_below


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two images of cells with label maps and confidence."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 0), ("b", 1)):
        image, truth = touching_cells(seed, (100, 100), (0.25, 0.25), cells=15)
        write_image(f"{name}.tif", image.data, image)
        mask = (truth.data > 0).astype(np.uint8)
        write_labels(f"{name}_labels.tif", 3 * mask, image, {3: "cell"})
        write_image(f"{name}_confidence.tif", mask.astype(np.float32), image)
    return tmp_path


def test_one_file(run, folder):
    said = run("objects", "a_labels.tif", "-o", "cells.tif", "--min-size", "2um2")
    found = read_labels("cells.tif")
    assert (said.code, said.out) == (0, f"cells.tif ({found.data.max()} objects)\n"), said.err
    labels = read_labels("a_labels.tif")
    assert found.spacing == labels.spacing
    assert found.data.max() > 8


@pytest.mark.parametrize("more", [[], ["--image", "."], ["--confidence", "."],
                                  ["--image", "a.tif", "b.tif"]])  # fmt: skip
def test_a_folder(run, folder, more):
    said = run("objects", ".", *more, "-o", "out", "--label", "3", "--neck", "0.7")
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "out/a_instances.tif",
        "out/b_instances.tif",
    ]


def test_what_is_refused(run, folder):
    before = files_below(folder)
    for arguments, words in (
        (["a_labels.tif", "b_labels.tif", "-o", "c.tif"], "--output must be a folder for 2"),
        (["a_labels.tif", "-o", "a_labels.tif"], "--output must not overwrite an input"),
        (["a_labels.tif", "-o", "c.tif", "--label", "9"], "--label must be labels that occur"),
        (["a_labels.tif", "-o", "c.tif", "--neck", "0"], "neck must be greater than 0"),
        (["a_labels.tif", "-o", "c.tif", "--min-size", "5um3"], "must be a number of pixels"),
        (["a_labels.tif", "-o", "c.tif", "--axis", "up"], "--axis must be one of"),
        (["a_labels.tif", "--image", "a.tif", "--confidence", "a_confidence.tif", "-o", "c.tif"],
         "--confidence must not stand beside"),
        (["none.tif", "-o", "c.tif"], "LABELS must be an existing file"),
    ):  # fmt: skip
        said = run("objects", *arguments)
        assert said.code == 2, arguments
        assert words in said.err
        assert len(said.err.splitlines()) == 1
    assert files_below(folder) == before
