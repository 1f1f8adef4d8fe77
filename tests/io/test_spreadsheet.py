"""Names in CSV files are no formulas."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.io import read_points, write_points
from napari_fewshot.io.spreadsheet import guarded, guarded_path, unguarded
from napari_fewshot.types import Landmark, Volume


@pytest.mark.parametrize(
    "name", ["=1+1", "+49 30", "-left", "@user", '=HYPERLINK("http://x")', "＝1", "=", "-"]
)
def test_formulas_are_guarded_and_come_back(name):
    assert guarded(name) == f"'{name}"
    assert unguarded(guarded(name)) == name


@pytest.mark.parametrize("text", ["", "apex", "-1.5", "+3", "-1e-9", "'s", "left-right", "肝"])
def test_other_texts_are_as_they_are(text):
    assert guarded(text) == unguarded(text) == text


def test_control_characters_are_left_out():
    assert guarded("\x1b[31mred\x00 one\u2028two") == "[31mred one two"
    assert guarded("\t=1") == "'=1"


def test_paths_stay_paths():
    assert guarded_path("=a/b.nii") == "./=a/b.nii"
    assert guarded_path("a/b.nii") == "a/b.nii"


def test_landmarks_keep_their_names_in_files(tmp_path):
    like = Volume(np.zeros((4, 4, 4), np.uint8), (1.0, 1.0, 1.0))
    points = [Landmark("=1+1", 1, (1, 2, 3)), Landmark("a\x07b", 2, (0, 0, 0))]
    write_points(tmp_path / "p.csv", points, like)
    text = (tmp_path / "p.csv").read_text("utf-8")
    assert "\n'=1+1,1" in text
    assert "\x07" not in text
    assert [one.name for one in read_points(tmp_path / "p.csv", like)] == ["=1+1", "a b"]
