"""benchmarks/objects.py: average precision of objects, and what is compared."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import the script, for the test alone."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("objects", "page"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield __import__("objects")
    for name in ("objects", "page"):
        sys.modules.pop(name, None)


def test_precision_counts_true_false_and_missed(script):
    truth = np.zeros((20, 60), int)
    truth[:10, :10], truth[:10, 20:30], truth[:10, 40:50] = 1, 2, 3
    truth[15:17, :2] = 4  # too small to count
    found = np.zeros_like(truth)
    found[:10, :9], found[:10, 20:24], found[15:17, :2] = 1, 2, 3
    assert script.precision(found, truth, 10) == (0.25, 1, 1, 2)
    assert script.precision(truth, truth, 10) == (1.0, 3, 0, 0)


def test_touching_cells_are_counted_by_separation_alone(script):
    case = next(one for one in script.cases(None, 1) if one.group == "cells 2D 0.1")
    plain, _ = script.score(case, script.METHODS["components"])
    parted, _ = script.score(case, script.METHODS["separated"])
    assert parted > plain + 0.3
