"""benchmarks/real_files.py: what becomes of the files of a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import the script, for the test alone."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "real_files", raising=False)
    yield __import__("real_files")
    sys.modules.pop("real_files", None)


def test_right_and_refused(script, tmp_path, monkeypatch, capsys):
    data = np.zeros((12, 14, 5), np.int16)
    data[3:8, 4:10] = np.random.default_rng(0).integers(50, 99, (5, 6, 5))
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 3, 1])), tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / "b.czi").write_bytes(b"ZISRAWFILE" + bytes(40))
    (tmp_path / "in" / "notes.txt").write_text("x")
    arguments = ["x", str(tmp_path / "in"), "--results", str(tmp_path / "r.jsonl")]
    monkeypatch.setattr(sys, "argv", arguments)
    for _ in range(2):  # what is there is not done again
        assert script.main() == 0
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(row["file"], row["result"]) for row in rows] == [
        ("in/a.nii.gz", "right"),
        ("in/b.czi", "refused"),
    ]
    assert "right: 1, refused: 1, differs: 0, fault: 0" in capsys.readouterr().out
