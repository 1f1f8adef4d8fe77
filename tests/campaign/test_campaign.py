"""A short campaign with fixed seeds; ``scripts/campaign`` goes on for hours."""

from __future__ import annotations

import itertools
import sys

import pytest

from .files import read_mutated
from .runs import Trial

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX"),
    pytest.mark.xdist_group("campaign"),
]
ROUNDS = 25


def test_changed_files_are_read_or_refused(tmp_path):
    rounds = iter(range(ROUNDS))
    counts, faults = read_mutated(
        tmp_path, itertools.count(0), lambda: next(rounds, None) is not None
    )
    assert not faults, "\n".join(faults)
    assert counts.total() >= ROUNDS * 20
    refused = sum(count for (_, outcome), count in counts.items() if outcome == "refused")
    assert refused > counts.total() / 10


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return Trial(tmp_path_factory.mktemp("campaign") / "runs")


@pytest.mark.parametrize("name", ["train", "predict"])
def test_killed_runs_come_out_right_when_repeated(trial, name):
    assert trial.killed(name, 0) is None


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_full_disk_is_one_line_and_the_next_run_is_right(trial):
    assert trial.limited("predict", "disk", 0) is None
