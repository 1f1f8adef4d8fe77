"""Landmarks as CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import read_points, read_volume, write_points
from napari_fewshot.types import Landmark, Volume

AFFINE = np.array([[0, 0, 0.5, 3], [0, 1, 0, 4], [2, 0, 0, 5], [0, 0, 0, 1.0]])
VOLUME = Volume(np.zeros((10, 20, 30)), (2, 1, 0.5), AFFINE)
PLAIN = Volume(np.zeros((10, 20, 30)), (2, 1, 0.5))
FLAT = Volume(np.zeros((20, 30)), (1, 1))
POINTS = [
    Landmark("tip, left", 1, (1.25, 2.0, 3.3333333), 0.875),
    Landmark("base", 7, (0.0, 19.0, 29.0)),
]


def save(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("like", [VOLUME, PLAIN])
def test_points_return(tmp_path: Path, like: Volume) -> None:
    write_points(tmp_path / "p.csv", POINTS, like)
    assert read_points(tmp_path / "p.csv", like) == POINTS


def test_columns(tmp_path: Path) -> None:
    write_points(tmp_path / "p.csv", POINTS, VOLUME)
    with (tmp_path / "p.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert ",".join(rows[0]) == "name,label,z,y,x,score,R,A,S"
    assert rows[1][:6] == ["tip, left", "1", "1.25", "2", "3.3333333", "0.875"]
    assert [float(v) for v in rows[2][6:]] == [17.5, 23.0, 5.0]
    write_points(tmp_path / "p.csv", [POINTS[1]], PLAIN)
    assert (tmp_path / "p.csv").read_text() == "name,label,z,y,x\nbase,7,0,19,29\n"


def test_no_points_are_a_header(tmp_path: Path) -> None:
    write_points(tmp_path / "p.csv", [], VOLUME)
    assert read_points(tmp_path / "p.csv", VOLUME) == []


def test_patient_positions_are_converted(tmp_path: Path) -> None:
    source = save(tmp_path / "p.csv", "name,label,R,A,S", "a,2,17.5,23,5", "b,3,3,4,9")
    points = read_points(source, VOLUME)
    np.testing.assert_allclose([p.position for p in points], [(0, 19, 29), (2, 0, 0)], atol=1e-12)


def test_voxels_come_before_patient_positions(tmp_path: Path) -> None:
    source = save(tmp_path / "p.csv", "label,z,y,x,R,A,S", "1,1,2,3,900,900,900")
    assert read_points(source, VOLUME)[0].position == (1, 2, 3)


def test_spreadsheets_are_read(tmp_path: Path) -> None:
    """Byte-order mark, other order and case, more columns, spaces, 1.0 as label, empty lines."""
    lines = ["X, Y ,Z,Label,comment", "", '3,2,1,1.0,"first, best"', ",,,,", "4,5,6,2,"]
    (tmp_path / "p.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    named = Volume(PLAIN.data, PLAIN.spacing, names={1: "femur"})
    assert read_points(tmp_path / "p.csv", named) == [
        Landmark("femur", 1, (1, 2, 3)),
        Landmark("2", 2, (6, 5, 4)),
    ]


def test_labels_count_names_by_first_appearance(tmp_path: Path) -> None:
    source = save(tmp_path / "p.csv", "name,z,y,x", "b,0,0,0", "a,0,0,1", "b,0,0,2")
    assert [p.label for p in read_points(source, PLAIN)] == [1, 2, 1]


def test_a_name_without_a_label_has_none_of_another(tmp_path: Path) -> None:
    rows = ["name,label,z,y,x", "a,,0,0,0", "b,1,0,0,1", "c,4,0,0,2", "c,,0,0,3", ",2,0,0,3"]
    numbers: dict[str, int] = {}
    found = read_points(save(tmp_path / "p.csv", *rows), PLAIN, numbers=numbers)
    assert [p.label for p in found] == [3, 1, 4, 4, 2]
    other = save(tmp_path / "q.csv", "name,z,y,x", "c,0,0,0", "d,0,0,0", "a,0,0,0")
    assert [p.label for p in read_points(other, PLAIN, numbers=numbers)] == [4, 5, 3]


def test_flat_images_need_no_z(tmp_path: Path) -> None:
    assert read_points(save(tmp_path / "p.csv", "label,y,x", "1,2,3"), FLAT) == [
        Landmark("1", 1, (0, 2, 3))
    ]
    write_points(tmp_path / "p.csv", POINTS[1:], FLAT)
    assert read_points(tmp_path / "p.csv", FLAT) == POINTS[1:]


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("label,z,y,x", "1,1,2", "line 3 must have 4 fields as the header; got 3 fields"),
        ("label,z,y,x", "1,1,2,3,4", "line 3 must have 4 fields"),
        ("label,z,y,x", "1,1,two,3", "line 3, column y must be a finite number; got 'two'"),
        ("label,z,y,x", "1,1,,3", "line 3, column y must be a finite number; got ''"),
        ("label,z,y,x", "1,nan,2,3", "line 3, column z must be a finite number; got 'nan'"),
        ("label,z,y,x", "0,1,2,3", "line 3, column label must be a whole number of at least 1"),
        ("label,z,y,x", "1.5,1,2,3", "line 3, column label must be a whole number"),
        ("label,z,y,x", "a,1,2,3", "line 3, column label must be a finite number; got 'a'"),
        ("name,z,y,x", ",1,2,3", "line 3, column name must not be empty"),
        ("label,z,y,x,score", "1,1,2,3,1.5", r"line 3, column score must be within 0\.\.1"),
        ("label,z,y,x", "1,1,2,30", r"line 3 must lie inside .*\(10, 20, 30\); got voxel z=1, y=2"),
        ("label,z,y,x", "1,-1,2,3", "line 3 must lie inside"),
    ],
)
def test_bad_rows_say_where(tmp_path: Path, header: str, row: str, message: str) -> None:
    good = {"label": "1", "name": "a", "score": "0.5"}
    first = ",".join(good.get(column, "1") for column in header.split(","))
    source = save(tmp_path / "p.csv", header, first, row)
    with pytest.raises(InputError, match=rf"p\.csv, {message}"):
        read_points(source, PLAIN)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("label,y,x", r"have the columns z, y, x \(or R, A, S\); got the columns label, y, x"),
        ("z,y,x", "have a column label or name"),
        ("label,z,Z,y", "have columns of different names; got label, z, z, y"),
        ("label;z;y;x", "Separate the fields by commas"),
        ("label,R,A,S", "columns z, y, x for an image without orientation"),
    ],
)
def test_missing_columns(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_points(save(tmp_path / "p.csv", header, "1,2,3,4"), PLAIN)


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="be an existing file"):
        read_points(tmp_path / "none.csv", PLAIN)
    with pytest.raises(InputError, match="be a CSV file; got a folder"):
        read_points(tmp_path, PLAIN)
    (tmp_path / "p.csv").write_bytes(b"")
    with pytest.raises(InputError, match="begin with a header such as name,label,z,y,x; got an em"):
        read_points(tmp_path / "p.csv", PLAIN)
    (tmp_path / "p.csv").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(UnreadableFileError, match="be a CSV file in UTF-8"):
        read_points(tmp_path / "p.csv", PLAIN)


def test_real_landmarks(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "mouse_head_ct_landmarks"
    volume = read_volume(folder / "C57L_J.nii.gz")
    assert nib.aff2axcodes(nib.load(folder / "C57L_J.nii.gz").affine) == ("L", "P", "S")
    with (folder / "C57L_J_landmarks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    lines = [f"{r['name']},{r['x_ras_mm']},{r['y_ras_mm']},{r['z_ras_mm']}" for r in rows]
    points = read_points(save(tmp_path / "p.csv", "name,R,A,S", *lines), volume)
    expected = [[float(r[axis]) for axis in ("k_vox", "j_vox", "i_vox")] for r in rows]
    np.testing.assert_allclose([p.position for p in points], expected, atol=0.02)


def test_numeric_names_are_labels(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("name,z,y,x\n24,1,2,3\n7,1,1,1\n")
    volume = Volume(np.zeros((4, 5, 6)), (1.0, 1.0, 1.0))
    assert [(p.name, p.label) for p in read_points(path, volume)] == [("24", 24), ("7", 7)]
    path.write_text("name,z,y,x\n24,1,2,3\ntip,1,1,1\n")
    assert [(p.name, p.label) for p in read_points(path, volume)] == [("24", 1), ("tip", 2)]
