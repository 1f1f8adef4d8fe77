"""Landmarks of 3D Slicer in its two formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_fewshot.errors import InputError, UnreadableFileError
from napari_fewshot.io import read_points
from napari_fewshot.types import Volume

# Voxel (z, y, x) lies at R = 10 - x, A = 20 - 2 y, S = 3 z.
AFFINE = np.array([[0, 0, -1.0, 10], [0, -2, 0, 20], [3, 0, 0, 0], [0, 0, 0, 1]])
LIKE = Volume(np.zeros((5, 6, 7), np.uint8), (3, 2, 1), AFFINE)
RAS = {"apex": (7.0, 16.0, 6.0), "base": (9.5, 14.0, 12.0)}
VOXELS = {"apex": (2, 2, 3), "base": (4, 3, 0.5)}


def placed(name: str, system: str) -> list[float]:
    r, a, s = RAS[name]
    z, y, x = VOXELS[name]
    return {"RAS": [r, a, s], "LPS": [-r, -a, s], "IJK": [x, y, z]}[system]


def write_fcsv(path: Path, system: str, said: str) -> Path:
    lines = [
        "# Markups fiducial file version = 4.11",
        f"# CoordinateSystem = {said}",
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID",
    ]
    for number, name in enumerate(RAS):
        x, y, z = placed(name, system)
        lines.append(f"{number},{x:.3f},{y:.3f},{z:.3f},0,0,0,1,1,1,0,{name},,")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_json(path: Path, system: str, **changes: Any) -> Path:
    points = [
        {"id": str(n), "label": name, "position": placed(name, system), "positionStatus": "defined"}
        for n, name in enumerate(RAS)
    ]
    points.append({"id": "9", "label": "later", "positionStatus": "undefined"})
    markup = {"type": "Fiducial", "coordinateSystem": system, "controlPoints": points} | changes
    path.write_text(json.dumps({"@schema": "markups-schema", "markups": [markup]}))
    return path


@pytest.mark.parametrize("system", ["RAS", "LPS", "IJK"])
@pytest.mark.parametrize("kind", ["json", "fcsv", "old fcsv"])
def test_positions(tmp_path: Path, system: str, kind: str) -> None:
    if kind == "json":
        path = write_json(tmp_path / "F.mrk.json", system)
    else:
        number = {"RAS": "0", "LPS": "1", "IJK": "2"}[system]
        path = write_fcsv(tmp_path / "F.fcsv", system, number if "old" in kind else system)
    found = read_points(path, LIKE)
    assert [mark.name for mark in found] == ["apex", "base"]
    assert [mark.label for mark in found] == [1, 2]
    for mark in found:
        np.testing.assert_allclose(mark.position, VOXELS[mark.name], atol=1e-3)


def test_one_name_has_one_label_in_all_files(tmp_path: Path) -> None:
    numbers = {"base": 7}
    found = read_points(write_json(tmp_path / "F.mrk.json", "LPS"), LIKE, numbers=numbers)
    assert {mark.name: mark.label for mark in found} == {"apex": 2, "base": 7}


def test_what_is_refused(tmp_path: Path) -> None:
    flat = Volume.of(np.zeros((5, 6, 7)))
    path = write_json(tmp_path / "F.mrk.json", "RAS")
    with pytest.raises(InputError, match="image without orientation"):
        read_points(path, flat)
    with pytest.raises(InputError, match="count in mm"):
        read_points(write_json(path, "RAS", coordinateUnits="cm"), LIKE)
    with pytest.raises(InputError, match="RAS, LPS or IJK"):
        read_points(write_json(path, "RAS", coordinateSystem="XYZ"), LIKE)
    with pytest.raises(InputError, match="hold points"):
        read_points(write_json(path, "RAS", type="ROI"), LIKE)
    outside = write_json(path, "RAS", controlPoints=[{"label": "a", "position": [0, 0, 99]}])
    with pytest.raises(InputError, match="control point 1 must lie inside the volume"):
        read_points(outside, LIKE)
    for text in (
        "",
        "{",
        "[1]",
        '{"markups": 3}',
        '{"markups": [{"type": "Fiducial", "c": 1}',
        "[" * 9999,
    ):
        path.write_text(text)
        with pytest.raises(UnreadableFileError, match="be landmarks of 3D Slicer"):
            read_points(path, LIKE)
    (tmp_path / "F.fcsv").write_text("0,1\n")
    with pytest.raises(UnreadableFileError, match="be landmarks of 3D Slicer"):
        read_points(tmp_path / "F.fcsv", LIKE)
