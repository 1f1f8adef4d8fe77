"""A short campaign with fixed seeds; ``scripts/campaign`` goes on for hours."""

from __future__ import annotations

import itertools
import sys

import pytest

from .autosaves import killed_saves
from .files import read_mutated
from .runs import WORKERS, Trial, rights_count
from .stores import shared_store

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX"),
]
ROUNDS = 20
on_predict = pytest.mark.xdist_group("campaign of predict")
on_others = pytest.mark.xdist_group("campaign of other runs")
"""Each group uses one folder, and what each command writes there when nothing goes wrong."""


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


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("train", marks=on_others),
        pytest.param("predict", marks=on_predict),
        pytest.param("finetune", marks=on_others),
    ],
)
def test_killed_runs_come_out_right_when_repeated(trial, name):
    assert trial.killed(name, 0) is None


@on_predict
def test_a_killed_worker_is_made_up_for_by_the_others(trial):
    pytest.importorskip("distributed")
    assert trial.worker_killed(WORKERS, 0) is None


@on_predict
@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_full_disk_is_one_line_and_the_next_run_is_right(trial):
    assert trial.limited("predict", "disk", 0) is None


@on_predict
def test_two_runs_into_one_folder(trial):
    assert trial.together("predict", 0) is None


@on_others
def test_read_only_folders(trial, tmp_path):
    if not rights_count(tmp_path / "rights"):
        pytest.skip("the rights of folders do not count here")
    assert trial.read_only("measure", 0) is None


def test_several_processes_share_a_store(tmp_path):
    assert shared_store(tmp_path / "store", 0, 4.0) is None


def test_an_autosave_that_is_killed_is_one_moment(tmp_path):
    assert killed_saves(tmp_path / "saves", 0, 3) is None
