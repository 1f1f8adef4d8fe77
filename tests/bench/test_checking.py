"""A configuration is held against one case before anything is run."""

from __future__ import annotations

import logging

import pytest

from napari_fewshot.bench.checking import check_case
from napari_fewshot.bench.runner import open_benchmark
from napari_fewshot.errors import InputError

from .conftest import ACROSS, LANDMARKS, WITHIN


def checked(config) -> list[str]:
    benchmark = open_benchmark(config, config.dataset.root / "none", dry_run=True)
    return list(check_case(config, benchmark.selection).warnings)


@pytest.mark.parametrize("text", [WITHIN, ACROSS, LANDMARKS])
def test_nothing_is_said_of_what_is_sound(config_of, text):
    assert checked(config_of(text)) == []


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (WITHIN, "[labels]", '[labels]\nuse = ["bal"]', "got bal. Did you mean ball?"),
        (WITHIN, "[labels]", '[labels]\nuse = ["bone"]', "labels.use must be one of ball, core"),
        (WITHIN, 'names = { 1 = "ball", 2 = "core" }', 'use = ["x"]', "labels have no names"),
        (WITHIN, "[labels]", '[labels]\njoin = { all = ["bal", "core"] }', "Did you mean ball?"),
        (LANDMARKS, "[landmarks]", '[landmarks]\nuse = ["midle"]', "Did you mean middle?"),
        (LANDMARKS, "[landmarks]", '[landmarks]\nuse = ["Edge"]', "landmarks.use must be one of"),
    ],
)
def test_what_is_surely_wrong_is_refused(config_of, tmp_path, text, old, new, words):
    config = config_of(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        checked(config)
    assert words in str(caught.value)
    benchmark = open_benchmark(config, tmp_path / "out")
    with pytest.raises(InputError):
        benchmark.run(own_processes=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "old", "new", "words"),
    [
        (WITHIN, '2 = "core"', '3 = "rim"', "labels.names: case a1 lacks 3 (rim); it has 1, 2"),
        (WITHIN, "[labels]", "[labels]\nuse = [2, 4]", "labels.use: case a1 lacks 4; it has 2"),
        (WITHIN, "shots = [1, 3]", "shots = [1, 9]", "7 labelled slices, and fails with 9"),
        (LANDMARKS, "[landmarks]", '[landmarks]\nuse = ["edge", "top"]', "case b1 lacks top"),
        (LANDMARKS, "[landmarks]", '[landmarks]\nuse = ["middle", "middel"]', "lacks middel"),
    ],
)
def test_what_other_cases_may_have_is_a_warning(config_of, tmp_path, caplog, text, old, new, words):
    config = config_of(text.replace(old, new))
    assert any(words in line for line in checked(config))
    with caplog.at_level(logging.WARNING):
        open_benchmark(config, tmp_path, dry_run=True).check()
    assert words in caplog.text


def test_a_case_that_cannot_be_read_is_a_warning(config_of, tmp_path, monkeypatch):
    def broken(case, config):
        raise OSError("disk is gone")

    monkeypatch.setattr("napari_fewshot.bench.checking.prepare_case", broken)
    assert checked(config_of(WITHIN)) == ["case a1: disk is gone"]


@pytest.mark.parametrize(
    ("name", "other", "near"),
    [
        ("nucleas", "nucleus", True),
        ("Liver", "liver", True),
        ("femr", "femur", True),
        ("hippocampsu", "hippocampus", True),
        ("supraspinatus", "infraspinatus", False),
        ("thalamus", "hypothalamus", False),
        ("carpal", "metacarpal", False),
        ("vertebra_L4", "vertebra_L5", False),
        ("adrenal_gland_left", "adrenal_gland_right", False),
        ("eye_l", "eye_r", False),
        ("KPB", "KPD", False),
        ("upper", "lower", False),
        ("aorta", "aorta", False),
    ],
)
def test_near_names(name, other, near):
    from napari_fewshot.bench.checking import _near

    assert _near(name, other) is near
