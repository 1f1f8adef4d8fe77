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
    is_table,
    mark_reviewed,
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


def as_spreadsheet(table: Path) -> None:
    """Save a table as a spreadsheet does where commas are decimal."""
    text = table.read_text("utf-8").replace("0.7,", "0_7,").replace(",", ";").replace("0_7", "0,7")
    table.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())


def test_a_mark_changes_one_field_and_leaves_all_else(tmp_path):
    table = tmp_path / TABLE
    write_table(table, results(tmp_path))
    lines = table.read_text("utf-8").splitlines()
    lines = [f"{line},{note}" for line, note in zip(lines, ["note", *"wxyz"], strict=True)]
    table.write_text("\n".join(lines) + "\n", "utf-8")
    mark_reviewed(table, tmp_path / "out" / "a_labels.nii.gz")
    after = table.read_text("utf-8").splitlines()
    assert after[:4] == lines[:4]
    assert after[4] == lines[4].replace("done", "reviewed")
    write_table(table, results(tmp_path))  # a run writes its own columns; the note stays
    again = table.read_text("utf-8").splitlines()
    assert again == lines


def test_what_a_spreadsheet_has_saved_is_read_and_keeps_its_form(tmp_path):
    table = tmp_path / TABLE
    write_table(table, results(tmp_path))
    whole = read_table(table)
    as_spreadsheet(table)
    assert read_table(table)[1:] == whole[1:]
    mark_reviewed(table, tmp_path / "out" / "ü_labels.nii.gz")
    assert table.read_bytes().startswith(b"\xef\xbb\xbfimage;labels;status;")
    assert [row.status for row in read_table(table)] == ["failed", "reviewed", "reviewed", "done"]
    assert read_table(table)[2].mean_confidence == 0.7


def test_a_row_that_cannot_be_read_is_told_of_and_stays(tmp_path):
    table = tmp_path / TABLE
    write_table(table, results(tmp_path))
    text = table.read_text("utf-8").replace("skipped", "lost").replace("2.5", "long")
    table.write_text(text, "utf-8")
    with pytest.raises(InputError, match="one with the status lost"):
        read_table(table)
    rows = read_table(table, bad_rows=True)
    assert [row.status for row in rows] == ["failed", "reviewed", "failed", "failed"]
    assert rows[2].error.startswith("Row 4 of the table cannot be read: it is one with the status")
    assert "with long for seconds" in rows[3].error
    mark_reviewed(table, tmp_path / "out" / "d_labels.nii.gz")
    assert table.read_text("utf-8") == text


def test_a_row_that_is_gone_or_a_table_that_is_gone(tmp_path):
    table = tmp_path / TABLE
    write_table(table, results(tmp_path))
    before = table.read_bytes()
    with pytest.raises(InputError, match="changed by another program: open it again"):
        mark_reviewed(table, tmp_path / "out" / "none_labels.nii.gz")
    assert table.read_bytes() == before
    table.unlink()
    with pytest.raises(InputError, match="be an existing file"):
        mark_reviewed(table, tmp_path / "out" / "a_labels.nii.gz")
    assert not table.exists()


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("name,z,y,x\na,1,2,3\n", False),
        ("image,labels,status\na,b,done\n", False),
        ("\ufeffimage;labels;status;seconds;mean_confidence;disagreement\n", True),
        ("", False),
    ],
)
def test_a_table_is_known_by_its_first_line(tmp_path, text, ours):
    path = tmp_path / "a.csv"
    path.write_text(text, "utf-8")
    assert is_table(path) is ours
    path.write_bytes(b"\xff\xfe\x00image")
    assert not is_table(path)
    assert not is_table(tmp_path)
