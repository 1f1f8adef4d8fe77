"""Pairs of CSV files, and the spacing that is found in them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.bench.point_files import read_point_pair
from napari_fewshot.errors import InputError
from napari_fewshot.io import write_image, write_points
from napari_fewshot.types import Landmark, Volume

POSITIONS = [(1, 2, 3), (7, 2.5, 3), (1, 9, 4), (2, 3, 11), (5, 5, 5)]
SPACING = (2.5, 0.5, 0.75)


def oblique():
    """A volume whose axes are permuted, scaled and turned."""
    turn = np.deg2rad(30)
    turned = np.array(
        [[0, np.cos(turn), np.sin(turn)], [0, -np.sin(turn), np.cos(turn)], [1, 0, 0]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turned * SPACING
    affine[:3, 3] = (-20, 4, 100)
    return Volume(np.zeros((10, 12, 14), np.uint8), SPACING, affine)


def points(positions=POSITIONS):
    return [Landmark(f"p{n}", n, place) for n, place in enumerate(positions, start=1)]


@pytest.fixture
def written(tmp_path):
    """A file with both kinds of coordinates."""
    write_points(tmp_path / "both.csv", points(), oblique())
    return tmp_path / "both.csv"


@pytest.fixture
def bare(tmp_path):
    """A file with voxels only."""
    write_points(tmp_path / "bare.csv", points(), Volume(np.zeros((10, 12, 14)), (1.0, 1.0, 1.0)))
    return tmp_path / "bare.csv"


@pytest.mark.parametrize(
    "order", [("written", "bare"), ("bare", "written"), ("written", "written")]
)
def test_spacing_from_either_file(order, request):
    pred, truth = (request.getfixturevalue(name) for name in order)
    pair = read_point_pair(pred, truth)
    assert pair.spacing == pytest.approx(SPACING, rel=1e-5)
    assert pair.image is None
    assert [p.position for p in pair.pred] == [p.position for p in pair.truth] == POSITIONS


def test_spacing_of_the_image(bare, tmp_path):
    image = oblique()
    write_image(tmp_path / "image.nii.gz", image.data, image)
    pair = read_point_pair(bare, bare, tmp_path / "image.nii.gz")
    assert pair.spacing == pytest.approx(SPACING, rel=1e-5)
    assert pair.image is not None
    assert pair.image.shape == (10, 12, 14)


def test_flat_image(tmp_path):
    flat = Volume(np.zeros((10, 12), np.uint8), (1.0, 1.0))
    write_image(tmp_path / "image.tif", flat.data, flat)
    path = tmp_path / "points.csv"
    path.write_text("name,y,x\ntip,4,5\n")
    pair = read_point_pair(path, path, tmp_path / "image.tif")
    assert len(pair.spacing) == 3
    assert pair.truth[0].position == (0, 4, 5)


@pytest.mark.parametrize(
    "positions",
    [POSITIONS[:3], [(1, y, x) for y in (2, 8) for x in (3, 9)], [(k, k, k) for k in range(5)]],
    ids=["three points", "one plane", "one line"],
)
def test_too_few_directions_do_not_tell_the_spacing(tmp_path, positions):
    write_points(tmp_path / "points.csv", points(positions), oblique())
    with pytest.raises(InputError, match="--image must be given"):
        read_point_pair(tmp_path / "points.csv", tmp_path / "points.csv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,label,z,y,x\n",
        "name,z,y,x,R,A,S\na,1,2,3,4,5\n",
        "name,z,y,x,R,A,S\na,b,c,d,e,f,g\n",
    ],
)
def test_files_that_tell_nothing(tmp_path, text):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(InputError):
        read_point_pair(path, path)


def test_no_text_at_all(tmp_path):
    path = tmp_path / "points.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError):
        read_point_pair(path, path)


def test_bad_rows_are_named(written, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(written.read_text().replace("p3,3,1,9,4", "p3,3,one,9,4"))
    with pytest.raises(InputError, match=r"bad\.csv, line 4, column z must be a finite number"):
        read_point_pair(written, path)
