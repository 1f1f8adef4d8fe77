"""benchmarks/walks.py: clicks of the walks through the one dock, in a real viewer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = ("walks", "walks_person", "objects", "landmarks_tasks")

pytestmark = pytest.mark.viewer


@pytest.fixture
def walks(monkeypatch, tmp_path):
    """Import the script, for the test alone."""
    monkeypatch.setenv("NAPARI_FEWSHOT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NAPARI_FEWSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in SCRIPTS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield __import__("walks")
    for name in SCRIPTS:
        sys.modules.pop(name, None)


@pytest.fixture
def person(walks, make_napari_viewer):
    found = walks.Annotator(make_napari_viewer(), walks.QUICK)
    yield found
    found.session.close()


def test_the_sample_takes_six_clicks_at_the_most(walks, person):
    (found,) = walks.sample(person, None)
    assert found.clicks <= 6
    assert found.dice[0] > 0.1  # quick settings


def test_two_channels_and_all_time_points(walks, person):
    (found,) = walks.series(person, None)
    assert found.clicks <= 8
    assert len(found.dice) == 4


@pytest.mark.parametrize(("name", "clicks"), [("xrays", 10), ("nuclei", 7)])
def test_points_and_objects_take_few_clicks(walks, person, shared_data, name, clicks):
    (found,) = walks.WALKS[name](person, shared_data)
    assert found.clicks <= clicks
    assert found.result


@pytest.mark.parametrize(
    ("name", "clicks"), [("ct", [12]), ("smears", [16, 1]), ("hippocampi", [12, 1])]
)
def test_own_images_take_few_clicks_besides_painting(walks, person, shared_data, name, clicks):
    found = list(walks.WALKS[name](person, shared_data))
    assert all(one.clicks <= most for one, most in zip(found, clicks, strict=True))
    assert len(found[-1].dice)
