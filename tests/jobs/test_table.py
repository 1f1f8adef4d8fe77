"""The table of a run: order, paths, what comes back, and the two numbers of each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot.errors import InputError
from napari_fewshot.jobs.table import (
    TABLE,
    ImageResult,
    check_table,
    doubt_of,
    read_table,
    write_table,
)


def results(folder: Path) -> list[ImageResult]:
    """Of four images: one sure, one unsure, an empty one, and one that failed."""
    image, out = folder / "in", folder / "out"
    return [
        ImageResult(image / "a.nii.gz", out / "a_labels.nii.gz", "done", 2.5, 0.9, 0.1, 16),
        ImageResult(image / "b.nii.gz", None, "failed", error="broken,\nindeed"),
        ImageResult(image / "ü.nii.gz", out / "ü_labels.nii.gz", "skipped", 1.0, 0.7, 0.25, 16),
        ImageResult(
            image / "d.nii.gz",
            out / "d_labels.nii.gz",
            "reviewed",
            slices=1,
            confidence=out / "d_confidence.nii.gz",
            landmarks=out / "d_landmarks.csv",
        ),
    ]


def test_worst_first_and_back(tmp_path):
    table = tmp_path / "out" / TABLE
    write_table(table, results(tmp_path))
    text = table.read_text("utf-8").splitlines()
    assert text[0] == (
        "image,labels,status,seconds,mean_confidence,disagreement,slices,error,confidence,landmarks"
    )
    assert text[1] == '../in/b.nii.gz,,failed,,,,,"broken, indeed",,'
    assert [line.split(",")[2] for line in text[1:]] == ["failed", "reviewed", "skipped", "done"]
    assert text[4] == "../in/a.nii.gz,a_labels.nii.gz,done,2.5,0.9,0.1,16,,,"
    a, b, c, d = results(tmp_path)
    found = read_table(table)
    assert found[1:] == [d, c, a]
    assert found[0].error == "broken, indeed"
    assert found[0].image == b.image


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "image,labels,status\nx,y,lost\n", "\0\0\xff"])
def test_what_is_no_table(tmp_path, text):
    path = tmp_path / TABLE
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match="be a table as predict writes it"):
        read_table(path)
    with pytest.raises(InputError, match="not replace a file that no run has written"):
        check_table("--output", path, overwrite=False)
    assert check_table("--output", path, overwrite=True) == []


def test_no_table_yet(tmp_path):
    assert check_table("--output", tmp_path / TABLE, overwrite=False) == []
    with pytest.raises(InputError, match="be an existing file"):
        read_table(tmp_path / TABLE)


def test_doubt_of_what_is_sure():
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 2:4] = 7
    mean, disagreement = doubt_of(labels, np.ones(labels.shape, np.float32))
    assert mean == 1
    assert disagreement == 0


def test_doubt_grows_on_both_sides_of_the_border():
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 2:4] = 7
    sure = np.full(labels.shape, 0.95, np.float32)
    inside, outside = sure.copy(), sure.copy()
    inside[1, 2] = 0.5
    outside[0, 2] = 0.5  # probable, but not chosen
    base, one, two = (doubt_of(labels, array) for array in (sure, inside, outside))
    assert base[0] == pytest.approx(0.95)
    assert one[0] < base[0] == two[0]
    assert base[1] < two[1] < 1
    assert base[1] < one[1] < 1


def test_doubt_is_the_same_in_bands_and_none_of_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (7, 5, 6))
    sure = rng.random(labels.shape).astype(np.float32)
    whole = doubt_of(labels, sure)
    monkeypatch.setattr("napari_fewshot.jobs.table._ROWS", 31)
    assert doubt_of(labels, sure) == pytest.approx(whole)
    assert doubt_of(labels * 0, sure) == (None, None)
